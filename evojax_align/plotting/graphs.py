"""Networks of free topology, drawn node by node."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import ArrayLike, Integer

from evojax_align import _checks
from evojax_align.plotting import _style

if TYPE_CHECKING:
    import matplotlib.axes


def plot_graph(
    layer: Integer[ArrayLike, "nodes"],
    edges: Integer[ArrayLike, "edges 2"],
    kinds: Sequence[str],
    ax: "matplotlib.axes.Axes",
    *,
    among: Sequence[str] = (),
    labels: Mapping[int, str] | None = None,
    title: str | None = None,
) -> None:
    """Draw nodes in columns by their layer, and lines between those that are connected.

    Args:
        layer: of each node, from 0.
        edges: from which node to which.
        kinds: what each node is, such as its activation: a colour for each; "" for what needs none.
        ax: drawn on.
        among: kinds that there could be, in an order that gives each its colour, so that several graphs agree.
        labels: beside nodes; of others nothing is written.
        title: above the Axes, to the left.

    Raises:
        ValueError: an edge leads to no node, or kinds are not as many as nodes.
    """
    layer = _style.array("layer", layer, nodes=None)
    edges = np.asarray(edges, int).reshape(-1, 2)
    if len(kinds) != len(layer):
        raise _checks.bad("kinds", f"{len(kinds)}", f"one for each of {len(layer)} nodes", "Pass '' for none.")
    if edges.size and not 0 <= edges.min() <= edges.max() < len(layer):
        raise _checks.bad("edges", f"the node {edges.max()}", f"nodes from 0 to {len(layer) - 1}", "Number them so.")
    height = np.zeros(len(layer))
    for depth in np.unique(layer):
        ours = np.flatnonzero(layer == depth)
        height[ours] = -np.linspace(-1, 1, len(ours) + 2)[1:-1]
    for source, target in edges:
        ax.plot(layer[[source, target]], height[[source, target]], color="0.6", linewidth=0.3, alpha=0.5, zorder=1)
    size = float(np.clip(600 / max(np.unique(layer, return_counts=True)[1].max(), 1), 4, 40))
    for number, kind in enumerate(dict.fromkeys((*among, *filter(None, kinds)))):
        ours = np.array([own == kind for own in kinds])
        if not ours.any():
            continue
        colour = _style.PALETTE[number % len(_style.PALETTE)]
        marker = "o" if number < len(_style.PALETTE) else "s"
        ax.scatter(layer[ours], height[ours], s=size, color=colour, marker=marker, label=kind, zorder=2)
    plain = np.array([not kind for kind in kinds])
    ax.scatter(layer[plain], height[plain], s=size / 2, color="0.3", zorder=2)
    for node, text in (labels or {}).items():
        side, shift = ("right", -6) if layer[node] == 0 else ("left", 6)
        place = (layer[node], height[node])
        ax.annotate(text, place, xytext=(shift, 0), textcoords="offset points", ha=side, va="center", fontsize=6)
    ax.set_axis_off()
    ax.legend(loc="upper left", bbox_to_anchor=(1.06, 1), fontsize=7, frameon=False)
    if title is not None:
        ax.set_title(title, fontsize=_style.TEXT + 1, color=_style.INK, loc="left")
