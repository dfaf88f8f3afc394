"""An episode of a control task as a strip of pictures."""

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import ArrayLike, Real

from evojax_align import _checks
from evojax_align.plotting import _style

if TYPE_CHECKING:
    import matplotlib.axes


def plot_frames(
    time: Real[ArrayLike, "k"],
    links: Real[ArrayLike, "k links 2 2"],
    ax: "matplotlib.axes.Axes",
    *,
    frames: int = 8,
    track: float | None = None,
    line: float | None = None,
    title: str | None = None,
) -> None:
    """Draw a system of links at regular times, as a horizontal strip of pictures with the time under each.

    Args:
        time: ascending times in seconds.
        links: the ends of each link, as (along the track, up), from `links(state)` of a task.
        ax: the Axes to draw on.
        frames: number of pictures, including the first and the last state; all states if there are fewer.
        track: the distance that a cart can move to either side; None for no cart. The cart is drawn at the start of the
            first link, in the middle of each picture, and a rail below shows its position on the track.
        line: a height to mark.
        title: title above the Axes, to the left.

    Raises:
        ValueError: shapes do not fit.

    Example:
        >>> import jax, numpy as np, evojax_align as ea
        >>> task = ea.evolution.tasks.DoublePole(limit=40)
        >>> states, _ = task.trace(jax.random.key(0), lambda seen: 0 * seen[:, :1])
        >>> fig, axes = ea.plotting.figure(width=7.0, height=1.6)
        >>> ea.plotting.plot_frames(0.02 * np.arange(40), task.links(states)[:, 0], axes[0, 0], track=2.4)
    """
    time = _style.array("time", time, k=None)
    links = _style.array("links", links, k=len(time), links=None, ends=2, plane=2)
    frames = min(_checks.positive("frames", frames), len(time))
    moments = np.linspace(0, len(time) - 1, frames).round().astype(int)
    shown = links[moments]
    centre = np.zeros((frames, 1, 1, 2))
    if track is not None:
        centre[..., 0] = shown[:, :1, :1, 0]
    shown = shown - centre
    reach = max(float(np.abs(shown).max()), 1e-9)
    low, high = _range(shown, reach, line)
    width = max(2.3 * float(np.abs(shown[..., 0]).max()) + 0.35 * reach, 1.1 * reach)
    for number, moment in enumerate(moments):
        middle = number * width
        if line is not None:
            ends = [middle - 0.47 * width, middle + 0.47 * width]
            ax.plot(ends, [line, line], color=_style.PALETTE[7], linewidth=0.8, linestyle=(0, (3, 2)), zorder=1)
        if track is not None:
            _cart(ax, middle, reach)
            _rail(ax, middle, low - 0.12 * reach, 0.42 * width, centre[number, 0, 0, 0] / track)
        for which, ((x0, y0), (x1, y1)) in enumerate(shown[number]):
            colour = _style.PALETTE[which % len(_style.PALETTE)]
            x = [middle + x0, middle + x1]
            ax.plot(x, [y0, y1], color=colour, linewidth=2.2, solid_capstyle="round", zorder=3 + which)
            ax.plot(x[:1], [y0], color=_style.INK, marker="o", markersize=2.5, zorder=20)
        place = (middle, low - (0.24 if track is not None else 0.08) * reach)
        ax.annotate(f"{time[moment]:.3g} s", place, ha="center", va="top", fontsize=_style.TEXT - 1, color=_style.INK)
    ax.set_xlim(-0.5 * width, (frames - 0.5) * width)
    ax.set_ylim(low - 0.42 * reach, high + 0.08 * reach)
    ax.set_aspect("equal")
    ax.set_axis_off()
    if title is not None:
        ax.set_title(title, fontsize=_style.TEXT + 1, color=_style.INK, loc="left")


def _range(shown: np.ndarray, reach: float, line: float | None) -> tuple[float, float]:
    """The lowest and the highest height that is drawn."""
    heights = [*shown[..., 1].ravel(), -0.1 * reach, *([] if line is None else [line])]
    return float(min(heights)), float(max(heights))


def _cart(ax: "matplotlib.axes.Axes", middle: float, reach: float) -> None:
    """The cart, below the foot of its poles."""
    half, height = 0.16 * reach, 0.1 * reach
    x, y = [middle - half, middle + half], [-height, -height]
    ax.fill_between(x, y, [0.0, 0.0], color=_style.PALETTE[7], linewidth=0, zorder=2)


def _rail(ax: "matplotlib.axes.Axes", middle: float, height: float, half: float, share: float) -> None:
    """The whole track, and the position of the cart on it, from -1 to 1."""
    ax.plot([middle - half, middle + half], [height, height], color=_style.INK, linewidth=0.6, zorder=1)
    for place in (middle - half, middle, middle + half):
        ax.plot([place], [height], color=_style.INK, marker="|", markersize=4, markeredgewidth=0.6, zorder=1)
    ax.plot([middle + half * share], [height], color=_style.PALETTE[1], marker="o", markersize=3.5, zorder=2)
