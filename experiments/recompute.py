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
from typing import TypeAlias

sys.path.insert(0, str(Path(__file__).parent))

import safe_crossover  # pyright: ignore[reportImplicitRelativeImport]

Rows: TypeAlias = dict[tuple[str, int], dict[str, float]]
"""By mode and pair, the loss of every method."""
RESULTS = Path(__file__).parent / "results"
TABLE = "loss of each pair at t=.5"
CLOSE = 1e-3
"""How far losses may differ, relatively: other machines add in other orders."""
UNSTABLE = ("cca", "svcca")
"""Methods that rounding alone sends to other partners; on the same machine they agree as well."""


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
    if missing := sorted({pair for _, pair in again} - {pair for _, pair in kept}):
        print(f"recompute: the kept study has no pairs {missing}", file=sys.stderr)
        return 2
    found = {group: compared(again, kept, group) for group in ("stable", "unstable")}
    numbers = sorted({pair for _, pair in again})
    for group, methods in (("stable", "all methods but CCA"), ("unstable", "CCA, which rounding alone moves")):
        count, equal, most = found[group]
        print(f"pairs {numbers[0]} to {numbers[-1]}, {methods}: {count} losses, {equal} equal, within {most:.1e}")
    return 0 if found["stable"][2] < CLOSE else 1


def compared(again: Rows, kept: Rows, group: str) -> tuple[int, int, float]:
    """The number of losses, of those that are equal, and the largest relative difference."""
    losses = [
        (value, kept[pair][name])
        for pair, row in again.items()
        for name, value in row.items()
        if (name in UNSTABLE) == (group == "unstable")
    ]
    return len(losses), sum(x == y for x, y in losses), max(abs(x - y) / y for x, y in losses)


def rows(path: Path) -> Rows:
    """The losses of a study by mode and pair."""
    table = json.loads(path.read_text())["tables"][TABLE]
    return {(row.pop("mode"), row.pop("pair")): row for row in table}


if __name__ == "__main__":
    sys.exit(main())
