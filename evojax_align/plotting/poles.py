"""The motion of a pole on a cart."""

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import ArrayLike, Real

from evojax_align import _checks
from evojax_align.plotting import _style

if TYPE_CHECKING:
    import matplotlib.axes


def plot_swing(
    time: Real[ArrayLike, "k"],
    place: Real[ArrayLike, "k"],
    angle: Real[ArrayLike, "k"],
    ax: "matplotlib.axes.Axes",
    *,
    every: float = 0.1,
    length: float = 0.6,
    title: str | None = None,
) -> None:
    """Draw the pole at regular times along an axis of time, at the height of the cart's position.

    Args:
        time: ascending times in seconds.
        place: position of the cart.
        angle: angle of the pole, 0 if it is upright, positive if it leans towards smaller positions.
        ax: the Axes to draw on.
        every: seconds between two drawings.
        length: length of the pole.
        title: title above the Axes, to the left.

    Raises:
        ValueError: shapes do not fit.
    """
    time = _style.array("time", time, k=None)
    place, angle = _style.array("place", place, k=len(time)), _style.array("angle", angle, k=len(time))
    shown = np.searchsorted(time, np.arange(time[0], time[-1], _checks.above_zero("every", every)))
    for moment in shown:
        foot = np.array([time[moment], place[moment]])
        colour = _style.PALETTE[0] if np.cos(angle[moment]) > 0 else _style.PALETTE[1]
        top = foot + length * np.array([-np.sin(angle[moment]), np.cos(angle[moment])])
        ax.plot(*np.stack([foot, top], axis=1), color=colour, linewidth=0.8)
    ax.plot(time, place, color=_style.INK, linewidth=0.6)
    ax.set_aspect("equal", adjustable="datalim")
    _style.dress(ax, x="seconds; poles lean to the right as they do on the track", y="place of the cart", title=title)
