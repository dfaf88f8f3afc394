import dataclasses
import json

import numpy as np
import pytest

import evojax_align as ea

pytestmark = pytest.mark.usefixtures("hasty_compiler")

TOY = [
    "repeats=2", "size=8", "generations=2", "later=3", "hidden=(12,8)", "block=4", "batch_size=50", "compared=200",
    "rivals=2", "attacked=40", "children=3", "epsilons=(0.1,0.1623)", "learning_rate=0.1",
]  # fmt: skip
FLAGS = [part for setting in TOY for part in ("--set", setting)]


@pytest.fixture(scope="module")
def script(load):
    return load("mixed_evolution")


@pytest.fixture(scope="module")
def run(script, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "toy"
    assert script.main([*FLAGS, "--mode", "code", "--quiet", "--out", str(folder)]) == 0
    return folder


@pytest.mark.slow
def test_a_run_leaves_every_population_with_its_measures(run):
    with np.load(run / "arrays" / "results.npz") as arrays:
        assert arrays["arms"].tolist() == ["horizontal", "vertical", "random selection", "aligned parents"]
        assert arrays["accuracy"].shape == (4, 2, 4, 8) and arrays["untrained"].shape == (4, 2, 3, 8)
        assert arrays["attack"].shape == (4, 2, 2, 3, 6) and np.isfinite(arrays["attack"]).all()
        assert arrays["layer_cosine"].shape == (4, 2, 4, 4, 8, 8)
        np.testing.assert_allclose(arrays["alleles"][:, :, 0, :3], 8)  # all are founders at first
        np.testing.assert_array_equal(arrays["accuracy"], arrays["fitness"])  # fitness is on the test images here
        assert arrays["alone_accuracy"].shape == (2, 2, 3, 2)


@pytest.mark.slow
def test_the_figures_of_the_paper_are_drawn(run):
    drawn = {path.stem for path in (run / "figures").iterdir()}
    assert drawn == {"accuracy", "diversity", "attacks", "similarity-horizontal", "similarity-vertical"}


@pytest.mark.slow
def test_all_rows_of_a_table_have_the_same_columns(run):
    results = json.loads((run / "results.json").read_text())
    for rows in results["tables"].values():
        assert rows and all(list(row) == list(rows[0]) for row in rows)
    assert len({claim["id"] for claim in results["claims"]}) == len(results["claims"]) >= 25


@pytest.mark.slow
def test_a_run_that_was_stopped_goes_on_to_the_same_bits(script, run, tmp_path, goes_on):
    """The loop is broken off in the middle of the second population, and resumed."""
    flags = [*FLAGS, "--mode", "code"]
    assert goes_on(script, flags, tmp_path / "run", run, lambda calls: len(calls) == 9) == "vertical"


@pytest.mark.parametrize("mode", ["clean", "text", "code"])
def test_every_study_names_its_populations(script, mode):
    for study, count in (("paper", 4), ("cross", 12), ("cures", 12)):
        arms = script.arms_of(script.Config(study=study, mode=mode))
        assert len(arms) == count
        for arm in arms.values():
            settings = dict(arm.settings)
            assert settings.get("immigrants", 0) >= (2 if mode == "code" and "selection" not in settings else 0)
    kinds = {arm.genes for arm in script.arms_of(script.Config(study="paper", mode=mode)).values()}
    assert kinds == {"block" if mode == "code" else "layer"}


@pytest.mark.parametrize(
    "setting",
    [
        "repeats=0", "size=6", "hidden=(4,3)", "hidden=(4,)", "later=1", "momentum=1.0", "learning_rate=0.0",
        "attacked=-1", "children=1", "epsilons=(0.2,0.1)", "epsilons=(0.1,)", "study=all", "mutation=0.0",
        "generations=1", "rivals=1",
    ],
)  # fmt: skip
def test_a_setting_that_cannot_be_is_refused_before_anything_is_made(script, tmp_path, capsys, setting):
    assert script.main(["--set", setting, "--out", str(tmp_path / "run")]) == 2
    assert f"{setting.partition('=')[0]}: got" in capsys.readouterr().err and not (tmp_path / "run").exists()


def made_up(script, study, repeats=10):
    """Arrays of a study in which the first population is at .9, each further one .01 better and less alike."""
    config = script.Config(study=study, repeats=repeats, size=8, generations=2, later=3)
    arms, rng = script.arms_of(config), np.random.default_rng(0)
    count, layers = len(arms), 3
    better = 0.01 * np.arange(count)

    def spread(*shape):
        return 1e-4 * rng.random((count, repeats, *shape)) + better.reshape(-1, *[1] * (1 + len(shape)))

    alike = np.eye(8) + (1 - np.eye(8)) * (0.9 - spread(4, layers, 8, 8))
    return {
        "arms": np.array(list(arms)),
        "genes": np.array([arm.genes for arm in arms.values()]),
        "networks": np.array(["horizontal", "vertical"]),
        "network": np.array([int(arm.network == "vertical") for arm in arms.values()]),
        "layers": np.array(["hidden_0,hidden_1,output"] * 2),
        "marks": np.array([2, 3]),
        "epsilons": np.array([0.05, 0.1623]),
        "published": np.array(0.1623),
        "study": np.array(study),
        "mode": np.array("clean"),
        "dataset": np.array("digits"),
        "fitness": 0.5 + spread(4, 8),
        "accuracy": 0.5 + spread(4, 8),
        "untrained": 0.3 + spread(3, 8),
        "layer_cosine": alike,
        "aligned_cosine": alike[:, :, :2],
        "gene_cosine": 0.9 - spread(4, 3),
        "alleles": 2 + spread(4, layers),
        "together": 0.5 + spread(2),
        "attack": 0.1 + spread(2, 3, 6),
        "child_accuracy": 0.4 + spread(2, 2),
        "alone_accuracy": 0.2 + rng.random((2, repeats, 3, 5)) * 1e-4,
        "alone_together": 0.2 + rng.random((2, repeats, 2)) * 1e-4,
        "alone_attack": 0.1 + rng.random((2, repeats, 2, 3, 2)) * 1e-4,
    }


@pytest.mark.parametrize("study", ["paper", "cross", "cures"])
def test_claims_follow_from_what_was_put_in(script, study, tmp_path):
    arrays = made_up(script, study)
    claims, tables = script.judge(arrays)
    verdicts = {claim["id"]: claim["verdict"] for claim in claims}
    expected = {
        "paper": {
            "aligned_untrained": "holds", "aligned_accuracy": "holds", "selection": "does not hold",
            "horizontal_better": "holds", "horizontal_near": "does not hold", "horizontal_alike": "does not hold",
            "horizontal_own": "does not hold", "horizontal_collapse": "does not hold",
        },
        "cross": {"layers_untrained": "holds", "neurons_accuracy": "holds", "bonus_naive_alike": "holds"},
        "cures": {"islands_alike": "holds", "mutation_accuracy": "holds"},
    }[study]  # fmt: skip
    assert {name: verdicts[name] for name in expected} == expected
    assert len(tables["populations"]) == len(arrays["arms"])
    script.plot(arrays, tmp_path)
    assert (tmp_path / "accuracy.png").is_file()


@pytest.mark.parametrize("mode", ["clean", "code"])
@pytest.mark.parametrize("study", ["paper", "cross", "cures"])
def test_every_population_of_a_study_can_be_bred(script, study, mode):
    """What the algorithm would refuse is refused when it is made, and no two populations are the same."""
    arms = script.arms_of(script.Config(study=study, mode=mode))
    study = script.Study(script.Config(study=study, mode=mode), ea.data.load("digits"))
    for arm in arms.values():
        assert study.algorithm(arm).size == 20
    assert len(set(arms.values())) == len(arms)


@pytest.mark.parametrize("preset", ["demo", "paper", "text", "cross", "cures"])
def test_a_preset_has_seeds_enough_for_its_claims_to_hold(script, preset):
    (config,) = script.PRESETS[preset]
    claims, _ = script.judge(made_up(script, config.study, repeats=config.repeats))
    assert 2.0**-config.repeats * len(claims) < 0.05


def test_the_best_member_is_chosen_by_fitness_and_not_by_the_images_that_score(script):
    arrays = made_up(script, "paper")
    arrays["accuracy"] = arrays["accuracy"].copy()
    best = arrays["fitness"].argmax(axis=-1)
    np.put_along_axis(arrays["accuracy"], best[..., None], 0.25, axis=-1)
    _, tables = script.judge(arrays)
    assert all(row["best"] == 0.25 and row["mean"] > 0.25 for row in tables["populations"])


def test_a_study_of_too_few_seeds_is_not_tested(script):
    claims, _ = script.judge(made_up(script, "paper", repeats=3))
    assert {claim["verdict"] for claim in claims} == {"not tested"}


def test_the_presets_are_those_of_the_paper(script):
    (paper,) = script.PRESETS["paper"]
    assert (paper.size, paper.generations, paper.epochs, paper.batch_size) == (20, 6, 1, 100)
    assert (paper.learning_rate, paper.momentum, paper.hidden, paper.repeats) == (0.01, 0.9, (256, 128), 10)
    assert set(script.COSTS) == set(script.PRESETS)
    assert dataclasses.asdict(paper)["later"] == 10
