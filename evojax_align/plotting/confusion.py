"""Confusion matrices: the predicted classes of the samples of each class."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import ArrayLike, Real

from evojax_align import _checks
from evojax_align.plotting import _style

if TYPE_CHECKING:
    import matplotlib.axes

DARK = 0.6
"""Fractions above this are written in white."""


def plot_confusion(
    counts: Real[ArrayLike, "classes answers"],
    ax: "matplotlib.axes.Axes",
    *,
    names: Sequence[str],
    answers: Sequence[str] | None = None,
    title: str | None = None,
) -> None:
    """Draw a confusion matrix as fractions of each class, from white for 0 to blue.

    Args:
        counts: entry [i, j] is the number of samples of class i (down) that are predicted as class j (to the right).
        ax: the Axes to draw on.
        names: names of the classes.
        answers: names of the predicted classes, if they differ.
        title: above the Axes, to the left.

    Raises:
        ValueError: the counts are not a matrix, are negative, or do not fit the names.
    """
    answers = names if answers is None else answers
    counts = _style.array("counts", counts, classes=len(names), answers=len(answers))
    if (counts < 0).any():
        raise _checks.bad("counts", f"{counts.min():g}", "numbers of at least 0", "Count samples.")
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    ax.imshow(shares, cmap="Blues", vmin=0, vmax=1, interpolation="nearest", aspect="equal")
    for (row, column), share in np.ndenumerate(shares):
        if round(100 * share):
            look = {"color": "white" if share > DARK else _style.INK, "fontsize": _style.TEXT - 3}
            ax.text(column, row, f"{100 * share:.0f}", ha="center", va="center", **look)
    ax.set_xticks(np.arange(len(answers)), answers)
    ax.set_yticks(np.arange(len(names)), names)
    _style.dress(ax, x="taken for", y="class", title=title, grid=False)
