"""Correlation matrices of neurons (Figure 4 of Uriot and Izzo 2020)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import ArrayLike, Real

from evojax_align import _checks
from evojax_align.plotting import _style

if TYPE_CHECKING:
    import matplotlib.axes
    import matplotlib.colorbar
    import matplotlib.image

ROUNDING = 1e-4
"""Tolerance of correlations outside [-1, 1]."""


def plot_correlations(
    matrix: Real[ArrayLike, "p q"],
    ax: "matplotlib.axes.Axes",
    *,
    title: str | None = None,
    x: str = "neuron of b",
    y: str = "neuron of a",
) -> "matplotlib.image.AxesImage":
    """Draw a matrix of correlations on a fixed scale from blue for -1 over white for 0 to red for 1.

    Args:
        matrix: entry [i, j] is the correlation of neuron i (down) with neuron j (to the right); NaN is grey.
        ax: the Axes to draw on.
        title: title above the Axes.
        x: label of the columns.
        y: label of the rows.

    Returns:
        The image, for `color_bar`, which draws one colour bar for all panels of this scale.

    Raises:
        ValueError: the argument is empty or not a matrix, or has a value outside [-1, 1] by more than rounding.
    """
    matrix = _style.array("matrix", matrix, p=None, q=None)
    if np.any(np.abs(matrix) > 1 + ROUNDING):
        came = f"values from {np.nanmin(matrix):g} to {np.nanmax(matrix):g}"
        raise _checks.bad("matrix", came, "values in [-1, 1]", "Pass the result of `similarity.correlation`.")
    ax.set_facecolor("#bbbbbb")  # visible where there is no value
    image = ax.imshow(matrix, cmap="RdBu_r", vmin=-1, vmax=1, interpolation="nearest", aspect="equal")
    _style.dress(ax, x=x, y=y, title=title, grid=False)
    for spine in ax.spines.values():
        spine.set_visible(True)
    return image


def color_bar(
    image: "matplotlib.image.AxesImage", axes: "np.ndarray | Sequence[matplotlib.axes.Axes] | matplotlib.axes.Axes"
) -> "matplotlib.colorbar.Colorbar":
    """Draw one colour bar next to all Axes that share the scale of an image.

    Args:
        image: the image from `plot_correlations`.
        axes: the Axes that make space for it: one, or an array of them.

    Returns:
        The colour bar.
    """
    fig: Any = image.get_figure()
    bar = fig.colorbar(image, ax=axes, shrink=0.8, aspect=25, pad=0.02, ticks=[-1, -0.5, 0, 0.5, 1])
    bar.set_label("correlation", fontsize=_style.TEXT, color=_style.INK)
    bar.ax.tick_params(labelsize=_style.TEXT - 1, color=_style.INK, labelcolor=_style.INK, length=3, width=0.6)
    bar.outline.set_linewidth(0.6)
    bar.outline.set_edgecolor(_style.INK)
    return bar
