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
        "dead with dead, live at random",
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
    ],
)
def test_a_setting_that_cannot_be_is_refused_before_anything_is_made(script, tmp_path, capsys, setting):
    assert script.main(["--set", setting, "--out", str(tmp_path / "run")]) == 2
    assert f"{setting.partition('=')[0]}: got" in capsys.readouterr().err and not (tmp_path / "run").exists()
