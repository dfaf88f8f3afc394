"""Check the claims of all stored runs from their stored arrays, and some cells from the seed alone.

python -m experiments.recompute                                # every claim and table of every stored run
python -m experiments.recompute mating --cells 2               # and two cells of each run of a study, run again
python -m experiments.recompute safe_crossover/small-clean-mnist --cells 1 --data-dir DIR
python -m experiments.recompute padawann --write               # after a change of claims or tables: store them anew
"""

import argparse
import contextlib
import io
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from evojax_align import lab
from evojax_align.lab.folder import read_arrays
from evojax_align.lab.study import cells_of
from experiments import stored
from experiments.stored import Kept

DIGITS = 1e-5
"""How far stored numbers and recomputed ones may differ, relatively; tables hold six digits."""
CLOSE, SHARE = 1e-3, 0.9
"""Another machine adds in another order, which can turn choices between nearly equal values, such as the partners of
CCA: at least this share of the values of an array must be this close."""


def main(argv: Sequence[str] | None = None) -> int:
    """Check, print; 1 if something does not agree."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", default="", help="STUDY or STUDY/RUN; by default all")
    parser.add_argument("--cells", type=int, default=0, help="how many cells of each run are run again")
    parser.add_argument("--data-dir", help="folder with data sets")
    parser.add_argument("--write", action="store_true", help="store what follows from the arrays, which must be intact")
    parser.add_argument("--folder", type=Path, default=stored.HERE, help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    try:
        found = stored.chosen(arguments.what, arguments.folder)
        wrong = sum(not checked(name, run, arguments) for name, run in found)
    except (ValueError, FileNotFoundError) as error:
        print(f"recompute: {error}", file=sys.stderr)
        return 2
    return 1 if wrong else 0


def checked(name: str, run: Kept, arguments: argparse.Namespace) -> bool:
    """Whether one stored run agrees with its arrays, and with cells that are run again."""
    path = arguments.folder / name / "results" / f"{run.name}.npz"
    if not path.is_file():
        print(f"{name}/{run.name}: arrays not kept")
        return True
    right = judged_again(name, run, path, write=arguments.write)
    if arguments.cells:
        right &= run_again(name, run, path, arguments.cells, arguments.data_dir)
    return right


def judged_again(name: str, run: Kept, path: Path, *, write: bool = False) -> bool:
    """Whether claims and tables follow from the stored arrays; with `write`, those that follow are stored."""
    found = json.loads(json.dumps(stored.study_of(name).judge(read_arrays(path), run.record)))
    different = list(differences(found, run.results, ""))
    claims, tables = len(found["claims"]), len(found["tables"])
    if different:
        print(f"{name}/{run.name}: {len(different)} differences, the first: {different[0]}")
        if write:
            (path.parent / f"{run.name}.json").write_text(json.dumps(found, indent=1) + "\n")
            print(f"{name}/{run.name}: stored anew; run `python -m experiments.store` to write the pages")
            return True
    else:
        print(f"{name}/{run.name}: {claims} claims and {tables} tables follow from the stored arrays")
    return not different


def differences(x: Any, y: Any, where: str) -> Iterator[str]:
    """Where two JSON values differ."""
    if isinstance(x, Mapping) and isinstance(y, Mapping):
        for key in [*x, *(key for key in y if key not in x)]:
            yield from differences(x.get(key), y.get(key), f"{where}/{key}")
    elif isinstance(x, list) and isinstance(y, list) and len(x) != len(y):
        yield f"{where}: {len(x)} entries now, {len(y)} stored"
    elif isinstance(x, list) and isinstance(y, list):
        for number, (one, other) in enumerate(zip(x, y, strict=True)):
            yield from differences(one, other, f"{where}/{number}")
    elif isinstance(x, int | float) and isinstance(y, int | float):
        if not np.isclose(x, y, rtol=DIGITS, atol=1e-9):
            yield f"{where}: {x} now, {y} stored"
    elif x != y:
        yield f"{where}: {x!r} now, {y!r} stored"


def run_again(name: str, run: Kept, path: Path, count: int, data_dir: str | None) -> bool:
    """Whether the first cells, run again from the seed, give the stored arrays."""
    study, record = stored.study_of(name), run.record
    settings = {k: tuple(v) if isinstance(v, list) else v for k, v in record["configuration"].items()}
    config = type(study.presets[record["preset"]][0])(**settings)
    with tempfile.TemporaryDirectory() as folder:
        out = str(Path(folder) / "again")
        flags = ["--preset", record["preset"], "--quiet"] + (["--data-dir", data_dir] if data_dir else [])
        for key, value in settings.items():
            flags += [f"--{key}", str(value)] if key in stored.NOT_SETTINGS else ["--set", f"{key}={value!r}"]
        for number, cell in enumerate(cells_of(study, config)[:count]):
            where = ["--out", out] if number == 0 else ["--resume", out]
            tail = ["--data-dir", data_dir] if data_dir else []
            chosen = ["--cells", cell.name]
            with contextlib.redirect_stdout(io.StringIO()):
                code = lab.main(study, [*(flags if number == 0 else ["--quiet", *tail]), *where, *chosen])
            if code:
                return False
        with contextlib.redirect_stdout(io.StringIO()):
            lab.main(study, ["--merge", out])
        again = read_arrays(Path(out) / "arrays" / "results.npz")
    return compared(f"{name}/{run.name}, {count} cells again", again, read_arrays(path))


def compared(title: str, again: Mapping[str, np.ndarray], kept: Mapping[str, np.ndarray]) -> bool:
    """Whether the known values of some arrays are those that are stored. Arrays of fewer cells may be shorter."""
    total = equal = 0
    apart = []
    for name, values in again.items():
        if name not in kept or values.ndim != kept[name].ndim:
            apart.append(name)
            continue
        common = tuple(slice(0, min(sizes)) for sizes in zip(values.shape, kept[name].shape, strict=True))
        x, y = values[common], kept[name][common]
        if values.dtype.kind not in "fiub":
            if not np.array_equal(x, y):
                apart.append(name)
            continue
        known = np.isfinite(x)
        x, y = x[known].astype(float), y[known].astype(float)
        total, equal = total + x.size, equal + int(np.sum(x == y))
        if x.size and np.mean(np.isclose(x, y, rtol=CLOSE, atol=CLOSE * np.nanmax(np.abs(y), initial=0))) < SHARE:
            apart.append(name)
    print(f"{title}: {total} values, {equal} equal; arrays that differ: {', '.join(apart) or 'none'}")
    return total > 0 and not apart


if __name__ == "__main__":
    sys.exit(main())
