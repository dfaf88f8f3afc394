import doctest

import numpy as np
import pytest

from evojax_align import plotting
from evojax_align.plotting import legends

NAMES = ("naive", "aligned", "control")


@pytest.mark.parametrize("plot", [plotting.plot_trend, plotting.plot_courses])
def test_a_curve_has_the_colour_of_its_place_among_all_names(ax, plot):
    plot(np.arange(3), {"control": np.ones((2, 3)), "new": np.ones((2, 3))}, ax, x="t", y="v", among=NAMES)
    handles, names = ax.get_legend_handles_labels()
    colours = [getattr(handle, "lines", [handle])[0].get_color() for handle in handles]
    assert (names, colours) == (["control", "new"], ["#009e73", "#cc79a7"])


def test_exchanges_clouds_and_sweeps_take_the_names_too():
    fig, axes = plotting.figure(1, 3)
    values = np.ones((2, 3))
    plotting.plot_exchange({"control": (values, values)}, axes[0, 0], x="x", y="y", among=NAMES)
    plotting.plot_clouds({"control": (values[:, 0], values[:, 1])}, axes[0, 1], x="x", y="y", among=NAMES)
    plotting.plot_sweeps(np.arange(3), {"control": values}, axes[0, 2], among=NAMES)
    legend = plotting.shared_legend(fig, axes)
    assert [text.get_text() for text in legend.get_texts()] == ["control"]
    assert axes[0, 0].lines[-1].get_color() == axes[0, 2].lines[-1].get_color() == "#009e73"


def test_one_legend_below_stands_for_those_of_all_panels():
    fig, axes = plotting.figure(1, 2, width=1.6)
    for ax, names in zip(axes[0], (NAMES[:2], NAMES[1:]), strict=True):
        curves = {name: np.ones((2, 3)) for name in names}
        plotting.plot_trend(np.arange(3), curves, ax, x="t", y="v", among=NAMES)
    legend = plotting.shared_legend(fig, axes, order=("control",))
    assert [text.get_text() for text in legend.get_texts()] == ["control", "naive", "aligned"]
    assert all(ax.get_legend() is None for ax in axes.flat) and fig.legends == [legend]
    fig.canvas.draw()
    box, whole = legend.get_window_extent(), fig.bbox
    assert whole.x0 <= box.x0 and box.x1 <= whole.x1
    assert box.y1 < min(ax.get_window_extent().y0 for ax in axes.flat)


def test_panels_without_names_get_no_legend():
    fig, axes = plotting.figure()
    assert plotting.shared_legend(fig, axes) is None and fig.legends == []


def test_the_example_in_the_docstring_runs():
    outcome = doctest.testmod(legends)
    assert outcome.attempted >= 5 and outcome.failed == 0
