import numpy as np
import pytest

from evojax_align import plotting


def test_points_stand_where_they_are_and_axes_can_be_compared(ax, rng):
    places = rng.normal(size=(7, 2))
    plotting.plot_points(places, ax, reach=3.0, title="members")
    np.testing.assert_allclose(ax.collections[0].get_offsets(), places)
    assert ax.get_xlim() == ax.get_ylim() == (-3.0, 3.0) and ax.get_title(loc="left") == "members"


def test_without_a_reach_the_axes_have_one_scale(ax, rng):
    plotting.plot_points(rng.normal(size=(7, 2)), ax)
    assert ax.get_aspect() == 1.0


def test_a_histogram_counts_every_value_and_what_lies_outside_at_its_ends(ax):
    plotting.plot_histogram(np.array([0.1, 0.5, 0.5, -9.0, 9.0]), ax, x="cosine", span=(0.0, 1.0))
    heights = [patch.get_height() for patch in ax.patches]
    assert sum(heights) == 5 and heights[0] == 1 and heights[-1] == 1 and max(heights) == 2
    assert ax.get_xlim() == (0.0, 1.0) and ax.get_xlabel() == "cosine"


@pytest.mark.usefixtures("unchecked")
def test_points_that_are_not_on_a_plane_are_refused(ax):
    with pytest.raises(ValueError, match="places: "):
        plotting.plot_points(np.ones((3, 3)), ax)
