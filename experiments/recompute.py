"""Do some pairs of a kept study of safe crossover again, from the seed and their numbers alone, and compare.

python experiments/recompute.py --preset paper --dataset mnist --data-dir DIR --first 60 --pairs 10
"""

import argparse
import contextlib
import io
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import safe_crossover  # pyright: ignore[reportImplicitRelativeImport]

RESULTS = Path(__file__).parent / "results"
TABLE = "loss of each pair at t=.5"
CLOSE = 1e-3
"""How far losses may differ, relatively: other machines add in other orders."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run, compare, print; 1 if they do not agree."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="demo")
    parser.add_argument("--dataset", default="digits")
    parser.add_argument("--data-dir")
    parser.add_argument("--first", type=int, default=0, help="number of the first pair")
    parser.add_argument("--pairs", type=int, default=10)
    arguments = parser.parse_args(argv)
    kept = rows(RESULTS / f"safe_crossover-{arguments.preset}-{arguments.dataset}.json")
    chosen = {"first": 2 * arguments.first, "networks": 2 * arguments.pairs}
    flags = ["--preset", arguments.preset, "--dataset", arguments.dataset]
    flags += [part for name, value in chosen.items() for part in ("--set", f"{name}={value}")]
    flags += ["--data-dir", arguments.data_dir] if arguments.data_dir else []
    with tempfile.TemporaryDirectory() as folder:
        with contextlib.redirect_stdout(io.StringIO()):
            code = safe_crossover.main([*flags, "--out", folder])
        if code:
            return code
        again = rows(Path(folder) / "results.json")
    losses = [(value, kept[pair][name]) for pair, row in again.items() for name, value in row.items()]
    equal, most = sum(x == y for x, y in losses), max(abs(x - y) / y for x, y in losses)
    numbers = sorted({pair for _, pair in again})
    print(f"pairs {numbers[0]} to {numbers[-1]}: {len(losses)} losses, {equal} equal, largest difference {most:.1e}")
    return 0 if most < CLOSE else 1


def rows(path: Path) -> dict[tuple[str, int], dict[str, float]]:
    """The losses of a study by mode and pair."""
    table = json.loads(path.read_text())["tables"][TABLE]
    return {(row.pop("mode"), row.pop("pair")): row for row in table}


if __name__ == "__main__":
    sys.exit(main())
