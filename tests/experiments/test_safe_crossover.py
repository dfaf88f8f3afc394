import dataclasses
import json

import numpy as np
import pytest

from evojax_align import _compiling, data, lab
from experiments.safe_crossover import claims, config
from experiments.safe_crossover import study as pairs
from experiments.safe_crossover.__main__ import STUDY

TOY = [
    "networks=8",
    "hidden=(12,)",
    "epochs=20",
    "ranks=(2,)",
    "rank=8",
    "ridges=(.1,)",
    "points=7",
    "at_once=2",
    "scored=100",
]
FLAGS = ["--quiet", "--compile-cache", "off", *(part for setting in TOY for part in ("--set", setting))]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Two blocks of two pairs."""
    folder = tmp_path_factory.mktemp("run") / "toy"
    assert lab.main(STUDY, [*FLAGS, "--out", str(folder)]) == 0
    return folder


def arrays_of(folder):
    return lab.RunFolder(folder).read_arrays("results")


def test_the_results_have_every_method_and_four_pairs_are_too_few_for_a_test(run):
    results = json.loads((run / "results.json").read_text())
    assert [row["method"] for row in results["tables"]["methods"]] == [
        "naive crossover",
        "SC-CCA, all directions",
        "SC-CCA, SVCCA of 8",
        "SC-PwC, one-to-one",
        "SC-PwC, semi-matching",
        "structure loadings",
        "weight matching",
        "control, at random",
    ]
    assert {claim["verdict"] for claim in results["claims"]} == {"not tested"}
    assert {claim["n"] for claim in results["claims"]} == {0, 4}  # 0: what is claimed of CIFAR-10 alone


def test_bijective_methods_share_their_parents_and_semi_matching_keeps_the_first(run):
    arrays = arrays_of(run)
    names, ts, loss = arrays["methods"].tolist(), arrays["ts"], arrays["loss"]
    assert loss.shape == (1, 4, 2, 8, 7) and arrays["pairs"].tolist() == [0, 1, 2, 3]
    loss = loss[0].mean(axis=1).swapaxes(0, 1)
    start, end = np.argmin(np.abs(ts)), np.argmin(np.abs(ts - 1))
    for name in ("cca", "svcca", "one_to_one", "loadings", "weights", "control"):
        np.testing.assert_allclose(loss[names.index(name)][:, [start, end]], loss[0][:, [start, end]], rtol=1e-4)
    semi = loss[names.index("semi")]
    np.testing.assert_allclose(semi[:, start], loss[0][:, start], rtol=1e-4)
    assert (semi[:, end] > loss[0][:, end]).all()


def test_the_figures_of_the_paper_are_drawn(run):
    drawn = {path.stem for path in (run / "figures").iterdir()}
    assert drawn == {"figure-2-directions", "figure-3-sweeps", "figure-4-correlations", "sweeps"}


@pytest.mark.slow
def test_cells_run_apart_and_merged_are_one_run(run, tmp_path):
    folders = [str(tmp_path / name) for name in ("first", "second")]
    for folder, cells in zip(folders, ("pairs-000", "pairs-001"), strict=True):
        assert lab.main(STUDY, [*FLAGS, "--cells", cells, "--out", folder]) == 0
    assert lab.main(STUDY, ["--merge", *folders]) == 0
    for name in ("results.json", "arrays/results.npz", "log.jsonl"):
        assert (tmp_path / "first" / name).read_bytes() == (run / name).read_bytes()


@pytest.mark.slow
def test_a_pair_depends_on_its_number_alone_not_on_the_size_of_the_study(run, tmp_path):
    fewer = [*FLAGS, "--set", "networks=4"]
    assert lab.main(STUDY, [*fewer, "--out", str(tmp_path / "fewer")]) == 0
    np.testing.assert_array_equal(arrays_of(tmp_path / "fewer")["loss"], arrays_of(run)["loss"][:, :2])


@pytest.mark.slow
def test_the_authors_code_breaks_the_other_side_by_semi_matching(run, tmp_path):
    """All modes in one run, on the same parents; the clean one is as if it were alone."""
    assert lab.main(STUDY, [*FLAGS, "--mode", "all", "--out", str(tmp_path / "all")]) == 0
    arrays = arrays_of(tmp_path / "all")
    names, ts = arrays["methods"].tolist(), arrays["ts"]
    assert arrays["modes"].tolist() == ["text", "code", "clean"]
    text, code, clean = arrays["loss"].mean(axis=2)
    np.testing.assert_array_equal(arrays["loss"][2], arrays_of(run)["loss"][0])
    start, end, semi = np.argmin(np.abs(ts)), np.argmin(np.abs(ts - 1)), names.index("semi")
    for of_mode in (text, code):
        np.testing.assert_allclose(of_mode[:, 0], clean[:, 0], rtol=1e-5)
    np.testing.assert_allclose(code[:, semi, end], code[:, 0, end], rtol=1e-4)
    assert (code[:, semi, start] > code[:, 0, start]).all()
    assert (text[:, semi, end] > text[:, 0, end]).all()
    assert (text[:, names.index("one_to_one")] != code[:, names.index("one_to_one")]).any()
    results = json.loads((tmp_path / "all" / "results.json").read_text())
    assert len({claim["id"] for claim in results["claims"]}) == len(results["claims"])
    assert sum(claim["primary"] for claim in results["claims"]) == len(claims.PRIMARY)


@pytest.mark.slow
@pytest.mark.parametrize(("model", "hidden"), [("lenet", (2, 3, 6, 5)), ("vgg", (3, 4))])
def test_convolutional_networks_are_studied_too(tmp_path, model, hidden):
    flags = [*FLAGS, "--set", f"model={model}", "--set", f"hidden={hidden}", "--set", "networks=4", "--set", "epochs=1"]
    assert lab.main(STUDY, [*flags, "--out", str(tmp_path / "run")]) == 0
    arrays = arrays_of(tmp_path / "run")
    loss, ts, names = arrays["loss"][0].mean(axis=1), arrays["ts"], arrays["methods"].tolist()
    start = np.argmin(np.abs(ts))
    np.testing.assert_allclose(loss[:, names.index("one_to_one"), start], loss[:, 0, start], rtol=1e-4)


@pytest.mark.nightly
def test_twenty_kills_at_random_moments_change_no_bit(tmp_path):
    import random

    from experiments.benchmarks import crash

    runs, kills, resumes, differences = crash.torture(tmp_path, 20, random.Random(0))
    assert kills == 20 and runs >= 1 and resumes >= 5 and differences == 0


SETTINGS = ("networks=7", "networks=0", "points=8", "points=1", "at_once=0", "model=mpl", "rank=0", "learning_rate=-.1")
BEYOND = ("widths=(8,4)", "steps=(-1,4)", "parents=(1,2)", "points=4", "repeats=0")
DEEP = ("model=vggg", "networks=3", "ts=(0.,1.)")


@pytest.mark.parametrize(
    ("preset", "setting"),
    [(preset, one) for preset, of in (("demo", SETTINGS), ("beyond", BEYOND), ("deep", DEEP)) for one in of],
)
def test_a_setting_that_cannot_be_is_refused_before_anything_is_made(tmp_path, capsys, preset, setting):
    assert lab.main(STUDY, ["--preset", preset, "--set", setting, "--out", str(tmp_path / "run")]) == 2
    assert f"{setting.partition('=')[0]}: got" in capsys.readouterr().err and not (tmp_path / "run").exists()


def test_what_lies_beyond_the_paper_has_one_mode(tmp_path, capsys):
    for preset in ("beyond", "deep"):
        assert lab.main(STUDY, ["--preset", preset, "--mode", "text", "--out", str(tmp_path / "run")]) == 2
        assert "mode: got 'text'" in capsys.readouterr().err


MIDDLES = {
    "naive": 1.0,
    "cca": 0.8,
    "svcca": 0.7,
    "one_to_one": 0.3,
    "semi": 0.5,
    "loadings": 0.35,
    "weights": 0.25,
    "control": 0.95,
}
"""Losses halfway in a made-up study whose parents have a loss of 0.2."""


def study(middles, dataset="", published="", pairs=12):
    """The arrays of a study in which every pair has about these losses halfway."""
    ts = np.linspace(-0.25, 1.25, 7, dtype=np.float32)
    noise = np.linspace(0, 0.01, pairs)[:, None]
    loss = np.empty((1, pairs, 2, len(middles), 7))
    for number, middle in enumerate(middles.values()):
        loss[0, :, :, number] = 0.2 + (middle - 0.2) * np.sin(np.pi * ts) ** 2 + noise[..., None]
    names = {"modes": ["clean"], "methods": list(middles), "groups": ["hidden"], "widths": [128]}
    numbers = {"ts": ts, "parts": [180, 179], "pairs": np.arange(pairs), "rank": 64, "ranks": [2, 64], "ridges": [0.1]}
    counts = {name: np.full((1, pairs, 1), 3.0) for name in ("significant", "significant_kept", "strong")}
    of_cca = {"rank_loss": np.array([1.5, 0.7]) + noise, "ridge_loss": np.array([0.6]) + noise}
    arrays = names | numbers | counts | {name: values[None] for name, values in of_cca.items()}
    arrays |= {"part": "pairs", "loss": loss, "accuracy": 1 - loss / 10, "dataset": dataset, "published": published}
    return {name: np.asarray(value) for name, value in arrays.items()}


def judged(arrays):
    view = STUDY.view(arrays)
    return {claim["id"]: claim for claim in lab.decide(claims.PRIMARY, STUDY.explore(view), view)}


def verdicts(arrays):
    return {name: claim["verdict"] for name, claim in judged(arrays).items()}


def test_claims_are_decided_as_their_statements_say():
    holds = ("naive", "sc_cca", "cca", "semi", "loadings", "weights", "control", "ridge", "ridge_0.1", "one_to_one")
    expected = {f"{name}_below_naive": "holds" for name in holds if name != "naive"}
    expected |= dict.fromkeys(("svcca_below_cca", "one_to_one_below_sc_cca", "semi_below_sc_cca"), "holds")
    expected |= dict.fromkeys(("sc_cca_below_control", "one_to_one_below_control", "loadings_below_sc_cca"), "holds")
    expected |= dict.fromkeys(("sc_cca_accuracy_above_naive", "one_to_one_accuracy_above_naive"), "holds")
    expected |= {"weights_below_one_to_one": "holds", "directions_2_below_naive": "reversed"}
    for name in ("sc_cca", "one_to_one"):
        expected |= {f"{name}_{what}": "reversed" for what in ("near_parents", "below_both_parents")}
    expected |= {f"{name}_best_below_parent": "reversed" for name in ("naive", "sc_cca", "one_to_one")}
    expected |= dict.fromkeys(("sc_cca_below_one_to_one", "naive_accuracy", "strong_pairs"), "not tested")
    expected |= dict.fromkeys(("significant_relations", "significant_relations_all"), "not tested")
    assert verdicts(study(MIDDLES)) == expected


def test_a_run_of_narrow_layers_has_no_claim_about_fewer_directions():
    narrow = {name: middle for name, middle in MIDDLES.items() if name != "svcca"}
    found = verdicts(study(narrow, dataset="cifar10"))
    assert found["svcca_below_cca"] == "not tested" and found["sc_cca_below_naive"] == "holds"


def test_claims_turn_with_the_numbers():
    turned = MIDDLES | {"naive": 0.4, "svcca": 0.9, "one_to_one": 0.1, "control": 0.45}
    found = verdicts(study(turned, dataset="fashion_mnist"))
    true = {"one_to_one_below_naive", "one_to_one_below_sc_cca", "semi_below_sc_cca", "one_to_one_below_control"}
    true |= {"loadings_below_naive", "weights_below_naive", "loadings_below_sc_cca"}
    true |= {f"one_to_one_{what}" for what in ("accuracy_above_naive", "near_parents", "below_both_parents")}
    true |= {"one_to_one_best_below_parent"}
    assert {name for name, verdict in found.items() if verdict == "holds"} == true
    assert found["weights_below_one_to_one"] == found["sc_cca_below_naive"] == "reversed"


def test_the_order_of_methods_is_that_which_the_paper_found_on_the_data():
    found = verdicts(study(MIDDLES, dataset="cifar10"))
    assert found["sc_cca_below_one_to_one"] == found["sc_cca_below_semi"] == "reversed"
    assert found["one_to_one_below_sc_cca"] == found["one_to_one_near_parents"] == "not tested"


def test_the_papers_numbers_stand_beside_runs_of_its_own_setting_alone():
    arrays = study(MIDDLES, dataset="mnist", published="mnist", pairs=200)
    arrays["significant_kept"] = np.full((1, 200, 1), 240.0) + np.arange(200)[:, None] % 3
    found = judged(arrays)
    assert found["significant_relations"]["paper"] == 125 and found["strong_pairs"]["paper"] == 203
    assert found["significant_relations"]["replication"] == "differs"
    assert found["sc_cca_below_naive"]["paper"] == 0.985 and found["sc_cca_below_naive"]["replication"] == "agrees"
    assert found["directions_2_below_naive"]["paper"] == 0.59
    assert found["directions_2_below_naive"]["replication"] == "differs"  # in no pair
    other = judged(study(MIDDLES, dataset="mnist"))
    assert {claim["replication"] for claim in other.values()} == {"no number"}


def test_a_margin_of_a_share_is_the_spread_of_the_papers_own_pairs():
    assert 0.009 < claims.spread(1.0) < claims.spread(0.985) < 0.02 < claims.spread(0.59) < 0.07


def test_other_modes_have_all_claims_as_exploratory_ones():
    arrays = study(MIDDLES)
    for name in (*pairs.ROWS,):
        arrays[name] = np.repeat(arrays[name], 3, axis=0)
    arrays["modes"] = np.array(["text", "code", "clean"])
    arrays["loss"][1, ..., 3] += 2.0
    found = judged(arrays)
    assert found["sc_cca_below_naive"]["primary"] and not found["code_sc_cca_below_naive"]["primary"]
    assert found["one_to_one_near_parents"]["statement"] in found["code_one_to_one_near_parents"]["statement"]
    alone = judged(study(MIDDLES))
    assert len(found) == 3 * len(alone)


def test_the_best_child_and_parent_are_chosen_on_one_half_and_judged_on_the_other():
    arrays = study({name: MIDDLES[name] for name in ("naive", "cca", "svcca", "one_to_one")}, pairs=1)
    loss = arrays["loss"][0, 0, :, 3]  # [halves, t] at t = -.25, 0, .25, .5, .75, 1, 1.25
    loss[0], loss[1] = [9, 5, 1, 4, 4, 6, 9], [9, 7, 3, 2, 4, 6.5, 9]
    arrays["loss"][0, 0, :, 0] = loss
    view = claims.View(arrays)
    assert view.best("one_to_one").tolist() == [[2, 3]]
    # chosen on the first: a and t = .25, on the second 7 - 3; chosen on the second: b and t = .5, on the first 6 - 4
    assert view.gain("one_to_one").tolist() == [(4 + 2) / 2]


def test_the_barrier_of_semi_matching_is_measured_from_the_parents_as_they_are():
    arrays = study(MIDDLES)
    semi = arrays["loss"][0, :, :, list(MIDDLES).index("semi")]
    semi[..., 5:] += 3.0  # the second parent is broken
    view = claims.View(arrays)
    np.testing.assert_allclose(view.barrier("semi", "chord"), view.at("semi", 0.5) - view.at("naive", 0), atol=1e-5)


@pytest.mark.slow
def test_clean_never_sees_the_images_that_score(tmp_path):
    digits = data.load("digits")
    other = dataclasses.replace(digits, test=dataclasses.replace(digits.test, x=0.5 * digits.test.x[::-1]))
    small = {"networks": 4, "hidden": (12,), "epochs": 2, "ranks": (2,), "rank": 4, "points": 7}

    def matched(mode, images, number):
        _compiling.forget()  # every problem makes its network anew
        problem = pairs.Problem(dataclasses.replace(config.Config(**small), mode=mode), images)
        run = lab.Run(lab.RunFolder.create(tmp_path / f"{mode}{number}", "toy"), quiet=True)
        found = problem.run(lab.Cell("pairs", 0), run)
        return [found[name] for name in ("training_loss", "correlation_one_to_one", "correlation_cca")]

    for mode, blind in (("clean", True), ("text", False)):
        first, second = (matched(mode, images, number) for number, images in enumerate((digits, other)))
        same = [np.array_equal(p, q) for p, q in zip(first, second, strict=True)]
        assert same == [True, blind, blind]
