"""Figures of the papers: functions that draw arrays on a matplotlib Axes.

matplotlib is installed by the extra "plotting" and imported when something is drawn. `figure` makes Axes and `save`
writes a figure; any other Axes can be used too.

Example:
    >>> import numpy as np
    >>> from evojax_align import plotting
    >>> ts = np.linspace(-0.25, 1.25, 61)
    >>> fig, axes = plotting.figure(width=5.2)
    >>> plotting.plot_sweeps(ts, {"naive": 1 + ts[None] * (1 - ts[None])}, axes[0, 0], title="Between two parents")
    >>> path = plotting.save(fig, "sweep.png")
"""

from evojax_align.plotting.canvas import figure, save
from evojax_align.plotting.confusion import plot_confusion
from evojax_align.plotting.correlations import color_bar, plot_correlations
from evojax_align.plotting.frames import plot_frames
from evojax_align.plotting.graphs import plot_graph
from evojax_align.plotting.legends import shared_legend
from evojax_align.plotting.poles import plot_swing
from evojax_align.plotting.shares import plot_win_share
from evojax_align.plotting.spread import plot_histogram, plot_points
from evojax_align.plotting.sweeps import plot_sweep, plot_sweeps
from evojax_align.plotting.trends import plot_clouds, plot_courses, plot_exchange, plot_trend

__all__ = [
    "color_bar",
    "figure",
    "plot_clouds",
    "plot_confusion",
    "plot_correlations",
    "plot_courses",
    "plot_exchange",
    "plot_frames",
    "plot_graph",
    "plot_histogram",
    "plot_points",
    "plot_sweep",
    "plot_sweeps",
    "plot_swing",
    "plot_trend",
    "plot_win_share",
    "save",
    "shared_legend",
]
