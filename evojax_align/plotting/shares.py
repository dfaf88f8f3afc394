"""How often one method beats another (Figure 2 of Uriot and Izzo 2020)."""

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import ArrayLike, Real

from evojax_align import _checks
from evojax_align.plotting import _style

if TYPE_CHECKING:
    import matplotlib.axes

GID = "win share"
"""Marks the lines of this figure, so that a further call can count them."""


def plot_win_share(
    directions: Real[ArrayLike, "k"],
    shares: Real[ArrayLike, "k"],
    ax: "matplotlib.axes.Axes",
    *,
    intervals: Real[ArrayLike, "k 2"] | None = None,
    label: str | None = None,
    title: str | None = None,
) -> None:
    """Draw the share of pairs that SVCCA wins against the number of kept directions.

    The numbers of directions are on a logarithmic axis, the shares between 0 and 1, with 0.5 marked.
    Call again on the same Axes for another data set: it gets the next colour and marker.

    Args:
        directions: numbers of kept variance directions.
        shares: fraction of pairs won with each number, in [0, 1].
        ax: the Axes to draw on.
        intervals: lower and upper end for each share, drawn as bars (see `statistics.win_share`).
        label: name of the data set in the legend; None for no legend entry.
        title: title above the Axes.

    Raises:
        ValueError: shapes that do not fit, shares outside [0, 1], or fewer than one direction.
    """
    directions = _style.array("directions", directions, k=None)
    shares = _style.array("shares", shares, k=len(directions))
    if directions.min() < 1:
        raise _checks.bad("directions", f"{directions.min():g}", "numbers of at least 1", "Pass kept directions.")
    if shares.min() < 0 or shares.max() > 1:
        came = f"values from {shares.min():g} to {shares.max():g}"
        raise _checks.bad("shares", came, "values in [0, 1]", "Divide the number of wins by the number of pairs.")

    order = np.argsort(directions)
    directions, shares = directions[order], shares[order]
    earlier = sum(line.get_gid() == GID for line in ax.get_lines())
    if not earlier:
        ax.axhline(0.5, color=_style.INK, linewidth=0.8, linestyle=(0, (2, 2)), zorder=1)
        ax.annotate(
            "coin toss",
            (1, 0.5),
            xycoords=("axes fraction", "data"),
            xytext=(0, -2),
            textcoords="offset points",
            ha="right",
            va="top",
            fontsize=_style.TEXT - 1,
            color=_style.INK,
        )
    colour, marker = _style.line(earlier)["color"], _style.marker(earlier)
    if intervals is not None:
        ends = _style.array("intervals", intervals, k=len(directions), ends=2)[order]
        ax.vlines(directions, ends[:, 0], ends[:, 1], color=colour, linewidth=1.0, alpha=0.6)
    ax.plot(directions, shares, color=colour, marker=marker, markersize=3.5, linewidth=1.3, label=label, gid=GID)
    ax.set_xscale("log", base=2)
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    ax.minorticks_off()
    ax.set_ylim(0, 1.03)
    ax.set_yticks(np.linspace(0, 1, 6))
    _style.dress(ax, x="kept directions", y="share of pairs won", title=title)
    if label is not None:
        ax.legend(loc="lower right", **_style.LEGEND)
