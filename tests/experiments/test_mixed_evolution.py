"""The study of mixed evolution: one toy run, and claims from hand-made arrays."""

import dataclasses
import json

import numpy as np
import pytest

import evojax_align as ea
from evojax_align import lab
from experiments.mixed_evolution import claims, config, figures, study
from experiments.mixed_evolution.__main__ import STUDY
from experiments.mixed_evolution.view import View

TOY = [
    "repeats=2", "size=8", "generations=2", "later=3", "hidden=(12,8)", "block=4", "batch_size=50", "compared=200",
    "ensemble=2", "attacked=40", "children=3", "epsilons=(0.1,0.1623)", "learning_rate=0.1",
]  # fmt: skip
FLAGS = [part for setting in TOY for part in ("--set", setting)]
FLAGS += ["--mode", "text", "--quiet", "--compile-cache", "off"]
ARMS = ["horizontal", "random selection", "aligned parents", "vertical", "alone, horizontal", "alone, vertical"]


def merged(folder, *patterns):
    """Runs some cells in a new folder, and merges them."""
    for number, pattern in enumerate(patterns):
        where = ["--resume" if number else "--out", str(folder)]
        assert lab.main(STUDY, [*FLAGS, *where, "--cells", pattern]) == 0
    assert lab.main(STUDY, ["--merge", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """One population of two seeds, and networks that are trained alone; all other cells are missing."""
    return merged(tmp_path_factory.mktemp("run") / "toy", "horizontal-*", "alone-horizontal-000")


@pytest.fixture(scope="module")
def arrays(run):
    with np.load(run / "arrays" / "results.npz") as stored:
        return dict(stored)


@pytest.mark.slow
def test_every_population_leaves_its_measures_and_missing_ones_are_unknown(arrays):
    assert arrays["arms"].tolist() == ARMS
    assert arrays["accuracy"].shape == (6, 2, 4, 8) and arrays["untrained"].shape == (6, 2, 4)
    assert arrays["attack"].shape == (6, 2, 2, 3, 6) and arrays["cosine"].shape == (6, 2, 4, 4)
    assert np.isfinite(arrays["attack"][0]).all() and np.isfinite(arrays["attack"][4, 0, ..., :2]).all()
    np.testing.assert_allclose(arrays["alleles"][0, :, 0, :3], 8)  # all are founders at first
    np.testing.assert_array_equal(arrays["accuracy"][0], arrays["fitness"][0])  # fitness is on the test images here
    assert np.isnan(arrays["accuracy"][[1, 2, 3, 5]]).all() and np.isnan(arrays["accuracy"][4, 1]).all()
    assert arrays["similarity"].shape == (4, 4, 4, 8, 8)
    similar = arrays["similarity"][0, :, :3]
    np.testing.assert_allclose(similar, np.swapaxes(similar, -1, -2), atol=1e-6)
    np.testing.assert_allclose(similar[..., ~np.eye(8, dtype=bool)].mean(-1), arrays["cosine"][0, 0, :, :3], atol=1e-6)


@pytest.mark.slow
def test_networks_learn_and_seeds_differ(arrays):
    curves = np.nanmean(arrays["accuracy"][[0, 0, 4], [0, 1, 0]], axis=-1)
    assert (curves[:, 3] > curves[:, 0] + 0.2).all() and (curves[0, 1:] != curves[1, 1:]).all()


@pytest.mark.slow
def test_figures_and_tables_are_made_of_the_cells_that_are_there(run):
    drawn = {path.stem for path in (run / "figures").iterdir()}
    assert drawn == {"accuracy", "diversity", "attacks", "similarity-horizontal"}
    results = json.loads((run / "results.json").read_text())
    assert len(results["missing"]) == 12 - 3
    for rows in results["tables"].values():
        assert rows and all(list(row) == list(rows[0]) for row in rows)
    assert {claim["verdict"] for claim in results["claims"]} == {"not tested"}


@pytest.mark.nightly
def test_cells_that_run_in_separate_folders_merge_to_the_same_results(run, tmp_path):
    folders = [merged(tmp_path / name, f"{name}-*") for name in ("horizontal", "alone-horizontal")]
    whole = merged(tmp_path / "whole", "horizontal-*", "alone-horizontal-*")
    assert lab.main(STUDY, ["--merge", *map(str, folders)]) == 0
    for name in ("results.json", "arrays/results.npz"):
        assert (folders[0] / name).read_bytes() == (whole / name).read_bytes()


@pytest.mark.nightly
def test_populations_of_a_seed_share_their_first_generation(run, tmp_path):
    with np.load(merged(tmp_path / "run", "*-000") / "arrays" / "results.npz") as found:
        accuracy, alleles = found["accuracy"][:, 0], found["alleles"][:, 0]
    for arm in (1, 2):
        np.testing.assert_array_equal(accuracy[arm, 0], accuracy[0, 0])
        assert (accuracy[arm, 1] != accuracy[0, 1]).any()
    assert np.isfinite(alleles[3]).all() and np.isnan(alleles[0, :, 3]).all()  # the vertical network has four layers


@pytest.mark.parametrize("mode", ["clean", "text", "code"])
def test_every_study_names_its_populations(mode):
    for name, count in (("paper", 4), ("cross", 12), ("cures", 12)):
        arms = config.populations(config.Config(study=name, mode=mode))
        assert len(arms) == len(set(arms.values())) == count
        for arm in arms.values():
            settings = dict(arm.settings)
            assert settings.get("immigrants", 0) >= (2 if mode == "code" and "selection" not in settings else 0)
    kinds = {arm.genes for arm in config.populations(config.Config(study="paper", mode=mode)).values()}
    assert kinds == {"block" if mode == "code" else "layer"}


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("paper", "code"),
        ("cross", "clean"),
        *(
            pytest.param(*of, marks=pytest.mark.slow)
            for of in (("cross", "code"), ("cures", "clean"), ("cures", "code"))
        ),
    ],
)
def test_what_an_algorithm_would_refuse_is_refused_before_a_run(name, mode):
    problem = study.Problem(config.Config(study=name, mode=mode), ea.data.load("digits"))
    assert {algorithm.size for algorithm in problem.algorithms.values()} == {20}


def test_layers_are_named_as_the_networks_name_them():
    problem = study.Problem(dataclasses.replace(config.DEMO, size=8), ea.data.load("digits"))
    for name, init in problem.inits.items():
        assert {path for path in init(problem.keys(0)[0])["params"]} == set(study.LAYERS[name])


@pytest.mark.parametrize(
    "setting",
    [
        "repeats=0", "size=6", "hidden=(4,3)", "hidden=(4,)", "later=1", "momentum=1.0", "learning_rate=0.0",
        "attacked=-1", "children=1", "epsilons=(0.2,0.1)", "epsilons=(0.1,)", "study=all", "mutation=0.0",
        "generations=1", "ensemble=1",
    ],
)  # fmt: skip
def test_a_setting_that_cannot_be_is_refused_before_anything_is_made(tmp_path, capsys, setting):
    assert lab.main(STUDY, ["--set", setting, "--out", str(tmp_path / "run")]) == 2
    assert f"{setting.partition('=')[0]}: got" in capsys.readouterr().err and not (tmp_path / "run").exists()


def made(name="paper", repeats=10, published="", later=3):
    """Arrays of a study: each population is .01 better and less alike than the one before; controls are at .9."""
    settings = config.Config(study=name, repeats=repeats, size=8, generations=2, later=later)
    cells, rng = study.cells(settings), np.random.default_rng(0)
    order = {arm: place for place, arm in enumerate(config.populations(settings))}
    found = {}
    arms = config.populations(settings)
    for cell in cells:
        better = 0.01 * order.get(cell.arm, -3)
        layers = len(study.LAYERS[arms[cell.arm].network if cell.arm in arms else "horizontal"])

        def near(value, *shape, better=better):
            return (value + better + 1e-4 * rng.random(shape)).astype(np.float32)

        marks = len(settings.marks)
        found[cell] = {
            "accuracy": near(0.9, later + 1, 8),
            "together": near(0.9, marks),
            "attack": near(0.2, marks, 6, 6),
        }
        if cell.arm in order:
            found[cell] |= {
                "fitness": near(0.5, later + 1, 8),
                "untrained": near(0.3, later + 1),
                "cosine": 2 * 0.9 - near(0.9, later + 1, layers),
                "groups": np.tile([2.0, *[5.0] * (layers - 1)], (later + 1, 1)),
                "alleles": near(2.0, later + 1, layers),
                "gene_cosine": near(0.5, later + 1),
                "alike": 2 * 0.9 - near(0.9, marks),
                "child_accuracy": near(0.5, marks, 2),
            }
            if cell.seed == 0:
                found[cell]["similarity"] = np.tile(np.eye(8, dtype=np.float32), (len(settings.shown), layers, 1, 1))
    return study.merge(settings, found) | {"published": np.array(published)}


def decided(arrays):
    view = View(arrays)
    return {record["id"]: record for record in lab.decide(claims.PRIMARY, claims.explore(view), view)}


def test_claims_of_the_paper_follow_from_what_was_put_in():
    found = decided(made())
    verdicts = {name: record["verdict"] for name, record in found.items()}
    expected = {
        "horizontal_near": "reversed", "horizontal_fewest": "holds", "horizontal_collapse": "reversed",
        "horizontal_own": "reversed", "horizontal_others": "reversed", "aligned_untrained": "holds",
        "selection": "reversed", "aligned_accuracy": "holds", "horizontal_better": "holds", "vertical_groups": "holds",
        "horizontal_ensemble": "reversed", "horizontal_strangers": "holds",
    }  # fmt: skip
    assert {name: verdicts[name] for name in expected} == expected
    assert found["horizontal_near"]["ours"] == pytest.approx(0.03, abs=1e-3)
    assert {record["paper"] for record in found.values()} == {None}


def test_the_authors_numbers_stand_beside_runs_of_their_setting_alone():
    found = decided(made(published="mnist"))
    assert found["horizontal_own"]["paper"] == 0.0061 and found["horizontal_own"]["replication"] == "differs"
    assert found["horizontal_best_1"]["paper"] == 0.9187 and found["vertical_worst_3"]["paper"] == 0.9371
    assert found["alone_accuracy"]["paper"] == 0.969 and found["horizontal_clean"]["paper"] == 0.75
    told = [record for record in found.values() if record["paper"] is not None]
    assert len(told) == 6 + 2 * (2 * 3 + 1) + 2 + 3  # primary; three generations and children; vertical; alone
    for mode, size, expected in (("code", 20, "mnist"), ("clean", 20, ""), ("code", 8, "")):
        settings = config.Config(dataset="mnist", mode=mode, size=size)
        cell = study.cells(settings)[0]
        assert str(study.merge(settings, {cell: {"accuracy": np.zeros((11, size))}})["published"]) == expected


def test_claims_of_the_cross_table_and_of_cures():
    found = decided(made("cross", later=2))
    for name in ("aligned_untrained", "aligned_accuracy", "layers_untrained", "neurons_accuracy", "bonus_naive_alike"):
        assert (found[name]["verdict"], found[name]["n"]) == ("holds", 10)
    assert found["bonus_aligned_cost"]["verdict"] == "reversed"
    assert found["horizontal_near"]["verdict"] == "not tested"  # the cross table has no such population
    cures = decided(made("cures", later=2))
    assert cures["islands_alike"]["verdict"] == cures["mutation_accuracy"]["verdict"] == "holds"
    assert cures["horizontal_collapse"]["n"] == 0  # nothing beyond the paper's generations


@pytest.mark.slow
@pytest.mark.parametrize("name", ["paper", "cross", "cures"])
def test_all_figures_and_tables_of_a_study_are_made(name, tmp_path):
    arrays = made(name, repeats=2)
    figures.draw(View(arrays), tmp_path)
    drawn = {path.stem for path in tmp_path.iterdir()}
    assert {"accuracy", "diversity", "attacks"} <= drawn and ("comparison" in drawn) == (name != "paper")
    tables = claims.tables(View(arrays))
    assert len(tables["populations"]) == len(config.populations(config.Config(study=name)))


def test_the_best_member_is_chosen_by_fitness_and_not_by_the_images_that_score():
    arrays = made()
    best = np.nan_to_num(arrays["fitness"], nan=-1).argmax(axis=-1)
    np.put_along_axis(arrays["accuracy"], best[..., None], 0.25, axis=-1)
    rows = claims.tables(View(arrays))["populations"]
    assert all(row["best"] == 0.25 and row["mean"] > 0.25 for row in rows)


def test_a_cell_that_is_missing_is_left_out_of_comparisons():
    arrays = made(repeats=12)
    for name in ("accuracy", "untrained", "attack"):
        arrays[name][0, :3] = np.nan
    found = decided(arrays)
    assert found["horizontal_near"]["n"] == found["aligned_untrained"]["n"] == found["selection"]["n"] == 9
    assert found["horizontal_near"]["verdict"] == "reversed"


def test_a_study_of_too_few_seeds_is_not_tested():
    assert {record["verdict"] for record in decided(made(repeats=3)).values()} == {"not tested"}


@pytest.mark.parametrize("preset", ["demo", "paper", "text", "cross", "cures"])
def test_a_preset_has_seeds_enough_for_its_claims_to_hold(preset):
    assert config.PRESETS[preset][0].repeats >= lab.units_needed(len(claims.PRIMARY))


def test_the_presets_are_those_of_the_paper():
    (paper,) = config.PRESETS["paper"]
    assert (paper.size, paper.generations, paper.epochs, paper.batch_size) == (20, 6, 1, 100)
    assert (paper.learning_rate, paper.momentum, paper.hidden, paper.repeats, paper.later) == (
        0.01,
        0.9,
        (256, 128),
        10,
        10,
    )
    assert set(config.COSTS) == set(config.PRESETS)
