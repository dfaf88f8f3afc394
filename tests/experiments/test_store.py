import json
import shutil
from pathlib import Path

import pytest

EXPERIMENTS = Path(__file__).parents[2] / "experiments"


@pytest.fixture(scope="module")
def store(load):
    return load("store")


@pytest.fixture
def run(tmp_path):
    """The folder of a finished run, put together from what is kept."""
    folder = tmp_path / "run"
    (folder / "figures").mkdir(parents=True)
    kept = EXPERIMENTS / "results" / "safe_crossover-demo-digits"
    shutil.copyfile(f"{kept}.json", folder / "results.json")
    shutil.copyfile(f"{kept}-sweeps.png", folder / "figures" / "sweeps.png")
    how = json.loads(Path(f"{kept}.run.json").read_text())
    (folder / "timings.json").write_text(json.dumps(how.pop("seconds")))
    (folder / "manifest.json").write_text(json.dumps(how))
    return folder


def test_the_page_is_what_the_kept_results_give(store):
    assert store.main(["--check"]) == 0


def test_a_run_is_kept_unchanged_and_shown(store, run, tmp_path):
    results = tmp_path / "results"
    results.mkdir()
    (results / "safe_crossover-demo-digits-old.png").touch()
    assert store.main([str(run), "--figures", "sweeps", "--results", str(results)]) == 0
    assert (results / "safe_crossover-demo-digits.json").read_bytes() == (run / "results.json").read_bytes()
    assert {path.name for path in results.iterdir()} == {
        "safe_crossover-demo-digits.json",
        "safe_crossover-demo-digits.run.json",
        "safe_crossover-demo-digits-sweeps.png",
    }
    page = (tmp_path / "RESULTS.md").read_text()
    claims = json.loads((run / "results.json").read_text())["claims"]
    assert all(claim["statement"] in page for claim in claims)
    assert "](results/safe_crossover-demo-digits-sweeps.png)" in page
    assert store.main(["--check", "--results", str(results)]) == 0
    (tmp_path / "RESULTS.md").write_text(page.replace("holds", "does not hold"))
    assert store.main(["--check", "--results", str(results)]) == 1


def test_a_run_that_has_not_ended_or_lacks_a_figure_is_refused(store, run, tmp_path, capsys):
    results = tmp_path / "results"
    results.mkdir()
    assert store.main([str(run), "--figures", "figure-9", "--results", str(results)]) == 2
    manifest = json.loads((run / "manifest.json").read_text())
    (run / "manifest.json").write_text(json.dumps(manifest | {"end": None}))
    assert store.main([str(run), "--results", str(results)]) == 2
    changed = manifest | {"configuration": manifest["configuration"] | {"networks": 12}}
    (run / "manifest.json").write_text(json.dumps(changed))
    assert store.main([str(run), "--results", str(results)]) == 2
    said = capsys.readouterr().err
    assert (
        "(networks=12). Say which by --note." in said and "figure-9.png does not exist" in said and "--resume" in said
    )
    assert not list(results.iterdir())


def test_a_setting_that_came_after_a_run_does_not_count_as_changed(store, run, tmp_path):
    results = tmp_path / "results"
    results.mkdir()
    manifest = json.loads((run / "manifest.json").read_text())
    assert manifest["configuration"].pop("batch_size") is not None
    (run / "manifest.json").write_text(json.dumps(manifest))
    assert store.main([str(run), "--results", str(results)]) == 0


def test_a_run_of_other_settings_is_kept_under_a_name_that_says_so(store, run, tmp_path, capsys):
    results = tmp_path / "results"
    results.mkdir()
    assert store.main([str(run), "--note", "12 networks", "--results", str(results)]) == 2
    assert "no other settings" in capsys.readouterr().err
    manifest = json.loads((run / "manifest.json").read_text())
    (run / "manifest.json").write_text(
        json.dumps(manifest | {"configuration": manifest["configuration"] | {"networks": 12, "hidden": [8, 8]}})
    )
    settings = ["--figures", "sweeps", "--note", "12 networks", "--results", str(results)]
    assert store.main([str(run), *settings]) == 0
    name = "safe_crossover-demo-digits.12-networks"
    assert {path.name for path in results.iterdir()} == {f"{name}.json", f"{name}.run.json", f"{name}-sweeps.png"}
    page = (tmp_path / "RESULTS.md").read_text()
    assert "### demo: digits, 12 networks" in page and "--set networks=12" in page and "--set 'hidden=(8, 8)'" in page
