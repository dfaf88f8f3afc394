"""How fast the core is beside its peers, measured in one run, and what it should reach.

    python -m experiments.benchmarks.core --out FILE

Each row does one thing in several ways, in turns (A B A B), and is written to FILE and printed as soon as it is known.
Rows whose first call matters start every way in fresh processes. Without FILE nothing is stored. PyTorch and lapx are
measured where they are installed. Leave the machine alone meanwhile; the load before each row is written beside it.
The exit status is 1 if a row failed.
"""

import argparse
import dataclasses
import json
import re
import sys
from pathlib import Path

import jax

from experiments.benchmarks.core import aligning, assigning, learning, measuring, scaling, statistics, weights
from experiments.benchmarks.core.scale import FULL, SMALL, Scale
from experiments.benchmarks.session import say

GROUPS = (
    statistics.single,
    statistics.pairs,
    weights.networks,
    aligning.first_calls,
    learning.training,
    statistics.rates,
    weights.chains,
    aligning.large,
    assigning.assignments,
    aligning.many,
    learning.sweep,
    scaling.costs,
    aligning.inference,
)
"""What makes the rows, in order of worth."""


def rows(scale: Scale, patterns: list[str]) -> list[measuring.Row]:
    """Those whose name holds any of the patterns; all without patterns."""
    found = [row for group in GROUPS for row in group(scale)]
    return [row for row in found if not patterns or any(re.search(p, row.name, re.IGNORECASE) for p in patterns)]


def main(argv: list[str] | None = None) -> int:
    """Measure, write and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--minutes", type=float, default=45.0, help="time limit (default: 45)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the rows to this JSON file")
    parser.add_argument("--small", action="store_true", help="tiny sizes in one process, to see that all rows work")
    parser.add_argument("--rows", nargs="+", default=[], metavar="PATTERN", help="regular expressions; all by default")
    parser.add_argument("--again", action="store_true", help="keep the other rows of FILE, which this machine measured")
    parser.add_argument("--list", action="store_true", help="print the names of the rows and stop")
    arguments = parser.parse_args(argv)
    chosen = rows(SMALL if arguments.small else FULL, arguments.rows)
    if arguments.small:
        chosen = [dataclasses.replace(row, goals=()) for row in chosen]  # which are for full sizes
    if arguments.list or not chosen:
        print("\n".join(row.name for row in chosen) or f"no row matches {' '.join(arguments.rows)}")
        return 0 if chosen else 2
    if arguments.again and not (arguments.out and arguments.out.is_file()):
        parser.error("argument --again: --out FILE has to be a file of an earlier run")
    settings = {"minutes": arguments.minutes, "small": arguments.small, "rows": arguments.rows}
    session = measuring.Session(
        arguments.out, arguments.minutes, settings, rest=0.0 if arguments.small else measuring.REST
    )
    if arguments.again:
        found = json.loads(arguments.out.read_text())
        if (machine := session.settings["machine"]) != found["settings"]["machine"]:
            parser.error(f"argument --again: {arguments.out} is of another machine or of other versions than {machine}")
        session.settings |= {name: found["settings"][name] for name in ("minutes", "rows")}
        session.kept = found["rows"]
    say(f"{len(chosen)} rows on {jax.devices()[0].device_kind}, JAX {jax.__version__}")
    failed = session.run(chosen)
    print(session.summary())
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
