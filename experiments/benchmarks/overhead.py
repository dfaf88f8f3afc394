"""What the lab costs: the demo with checkpoints, log and progress, against the same steps in a bare loop.

python -m experiments.benchmarks.overhead
"""

import argparse
import dataclasses
import sys
import tempfile
from collections.abc import Callable, Mapping
from typing import Any, SupportsFloat

from evojax_align import lab
from evojax_align.data import load
from experiments.benchmarks.timing import compare
from experiments.safe_crossover.__main__ import STUDY


class Bare(lab.Run):
    """A run that only repeats its steps."""

    def loop(
        self,
        name: str,
        state: Any,
        step: Callable[[int, Any], tuple[Any, Mapping[str, SupportsFloat]]],
        *,
        total: int,
        done: Callable[[Any], bool] = lambda state: False,
        build: Callable[[dict[str, Any]], Any] | None = None,
        shared: bool = False,
    ) -> Any:
        """No checkpoint, no log, no bar."""
        number = 0
        while number < total and not done(state):
            state, _ = step(number, state)
            number += 1
        return state


def main(argv: list[str] | None = None) -> int:
    """Run the demo both ways in turns, and print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--checkpoint-every", type=float, default=30.0)
    arguments = parser.parse_args(argv)
    config = dataclasses.replace(STUDY.presets["demo"][0], patience=40)
    problem = STUDY.prepare(config, load(config.dataset, seed=config.seed))
    with tempfile.TemporaryDirectory() as parent:

        def demo(kind: type[lab.Run], **settings: Any) -> Any:
            run = kind(lab.RunFolder.create(tempfile.mkdtemp(dir=parent), "demo"), **settings)
            found = []
            for cell in STUDY.cells(config):
                run.begin(cell)
                found.append(STUDY.run(problem, cell, run))
            return found

        every = arguments.checkpoint_every
        found = compare(lambda: demo(Bare), lambda: demo(lab.Run, every=every), repeats=arguments.repeats)
    median, low, high = (100 * (ratio - 1) for ratio in (found.ratio, *found.spread))
    print(f"bare {found.ours:.3f} s, with the lab {found.peer:.3f} s (medians of {arguments.repeats})")
    print(f"overhead {median:+.1f} % (median of ratios; {low:+.1f} to {high:+.1f} %)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
