"""Pictures of stored runs are drawn again from what is stored."""

import json
import shutil

import numpy as np
import pytest

from experiments import recompute, redraw, stored

STUDIES = {"wann": "demo-clean-digits", "lamarckian": "demo-text-digits"}


@pytest.fixture
def folder(tmp_path):
    """Copies of two small stored runs, with a picture each that is to be replaced."""
    for study, run in STUDIES.items():
        results = tmp_path / study / "results"
        results.mkdir(parents=True)
        for end in (".json", ".run.json", ".npz"):
            shutil.copyfile(stored.HERE / study / "results" / f"{run}{end}", results / f"{run}{end}")
    (tmp_path / "wann" / "results" / "demo-clean-digits-weights.png").write_bytes(b"old")
    (tmp_path / "lamarckian" / "results" / "demo-text-digits-search.png").write_bytes(b"old")
    return tmp_path


def test_stored_pictures_of_a_study_are_drawn_again_and_no_others(folder, capsys):
    assert redraw.main(["lamarckian", "--folder", str(folder)]) == 0
    pictures = {path.name: path.read_bytes() for path in folder.glob("*/results/*.png")}
    assert pictures.pop("demo-text-digits-search.png").startswith(b"\x89PNG")
    assert pictures == {"demo-clean-digits-weights.png": b"old"}
    assert "demo-text-digits-search: drawn again" in capsys.readouterr().out


def test_without_arrays_means_are_drawn_from_tables_and_the_rest_stays(folder, capsys):
    results = folder / "wann" / "results"
    (results / "demo-clean-digits.npz").unlink()
    (results / "demo-clean-digits-courses.png").write_bytes(b"old")
    assert redraw.main(["wann/demo-clean-digits", "--folder", str(folder)]) == 0
    assert (results / "demo-clean-digits-weights.png").read_bytes().startswith(b"\x89PNG")
    assert (results / "demo-clean-digits-courses.png").read_bytes() == b"old"
    assert "courses: stays, its arrays were not kept" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["nowhere"], "no stored run is called 'nowhere'. Name a STUDY"),
        (["lamarckian", "--figures", "clouds"], "has no figure 'clouds'. There are genomes, search."),
    ],
)
def test_what_is_not_there_is_refused(folder, capsys, flags, said):
    assert redraw.main([*flags, "--folder", str(folder)]) == 2
    assert said in capsys.readouterr().err
    assert recompute.main(["nowhere", "--folder", str(folder)]) == 2


@pytest.mark.parametrize("study", ["mixed_evolution", "mating"])
def test_tables_hold_the_means_that_figures_take(study):
    figures = __import__(f"experiments.{study}.told", fromlist=["Told"])
    results = stored.HERE / study / "results"
    run = json.loads((results / "demo-clean-digits.json").read_text())
    with np.load(results / "demo-clean-digits.npz") as arrays:
        view = stored.study_of(study).view(dict(arrays))
    if study == "mating":
        told = figures.Told(run["tables"], "digits")
        assert told.rows("asexual") == view.rows("asexual") and told.controlled == view.controlled
        for row in (None, *view.rows("asexual")[1:]):
            mean = np.exp(np.log(view.efficiency("asexual", "kernels", row)).mean(axis=0))
            np.testing.assert_allclose(told.efficiency("asexual", "kernels", row)[0], mean, rtol=1e-4)
            expected = view.of("asexual", "accuracy", row).mean(axis=0)
            np.testing.assert_allclose(told.of("asexual", "accuracy", row)[0], expected, rtol=1e-4)
    else:
        told = figures.Told(run["tables"], "paper")
        assert (told.populations, told.marks) == (view.populations, view.marks)
        for name in ("accuracy", "untrained", "cosine", "alleles"):
            found, expected = (of.curves(name, ["vertical"])["vertical"] for of in (told, view))
            np.testing.assert_allclose(found[0], expected.mean(axis=0), rtol=1e-4)
        attacked = view.of("vertical", "attack")[:, :, :-1].mean(axis=0)
        np.testing.assert_allclose(told.of("vertical", "attack")[0], attacked, rtol=1e-4)
