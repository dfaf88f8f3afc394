"""The common style, applied to one Axes at a time without changing global settings of matplotlib."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import ArrayLike, Real

from evojax_align import _checks
from evojax_align._types import Float

if TYPE_CHECKING:
    import matplotlib.axes

INK = "#333333"
FAINT = "#e3e3e3"
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#8c8c8c")
"""Colours that colour-blind readers can distinguish: M. Okabe and K. Ito, Color Universal Design (2008)."""
DASHES = ("-", (0, (5, 1.5)), (0, (5, 1.2, 1, 1.2)), (0, (1, 1.2)))
"""Line styles that distinguish the same lines in print without colours."""
MARKERS = "osD^vPX*"
"""Markers that distinguish the same points without colours."""
TEXT = 8
"""Points; titles are one larger."""
LEGEND: dict[str, Any] = {
    "frameon": False,
    "fontsize": TEXT,
    "labelcolor": INK,
    "handlelength": 2.6,
    "columnspacing": 1.2,
}
"""The style of all legends."""


def places(names: Iterable[str], among: Iterable[str] = ()) -> dict[str, int]:
    """The index of each name among all possible names, which determines its colour, line style and marker."""
    every = {name: place for place, name in enumerate(dict.fromkeys((*among, *names)))}
    return {name: every[name] for name in names}


def line(place: int) -> dict[str, Any]:
    """The colour and line style of the curve with an index; the first 32 all differ."""
    turn, colour = divmod(place, len(PALETTE))
    return {"color": PALETTE[colour], "linestyle": DASHES[(place + turn) % len(DASHES)]}


def marker(place: int) -> str:
    """The marker of the curve with an index."""
    return MARKERS[place % len(MARKERS)]


def dress(
    ax: "matplotlib.axes.Axes",
    *,
    x: str = "",
    y: str,
    title: str | None = None,
    pad: float | None = None,
    grid: bool = True,
) -> None:
    """Label the axes, with `pad` points under the title, and remove spines and ticks without data."""
    ax.set_xlabel(x, fontsize=TEXT, color=INK)
    ax.set_ylabel(y, fontsize=TEXT, color=INK)
    if title is not None:
        ax.set_title(title, fontsize=TEXT + 1, color=INK, loc="left", pad=pad)
    ax.tick_params(labelsize=TEXT - 1, labelcolor=INK, color=INK, length=3, width=0.6)
    for side, spine in ax.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(INK)
        spine.set_linewidth(0.6)
    ax.set_axisbelow(True)
    if grid:
        ax.grid(axis="y", color=FAINT, linewidth=0.6)


def logarithmic(ax: "matplotlib.axes.Axes", side: str) -> None:
    """Make one axis, "x" or "y", logarithmic with plain numbers as labels: at 1, 2 and 5 of every decade, or evenly
    spaced if the data span less than a decade."""
    ticker = _checks.extra("matplotlib.ticker", "plotting")
    getattr(ax, f"set_{side}scale")("log")
    axis = getattr(ax, f"{side}axis")
    low, high = getattr(ax.dataLim, f"interval{side}")
    wide = high > 10 * low
    axis.set_major_locator(ticker.LogLocator(base=10, subs=(1, 2, 5)) if wide else ticker.MaxNLocator(4))
    axis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(ticker.NullLocator())


def array(argument: str, values: Real[ArrayLike, "..."], **axes: int | None) -> Float[np.ndarray, "..."]:
    """The values in float64, which must have these axes in this order; None allows any length but zero."""
    result = np.asarray(values, dtype=np.float64)
    lengths = tuple(axes.values())
    fits = result.ndim == len(lengths) and all(
        length > 0 and want in (length, None) for length, want in zip(result.shape, lengths, strict=True)
    )
    if not fits:
        expected = ", ".join(name if length is None else f"{name} = {length}" for name, length in axes.items())
        raise _checks.bad(argument, f"shape {result.shape}", f"[{expected}]", "Pass arrays of the same run.")
    return result
