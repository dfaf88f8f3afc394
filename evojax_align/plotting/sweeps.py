"""Loss and accuracy of networks between two parents (Figure 3 of Uriot and Izzo 2020)."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import ArrayLike, Real

from evojax_align import _checks
from evojax_align._types import Float
from evojax_align.plotting import _style

if TYPE_CHECKING:
    import matplotlib.axes

GREEN, BLUE = _style.PALETTE[2], _style.PALETTE[0]
VIEWS = ("parents", "all")
QUANTITIES = {"loss": "cross-entropy loss", "accuracy": "accuracy"}
INTERPOLATION = "interpolation t"
MIDDLE, BETWEEN, ALL = (0.25, 0.75), (0.0, 1.0), (-np.inf, np.inf)
"""Range of t that determines the limits of an axis."""
HEADROOM = 1.25
"""Relative margin of a loss axis above the visible range, so that the rise outside the parents is visible."""


def plot_sweep(
    ts: Real[ArrayLike, "t"],
    loss: Real[ArrayLike, "pairs t"],
    accuracy: Real[ArrayLike, "pairs t"],
    ax: "matplotlib.axes.Axes",
    *,
    label: str | None = None,
    title: str | None = None,
    right: "matplotlib.axes.Axes | None" = None,
    view: str = "parents",
) -> "matplotlib.axes.Axes":
    """Draw accuracy (left, green) and loss (right, blue) of one method along the line between the parents.

    Lines are means over pairs, shaded areas one standard deviation to each side; a value that is not finite leaves a
    gap. The parents, at t = 0 and t = 1, are marked. To compare methods, call the function again with the axis that
    the first call returned: each call gets the next line style.

    Args:
        ts: ascending values of t of the sweep.
        loss: loss of each pair at each t.
        accuracy: accuracy of each pair at each t, in [0, 1].
        ax: the Axes to draw on, with accuracy from 0 to 1.
        label: name of the method in the legend; None for no legend entry.
        title: title above the Axes, to the left.
        right: the loss axis from an earlier call on `ax`; None creates one.
        view: "parents" limits the loss axis to the values in the middle half of the line between the parents, so that
            steep losses further out do not dominate it; "all" shows all values.

    Returns:
        The loss axis on the right; set its limits to compare panels.

    Raises:
        ValueError: `ts` does not ascend, shapes do not fit, or the view is unknown.
    """
    _checks.one_of("view", view, VIEWS)
    ts = _ascending(ts)
    loss = _style.array("loss", loss, pairs=None, t=len(ts))
    accuracy = _style.array("accuracy", accuracy, pairs=len(loss), t=len(ts))

    dashes = _style.DASHES[0 if right is None else len(right.get_lines()) % len(_style.DASHES)]
    if right is None:
        right = ax.twinx()
        _mark_parents(ax, ts)
    _draw(ax, ts, accuracy, color=GREEN, linestyle=dashes, label=label)
    _draw(right, ts, loss, color=BLUE, linestyle=dashes, label="_loss")

    above_legend = None if label is None else 2.0 * _style.TEXT
    _style.dress(ax, x=INTERPOLATION, y=QUANTITIES["accuracy"], title=title, pad=above_legend)
    _style.dress(right, y=QUANTITIES["loss"], grid=False)
    ax.set_ylim(0, 1.03)
    right.set_ylim(0, HEADROOM * _extent(right, MIDDLE if view == "parents" else ALL)[1] or 1)
    for axis, side, colour in ((ax, "left", GREEN), (right, "right", BLUE)):
        axis.spines[["left", "right"]].set_visible(False)
        axis.spines[side].set(visible=True, color=colour)
        axis.yaxis.label.set_color(colour)
        axis.tick_params(axis="y", color=colour, labelcolor=colour)
    if label is not None:
        legend = ax.legend(
            loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0, borderpad=0.3, ncols=3, **_style.LEGEND
        )
        for line in legend.get_lines():  # accuracy and loss share the line style, not the colour
            line.set_color(_style.INK)
    return right


def plot_sweeps(
    ts: Real[ArrayLike, "t"],
    curves: Mapping[str, Real[ArrayLike, "_ t"]],
    ax: "matplotlib.axes.Axes",
    *,
    quantity: str = "loss",
    among: Sequence[str] = (),
    title: str | None = None,
    view: str = "parents",
) -> None:
    """Draw one quantity of several methods along the line between the parents.

    Lines, areas and marks are those of `plot_sweep`. The legend lists the methods from the highest to the lowest value
    at t = 0.5, which is the order of their lines there.

    Args:
        ts: ascending values of t of the sweeps.
        curves: for each method, in the order of the colours, the quantity of each pair at each t: [pairs, t].
        ax: the Axes to draw on.
        quantity: "loss" or "accuracy".
        among: all possible names, in an order that determines their colours, so that several pictures agree.
        title: title above the Axes, to the left.
        view: as in `plot_sweep`.

    Raises:
        ValueError: there are no curves, `ts` does not ascend, shapes do not fit, or the quantity or view is unknown.
    """
    _checks.one_of("quantity", quantity, QUANTITIES)
    _checks.one_of("view", view, VIEWS)
    if not curves:
        raise _checks.bad("curves", "no curves", "at least one method", "Pass {'naive': loss}.")
    ts = _ascending(ts)
    checked = {
        name: _style.array(f"curves[{name!r}]", values, pairs=None, t=len(ts)) for name, values in curves.items()
    }

    _mark_parents(ax, ts)
    places = _style.places(checked, among)
    for name, values in checked.items():
        _draw(ax, ts, values, **_style.line(places[name]), label=name)
    _style.dress(ax, x=INTERPOLATION, y=QUANTITIES[quantity], title=title)

    if quantity == "loss":
        ax.set_ylim(0, HEADROOM * _extent(ax, MIDDLE if view == "parents" else ALL)[1] or 1)
    else:
        low, high = _extent(ax, BETWEEN if view == "parents" else ALL)
        low, high = max(low, 0), min(high, 1)
        margin = 0.06 * (high - low) or 0.01
        ax.set_ylim(low - margin, high + margin)
    legend_order = np.argsort([-values.mean(axis=0)[np.argmin(np.abs(ts - 0.5))] for values in checked.values()])
    handles, names = ax.get_legend_handles_labels()
    ax.legend(
        [handles[i] for i in legend_order],
        [names[i] for i in legend_order],
        loc="center left",
        bbox_to_anchor=(1, 0.5),
        **_style.LEGEND,
    )


def _ascending(ts: Real[ArrayLike, "t"]) -> Float[np.ndarray, "t"]:
    result = _style.array("ts", ts, t=None)
    if len(result) < 2 or not np.all(np.diff(result) > 0):
        raise _checks.bad("ts", result.tolist(), "two or more values in ascending order", "Sort the sweep by t.")
    return result


def _draw(
    axis: "matplotlib.axes.Axes", ts: Float[np.ndarray, "t"], values: Float[np.ndarray, "pairs t"], **line: Any
) -> None:
    """The mean over pairs and a band of one standard deviation to each side."""
    with np.errstate(invalid="ignore", over="ignore"):
        mean, deviation = values.mean(axis=0), values.std(axis=0)
    mean = np.where(np.isfinite(mean + deviation), mean, np.nan)
    axis.fill_between(ts, mean - deviation, mean + deviation, color=line["color"], alpha=0.15, linewidth=0)
    axis.plot(ts, mean, linewidth=1.4, **line)


def _extent(axis: "matplotlib.axes.Axes", reach: tuple[float, float]) -> tuple[float, float]:
    """Lowest and highest point of the bands on an axis, for t in this range, or for all t if none is in it."""
    points = [path.vertices for band in axis.collections for path in band.get_paths()]
    if not points:
        return 0.0, 1.0  # nothing finite was drawn
    t, heights = np.concatenate(points).T
    inside = (t >= reach[0]) & (t <= reach[1])
    if inside.any():
        heights = heights[inside]
    return float(heights.min()), float(heights.max())


def _mark_parents(ax: "matplotlib.axes.Axes", ts: Float[np.ndarray, "t"]) -> None:
    """A line and a name under the axis for each parent in the range, and ticks at round values of t."""
    step = 0.25 if np.ptp(ts) <= 1.5 else 0.5
    first, last = np.ceil(ts.min() / step - 1e-6), np.floor(ts.max() / step + 1e-6)
    ticks = step * np.arange(first, last + 1) + 0.0  # no minus sign before zero
    names = {0.0: "\nparent a", 1.0: "\nparent b"}
    ax.set_xticks(ticks, [f"{t:g}".replace("-", "\N{MINUS SIGN}") + names.get(float(t), "\n ") for t in ticks])
    ax.set_xlim(ts.min(), ts.max())
    for t in (0.0, 1.0):
        if ts.min() <= t <= ts.max():
            ax.axvline(t, color=_style.INK, linewidth=0.6, linestyle=(0, (1, 2)), zorder=1)
