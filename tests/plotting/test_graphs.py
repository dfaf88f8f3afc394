import doctest

import numpy as np
import pytest

from evojax_align import plotting
from evojax_align.plotting import graphs

LAYER, EDGES, KINDS = np.array([0, 0, 1, 2]), np.array([[0, 2], [1, 3], [2, 3]]), ["", "", "tanh", "linear"]


def test_every_node_and_every_edge_is_drawn_and_kinds_are_named(ax):
    plotting.plot_graph(LAYER, EDGES, KINDS, ax, labels={0: "left"}, title="a graph")
    assert len(ax.lines) == 3 and sum(len(of.get_offsets()) for of in ax.collections) == 4
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["tanh", "linear"]
    assert [text.get_text() for text in ax.texts] == ["left"] and ax.get_title(loc="left") == "a graph"
    ends = [set(line.get_xdata().tolist()) for line in ax.lines]
    assert ends == [{0.0, 1.0}, {0.0, 2.0}, {1.0, 2.0}]


def test_the_same_kind_has_the_same_colour_in_every_graph(ax):
    def colours(kinds):
        ax.clear()
        plotting.plot_graph(LAYER, EDGES, kinds, ax, among=("sine", "linear", "tanh"))
        return {of.get_label(): of.get_facecolor().tolist() for of in ax.collections if of.get_label() in kinds}

    one, other = colours(KINDS), colours(["", "", "linear", "sine"])
    assert set(one) == {"tanh", "linear"} and set(other) == {"sine", "linear"}
    assert one["linear"] == other["linear"] and one["tanh"] != other["sine"] != other["linear"]


def test_inputs_that_are_an_image_are_drawn_in_its_places_and_unused_ones_are_pale(ax):
    layer, edges = np.array([0, 0, 0, 0, 0, 0, 0, 1]), np.array([[1, 7], [6, 7]])
    plotting.plot_graph(layer, edges, [*[""] * 7, "linear"], ax, image=(2, 3))
    squares, bias = (of for of in ax.collections if of.get_label() != "linear")
    pixels = squares.get_offsets().reshape(2, 3, 2)
    assert (np.diff(pixels[..., 0], axis=1) > 0).all() and (np.diff(pixels[..., 1], axis=0) < 0).all()
    assert pixels[..., 0].max() == 0 and bias.get_offsets()[0, 1] < pixels[..., 1].min()
    colours = squares.get_facecolor()
    assert len(np.unique(colours, axis=0)) == 2 and (colours[1] < colours[0]).any()
    assert [line.get_xydata()[0].tolist() for line in ax.lines] == [
        pixels[0, 1].tolist(),
        bias.get_offsets()[0].tolist(),
    ]
    with pytest.raises(ValueError, match=r"image: got \(3, 3\); expected at most 8 pixels"):
        plotting.plot_graph(layer, edges, [""] * 8, ax, image=(3, 3))


def test_the_example_in_the_docstring_runs():
    outcome = doctest.testmod(graphs)
    assert outcome.attempted >= 4 and outcome.failed == 0


def test_edges_to_nowhere_and_too_few_kinds_are_refused(ax):
    with pytest.raises(ValueError, match="the node 4"):
        plotting.plot_graph(LAYER, np.array([[0, 4]]), KINDS, ax)
    with pytest.raises(ValueError, match="one for each of 4 nodes"):
        plotting.plot_graph(LAYER, EDGES, KINDS[:2], ax)


def test_a_pole_is_drawn_at_regular_times_from_its_cart(ax):
    time, angle = np.arange(100) / 100, np.linspace(np.pi, 0, 100)
    plotting.plot_swing(time, np.full(100, 0.5), angle, ax, every=0.25)
    poles = ax.lines[:-1]
    assert len(poles) == 4
    for line, moment in zip(poles, (0, 25, 50, 75), strict=True):
        (foot, top), (low, high) = np.transpose([line.get_xdata(), line.get_ydata()])[:, 0], line.get_ydata()
        assert (foot, low) == (time[moment], 0.5)
        np.testing.assert_allclose(
            [top - foot, high - low], 0.6 * np.array([-np.sin(angle[moment]), np.cos(angle[moment])])
        )
