import matplotlib.image
import numpy as np
import pytest

from evojax_align import plotting


def test_the_image_holds_the_matrix_with_rows_downwards(ax, rng):
    matrix = rng.uniform(-1, 1, size=(4, 6))
    image = plotting.plot_correlations(matrix, ax, title="a and b", x="of b", y="of a")
    assert isinstance(image, matplotlib.image.AxesImage)
    np.testing.assert_array_equal(image.get_array(), matrix)
    assert image.origin == "upper"
    assert (ax.get_title(loc="left"), ax.get_xlabel(), ax.get_ylabel()) == ("a and b", "of b", "of a")


def test_colours_mean_the_same_whatever_the_matrix_holds(ax):
    image = plotting.plot_correlations(np.full((2, 2), 0.01), ax)
    assert image.get_clim() == (-1, 1)
    blue, white, red = (np.array(image.cmap(image.norm(value))[:3]) for value in (-1.0, 0.0, 1.0))
    assert blue.argmax() == 2
    assert red.argmax() == 0
    assert white.min() > 0.95


def test_a_missing_value_is_grey(ax):
    image = plotting.plot_correlations(np.array([[1.0, np.nan]]), ax)
    rgba = image.to_rgba(image.get_array())
    assert rgba[0, 1, 3] == 0  # transparent, so that the background shows
    assert len(set(ax.get_facecolor()[:3])) == 1
    assert ax.get_facecolor()[0] < 0.8


def test_one_colour_bar_serves_all_panels():
    fig, axes = plotting.figure(1, 3)
    images = [plotting.plot_correlations(np.eye(3), ax) for ax in axes.flat]
    bar = plotting.color_bar(images[0], axes)
    assert len(fig.axes) == 4
    assert list(bar.get_ticks()) == [-1, -0.5, 0, 0.5, 1]
    assert bar.ax.get_ylabel() == "correlation"


def test_a_colour_bar_serves_a_single_panel(ax):
    bar = plotting.color_bar(plotting.plot_correlations(np.eye(3), ax), ax)
    assert bar.ax.figure is ax.figure


def test_the_rounding_of_float32_is_forgiven(ax):
    image = plotting.plot_correlations(np.array([[np.float32(1.0000001)]]), ax)
    assert image.get_array().max() == pytest.approx(1)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (np.zeros(3), r"matrix: got shape \(3,\); expected \[p, q\]"),
        (np.zeros((0, 3)), r"matrix: got shape \(0, 3\)"),
        (np.array([[2.0, np.nan]]), r"matrix: got values from 2 to 2; expected values in \[-1, 1\]"),
    ],
)
def test_what_is_no_matrix_of_correlations_is_refused(ax, matrix, message):
    with pytest.raises(ValueError, match=message):
        plotting.plot_correlations(matrix, ax)
