"""Distributions of values: points on a plane, and histograms."""

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import ArrayLike, Real

from evojax_align.plotting import _style

if TYPE_CHECKING:
    import matplotlib.axes

BINS = 40


def plot_points(
    places: Real[ArrayLike, "n 2"],
    ax: "matplotlib.axes.Axes",
    *,
    x: str = "",
    y: str = "",
    reach: float | None = None,
    title: str | None = None,
) -> None:
    """Draw points on a plane whose axes have the same scale, so that distances can be compared.

    Args:
        places: coordinates of the points.
        ax: the Axes to draw on.
        x: label of the first axis.
        y: label of the second axis.
        reach: largest absolute value on both axes, so that pictures can be compared; by default that of the points.
        title: title above the Axes, to the left.
    """
    places = _style.array("places", places, n=None, axes=2)
    ax.scatter(places[:, 0], places[:, 1], s=12, alpha=0.6, linewidths=0, color=_style.PALETTE[0])
    if reach is None:
        ax.set_aspect("equal", adjustable="datalim")
    else:
        ax.set(xlim=(-reach, reach), ylim=(-reach, reach))
    _style.dress(ax, x=x, y=y, title=title)


def plot_histogram(
    values: Real[ArrayLike, "n"],
    ax: "matplotlib.axes.Axes",
    *,
    x: str,
    y: str = "count",
    span: tuple[float, float] | None = None,
    title: str | None = None,
) -> None:
    """Draw a histogram of values.

    Args:
        values: all values.
        ax: the Axes to draw on.
        x: label of the values.
        y: label of the counts.
        span: lower and upper end of the axis; values outside are counted at its ends. By default the range of values.
        title: title above the Axes, to the left.
    """
    values = _style.array("values", values, n=None)
    low, high = span or (float(values.min()), float(values.max()))
    ax.hist(np.clip(values, low, high), bins=BINS, range=(low, high), color=_style.PALETTE[0])
    ax.set_xlim(low, high)
    _style.dress(ax, x=x, y=y, title=title)
