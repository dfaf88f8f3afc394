"""One legend for all panels of a figure."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from evojax_align.plotting import _style

if TYPE_CHECKING:
    import matplotlib.axes
    import matplotlib.figure
    import matplotlib.legend

LETTER, HANDLE = 0.58, 5.5
"""The width of a letter, and of the rest of a legend entry, relative to the font size."""


def shared_legend(
    fig: "matplotlib.figure.Figure",
    axes: "np.ndarray | Sequence[matplotlib.axes.Axes]",
    *,
    order: Sequence[str] = (),
) -> "matplotlib.legend.Legend | None":
    """Put one legend below all panels, and remove their own legends.

    Each name occurs once and must have the same style in all panels: pass the same names as `among`.

    Args:
        fig: a figure from `figure`.
        axes: the panels.
        order: names that come first, in this order; the others follow in the order of drawing.

    Returns:
        The legend; None if nothing has a name.

    Example:
        >>> import numpy as np, evojax_align as ea
        >>> fig, axes = ea.plotting.figure(1, 2)
        >>> for ax, curves in zip(axes[0], ({"naive": np.ones((3, 2))}, {"aligned": np.ones((3, 2))})):
        ...     ea.plotting.plot_trend(np.array([8, 16]), curves, ax, x="width", y="loss", among=("naive", "aligned"))
        >>> legend = ea.plotting.shared_legend(fig, axes)
        >>> [text.get_text() for text in legend.get_texts()]
        ['naive', 'aligned']
    """
    found: dict[str, Any] = {}
    for ax in np.ravel(np.asarray(axes, dtype=object)):
        handles, names = ax.get_legend_handles_labels()
        for name, handle in zip(names, handles, strict=True):
            found.setdefault(name, handle)
        if ax.get_legend() is not None:
            ax.get_legend().remove()
    if not found:
        return None
    names = [*(name for name in dict.fromkeys(order) if name in found), *(name for name in found if name not in order)]
    widest = _style.TEXT * (LETTER * max(map(len, names)) + HANDLE)
    most = int(np.clip(72 * fig.get_figwidth() // widest, 1, len(names)))
    columns = -(-len(names) // -(-len(names) // most))
    handles = [found[name] for name in names]
    return fig.legend(handles, names, loc="outside lower center", ncols=columns, **_style.LEGEND)
