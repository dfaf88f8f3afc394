import dataclasses
import json

import numpy as np
import optax
import pytest

import evojax_align as ea

pytestmark = pytest.mark.usefixtures("hasty_compiler")

TOY = [
    "repeats=2", "filters=(2,3)", "windows=(1,3)", "samples=60", "judged=30", "tested=40", "epochs=1", "long=2",
    "budget=6", "marks=(3,6)", "final=1", "batch_size=30", "niche_rate=0.5", "niche_length=2", "size=2",
    "arms=('inheritance','baseline I','baseline II','crossover')",
]  # fmt: skip
FLAGS = [part for setting in TOY for part in ("--set", setting)]


@pytest.fixture(scope="module")
def script(load):
    return load("lamarckian")


@pytest.fixture(scope="module")
def report(load):
    return load("lamarckian_report")


@pytest.fixture(scope="module")
def run(script, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "toy"
    assert script.main([*FLAGS, "--quiet", "--out", str(folder)]) == 0
    return folder


@pytest.mark.slow
def test_every_search_spends_its_budget_and_no_more(run):
    with np.load(run / "arrays" / "results.npz") as arrays:
        assert arrays["arms"].tolist() == ["inheritance", "baseline I", "baseline II", "crossover"]
        np.testing.assert_array_equal(np.nanmax(arrays["epochs"], axis=2), 6)
        np.testing.assert_array_equal(np.isfinite(arrays["epochs"]).sum(axis=2), [[6, 6], [6, 6], [3, 3], [6, 6]])
        assert arrays["test"].shape == (4, 2, 2, 2) and (arrays["test"] > 0).all()
        np.testing.assert_array_equal(arrays["epochs"][0, 0], np.arange(1, 7))
        np.testing.assert_array_equal(np.fmax.accumulate(arrays["fitness"][0], axis=1), arrays["best"][0])


@pytest.mark.slow
def test_both_begin_with_the_same_network(run):
    with np.load(run / "arrays" / "results.npz") as arrays:
        for name in ("fitness", "loss", "filters"):
            np.testing.assert_array_equal(arrays[name][0, :, 0], arrays[name][1, :, 0])


@pytest.mark.slow
def test_the_figures_and_tables_of_the_paper_are_made(run):
    assert {path.stem for path in (run / "figures").iterdir()} == {"search", "genomes"}
    results = json.loads((run / "results.json").read_text())
    for rows in results["tables"].values():
        assert rows and all(list(row) == list(rows[0]) for row in rows)
    assert len({claim["id"] for claim in results["claims"]}) == len(results["claims"]) == 6 + 4
    assert {claim["verdict"] for claim in results["claims"]} == {"not tested"}


@pytest.mark.slow
@pytest.mark.parametrize(("at", "phase"), [(4, "inheritance"), (17, "crossover"), (24, "baseline I, to the end")])
def test_a_run_that_was_stopped_goes_on_to_the_same_bits(script, run, tmp_path, goes_on, at, phase):
    assert goes_on(script, FLAGS, tmp_path / "run", run, lambda calls: len(calls) == at) == phase


def arrays_of(fitness, epochs=None, **more):
    """Arrays of two arms in which only fitness matters: [arms, seeds, evaluations]."""
    fitness = np.array(fitness, float)
    epochs = np.broadcast_to(np.arange(1, fitness.shape[2] + 1), fitness.shape) if epochs is None else epochs
    best = np.fmax.accumulate(fitness, axis=2)
    of_all = {name: np.ones_like(fitness) for name in ("loss", "niche", "blocks", "filters", "products", "parameters")}
    lists = {
        "arms": ["inheritance", "baseline I"],
        "marks": [1, fitness.shape[2]],
        "each": [1, 1],
        "starts": ["inherited", "fresh"],
    }
    fixed = {"budget": fitness.shape[2], "images": 10, "dataset": "cifar10", "origin": np.zeros_like(fitness)}
    test = np.stack([fitness[:, :, [0, -1]]] * 2, axis=-1)
    found = {"fitness": fitness, "best": best, "epochs": epochs, "test": test, **of_all, **lists, **fixed, **more}
    return {name: np.array(value) for name, value in found.items()}


def test_efficiency_counts_epochs_up_to_the_baseline_s_end(report):
    slow = [[0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]] * 6
    fast = [[0.1, 0.7, 0.7, 0.85, 0.85, 0.9, 0.9, 0.9]] * 5 + [[0.1, 0.1, np.nan, 0.1, 0.1, 0.1, 0.1, 0.1]]
    view = report.View(arrays_of([fast, slow]))
    np.testing.assert_array_equal(view.reached("inheritance", 0.8), [4, 4, 4, 4, 4, np.inf])
    claims, tables = report.judge(arrays_of([fast, slow]))
    of = {claim["id"]: claim for claim in claims}
    assert of["efficiency_1"]["ours"] == of["efficiency_2"]["ours"] == pytest.approx(5 / 6, abs=1e-5)
    assert of["efficiency_4"]["ours"] == 0 and of["efficiency_4"]["verdict"] == "does not hold"
    assert of["efficiency_2"]["test"] == "Mann-Whitney" and of["efficiency_2"]["interval"][1] == 1
    assert tables["search"][0]["ahead of baseline I on from"] is None  # the seed that stays behind takes the lead away
    assert report.judge(arrays_of([fast[:5], slow[:5]]))[1]["search"][0]["ahead of baseline I on from"] == 2
    assert tables["search"][0]["seeds that get there"] == 5
    assert tables["search"][0]["epochs to baseline I's end, median"] == 4
    assert tables["test accuracy in percent, trained to the end"][2]["mean, paper"] is None  # of other epochs


def test_a_clear_difference_holds_and_none_does_not(report):
    fast, slow = np.linspace(0.8, 0.9, 10), np.linspace(0.5, 0.6, 10)
    rows = [np.stack([of / 2, of], axis=1) for of in (fast, slow)]
    claims = {claim["id"]: claim["verdict"] for claim in report.judge(arrays_of(rows))[0]}
    assert claims["efficiency_1"] == claims["test_2_inheritance_baseline_i"] == "holds"
    claims = {claim["id"]: claim["verdict"] for claim in report.judge(arrays_of(rows[::-1]))[0]}
    assert claims["efficiency_1"] == claims["test_2_inheritance_baseline_i"] == "does not hold"


def test_one_seed_and_seeds_that_failed_have_a_report_too(report):
    claims, tables = report.judge(arrays_of([[[0.2, 0.4]], [[0.1, 0.2]]]))
    assert {claim["verdict"] for claim in claims} == {"not tested"} and tables["search"][0]["sd"] is None
    failed = [[[np.nan, np.nan]] * 6, [[0.1, 0.2]] * 6]
    json.dumps(report.judge(arrays_of(failed)), allow_nan=False)


@pytest.mark.parametrize(
    ("argument", "settings"),
    [
        ("arms", {"arms": ("inheritance", "baseline 1")}),
        ("arms", {"arms": ("inheritance", "inheritance")}),
        ("final", {"final": 0}),
        ("repeats", {"repeats": 0}),
        ("dtype", {"dtype": "int8"}),
        ("marks", {"marks": (30,)}),
        ("marks", {"marks": (20, 10)}),
        ("judged", {"judged": 10_000}),
        ("samples", {"samples": 10_000}),
    ],
)
def test_settings_that_make_no_run_are_refused(script, argument, settings):
    config = dataclasses.replace(script.PRESETS["demo"][0], **settings)
    with pytest.raises(ValueError, match=rf"^{argument}: got"):
        script.Study(config, ea.data.load("digits", seed=0))


def test_images_of_no_part_are_in_another_and_are_standardised(script):
    study = script.Study(script.PRESETS["demo"][0], ea.data.load("digits", seed=0))
    rows = [np.asarray(part[0]).reshape(len(part[1]), -1) for part in (study.train, study.judge, study.test)]
    assert [len(part) for part in rows] == [1797 - 299 - 300, 300, 299]
    assert abs(rows[0].mean()) < 1e-4 and rows[0].std() == pytest.approx(1, abs=1e-3)


def test_search_of_the_paper_is_the_paper_s(script):
    config = script.PRESETS["paper"][0]
    study = object.__new__(script.Study)
    study.config, study.devices, study.chunk = config, (), 1000
    study.space, study.optimizer = ea.evolution.Space(), optax.adam(1e-3)
    short, long = (script.Study.search(study, name) for name in ("inheritance", "baseline II"))
    assert (short.budget, short.epochs, long.epochs, short.batch_size) == (512, 4, 16, 512)
    assert (short.inherit, long.inherit, short.niche_rate, short.niche_length) == ("shape", "none", 0.1, 5)
    assert short.space.filters == (16, 32, 64, 96, 128, 192, 256) and config.marks == (128, 512)
