"""Runs notebooks and stores what they print and draw: `python -m tests.notebooks [NAME ...]`."""

import argparse
import math
import os
import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
COLAB = "https://colab.research.google.com"
NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?")


def executed(path, *, env=None):
    """The notebook after all its cells have run in a fresh kernel.

    Args:
        path: of the notebook.
        env: changes of the environment of the kernel.
    """
    import nbclient
    import nbformat

    notebook = nbformat.read(path, as_version=4)
    before = dict(os.environ)
    os.environ.pop("MPLBACKEND", None)  # the kernel's own shows figures in the notebook
    os.environ.update(env or {})
    try:
        nbclient.NotebookClient(notebook, timeout=1800, record_timing=False).execute(cwd=path.parent)
    finally:
        os.environ.clear()
        os.environ.update(before)
    notebook.metadata.pop("widgets", None)
    notebook.metadata["language_info"] = {"name": "python"}
    return notebook


def repository():
    """The address of the repository, which `pyproject.toml` names; empty if it is not set."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["evojax-align"]["repository"]


def with_badge(text, name, address):
    """The text of the first cell, whose first line opens the notebook in Colab if the repository is on GitHub."""
    text = re.sub(rf"\A\[!\[[^\]]*\]\({COLAB}[^\n]*\n\n", "", text)
    if not address.startswith("https://github.com/"):
        return text
    target = f"{COLAB}/{address.removeprefix('https://').replace('.com', '', 1)}/blob/main/notebooks/{name}.ipynb"
    return f"[![Open in Colab]({COLAB}/assets/colab-badge.svg)]({target})\n\n{text}"


def stored(path):
    """The notebook as it is stored."""
    import nbformat

    return nbformat.read(path, as_version=4)


def texts(notebook):
    """For each cell of code the text that it printed or returned; figures are left out."""
    found = []
    for cell in notebook.cells:
        if cell.cell_type == "code":
            outputs = [out for out in cell.outputs if "image/png" not in out.get("data", {})]
            found.append("".join(out.get("text", out.get("data", {}).get("text/plain", "")) for out in outputs))
    return found


def pictures(notebook):
    """How many figures each cell of code drew."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return [sum("image/png" in out.get("data", {}) for out in cell.outputs) for cell in cells]


def errors(notebook):
    """What was written to stderr."""
    outputs = [out for cell in notebook.cells if cell.cell_type == "code" for out in cell.outputs]
    return [out["text"] for out in outputs if out.get("name") == "stderr"]


def differs(text, other):
    """Where two texts differ, "" if only by little: words must be equal, numbers near each other."""
    words, others = NUMBER.sub("#", text).split(), NUMBER.sub("#", other).split()
    if words != others:
        place = next(
            (n for n, (a, b) in enumerate(zip(words, others, strict=False)) if a != b), min(map(len, (words, others)))
        )
        here, there = (" ".join(of[max(0, place - 3) : place + 4]) for of in (words, others))
        return f"{here!r} is not {there!r}, in {text!r}"
    for a, b in zip(NUMBER.findall(text), NUMBER.findall(other), strict=True):
        if not math.isclose(float(a), float(b), rel_tol=0.5, abs_tol=0.1):
            return f"{a} is not near {b} in {text!r}"
    return ""


def main():
    import nbformat

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=[path.stem for path in NOTEBOOKS], metavar="NAME")
    parser.add_argument("--badges", action="store_true", help="write the links to Colab only, and run nothing")
    given = parser.parse_args()
    for name in given.names:
        path = FOLDER / f"{name}.ipynb"
        notebook = stored(path) if given.badges else executed(path)
        notebook.cells[0].source = with_badge(notebook.cells[0].source, name, repository())
        nbformat.write(notebook, path)
        print(f"{path.name}: {path.stat().st_size / 1000:.0f} KB, {sum(pictures(notebook))} figures")
        for text in errors(notebook):
            print(f"  on stderr: {text}")


if __name__ == "__main__":
    main()
