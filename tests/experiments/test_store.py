"""Storing runs, their pages, and checking them again, with a small study in the place of the real ones."""

import dataclasses
import json

import numpy as np
import pytest

from evojax_align import lab
from experiments import pages, recompute, store, stored
from tests.lab.conftest import CLAIM, STUDY

PAGE = pages.Page(
    paper="A paper.",
    summary="Ahead is ahead in {demo-clean-digits:ahead} of seeds, p {demo-clean-digits:ahead.p}.",
    headline="demo-clean-digits",
    control="The arm behind.",
    terms={"ahead": "nine more"},
    scale={"demo-clean-digits": "as large"},
    figures=[("demo-clean-digits", "nothing", "Nothing to see.")],
    differences=[("the mean", "cause not known")],
)


@pytest.fixture
def folder(monkeypatch, tmp_path):
    """The folder of experiments; the commands know one study alone."""
    paper = dataclasses.replace(CLAIM, paper={"": 0.5}, margin=0.1)
    study = dataclasses.replace(STUDY, claims=[paper], presets={"demo": STUDY.presets["demo"]})
    monkeypatch.setattr(stored, "STUDIES", ("toy",))
    monkeypatch.setattr(stored, "HERE", tmp_path / "experiments")
    monkeypatch.setattr(stored, "study_of", lambda name: study)
    monkeypatch.setattr(pages, "page_of", lambda name: PAGE)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "experiments" / "toy").mkdir(parents=True)
    flags = ["--quiet", "--compile-cache", "off"]
    assert lab.main(study, [*flags, "--out", "run"]) == 0
    assert lab.main(study, [*flags, "--out", "changed", "--set", "repeats=2"]) == 0
    return tmp_path / "experiments"


def keep(folder, *flags):
    return store.main([*flags, "--folder", str(folder)])


def test_a_run_is_stored_with_its_arrays_and_shown_on_its_page(folder, tmp_path, capsys):
    (folder / "toy" / "results").mkdir()
    (folder / "toy" / "results" / "demo-clean-digits-old.png").touch()
    assert keep(folder, "run", "--figures", "nothing") == 0
    names = {path.name for path in (folder / "toy" / "results").iterdir()}
    assert names == {f"demo-clean-digits{end}" for end in (".json", ".npz", ".run.json", "-nothing.png")}
    stored = folder / "toy" / "results" / "demo-clean-digits.json"
    assert stored.read_bytes() == (tmp_path / "run" / "results.json").read_bytes()
    page = (folder / "toy" / "README.md").read_text()
    assert "Ahead is ahead in 1 (n = 3 seeds) of seeds, p –." in page
    assert "](results/demo-clean-digits-nothing.png)" in page and "at least 6 seeds" in page
    assert "All claims were declared before the runs" in page
    row = next(
        line for line in page.splitlines() if line.startswith("| ahead lies above behind | 0.5 | 1 (0.4385 to 1)")
    )
    assert "| 3 seeds |" in row and "| not tested |" in row
    index = (folder / "README.md").read_text()
    assert "[A toy](toy/README.md) | 1 | 0 | 0 | 0 | 1 | 0 | 0 | 1 |" in index
    assert keep(folder, "--check") == 0
    (folder / "toy" / "README.md").write_text(page.replace("1 (n", "2 (n"))
    capsys.readouterr()
    assert keep(folder, "--check") == 1
    assert "README.md is not what the results give" in capsys.readouterr().out


def test_a_run_that_has_not_ended_or_lacks_a_figure_is_refused(folder, tmp_path, capsys):
    assert keep(folder, "run", "--figures", "figure-9") == 2
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    (tmp_path / "run" / "manifest.json").write_text(json.dumps(manifest | {"end": None}))
    assert keep(folder, "run") == 2
    said = capsys.readouterr().err
    assert "figure-9.png does not exist" in said and "--resume" in said


def test_a_run_of_other_settings_is_stored_under_a_name_that_says_so(folder, capsys):
    assert keep(folder, "run", "--figures", "nothing") == 0
    assert keep(folder, "changed") == 2 and "(repeats=2). Say which by --note." in capsys.readouterr().err
    assert keep(folder, "run", "--note", "two seeds") == 2 and "no other settings" in capsys.readouterr().err
    assert keep(folder, "changed", "--note", "two seeds") == 0
    page = (folder / "toy" / "README.md").read_text()
    assert (folder / "toy" / "results" / "demo-clean-digits.two-seeds.npz").is_file()
    assert "--set repeats=2" in page and "demo-clean-digits.two-seeds, two seeds" in page


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"summary": "{demo-clean-digits:nobody}"}, "has no claim 'nobody'"),
        ({"summary": "{other:ahead}"}, "names the run 'other', which is not stored"),
        ({"summary": "{other#toys#arm=a#mean}"}, "names the run 'other', which is not stored"),
        ({"summary": "{demo-clean-digits#nothing#arm=a#mean}"}, "has no 'mean' for {'arm': 'a'} in 'nothing'"),
        ({"headline": "other"}, "shows the run 'other', which is not stored"),
        ({"summary": "word " * 81}, "a paragraph of 81 words"),
        (
            {"figures": [("demo-clean-digits", "else", "Else.")]},
            "which is not stored. Store the run with --figures else",
        ),
    ],
)
def test_a_page_that_does_not_fit_the_stored_runs_is_refused(folder, monkeypatch, capsys, changes, message):
    assert keep(folder, "run", "--figures", "nothing") == 0
    monkeypatch.setattr(pages, "page_of", lambda name: dataclasses.replace(PAGE, **changes))
    assert keep(folder) == 2
    assert message in capsys.readouterr().err


def test_every_claim_follows_from_the_stored_arrays_or_is_told(folder, capsys):
    assert keep(folder, "run", "--figures", "nothing") == 0
    check = ["--folder", str(folder)]
    assert recompute.main(check) == 0
    assert "1 claims and 1 tables follow from the stored arrays" in capsys.readouterr().out
    path = folder / "toy" / "results" / "demo-clean-digits.npz"
    at = np.load(path)["at"]
    np.savez_compressed(path, at=at[::-1])
    assert recompute.main(check) == 1
    assert "differences, the first: /claims/0/" in capsys.readouterr().out
    assert recompute.main(["--write", *check]) == 0 and "stored anew" in capsys.readouterr().out
    assert recompute.main(check) == 0 and "tables follow from the stored arrays" in capsys.readouterr().out
    path.unlink()
    assert recompute.main(check) == 0 and "arrays not kept" in capsys.readouterr().out
    assert recompute.main(["nothing", *check]) == 2


def test_cells_that_are_run_again_come_out_as_stored_or_are_told(folder, capsys):
    assert keep(folder, "run", "--figures", "nothing") == 0
    check = ["toy/demo-clean-digits", "--cells", "2", "--folder", str(folder)]
    assert recompute.main(check) == 0
    assert "2 cells again: 6 values, 6 equal; arrays that differ: none" in capsys.readouterr().out
    path = folder / "toy" / "results" / "demo-clean-digits.npz"
    at = np.load(path)["at"]
    np.savez_compressed(path, at=at * 1.01)
    assert recompute.main(check) == 1
    assert "arrays that differ: at" in capsys.readouterr().out


@pytest.mark.parametrize("name", stored.STUDIES)
def test_the_stored_claims_of_every_study_follow_from_its_arrays(name, capsys):
    assert recompute.main([name]) == 0


def test_the_pages_are_what_the_stored_runs_give(capsys):
    assert store.main(["--check"]) == 0
