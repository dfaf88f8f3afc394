import numpy as np
import pytest

from evojax_align import plotting

SETTINGS = np.array([32, 64, 1024])


def test_a_trend_shows_means_and_deviations_at_even_distances(ax, rng):
    values = rng.normal(size=(5, 3))
    plotting.plot_trend(SETTINGS, {"naive": values}, ax, x="width", y="barrier", title="wider")
    (line,) = [line for line in ax.get_lines() if line.get_marker() == "o"]
    np.testing.assert_array_equal(line.get_xdata(), [0, 1, 2])
    np.testing.assert_allclose(line.get_ydata(), values.mean(axis=0))
    bars = np.array(ax.collections[0].get_segments())
    np.testing.assert_allclose(bars[:, 1, 1] - bars[:, 0, 1], 2 * values.std(axis=0))
    assert [text.get_text() for text in ax.get_xticklabels()] == ["32", "64", "1024"]
    assert ax.get_title(loc="left") == "wider" and ax.get_xlabel() == "width"


def test_the_bars_of_two_curves_do_not_hide_each_other(ax, rng):
    plotting.plot_trend(SETTINGS, {"a": rng.normal(size=(2, 3)), "b": rng.normal(size=(2, 3))}, ax, x="w", y="v")
    first, second = (collection.get_segments()[0][0][0] for collection in ax.collections)
    assert first != second
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["a", "b"]


def test_a_cloud_has_its_points_and_their_mean(ax, rng):
    x, y = rng.normal(size=(2, 6))
    plotting.plot_clouds({"uniform": (x, y)}, ax, x="moved", y="lost")
    points, mean = (collection.get_offsets() for collection in ax.collections)
    np.testing.assert_allclose(points, np.stack([x, y], axis=1))
    np.testing.assert_allclose(mean, [[x.mean(), y.mean()]])


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("settings", "curves", "named"),
    [
        (SETTINGS[::-1], {"a": np.ones((1, 3))}, "settings: "),
        (SETTINGS, {"a": np.ones((1, 2))}, r"curves\['a'\]: "),
        (SETTINGS, {}, "curves: "),
    ],
)
def test_a_trend_that_does_not_fit_is_refused(ax, settings, curves, named):
    with pytest.raises(ValueError, match=named):
        plotting.plot_trend(settings, curves, ax, x="", y="")


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("clouds", "named"), [({"a": (np.ones(2), np.ones(3))}, r"clouds\['a'\]\[1\]: "), ({}, "clouds: ")]
)
def test_clouds_that_do_not_fit_are_refused(ax, clouds, named):
    with pytest.raises(ValueError, match=named):
        plotting.plot_clouds(clouds, ax, x="", y="")


def test_an_exchange_is_drawn_for_every_repeat_and_for_the_means(ax, rng):
    efficiency, accuracy = np.exp(rng.normal(size=(3, 4))), rng.normal(size=(3, 4))
    plotting.plot_exchange({"sexual": (efficiency, accuracy)}, ax, x="efficiency", y="accuracy")
    *faint, mean = ax.get_lines()
    assert len(faint) == 3 and ax.get_xscale() == "log"
    np.testing.assert_array_equal(faint[1].get_xdata(), efficiency[1])
    np.testing.assert_allclose(mean.get_xdata(), np.exp(np.log(efficiency).mean(axis=0)))
    np.testing.assert_allclose(mean.get_ydata(), accuracy.mean(axis=0))


def test_a_logarithmic_axis_is_labelled_by_plain_numbers(ax):
    curves = {"a": np.array([[1.0, 300.0]])}
    plotting.plot_trend(np.array([1, 2]), curves, ax, x="generation", y="efficiency", logarithmic=True)
    ax.figure.canvas.draw()
    assert ax.get_yscale() == "log"
    assert {"1", "2", "5", "10", "100"} <= {text.get_text() for text in ax.get_yticklabels()}


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("curves", "named"),
    [({}, "curves: "), ({"a": (np.ones((2, 3)), np.ones((2, 4)))}, r"curves\['a'\]\[1\]: ")],
)
def test_an_exchange_that_does_not_fit_is_refused(ax, curves, named):
    with pytest.raises(ValueError, match=named):
        plotting.plot_exchange(curves, ax, x="", y="")


def test_a_course_is_a_faint_line_for_each_repeat_and_a_strong_one_for_their_mean(ax, rng):
    values = rng.uniform(1, 9, size=(4, 6))
    steps = np.arange(6) * 10
    plotting.plot_courses(steps, {"default": values}, ax, x="generation", y="loss", title="t", logarithmic=True)
    *faint, strong = ax.get_lines()
    assert len(faint) == 4 and all(line.get_alpha() < 0.5 for line in faint)
    for line, row in zip(faint, values, strict=True):
        np.testing.assert_array_equal(line.get_ydata(), row)
    np.testing.assert_allclose(strong.get_ydata(), values.mean(axis=0))
    np.testing.assert_array_equal(strong.get_xdata(), steps)
    assert ax.get_yscale() == "log" and ax.get_title(loc="left") == "t"
    with pytest.raises(ValueError, match="curves: got no curves"):
        plotting.plot_courses(steps, {}, ax, x="generation", y="loss")
