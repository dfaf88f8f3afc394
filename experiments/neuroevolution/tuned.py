"""Mutation scale and crossover rate of each arm on each task, and the command that chooses them.

python -m experiments.neuroevolution.tuned --task digits swing-up      # prints the entries of `TUNED`

Each arm is run with each pair of settings of `GRID`, on the same seeds, which are not those of the study, and scored on
validation data or fresh episodes. The pair of the largest mean area under the curve is taken. Arms without crossover
and strategies have no crossover rate; all have the same scales.
"""

import argparse
import itertools
import sys
from collections.abc import Sequence

GRID = {"scale": (0.03, 0.1, 0.3), "rate": (0.5, 1.0)}
SEEDS, SHARE = 3, 0.2
"""Seeds of each pair of settings, and the share of a task's evaluations that they get."""
OFFSET = 20_000
"""The first of these seeds."""
DEFAULT = (0.1, 1.0)
TUNED: dict[str, dict[str, tuple[float, float]]] = {
    "digits": {
        "mutation only": (0.03, 1.0),
        "naive": (0.1, 0.5),
        "aligned": (0.03, 0.5),
        "aligned by weights": (0.3, 1.0),
        "random order": (0.1, 0.5),
    },
    "swing-up": {
        "mutation only": (0.3, 1.0),
        "naive": (0.3, 1.0),
        "aligned": (0.3, 0.5),
    },
}
"""By task and arm: mutation scale and crossover rate."""
PUBLISHED = {"M2N2": (0.01, 1.0)}
"""Of all arms of tasks whose settings are another paper's."""


def setting(task: str, arm: str) -> tuple[float, float]:
    """Mutation scale and crossover rate of an arm."""
    return PUBLISHED.get(task) or TUNED.get(task, {}).get(arm, DEFAULT)


def main(argv: Sequence[str] | None = None) -> int:
    """Tune, and print."""
    import jax
    import numpy as np

    from evojax_align import data
    from experiments.neuroevolution import evolving
    from experiments.neuroevolution.arms import ARMS
    from experiments.neuroevolution.config import Config, points
    from experiments.neuroevolution.study import Problem

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", nargs="+", default=["digits", "swing-up", "double pole", "acrobot"])
    parser.add_argument("--arm", nargs="+", default=list(ARMS))
    parser.add_argument("--dataset", default="digits")
    parser.add_argument("--data-dir")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--share", type=float, default=SHARE)
    arguments = parser.parse_args(argv)
    problem = Problem(Config(dataset=arguments.dataset), data.load(arguments.dataset, data_dir=arguments.data_dir))
    for task in arguments.task:
        judge = problem.judge(task)
        keys = problem.keys(task, OFFSET + np.arange(arguments.seeds))
        for name in arguments.arm:
            arm, found = ARMS[name], {}
            crosses = arm.crossover != "none" and not arm.strategy
            for scale, rate in itertools.product(GRID["scale"], GRID["rate"] if crosses else (1.0,)):
                algorithm = evolving.algorithm(judge, arm, (scale, rate))
                if algorithm is None:
                    break
                every = evolving.generations_between(algorithm, judge.task.every)
                states, scores = evolving.begin(algorithm, keys, judge.data), []
                for _ in range(points(problem.config, task, arguments.share)):
                    states, told = evolving.advance(algorithm, judge, every, keys, states, judge.data, judge.kept)
                    scores.append(np.asarray(told["score"]))
                found[scale, rate] = float(np.mean(scores))
                print(f"# {task}, {name}, {scale}, {rate}: {found[scale, rate]:.4g}", file=sys.stderr, flush=True)
                jax.clear_caches()
            if found:
                print(f'    "{task}": "{name}": {max(found, key=lambda pair: found[pair])},', flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
