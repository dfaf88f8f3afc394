import doctest

import numpy as np
import pytest

from evojax_align import plotting
from evojax_align.plotting import frames


def links(count):
    """Two links that turn: [time, links, ends, plane]."""
    angle = np.linspace(0, np.pi, count)
    foot = np.stack([np.linspace(-1, 1, count), np.zeros(count)], axis=-1)
    tip = foot + np.stack([np.sin(angle), np.cos(angle)], axis=-1)
    return np.stack([np.stack([foot, tip], axis=1), np.stack([foot, (foot + tip) / 2], axis=1)], axis=1)


def drawn(ax):
    """The thick lines, [frames, links, ends, plane]."""
    thick = [line.get_xydata() for line in ax.lines if line.get_linewidth() > 2]
    return np.stack(thick).reshape(-1, 2, 2, 2)


def test_states_at_regular_times_are_drawn_one_beside_the_other(ax):
    plotting.plot_frames(np.arange(9) / 10, links(9), ax, frames=5, title="a strip")
    found, expected = drawn(ax), links(9)[::2]
    width = found[1, 0, 0, 0] - found[0, 0, 0, 0] - (expected[1, 0, 0, 0] - expected[0, 0, 0, 0])
    expected[..., 0] += width * np.arange(5)[:, None, None]
    np.testing.assert_allclose(found, expected)
    assert width > 2 and ax.get_title(loc="left") == "a strip"
    assert [text.get_text() for text in ax.texts] == ["0 s", "0.2 s", "0.4 s", "0.6 s", "0.8 s"]


def test_a_cart_is_in_the_middle_of_its_picture_and_the_rail_shows_where_it_is(ax):
    plotting.plot_frames(np.arange(9) / 10, links(9), ax, frames=3, track=2.0)
    feet = drawn(ax)[:, 0, 0]
    np.testing.assert_allclose(np.diff(feet[:, 0], 2), 0, atol=1e-9)
    dots = np.array([line.get_xydata()[0] for line in ax.lines if line.get_markersize() == 3.5])
    shares = dots[:, 0] - feet[:, 0]
    np.testing.assert_allclose(shares, shares[2] * np.array([-1, 0, 1]), atol=1e-9)
    assert shares[2] > 0 and (dots[:, 1] < 0).all() and len(ax.collections) == 3  # a cart in each


def test_a_height_is_marked_in_every_picture(ax):
    plotting.plot_frames(np.arange(2.0), links(2), ax, line=1.5)
    marked = [line for line in ax.lines if set(line.get_ydata()) == {1.5}]
    assert len(marked) == 2 and ax.get_ylim()[1] > 1.5


def test_there_are_no_more_pictures_than_states(ax):
    plotting.plot_frames(np.zeros(1), links(1), ax)
    assert len(drawn(ax)) == 1


def test_the_example_in_the_docstring_runs():
    outcome = doctest.testmod(frames)
    assert outcome.attempted >= 5 and outcome.failed == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            (np.arange(2.0), links(3)),
            r"links: got shape \(3, 2, 2, 2\); expected \[k = 2, links, ends = 2, plane = 2\]",
        ),
        ((np.zeros(0), links(1)[:0]), r"time: got shape \(0,\)"),
        ((np.zeros(1), links(1)[0]), r"links: got shape \(2, 2, 2\)"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(ax, unchecked, arguments, message):
    with pytest.raises(ValueError, match=message):
        plotting.plot_frames(*arguments, ax)


def test_the_number_of_pictures_is_checked(ax):
    with pytest.raises(ValueError, match="frames: got 0"):
        plotting.plot_frames(np.zeros(1), links(1), ax, frames=0)
