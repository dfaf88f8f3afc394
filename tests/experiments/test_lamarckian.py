"""The study of Lamarckian evolution: one toy run, and claims from hand-made arrays."""

import dataclasses
import json

import numpy as np
import optax
import pytest

import evojax_align as ea
from experiments.lamarckian import claims, config, study
from experiments.lamarckian.__main__ import STUDY
from experiments.lamarckian.view import View

ARMS = ("inheritance", "baseline I", "baseline II")
TOY = [
    "repeats=2", "filters=(2,)", "windows=(1,3)", "samples=60", "judged=30", "tested=30", "epochs=1", "long=2",
    "budget=8", "marks=(2,8)", "final=1", "batch_size=30", "niche_rate=0.5", "niche_length=2", f"arms={ARMS}",
]  # fmt: skip
FLAGS = [part for setting in TOY for part in ("--set", setting)] + ["--quiet", "--compile-cache", "off"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "toy"
    assert ea.lab.main(STUDY, [*FLAGS, "--out", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def arrays(run):
    with np.load(run / "arrays" / "results.npz") as stored:
        return dict(stored)


@pytest.mark.slow
def test_every_search_spends_its_budget_and_no_more(arrays):
    assert tuple(arrays["arms"]) == ARMS
    np.testing.assert_array_equal(np.nanmax(arrays["epochs"], axis=2), 8)
    np.testing.assert_array_equal(np.isfinite(arrays["epochs"]).sum(axis=2), [[8, 8], [8, 8], [4, 4]])
    np.testing.assert_array_equal(arrays["epochs"][0, 0], np.arange(1, 9))
    np.testing.assert_array_equal(np.fmax.accumulate(arrays["fitness"][0], axis=1), arrays["best"][0])
    assert arrays["test"].shape == (3, 2, 2, 2) and np.isfinite(arrays["test"]).all()


@pytest.mark.slow
def test_arms_begin_with_the_same_network_and_seeds_differ(arrays):
    for name in ("fitness", "loss", "products"):
        np.testing.assert_array_equal(arrays[name][0, :, 0], arrays[name][1, :, 0])
    assert arrays["loss"][0, 0, 0] != arrays["loss"][0, 1, 0]


@pytest.mark.slow
def test_figures_claims_and_tables_are_made(run):
    assert {path.stem for path in (run / "figures").iterdir()} == {"search", "genomes"}
    results = json.loads((run / "results.json").read_text())
    for rows in results["tables"].values():
        assert rows and all(list(row) == list(rows[0]) for row in rows)
    assert {claim["verdict"] for claim in results["claims"]} == {"not tested"}
    assert all(claim["n"] for claim in results["claims"])
    assert {claim["replication"] for claim in results["claims"]} == {"no number"}


@pytest.mark.slow
def test_the_log_has_a_line_for_every_epoch_of_every_network(run):
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    phases = [line["phase"] for line in lines if line["cell"] == "baseline-ii-001"]
    assert phases.count("search") == 8 and phases.count("final training") == 4 * 3


@pytest.mark.nightly
def test_cells_that_run_in_separate_folders_merge_to_the_same_results(run, tmp_path):
    parts = {"inheritance-*": tmp_path / "one", "baseline-*": tmp_path / "other"}
    for pattern, folder in parts.items():
        assert ea.lab.main(STUDY, [*FLAGS, "--out", str(folder), "--cells", pattern]) == 0
    assert ea.lab.main(STUDY, ["--merge", *map(str, parts.values())]) == 0
    for name in ("results.json", "arrays/results.npz"):
        assert (tmp_path / "one" / name).read_bytes() == (run / name).read_bytes()


def made(fitness, arms=ARMS[:2], published="", **more):
    """Arrays in which only fitness, test accuracy and blocks matter: [arms, seeds, evaluations]."""
    fitness = np.array(fitness, float)
    count = fitness.shape[2]
    epochs = np.broadcast_to(np.arange(1.0, count + 1), fitness.shape)
    of_all = {name: np.ones_like(fitness) for name in ("loss", "niche", "blocks", "filters", "products", "parameters")}
    settings = {"arms": arms, "marks": [count // 4, count], "each": [1] * len(arms), "starts": config.STARTS}
    settings |= {"budget": count, "images": 10, "dataset": published, "published": published}
    test = np.stack([fitness[:, :, [count // 4 - 1, -1]]] * 2, axis=-1)
    found = {"fitness": fitness, "best": np.fmax.accumulate(fitness, axis=2), "epochs": epochs, "test": test}
    found |= {"origin": np.zeros_like(fitness), **of_all, **settings, **more}
    return {name: np.array(value) for name, value in found.items()}


def judged(arrays):
    view = View(arrays)
    records = ea.lab.decide(claims.PRIMARY, claims.explore(view), view)
    return {record["id"]: record for record in records}, claims.tables(view)


FAST = [[0.1, 0.7, 0.7, 0.85, 0.85, 0.9, 0.9, 0.9]] * 5 + [[0.1, 0.1, np.nan, 0.1, 0.1, 0.1, 0.1, 0.1]]
SLOW = [[0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]] * 6


@pytest.mark.slow
def test_efficiency_counts_epochs_up_to_the_end_of_the_baseline():
    np.testing.assert_array_equal(View(made([FAST, SLOW])).reached("inheritance", 0.8), [4, 4, 4, 4, 4, np.nan])
    found, tables = judged(made([FAST, SLOW]))
    assert found["efficiency_1"]["ours"] == found["efficiency_2"]["ours"] == pytest.approx(5 / 6, abs=1e-5)
    assert found["efficiency_4"]["ours"] == 0 and found["efficiency_4"]["verdict"] == "reversed"
    row = tables["search"][0]
    assert (row["seeds that get there"], row["epochs to baseline I's end, median"]) == (5, 4)
    assert row["ahead of baseline I on from"] is None  # the seed that stays behind takes the lead away
    assert judged(made([FAST[:5], SLOW[:5]]))[1]["search"][0]["ahead of baseline I on from"] == 2


@pytest.mark.slow
def test_clear_differences_hold_and_are_reversed_where_arms_are_exchanged():
    high, low = (
        np.stack([of / 2, of / 2, of, of], axis=1) for of in (np.linspace(0.8, 0.9, 10), np.linspace(0.5, 0.6, 10))
    )
    for rows, verdict in (([high, low], "holds"), ([low, high], "reversed")):
        found = judged(made(rows))[0]
        assert {found[name]["verdict"] for name in ("test_end", "test_quarter", "efficiency_1")} == {verdict}
        assert found["test_end_long"]["verdict"] == found["blocks_long"]["verdict"] == "not tested"


@pytest.mark.slow
def test_the_numbers_of_the_paper_are_compared_only_with_runs_of_its_settings():
    rows = [np.full((6, 4), 0.85) + 0.001 * np.arange(6)[:, None], np.full((6, 4), 0.6) + 0.001 * np.arange(6)[:, None]]
    found, tables = judged(made(rows, published="cifar10"))
    assert (found["test_early"]["paper"], found["test_early"]["replication"]) == (0.85, "agrees")
    assert (found["mean_baseline_i_end"]["paper"], found["mean_baseline_i_end"]["replication"]) == (0.823, "differs")
    first = tables["test accuracy in percent, after final training"]
    assert first[2]["mean, paper"] == 87.2 and first[3]["mean, paper"] is None  # baselines alone begin afresh
    found, tables = judged(made(rows))
    assert {record["paper"] for record in found.values()} == {None}
    assert "mean, paper" not in tables["test accuracy in percent, after final training"][0]
    paper = config.PRESETS["paper"]
    assert [config.published(of) for of in paper] == ["cifar10", "cifar100", "", ""]
    assert config.published(dataclasses.replace(paper[0], repeats=5, arms=ARMS[:1], seed=1)) == "cifar10"
    assert not config.published(dataclasses.replace(paper[0], samples=3000))


@pytest.mark.slow
def test_missing_cells_are_unknown_and_failed_networks_are_the_worst():
    missing = np.full((6, 4), np.nan)
    found, tables = judged(made([missing, [[0.1, 0.2, 0.2, 0.2]] * 6], epochs=np.full((2, 6, 4), np.nan)))
    assert {record["verdict"] for record in found.values()} == {"not tested"}
    json.dumps(tables, allow_nan=False)
    failed = made([missing, [[0.1, 0.2, 0.2, 0.2]] * 6])
    assert judged(failed)[0]["efficiency_1"]["verdict"] == "reversed"  # trained, and all of them failed
    json.dumps(judged(failed)[1], allow_nan=False)
    assert judged(made([[[0.2, 0.4, 0.4, 0.4]], [[0.1, 0.2, 0.2, 0.2]]]))[1]["search"][0]["sd"] is None


@pytest.mark.parametrize(
    ("argument", "settings"),
    [
        ("arms", {"arms": ("inheritance", "baseline 1")}),
        ("arms", {"arms": ("inheritance", "inheritance")}),
        ("final", {"final": 0}),
        ("repeats", {"repeats": 0}),
        ("dtype", {"dtype": "int8"}),
        ("marks", {"marks": (30,)}),
        ("marks", {"marks": (16, 8)}),
        ("judged", {"judged": 10_000}),
        ("samples", {"samples": 10_000}),
    ],
)
def test_impossible_settings_are_refused(argument, settings):
    with pytest.raises(ValueError, match=rf"^{argument}: got"):
        study.Problem(dataclasses.replace(config.PRESETS["demo"][0], **settings), ea.data.load("digits", seed=0))


def test_images_of_no_part_are_in_another_and_are_standardised():
    problem = study.Problem(config.PRESETS["demo"][0], ea.data.load("digits", seed=0))
    rows = [np.asarray(part[0]).reshape(len(part[1]), -1) for part in (problem.train, problem.judge, problem.test)]
    assert [len(part) for part in rows] == [750, 300, 299]
    assert abs(rows[0].mean()) < 1e-4 and rows[0].std() == pytest.approx(1, abs=1e-3)


def test_the_search_of_the_paper_has_the_settings_of_the_paper():
    paper = config.PRESETS["paper"][0]
    problem = object.__new__(study.Problem)
    problem.config, problem.devices, problem.chunk = paper, (), 1000
    problem.space, problem.optimizer = ea.evolution.Space(), optax.adam(1e-3)
    short, long = (problem.search(name) for name in ("inheritance", "baseline II"))
    assert (short.budget, short.epochs, long.epochs, short.batch_size) == (512, 4, 16, 512)
    assert (short.inherit, long.inherit, short.niche_rate, short.niche_length) == ("shape", "none", 0.1, 5)
    assert short.space.filters == (16, 32, 64, 96, 128, 192, 256) and short.marks == (128, 512)
