import json
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from tests import notebooks
from tests.test_docs import WORDS

ROOT = Path(__file__).parents[1]
IN_SLOW_LANE = ("tour", "any_task")


def marked(path):
    mark = pytest.mark.slow if path.stem in IN_SLOW_LANE else pytest.mark.nightly
    return pytest.param(path, marks=mark, id=path.stem)


@pytest.mark.parametrize("path", [marked(path) for path in notebooks.NOTEBOOKS])
def test_a_notebook_prints_and_draws_what_is_stored(path):
    pytest.importorskip("nbclient", reason="nbclient (extra `notebooks`) is not installed")
    stored, new = notebooks.stored(path), notebooks.executed(path, env={"XLA_FLAGS": ""})
    assert notebooks.errors(new) == []
    assert notebooks.pictures(new) == notebooks.pictures(stored)
    found = zip(notebooks.texts(new), notebooks.texts(stored), strict=True)
    assert [text for text in (notebooks.differs(*both) for both in found) if text] == []


@pytest.mark.parametrize("path", notebooks.NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_stored_as_it_ran_from_top_to_bottom(path):
    cells = [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    assert cells[0]["metadata"]["tags"] == ["install"] and cells[0]["outputs"] == []
    outputs = [out for cell in cells for out in cell["outputs"]]
    assert any("image/png" in out.get("data", {}) for out in outputs)
    assert not any(out["output_type"] == "error" or out.get("name") == "stderr" for out in outputs)
    assert path.stat().st_size < 1_000_000


def test_a_notebook_has_a_link_to_colab_if_the_repository_is_on_github():
    for path in notebooks.NOTEBOOKS:
        first = "".join(json.loads(path.read_text())["cells"][0]["source"])
        assert first == notebooks.with_badge(first, path.stem, notebooks.repository())
    badge, _, title = notebooks.with_badge("# Tour", "tour", "https://github.com/some/where").partition("\n\n")
    assert badge.endswith("(https://colab.research.google.com/github/some/where/blob/main/notebooks/tour.ipynb)")
    assert title == "# Tour"
    assert notebooks.with_badge(f"{badge}\n\n# Tour", "tour", "") == "# Tour"


def test_all_notebooks_begin_with_the_same_install_cell():
    cells = [json.loads(path.read_text())["cells"] for path in notebooks.NOTEBOOKS]
    assert len({"".join(of[1]["source"]) for of in cells}) == 1


@pytest.mark.parametrize("path", notebooks.NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_uses_the_words_of_the_field(path):
    cells = [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "markdown"]
    assert [found[0] for cell in cells for found in WORDS.finditer("".join(cell["source"]))] == []


def test_texts_that_differ_in_a_word_or_much_in_a_number_are_found():
    assert notebooks.differs("loss 0.50, 3 rounds", "loss  0.52, 3 rounds") == ""
    assert "is not" in notebooks.differs("loss 0.50", "accuracy 0.50")
    assert "0.1 is not near 2.0" in notebooks.differs("loss 0.1", "loss 2.0")


@pytest.mark.nightly
@pytest.mark.parametrize("name", ["tour", "wann"])
def test_the_first_cell_installs_the_wheel_where_there_is_jupyter_only(tmp_path, name):
    wheels, bare = tmp_path / "wheels", tmp_path / "bare"
    pip = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(wheels), str(ROOT)]
    subprocess.run(pip, check=True)
    venv.create(bare, with_pip=True)
    python = str(bare / "bin" / "python")
    subprocess.run([python, "-m", "pip", "install", "-q", "ipykernel", "nbclient"], check=True)
    assert subprocess.run([python, "-c", "import jax"], capture_output=True, check=False).returncode != 0
    (tmp_path / "tests").mkdir()
    (tmp_path / "notebooks").mkdir()
    shutil.copy(ROOT / "tests" / "notebooks.py", tmp_path / "tests")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copy(ROOT / "notebooks" / f"{name}.ipynb", tmp_path / "notebooks")
    env = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "XLA_FLAGS")}
    env["PIP_FIND_LINKS"] = str(wheels)
    command = [python, str(tmp_path / "tests" / "notebooks.py"), name]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=env, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "on stderr" not in done.stdout
