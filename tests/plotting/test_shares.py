import numpy as np
import pytest

from evojax_align import plotting, statistics

DIRECTIONS = np.array([2, 10, 100, 512])
SHARES = np.array([0.59, 0.815, 0.94, 0.925])


def lines(ax):
    """The lines of data, without that of the coin toss."""
    return [line for line in ax.get_lines() if len(line.get_xdata()) != 2]


def test_the_line_is_the_shares_over_the_directions(ax):
    plotting.plot_win_share(DIRECTIONS, SHARES, ax, label="MNIST", title="wins")
    (line,) = lines(ax)
    np.testing.assert_array_equal(line.get_xdata(), DIRECTIONS)
    np.testing.assert_array_equal(line.get_ydata(), SHARES)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["MNIST"]
    assert ax.get_title(loc="left") == "wins"


def test_directions_in_any_order_give_one_line_from_left_to_right(ax):
    order = np.array([2, 0, 3, 1])
    ends = np.stack([SHARES - 0.1, SHARES + 0.05], axis=1)
    plotting.plot_win_share(DIRECTIONS[order], SHARES[order], ax, intervals=ends[order])
    np.testing.assert_array_equal(lines(ax)[0].get_ydata(), SHARES)
    bars = np.array(ax.collections[0].get_segments())
    np.testing.assert_allclose(bars[:, :, 0], np.stack([DIRECTIONS, DIRECTIONS], axis=1))
    np.testing.assert_allclose(bars[:, :, 1], ends)


def test_all_shares_are_in_view_and_one_half_is_marked(ax):
    plotting.plot_win_share(DIRECTIONS, SHARES, ax)
    low, high = ax.get_ylim()
    assert low == 0
    assert 1 < high < 1.1
    assert [0.5, 0.5] in [list(line.get_ydata()) for line in ax.get_lines()]


def test_a_second_call_adds_a_line_of_another_colour_and_marker(ax):
    plotting.plot_win_share(DIRECTIONS, SHARES, ax, label="MNIST")
    plotting.plot_win_share(DIRECTIONS[:3], SHARES[:3], ax, label="CIFAR-10")
    first, second = lines(ax)
    assert first.get_color() != second.get_color()
    assert first.get_marker() != second.get_marker()
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["MNIST", "CIFAR-10"]
    assert len(ax.get_lines()) == 3  # one coin toss


def test_without_labels_there_is_no_legend(ax):
    plotting.plot_win_share(DIRECTIONS, SHARES, ax)
    assert ax.get_legend() is None


def test_intervals_of_win_share_can_be_drawn_as_they_come(ax, rng):
    intervals = [statistics.win_share(*rng.normal(size=(2, 50)), alternative="less") for _ in DIRECTIONS]
    shares = np.array([i.estimate for i in intervals])
    plotting.plot_win_share(DIRECTIONS, shares, ax, intervals=np.array([[i.low, i.high] for i in intervals]))
    assert len(ax.collections[0].get_segments()) == len(DIRECTIONS)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("directions", "shares", "intervals", "message"),
    [
        (DIRECTIONS, SHARES[:3], None, r"shares: got shape \(3,\); expected \[k = 4\]"),
        (DIRECTIONS, SHARES * 100, None, r"shares: got values from 59 to 94; expected values in \[0, 1\]"),
        (DIRECTIONS - 2, SHARES, None, "directions: got 0"),
        ([], [], None, r"directions: got shape \(0,\)"),
        (DIRECTIONS, SHARES, np.ones((2, 4)), r"intervals: got shape \(2, 4\); expected \[k = 4, ends = 2\]"),
    ],
)
def test_what_cannot_be_drawn_is_refused(ax, directions, shares, intervals, message):
    with pytest.raises(ValueError, match=message):
        plotting.plot_win_share(directions, shares, ax, intervals=intervals)
