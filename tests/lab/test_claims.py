import dataclasses

import numpy as np
import pytest

from evojax_align import lab


@dataclasses.dataclass(frozen=True)
class View:
    published: str = "mnist"


def claim(name, found, **settings):
    return lab.Claim(name, f"{name} is so", "seeds", lambda view: found, **settings)


HIGH, LOW = np.arange(10.0) + 1, np.zeros(10)


def test_a_claim_holds_is_reversed_or_undecided_by_its_test_alone():
    mixed = np.array([1.0, -2, 3, -4, 5, -6, 7, -8, 9, -10])
    claims = [
        claim("holds", lab.paired(HIGH, LOW)),
        claim("reversed", lab.paired(LOW, HIGH)),
        claim("undecided", lab.paired(mixed, LOW)),
        claim("ties", lab.paired(LOW, LOW)),
        claim("few", lab.paired(HIGH[:5], LOW[:5])),
        claim("absent", None),
    ]
    verdicts = {record["id"]: record["verdict"] for record in lab.decide(claims, [], View())}
    untested = {"few": "not tested", "absent": "not tested"}
    assert (
        verdicts == {"holds": "holds", "reversed": "reversed", "undecided": "undecided", "ties": "undecided"} | untested
    )


def test_primary_claims_are_corrected_together_whether_tested_or_not_and_apart_from_the_others():
    one = lab.Comparison(0.9, (0.8, 1.0), 20, "toy", 0.01, 0.99)
    primary = [claim("a", one), *(claim(f"absent {n}", None) for n in range(4))]
    records = lab.decide(primary, [claim("other", one)], View())
    corrected = {record["id"]: record["p_corrected"] for record in records}
    assert corrected["a"] == pytest.approx(0.05) and corrected["other"] == pytest.approx(0.01)
    assert corrected["absent 0"] is None
    assert [record["primary"] for record in records] == [True] * 5 + [False]
    assert {record["id"]: record["verdict"] for record in records}["a"] == "undecided"


@pytest.mark.parametrize("unknown", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_known_are_never_compared(unknown):
    gone = np.full(10, unknown)
    for compare in (lab.paired, lab.unpaired):
        for found in (compare(gone, 258.37), compare(LOW, gone)) if compare is lab.paired else (compare(gone, LOW),):
            assert found == lab.Comparison(None, None, 0)
    half = np.where(np.arange(10) < 3, unknown, HIGH)
    assert lab.paired(half, LOW).n == 7 and lab.paired(half, LOW, ours=half).ours == pytest.approx(HIGH[3:].mean())
    assert lab.measured(half).n == 7
    (record,) = lab.decide([claim("gone", lab.paired(gone, 1.0), paper={"mnist": 1.0}, margin=0.1)], [], View())
    assert record["verdict"] == "not tested" and record["replication"] == "undecided" and record["ours"] is None


@pytest.mark.parametrize(
    ("ours", "interval", "expected"),
    [
        (0.95, (0.94, 0.96), "agrees"),
        (0.98, (0.97, 0.99), "agrees"),
        (0.985, (0.93, 1.0), "undecided"),  # further than the margin, but the interval holds the paper's number
        (0.95, (0.85, 1.0), "undecided"),  # within the margin, but the interval is wider than four of them
        (0.99, (0.985, 0.995), "differs"),
        (0.80, (0.75, 0.85), "differs"),
        (0.95, None, "undecided"),
        (None, None, "undecided"),
    ],
)
def test_an_estimate_agrees_or_differs_by_the_margin_and_its_interval(ours, interval, expected):
    assert lab.replication(0.95, ours, interval, 0.03) == expected
    assert lab.replication(None, ours, interval, 0.03) == "no number"


def test_a_papers_number_counts_only_for_what_it_was_measured_on():
    of = claim("a", lab.measured(HIGH), paper={"mnist": 5.0}, margin=1.0)
    records = [lab.decide([of], [], View(published))[0] for published in ("mnist", "")]
    assert [record["paper"] for record in records] == [5.0, None]
    assert records[1]["replication"] == "no number"


def test_a_number_of_a_paper_needs_a_margin():
    with pytest.raises(ValueError, match="margin of a: got None"):
        claim("a", None, paper={"mnist": 1.0})


def test_claims_over_images_are_refused():
    with pytest.raises(ValueError, match="unit: got 'images'"):
        lab.Claim("a", "a", "images", lambda view: None)


def test_two_claims_of_one_name_are_refused():
    with pytest.raises(ValueError, match="more than once"):
        lab.decide([claim("a", None)], [claim("a", None)], View())


def test_a_declaration_changes_with_every_part_that_is_declared():
    base = claim("a", None, paper={"mnist": 1.0}, margin=0.1)
    changes = {"id": "b", "statement": "c", "unit": "pairs", "paper": {"mnist": 2.0}, "margin": 0.2}
    told = {lab.declaration([dataclasses.replace(base, **{name: value})]) for name, value in changes.items()}
    assert len(told | {lab.declaration([base])}) == 6
    assert lab.declaration([base]) == lab.declaration([claim("a", "other", paper={"mnist": 1.0}, margin=0.1)])


def test_as_many_pairs_are_needed_as_the_smallest_p_value_asks_for():
    assert [lab.units_needed(n) for n in (1, 3, 10)] == [6, 6, 8]
    for count in (1, 3, 10):
        n = lab.units_needed(count)
        records = lab.decide([claim(str(i), lab.paired(HIGH[:n], LOW[:n])) for i in range(count)], [], View())
        assert {record["verdict"] for record in records} == {"holds"}


def test_unpaired_values_are_compared_by_all_pairs():
    found = lab.unpaired(np.arange(3.0, 9), np.arange(6.0) / 2)
    assert found.ours == 1.0 and found.test == "Mann-Whitney" and found.p < 0.01 < 0.9 < found.p_reverse
    assert lab.unpaired([3.0, 4.0], [1.0, 2.0]).test is None


def test_cells_are_stacked_by_arm_and_seed_with_nan_for_what_is_missing():
    cells = [lab.Cell(arm, seed) for arm in "ab" for seed in (0, 1)]
    found = {
        cells[0]: {"x": np.ones(2), "name": np.array("text")},
        cells[3]: {"x": np.arange(3), "name": np.array("text")},
    }
    stacked = lab.by_arm(cells, found)
    assert set(stacked) == {"x"} and stacked["x"].shape == (2, 2, 3)
    np.testing.assert_array_equal(stacked["x"][0, 0], [1, 1, np.nan])
    np.testing.assert_array_equal(stacked["x"][1, 1], [0, 1, 2])
    assert np.isnan(stacked["x"][[0, 1], [1, 0]]).all()


def test_cells_whose_files_would_have_one_name_are_refused():
    from evojax_align.lab.cells import distinct

    with pytest.raises(ValueError, match=r"the names \['a-b-000'\] more than once"):
        distinct([lab.Cell("a b", 0), lab.Cell("a, b", 0)])
    with pytest.raises(ValueError, match="got none"):
        distinct([])
