import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.colors import to_hex

from evojax_align import plotting

TS = np.linspace(-0.25, 1.25, 7)
INSIDE = (TS >= 0) & (TS <= 1)


@pytest.fixture
def loss(rng):
    steep = np.where(INSIDE, 0.0, 100.0)
    return 1.0 + 0.1 * rng.uniform(size=(8, 7)) + steep


@pytest.fixture
def accuracy(rng):
    return rng.uniform(0.2, 0.9, size=(8, 7))


def curves(ax):
    """The lines of data, without those that mark the parents."""
    return [line for line in ax.get_lines() if len(line.get_xdata()) == len(TS)]


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def assert_mean_and_band(ax, number, values):
    line, band = curves(ax)[number], ax.collections[number]
    np.testing.assert_array_equal(line.get_xdata(), TS)
    np.testing.assert_allclose(line.get_ydata(), values.mean(axis=0))
    vertices = band.get_paths()[0].vertices
    for t, mean, deviation in zip(TS, values.mean(axis=0), values.std(axis=0), strict=True):
        heights = vertices[vertices[:, 0] == t, 1]
        np.testing.assert_allclose([heights.min(), heights.max()], [mean - deviation, mean + deviation])


def parents(ax):
    return {line.get_xdata()[0] for line in ax.get_lines() if list(line.get_ydata()) == [0, 1]}


# one method


def test_a_sweep_is_the_mean_and_the_deviation_of_accuracy_and_loss(ax, loss, accuracy):
    right = plotting.plot_sweep(TS, loss, accuracy, ax, label="naive", title="(a)")
    assert_mean_and_band(ax, 0, accuracy)
    assert_mean_and_band(right, 0, loss)
    assert (ax.get_ylabel(), right.get_ylabel()) == ("accuracy", "cross-entropy loss")
    assert ax.get_title(loc="left") == "(a)"
    assert legend(ax) == ["naive"]


def test_accuracy_is_green_on_the_left_and_loss_blue_on_the_right(ax, loss, accuracy):
    right = plotting.plot_sweep(TS, loss, accuracy, ax)
    green, blue = curves(ax)[0].get_color(), curves(right)[0].get_color()
    assert (green, blue) == ("#009e73", "#0072b2")
    for axis, side, colour in ((ax, "left", green), (right, "right", blue)):
        assert axis.spines[side].get_visible() and to_hex(axis.spines[side].get_edgecolor()) == colour
    assert (ax.yaxis.label.get_color(), right.yaxis.label.get_color()) == (green, blue)
    assert right.yaxis.get_label_position() == "right"


def test_the_parents_are_marked_and_named(ax, loss, accuracy):
    plotting.plot_sweep(TS, loss, accuracy, ax)
    assert parents(ax) == {0, 1}
    labels = [label.get_text() for label in ax.get_xticklabels()]
    assert "0\nparent a" in labels
    assert "1\nparent b" in labels


def test_parents_out_of_reach_are_not_marked(ax, loss, accuracy):
    plotting.plot_sweep(np.linspace(0.2, 0.8, 7), loss, accuracy, ax)
    assert parents(ax) == set()
    assert ax.get_xlim() == (0.2, 0.8)


def test_steep_losses_outside_do_not_squash_what_lies_between_the_parents(ax, loss, accuracy):
    right = plotting.plot_sweep(TS, loss, accuracy, ax)
    low, high = right.get_ylim()
    top = (loss.mean(axis=0) + loss.std(axis=0))[INSIDE].max()
    assert low == 0
    assert top < high < 1.5 * top


def test_the_view_of_all_shows_all(ax, loss, accuracy):
    right = plotting.plot_sweep(TS, loss, accuracy, ax, view="all")
    assert right.get_ylim()[1] > loss.mean(axis=0).max()


def test_accuracy_is_seen_from_0_to_1(ax, loss, accuracy):
    plotting.plot_sweep(TS, loss, accuracy, ax)
    assert ax.get_ylim() == (0, 1.03)


def test_a_second_method_shares_both_axes_and_has_its_own_line_style(ax, loss, accuracy):
    right = plotting.plot_sweep(TS, loss, accuracy, ax, label="naive")
    assert plotting.plot_sweep(TS, 2 * loss, accuracy / 2, ax, label="SC-CCA", right=right) is right
    assert_mean_and_band(ax, 1, accuracy / 2)
    assert_mean_and_band(right, 1, 2 * loss)
    assert len(ax.figure.axes) == 2
    assert legend(ax) == ["naive", "SC-CCA"]
    for axis in (ax, right):
        first, second = curves(axis)
        assert first.get_color() == second.get_color()
        assert first.get_linestyle() != second.get_linestyle()
    assert right.get_ylim()[1] > 2 * loss.mean(axis=0)[INSIDE].max()


def test_a_loss_that_is_not_finite_leaves_a_gap(ax, loss, accuracy):
    loss[0, 0], loss[3, 1] = np.inf, np.nan
    right = plotting.plot_sweep(TS, loss, accuracy, ax, view="all")
    assert np.isnan(curves(right)[0].get_ydata()).tolist() == [True, True] + 5 * [False]
    assert np.isfinite(right.get_ylim()).all()


@pytest.mark.parametrize("value", [0.0, np.inf, np.nan])
def test_constant_or_missing_losses_can_be_drawn(ax, accuracy, value, tmp_path):
    right = plotting.plot_sweep(TS, np.full((8, 7), value), accuracy, ax)
    low, high = right.get_ylim()
    assert low < high
    plotting.save(ax.figure, tmp_path / "figure.png")


def test_one_pair_is_drawn_as_its_own_line(ax, loss, accuracy):
    plotting.plot_sweep(TS, loss[:1], accuracy[:1], ax)
    np.testing.assert_array_equal(curves(ax)[0].get_ydata(), accuracy[0])


def test_arrays_of_jax_are_drawn_alike(loss, accuracy):
    drawn = []
    for kind in (np.asarray, jnp.asarray):
        _, axes = plotting.figure()
        right = plotting.plot_sweep(kind(TS), kind(np.float32(loss)), kind(np.float32(accuracy)), axes[0, 0])
        drawn.append(curves(right)[0].get_ydata())
    np.testing.assert_array_equal(*drawn)


# several methods


def test_sweeps_are_the_mean_and_the_deviation_of_each_method(ax, loss):
    methods = {"naive": loss, "SC-CCA": loss / 2, "SC-PwC": loss / 4}
    plotting.plot_sweeps(TS, methods, ax, title="MNIST")
    for number, values in enumerate(methods.values()):
        assert_mean_and_band(ax, number, values)
    assert parents(ax) == {0, 1}
    assert ax.get_ylabel() == "cross-entropy loss"
    assert ax.get_title(loc="left") == "MNIST"


def test_methods_differ_in_colour_and_in_line_style(ax, loss):
    plotting.plot_sweeps(TS, {name: loss for name in "abcd"}, ax)
    assert len({line.get_color() for line in curves(ax)}) == 4
    assert len({str(line._dash_pattern) for line in curves(ax)}) == 4


def test_the_legend_is_in_the_order_of_the_lines_in_the_middle(ax, loss):
    plotting.plot_sweeps(TS, {"low": loss / 4, "high": loss, "middle": loss / 2}, ax)
    assert legend(ax) == ["high", "middle", "low"]
    colours = dict(zip(legend(ax), [line.get_color() for line in ax.get_legend().get_lines()], strict=True))
    assert colours == {line.get_label(): line.get_color() for line in curves(ax)}


def test_accuracies_fill_the_axis(ax, rng):
    values = rng.uniform(0.96, 0.98, size=(8, 7))
    plotting.plot_sweeps(TS, {"naive": values}, ax, quantity="accuracy")
    low, high = ax.get_ylim()
    assert 0.94 < low < values.mean(axis=0)[INSIDE].min()
    assert values.mean(axis=0)[INSIDE].max() < high < 1
    assert ax.get_ylabel() == "accuracy"


def test_perfect_accuracies_can_be_drawn(ax):
    plotting.plot_sweeps(TS, {"naive": np.ones((2, 7))}, ax, quantity="accuracy")
    low, high = ax.get_ylim()
    assert low < 1 < high


def test_a_deviation_beyond_what_an_accuracy_can_be_is_cut_off(ax):
    plotting.plot_sweeps(TS, {"naive": np.array([0.0, 1.0, 1.0])[:, None] * np.ones(7)}, ax, quantity="accuracy")
    low, high = ax.get_ylim()
    assert -0.1 < low < 0.3
    assert 1 < high < 1.1


def test_missing_accuracies_leave_the_axis_whole(ax):
    plotting.plot_sweeps(TS, {"naive": np.full((2, 7), np.nan)}, ax, quantity="accuracy")
    low, high = ax.get_ylim()
    assert low <= 0
    assert high >= 1


@pytest.mark.parametrize(("view", "expected"), [("parents", False), ("all", True)])
def test_the_view_of_sweeps_is_cut_to_the_parents_unless_all_is_asked_for(ax, loss, view, expected):
    plotting.plot_sweeps(TS, {"naive": loss}, ax, view=view)
    assert (ax.get_ylim()[1] > 100) == expected


def test_equal_arrays_give_equal_files(tmp_path, loss, accuracy):
    paths = []
    for name in ("first.png", "again.png"):
        fig, axes = plotting.figure(1, 2)
        plotting.plot_sweep(TS, loss, accuracy, axes[0, 0], label="naive")
        plotting.plot_sweeps(TS, {"naive": loss, "SC-CCA": loss / 2}, axes[0, 1])
        paths.append(plotting.save(fig, tmp_path / name))
    assert paths[0].read_bytes() == paths[1].read_bytes()


# the door


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"loss": np.ones((3, 6))}, r"loss: got shape \(3, 6\); expected \[pairs, t = 7\]"),
        ({"loss": np.ones(7)}, r"loss: got shape \(7,\); expected \[pairs, t = 7\]"),
        ({"loss": np.ones((0, 7))}, r"loss: got shape \(0, 7\)"),
        ({"accuracy": np.ones((2, 7))}, r"accuracy: got shape \(2, 7\); expected \[pairs = 3, t = 7\]"),
        ({"ts": TS[::-1]}, "ts: got .* expected two or more values in ascending order"),
        ({"ts": TS[:1], "loss": np.ones((3, 1)), "accuracy": np.ones((3, 1))}, "ts: got"),
        ({"view": "parent"}, "view: got 'parent'.* Did you mean 'parents'"),
    ],
)
def test_a_sweep_that_cannot_be_drawn_is_refused(ax, change, message):
    arguments = {"ts": TS, "loss": np.ones((3, 7)), "accuracy": np.ones((3, 7)), "ax": ax} | change
    with pytest.raises(ValueError, match=message):
        plotting.plot_sweep(**arguments)
    assert len(ax.figure.axes) == 1  # nothing was drawn
    assert not ax.get_lines()


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"curves": {}}, "curves: got no curves"),
        ({"curves": {"naive": np.ones((3, 6))}}, r"curves\['naive'\]: got shape \(3, 6\)"),
        ({"quantity": "los"}, "quantity: got 'los'.* Did you mean 'loss'"),
        ({"view": "everything"}, "view: got 'everything'"),
    ],
)
def test_sweeps_that_cannot_be_drawn_are_refused(ax, change, message):
    arguments = {"ts": TS, "curves": {"naive": np.ones((3, 7))}, "ax": ax} | change
    with pytest.raises(ValueError, match=message):
        plotting.plot_sweeps(**arguments)
    assert not ax.get_lines()
