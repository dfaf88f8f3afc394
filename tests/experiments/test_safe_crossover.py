import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest

TOY = ["networks=8", "hidden=(24,12)", "epochs=6", "ranks=(2,12)", "rank=8", "points=7"]
FLAGS = [part for setting in TOY for part in ("--set", setting)]


@pytest.fixture(scope="module")
def script(load):
    return load("safe_crossover")


@pytest.fixture(scope="module")
def run(script, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "toy"
    assert script.main([*FLAGS, "--quiet", "--out", str(folder)]) == 0
    return folder


def test_the_results_have_naive_cca_and_both_correlation_methods(run):
    results = json.loads((run / "results.json").read_text())
    methods = [row["method"] for row in results["tables"]["methods"]]
    assert methods == [
        "naive crossover",
        "SC-CCA, all directions",
        "SC-CCA, SVCCA of 8",
        "SC-PwC, one-to-one",
        "SC-PwC, semi-matching",
        "structure loadings",
        "weight matching",
        "control, at random",
    ]
    assert all(claim["n"] == 4 and claim["verdict"] == "not tested" for claim in results["claims"])


def test_bijective_methods_share_their_parents_and_semi_matching_keeps_the_first(run):
    with np.load(run / "arrays" / "results.npz") as arrays:
        names, ts, loss = arrays["methods"].tolist(), arrays["ts"], arrays["loss"]
    assert loss.shape == (1, 4, 2, 8, 7)
    loss = loss[0].mean(axis=1)
    loss, start, end = loss.swapaxes(0, 1), np.argmin(np.abs(ts)), np.argmin(np.abs(ts - 1))
    for name in ("cca", "svcca", "one_to_one", "loadings", "weights", "chance"):
        np.testing.assert_allclose(loss[names.index(name)][:, [start, end]], loss[0][:, [start, end]], rtol=1e-4)
    semi = loss[names.index("semi")]
    np.testing.assert_allclose(semi[:, start], loss[0][:, start], rtol=1e-4)
    assert (semi[:, end] > loss[0][:, end]).all()


def test_the_figures_of_the_paper_are_drawn(run):
    drawn = {path.name for path in (run / "figures").iterdir()}
    assert drawn == {
        "figure-2-directions.png",
        "figure-3-sweeps.png",
        "figure-4-correlations.png",
        "sweeps.png",
    }


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bits_in_a_new_process(script, run, tmp_path):
    again = tmp_path / "again"
    command = [sys.executable, script.__file__, *FLAGS, "--quiet", "--out", str(again)]
    subprocess.run(command, check=True, capture_output=True)
    for name in ("results.json", "arrays/results.npz"):
        assert (again / name).read_bytes() == (run / name).read_bytes()


@pytest.mark.slow
def test_the_authors_code_breaks_the_other_side_by_semi_matching(script, run, tmp_path):
    """All modes in one run, on the same parents; the clean one is as if it were alone."""
    assert script.main([*FLAGS, "--quiet", "--mode", "all", "--out", str(tmp_path / "all")]) == 0
    with np.load(tmp_path / "all" / "arrays" / "results.npz") as arrays, np.load(run / "arrays" / "results.npz") as own:
        names, ts = arrays["methods"].tolist(), arrays["ts"]
        assert arrays["modes"].tolist() == ["text", "code", "clean"]
        text, code, clean = arrays["loss"].mean(axis=2)
        np.testing.assert_array_equal(arrays["loss"][2], own["loss"][0])
    start, end, semi = np.argmin(np.abs(ts)), np.argmin(np.abs(ts - 1)), names.index("semi")
    for of_mode in (text, code):
        np.testing.assert_allclose(of_mode[:, 0], clean[:, 0], rtol=1e-5)
    np.testing.assert_allclose(code[:, semi, end], code[:, 0, end], rtol=1e-4)
    assert (code[:, semi, start] > code[:, 0, start]).all()
    assert (text[:, semi, end] > text[:, 0, end]).all()
    assert (text[:, names.index("one_to_one")] != code[:, names.index("one_to_one")]).any()
    results = json.loads((tmp_path / "all" / "results.json").read_text())
    assert len({claim["id"] for claim in results["claims"]}) == len(results["claims"])


@pytest.mark.slow
def test_part_of_a_study_is_done_again_by_the_numbers_of_its_networks(script, run, tmp_path):
    part = [*FLAGS, "--set", "first=4", "--set", "networks=4"]
    assert script.main([*part, "--quiet", "--out", str(tmp_path / "part")]) == 0
    with (
        np.load(tmp_path / "part" / "arrays" / "results.npz") as part,
        np.load(run / "arrays" / "results.npz") as whole,
    ):
        assert part["pairs"].tolist() == [2, 3]
        np.testing.assert_array_equal(part["loss"], whole["loss"][:, 2:])


@pytest.mark.slow
@pytest.mark.parametrize(("model", "hidden"), [("lenet", (2, 3, 6, 5)), ("vgg", (3, 4))])
def test_convolutional_networks_are_studied_too(script, tmp_path, model, hidden):
    flags = [*FLAGS, "--set", f"model={model}", "--set", f"hidden={hidden}", "--set", "networks=4", "--set", "epochs=1"]
    assert script.main([*flags, "--quiet", "--out", str(tmp_path / "run")]) == 0
    with np.load(tmp_path / "run" / "arrays" / "results.npz") as arrays:
        loss, ts, names = arrays["loss"][0].mean(axis=1), arrays["ts"], arrays["methods"].tolist()
    start = np.argmin(np.abs(ts))
    np.testing.assert_allclose(loss[:, names.index("one_to_one"), start], loss[:, 0, start], rtol=1e-4)


@pytest.mark.slow
def test_twenty_kills_at_random_moments_change_no_bit(load, tmp_path):
    import random

    runs, kills, resumes, differences = load("benchmarks/crash").torture(tmp_path, 20, random.Random(0))
    assert kills == 20 and runs >= 1 and resumes >= 5 and differences == 0


@pytest.mark.parametrize(
    "setting",
    [
        "networks=7",
        "networks=0",
        "first=3",
        "first=-2",
        "points=8",
        "points=1",
        "at_once=0",
        "model=mpl",
        "rank=0",
        "learning_rate=-.1",
    ],
)
def test_a_setting_that_cannot_be_is_refused_before_anything_is_made(script, tmp_path, capsys, setting):
    assert script.main(["--set", setting, "--out", str(tmp_path / "run")]) == 2
    assert f"{setting.partition('=')[0]}: got" in capsys.readouterr().err and not (tmp_path / "run").exists()


@pytest.fixture(scope="module")
def report(load):
    return load("safe_crossover_report")


MIDDLES = {
    "naive": 1.0,
    "cca": 0.8,
    "svcca": 0.7,
    "one_to_one": 0.3,
    "semi": 0.5,
    "loadings": 0.35,
    "weights": 0.25,
    "chance": 0.95,
}
"""Losses halfway in a made-up study whose parents have a loss of 0.2."""


def study(middles, dataset="", pairs=12):
    """The arrays of a study in which every pair has about these losses halfway."""
    ts = np.linspace(-0.25, 1.25, 7, dtype=np.float32)
    noise = np.linspace(0, 0.01, pairs)[:, None]
    loss = np.empty((1, pairs, 2, len(middles), 7))
    for number, middle in enumerate(middles.values()):
        loss[0, :, :, number] = 0.2 + (middle - 0.2) * np.sin(np.pi * ts) ** 2 + noise[..., None]
    names = {"modes": ["clean"], "methods": list(middles), "groups": ["hidden"], "ranks": [2, 64], "ridges": [0.1]}
    numbers = {"ts": ts, "parts": [180, 179], "pairs": np.arange(pairs), "rank": 64}
    counts = {name: np.full((1, pairs, 1), 3.0) for name in ("significant", "significant_kept", "strong")}
    of_cca = {"rank_loss": np.array([1.5, 0.7]) + noise, "ridge_loss": np.array([0.6]) + noise}
    arrays = names | numbers | counts | {name: values[None] for name, values in of_cca.items()}
    arrays |= {"loss": loss, "accuracy": 1 - loss / 10, "dataset": dataset, "published": dataset}
    return {name: np.asarray(value) for name, value in arrays.items()}


def verdicts(report, arrays):
    claims, _ = report.judge(arrays)
    return {claim["id"].removeprefix("clean_"): claim["verdict"] == "holds" for claim in claims}


def test_claims_are_decided_as_their_statements_say(report):
    assert verdicts(report, study(MIDDLES)) == {
        "cca_beats_naive": True,
        "svcca_beats_naive": True,
        "one_to_one_beats_naive": True,
        "semi_beats_naive": True,
        "ridge_0.1_beats_naive": True,
        "svcca_beats_cca": True,
        "one_to_one_beats_svcca": True,
        "semi_beats_svcca": True,
        "chance_beats_naive": True,
        "svcca_beats_chance": True,
        "one_to_one_beats_chance": True,
        "loadings_beats_naive": True,
        "weights_beats_naive": True,
        "loadings_beats_svcca": True,
        "one_to_one_beats_weights": False,
        "weights_beats_one_to_one": True,
        "svcca_accuracy": True,
        "svcca_near": False,
        "svcca_beats_parents": False,
        "svcca_best": False,
        "one_to_one_accuracy": True,
        "one_to_one_near": False,
        "one_to_one_beats_parents": False,
        "one_to_one_best": False,
    }


def test_claims_turn_with_the_numbers(report):
    turned = MIDDLES | {"naive": 0.4, "svcca": 0.9, "one_to_one": 0.1, "chance": 0.45}
    found = verdicts(report, study(turned, dataset="cifar10"))
    true = {"one_to_one_beats_naive", "one_to_one_beats_svcca", "semi_beats_svcca", "one_to_one_beats_chance"}
    true |= {"loadings_beats_naive", "weights_beats_naive", "loadings_beats_svcca", "one_to_one_beats_weights"}
    true |= {f"one_to_one_{what}" for what in ("accuracy", "near", "beats_parents", "best")}
    assert {name for name, holds in found.items() if holds} == true
    assert {"svcca_beats_one_to_one", "svcca_beats_semi"} <= set(found)


def test_the_best_child_and_parent_are_chosen_on_one_half_and_judged_on_the_other(report):
    arrays = study({name: MIDDLES[name] for name in ("naive", "cca", "svcca", "one_to_one")}, pairs=1)
    loss = arrays["loss"][0, 0, :, 3]  # [halves, t] at t = -.25, 0, .25, .5, .75, 1, 1.25
    loss[0], loss[1] = [9, 5, 1, 4, 4, 6, 9], [9, 7, 3, 2, 4, 6.5, 9]
    arrays["loss"][0, 0, :, 0] = loss
    (view,) = report.views(arrays)
    assert view.best("one_to_one").tolist() == [[2, 3]]
    # chosen on the first: a and t = .25, on the second 7 - 3; chosen on the second: b and t = .5, on the first 6 - 4
    assert view.gain("one_to_one").tolist() == [(4 + 2) / 2]


def test_the_barrier_of_semi_matching_is_measured_from_the_parents_as_they_are(report):
    arrays = study(MIDDLES)
    semi = arrays["loss"][0, :, :, list(MIDDLES).index("semi")]
    semi[..., 5:] += 3.0  # the second parent is broken
    (view,) = report.views(arrays)
    np.testing.assert_allclose(view.barrier("semi", "chord"), view.at("semi", 0.5) - view.at("naive", 0), atol=1e-5)


@pytest.mark.slow
def test_clean_never_sees_the_images_that_score(script, tmp_path):
    from evojax_align import data, lab

    digits = data.load("digits")
    other = dataclasses.replace(digits, test=dataclasses.replace(digits.test, x=0.5 * digits.test.x[::-1]))
    small = {"networks": 4, "hidden": (12,), "epochs": 2, "ranks": (2,), "rank": 4, "points": 7}

    def matched(mode, images, number):
        folder = lab.RunFolder.create(tmp_path / f"{mode}{number}", "toy")
        config = dataclasses.replace(script.Config(**small), mode=mode)
        found = script.run(config, images, lab.Run(folder, quiet=True))
        return [found[name] for name in ("training_loss", "correlation_one_to_one", "correlation_cca")]

    for mode, blind in (("clean", True), ("text", False)):
        first, second = (matched(mode, images, number) for number, images in enumerate((digits, other)))
        same = [np.array_equal(p, q) for p, q in zip(first, second, strict=True)]
        assert same == [True, blind, blind]
