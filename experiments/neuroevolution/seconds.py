"""Seconds of one evaluation of each arm, measured in one process in turns.

python -m experiments.neuroevolution.seconds --task digits swing-up      # writes them into seconds.json

All programs are compiled and run once before. Then each arm runs a few generations in turn, again and again, and the
median of its turns counts. A run takes its scores at equal seconds from this table when it is merged, so that equal
runs stay equal files.
"""

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from evojax_align import data
from evojax_align.lab.checkpoint import write
from experiments.neuroevolution import evolving
from experiments.neuroevolution.arms import ARMS, Arm, factors
from experiments.neuroevolution.config import Config
from experiments.neuroevolution.study import SECONDS, Problem
from experiments.neuroevolution.tasks import TASKS

TURNS, SEEDS = 7, 2
OFFSET = 30_000
"""The first of the seeds that are timed."""


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", nargs="+", default=["digits", "swing-up", "double pole", "acrobot"])
    parser.add_argument("--arm", nargs="+", default=list(ARMS))
    parser.add_argument("--factors", action="store_true", help="their arms too")
    parser.add_argument("--dataset", default="digits")
    parser.add_argument("--data-dir")
    parser.add_argument("--turns", type=int, default=TURNS)
    arguments = parser.parse_args(argv)
    problem = Problem(Config(dataset=arguments.dataset), data.load(arguments.dataset, data_dir=arguments.data_dir))
    known = json.loads(SECONDS.read_text()) if SECONDS.is_file() else {"seconds": {}, "made": {}}
    for task in arguments.task:
        arms = {name: ARMS[name] for name in arguments.arm}
        if arguments.factors:
            groups = factors(TASKS[task].width, TASKS[task].children)
            arms |= {name: arm for group in groups.values() for name, arm in group.items()}
        known["seconds"][task] = known["seconds"].get(task, {}) | measured(problem, task, arms, arguments.turns)
        load = [round(value, 2) for value in os.getloadavg()]
        device = jax.devices()[0].device_kind
        known["made"][task] = {"device": device, "cores": os.cpu_count(), "load": load, "jax": jax.__version__}
        text = json.dumps(known, indent=1)
        write(SECONDS, lambda file, text=text: file.write((text + "\n").encode()))
        for name, seconds in known["seconds"][task].items():
            print(f"{task}: {name}: {1000 * seconds:.3f} ms an evaluation", flush=True)
    return 0


def measured(problem: Problem, task: str, arms: dict[str, Arm], turns: int) -> dict[str, float]:
    """Seconds of one evaluation of each arm of a task."""
    keys, running = problem.keys(task, OFFSET + np.arange(SEEDS)), {}
    for name, arm in arms.items():
        algorithm = problem.algorithm(task, arm)
        if algorithm is not None:
            judge = problem.judge(task, arm.width)
            every = evolving.generations_between(algorithm, judge.task.every)
            states = evolving.begin(algorithm, keys, judge.data)
            running[name] = advanced(judge, algorithm, every, keys, states)
    spent: dict[str, list[float]] = {name: [] for name in running}
    for _ in range(turns):
        for name, (judge, algorithm, every, keys, states) in running.items():
            begun = time.perf_counter()
            running[name] = advanced(judge, algorithm, every, keys, states)
            spent[name].append((time.perf_counter() - begun) / (judge.task.every * SEEDS))
    return {name: float(f"{statistics.median(values):.4g}") for name, values in spent.items()}


def advanced(judge: Any, algorithm: Any, every: int, keys: Any, states: Any) -> tuple:
    """An algorithm some generations later."""
    states, _ = evolving.advance(algorithm, judge, every, keys, states, judge.data, judge.held_out)
    return judge, algorithm, every, keys, jax.block_until_ready(states)


if __name__ == "__main__":
    sys.exit(main())
