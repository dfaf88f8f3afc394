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
"""By how much a correlation may leave [-1, 1]."""


def plot_correlations(
    matrix: Real[ArrayLike, "p q"],
    ax: "matplotlib.axes.Axes",
    *,
    title: str | None = None,
    x: str = "neuron of b",
    y: str = "neuron of a",
) -> "matplotlib.image.AxesImage":
    """Draw a matrix of correlations, blue for -1 over white for 0 to red for 1, whatever the matrix holds.

    Args:
        matrix: entry [i, j] is the correlation of neuron i (down) with neuron j (to the right); NaN is grey.
        ax: drawn on.
        title: above the Axes.
        x: label of the columns.
        y: label of the rows.

    Returns:
        The image, which `color_bar` explains once for all panels that share its scale.

    Raises:
        ValueError: the matrix is empty or not one, or holds a value outside [-1, 1] by more than rounding.
    """
    matrix = _style.array("matrix", matrix, p=None, q=None)
    if np.any(np.abs(matrix) > 1 + ROUNDING):
        came = f"values from {np.nanmin(matrix):g} to {np.nanmax(matrix):g}"
        raise _checks.bad("matrix", came, "values in [-1, 1]", "Pass what `similarity.correlation` gives.")
    ax.set_facecolor("#bbbbbb")  # shows where there is no value
    image = ax.imshow(matrix, cmap="RdBu_r", vmin=-1, vmax=1, interpolation="nearest", aspect="equal")
    _style.dress(ax, x=x, y=y, title=title, grid=False)
    for spine in ax.spines.values():
        spine.set_visible(True)
    return image


def color_bar(
    image: "matplotlib.image.AxesImage", axes: "np.ndarray | Sequence[matplotlib.axes.Axes] | matplotlib.axes.Axes"
) -> "matplotlib.colorbar.Colorbar":
    """Draw one colour bar beside all Axes that share the scale of an image.

    Args:
        image: from `plot_correlations`.
        axes: the Axes that give way to it: one, or an array of them.

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
