"""What several studies share: claims about two measures, rows of tables, figures of finished seeds."""

import numpy as np
import pytest

from evojax_align import lab, plotting
from experiments import common


@pytest.fixture
def view():
    """Two arms and eight seeds, of which one is missing in the second arm."""
    values = np.array([np.arange(8) + 10.0, np.arange(8) + 2.0])
    values[1, 3] = np.nan
    return common.ArmView({"arms": np.array(["new", "old"]), "score": values})


def compared(view, **settings):
    sides = [lambda view, arm=arm: view.of(arm, "score") for arm in ("new", "old")]
    return common.above("better", "new is better than old", *sides, **settings).compare(view)


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        ("share", lambda x, y: 1.0),
        ("x", lambda x, y: x.mean()),
        ("y", lambda x, y: y.mean()),
        ("x - y", lambda x, y: 8.0),
        ("x / y", lambda x, y: (x / y).mean()),
        ("y / x", lambda x, y: (y / x).mean()),
        (lambda view: 2 * view.of("old", "score"), lambda x, y: 2 * y.mean()),
    ],
)
def test_the_number_of_a_claim_is_of_the_seeds_that_both_sides_have(view, number, expected):
    found = compared(view, number=number)
    known = np.isfinite(view.of("old", "score"))
    assert found.n == 7 and found.p < 0.05 < found.p_reverse
    assert found.ours == pytest.approx(expected(*(view.of(arm, "score")[known] for arm in ("new", "old"))))


def test_a_claim_of_unpaired_seeds_counts_both_sides(view):
    assert compared(view, paired=False).n == 15


def test_a_run_without_an_arm_or_a_measure_does_not_decide_a_claim(view):
    assert compared(view, arms=("new", "other")) is None
    assert compared(view, known=lambda view: False) is None
    lacking = common.above("lacking", "nothing is above 0", lambda view: None, 0.0)
    assert common.decided([lacking], view) == []
    mean = common.mean_of("mean", "mean of the new arm", view.of("new", "score"), 13.0, 1.0, arms=("other",))
    assert mean.compare(view) is None


def test_a_plain_number_of_a_paper_is_that_on_mnist():
    assert common.mean_of("mean", "a mean", [1.0, 2.0], 0.5, 0.1).paper == {"mnist": 0.5}
    assert common.above("more", "more than nothing", [1.0], 0.0, paper={"digits": 1.0}, margin=0.1).paper == {
        "digits": 1
    }
    assert common.above("more", "more than nothing", [1.0], 0.0).paper == {}


def test_a_row_holds_labels_and_means_of_what_is_known(view):
    numbers = {"score": view.of("old", "score"), "nothing": np.full(3, np.nan)}
    assert common.row({"arm": "old"}, numbers) == {"arm": "old", "score": lab.rounded(39 / 7), "nothing": None}
    assert common.deviation(np.array([1.0, np.nan, 3.0])) == lab.rounded(np.sqrt(2))
    assert common.deviation(np.array([1.0, np.nan])) is None


def test_panels_show_curves_of_finished_seeds_alone(tmp_path):
    shown = []

    def plot(places, curves, ax, **settings):
        shown.append(({name: len(of) for name, of in curves.items()}, settings))

    curve = np.array([[1.0, 2.0], [np.nan, np.nan]])
    pictures = [([0, 1], {"known": curve, "unknown": curve * np.nan}, {"y": "score"}), ([0], {"none": curve[1:]}, {})]
    common.panels(tmp_path / "picture.png", plot, pictures, columns=1)
    among = ["known", "unknown", "none"]
    assert shown == [({"known": 1}, {"y": "score", "among": among})] and (tmp_path / "picture.png").stat().st_size
    common.panels(tmp_path / "trend.png", plotting.plot_trend, [([0, 1], {"known": curve}, {"x": "t", "y": "score"})])
    assert (tmp_path / "trend.png").is_file()
