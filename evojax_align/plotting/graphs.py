"""Networks of arbitrary topology, drawn as graphs."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import ArrayLike, Integer

from evojax_align import _checks
from evojax_align._types import Float
from evojax_align.plotting import _style

if TYPE_CHECKING:
    import matplotlib.axes


PIXEL = "#d9dde1"
"""Colour of nodes without a connection."""
TALL, WIDE = 0.62, 0.42
"""Half the height of the image of the inputs, and its width relative to that of the other layers."""


def plot_graph(
    layer: Integer[ArrayLike, "nodes"],
    edges: Integer[ArrayLike, "edges 2"],
    kinds: Sequence[str],
    ax: "matplotlib.axes.Axes",
    *,
    among: Sequence[str] = (),
    labels: Mapping[int, str] | None = None,
    image: tuple[int, int] | None = None,
    title: str | None = None,
) -> None:
    """Draw nodes in columns by layer, and lines between connected nodes.

    A line has the colour of the node that it leaves. A node without connections is pale.

    Args:
        layer: the layer of each node, from 0.
        edges: start and end node of each edge.
        kinds: the kind of each node, such as its activation, which gets a colour and a marker; "" for no kind.
        ax: the Axes to draw on.
        among: all possible kinds, in an order that determines their colours, so that several graphs agree.
        labels: labels of some nodes.
        image: rows and columns of an image whose pixels are the first nodes; they are drawn as an image instead of a
            column.
        title: title above the Axes, to the left.

    Raises:
        ValueError: an edge has an unknown node, the number of kinds is not that of nodes, or the image has more pixels
            than there are nodes.

    Example:
        >>> import numpy as np, evojax_align as ea
        >>> fig, axes = ea.plotting.figure()
        >>> layer, edges = np.array([0, 0, 0, 0, 1, 2]), np.array([[0, 4], [3, 4], [4, 5]])
        >>> ea.plotting.plot_graph(layer, edges, [*[""] * 4, "tanh", "linear"], axes[0, 0], image=(2, 2))
    """
    layer = _style.array("layer", layer, nodes=None)
    edges = np.asarray(edges, int).reshape(-1, 2)
    if len(kinds) != len(layer):
        raise _checks.bad("kinds", f"{len(kinds)}", f"one for each of {len(layer)} nodes", "Pass '' for none.")
    if edges.size and not 0 <= edges.min() <= edges.max() < len(layer):
        raise _checks.bad("edges", f"the node {edges.max()}", f"nodes from 0 to {len(layer) - 1}", "Use node indices.")
    pixels = 0 if image is None else image[0] * image[1]
    if pixels > len(layer):
        raise _checks.bad(
            "image", f"{image}", f"at most {len(layer)} pixels", "Pass the rows and columns of the input."
        )
    places = _placed(layer, image or (0, 0))
    looks = {kind: place for place, kind in enumerate(dict.fromkeys((*among, *filter(None, kinds))))}
    strength = float(np.clip(60 / max(len(edges), 1), 0.4, 1.0))
    for source, target in edges:
        kind = kinds[int(source)]
        colour = _style.line(looks[kind])["color"] if kind else "#5f6b76"
        ax.plot(
            *places[[source, target]].T, color=colour, linewidth=0.5 + 0.5 * strength, alpha=0.85 * strength, zorder=1
        )
    size = float(np.clip(600 / max(np.unique(layer[pixels:], return_counts=True)[1].max(initial=1), 1), 10, 40))
    for kind, place in looks.items():
        ours = np.array([own == kind for own in kinds])
        if ours.any():
            look = {"color": _style.line(place)["color"], "marker": _style.marker(place), "label": kind}
            ax.scatter(*places[ours].T, s=size, linewidths=0, zorder=3, **look)
    used, plain = np.isin(np.arange(len(layer)), edges), np.array([not kind for kind in kinds])
    square = np.arange(len(layer)) < pixels
    for ours, marker, own in ((square, "s", 9.0), (~square, "o", size / 2)):
        colours = np.where(used, _style.INK, PIXEL)[plain & ours]
        ax.scatter(*places[plain & ours].T, s=own, c=colours.tolist(), marker=marker, linewidths=0, zorder=2)
    for node, text in (labels or {}).items():
        side, shift = ("right", -6) if layer[node] == 0 else ("left", 6)
        look = {"ha": side, "va": "center", "fontsize": _style.TEXT - 1, "color": _style.INK}
        ax.annotate(text, tuple(places[node]), xytext=(shift, 0), textcoords="offset points", **look)
    ax.set_axis_off()
    ax.legend(loc="upper left", bbox_to_anchor=(1.06, 1), **_style.LEGEND)
    if title is not None:
        ax.set_title(title, fontsize=_style.TEXT + 1, color=_style.INK, loc="left")


def _placed(layer: Float[np.ndarray, "nodes"], image: tuple[int, int]) -> Float[np.ndarray, "nodes 2"]:
    """Positions of nodes: the first ones in an image, the others of layer 0 below it, all others in columns."""
    rows, columns = image
    pixels, found = rows * columns, np.stack([layer, np.zeros(len(layer))], axis=1)
    rest = np.arange(len(layer)) >= pixels
    for depth in np.unique(layer[rest]):
        ours = np.flatnonzero((layer == depth) & rest)
        found[ours, 1] = -np.linspace(-1, 1, len(ours) + 2)[1:-1]
        if pixels and depth == 0:
            found[ours, 1] = -TALL - 0.16 * (1 + np.arange(len(ours)))
    if pixels:
        down, right = np.divmod(np.arange(pixels), columns)
        found[:pixels, 0] = WIDE * max(layer.max(), 1) * (right / max(columns - 1, 1) - 1)
        found[:pixels, 1] = TALL * (1 - 2 * down / max(rows - 1, 1))
    return found
