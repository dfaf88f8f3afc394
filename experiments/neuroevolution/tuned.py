"""Mutation scale and crossover rate of each arm on each task, and the command that chooses them.

python -m experiments.neuroevolution.tuned      # prints the entries of `TUNED`

Each arm is run with each scale of `GRID` at a crossover rate of 1, then with the other rate at the best scale. All use
the same seeds, which are not those of the study, and are scored on validation data or fresh episodes. The settings of
the largest mean area under the curve are taken. Arms without crossover and strategies have no crossover rate; all have
the same scales.
"""

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from experiments.neuroevolution.arms import ARMS, Arm
from experiments.neuroevolution.tasks import SUPERVISED

GRID = {"scale": (0.03, 0.1, 0.3), "rate": (1.0, 0.5)}
SEEDS, SHARE = 3, 0.2
"""Seeds of each pair of settings, and the share of a task's evaluations that they get."""
OFFSET = 20_000
"""The first of these seeds."""
DEFAULT = (0.1, 1.0)
TUNED: dict[str, dict[str, tuple[float, float]]] = {
    "digits": {
        "mutation only": (0.03, 1.0),
        "naive": (0.1, 0.5),
        "aligned": (0.1, 1.0),
        "aligned by weights": (0.3, 1.0),
        "random order": (0.03, 1.0),
        "OpenAI-ES": (0.3, 1.0),
        "sep-CMA-ES": (0.1, 1.0),
    },
    "swing-up": {
        "mutation only": (0.3, 1.0),
        "naive": (0.3, 1.0),
        "aligned": (0.3, 0.5),
        "aligned by weights": (0.3, 0.5),
        "random order": (0.1, 0.5),
        "aligned, safe mutation": (0.03, 0.5),
        "OpenAI-ES": (0.1, 1.0),
        "sep-CMA-ES": (0.1, 1.0),
    },
}
"""By task and arm: mutation scale and crossover rate. Other tasks take those of "digits" where networks classify, and
those of "swing-up" where they control. Safe mutation has the default on digits: an evaluation takes some ten times as
long as another there."""
PUBLISHED = {"M2N2": (0.01, 1.0)}
"""Of all arms of tasks whose settings are another paper's."""


def setting(task: str, arm: str) -> tuple[float, float]:
    """Mutation scale and crossover rate of an arm."""
    kind = "digits" if task in SUPERVISED else "swing-up"
    return PUBLISHED.get(task) or TUNED[kind].get(arm, DEFAULT)


def main(argv: Sequence[str] | None = None) -> int:
    """Tune, and print."""
    import numpy as np

    from evojax_align import data
    from experiments.neuroevolution.config import Config
    from experiments.neuroevolution.study import Problem

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", nargs="+", default=list(TUNED))
    parser.add_argument("--arm", nargs="+", default=list(ARMS))
    parser.add_argument("--dataset", default="digits")
    parser.add_argument("--data-dir")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--share", type=float, default=SHARE)
    arguments = parser.parse_args(argv)
    problem = Problem(Config(dataset=arguments.dataset), data.load(arguments.dataset, data_dir=arguments.data_dir))
    seeds = OFFSET + np.arange(arguments.seeds)
    for task in arguments.task:
        for name in arguments.arm:
            arm = ARMS[name]
            if problem.algorithm(task, arm) is None:
                print(f"# {task}, {name}: left out, because a package is missing", file=sys.stderr, flush=True)
                continue
            first, *others = GRID["rate"] if arm.crossover != "none" and not arm.strategy else (1.0,)
            found = {}
            for scale in GRID["scale"]:
                found[scale, first] = tried(problem, task, arm, (scale, first), seeds, arguments.share)
            best, _ = max(found, key=lambda pair: found[pair])
            for rate in others:
                found[best, rate] = tried(problem, task, arm, (best, rate), seeds, arguments.share)
            for (scale, rate), value in found.items():
                print(f"# {task}, {name}, {scale}, {rate}: {value:.4g}", file=sys.stderr, flush=True)
            print(f'    "{task}": "{name}": {max(found, key=lambda pair: found[pair])},', flush=True)
    return 0


def tried(problem: Any, task: str, arm: Arm, settings: tuple[float, float], seeds: Any, share: float) -> float:
    """The mean area under the curve with a mutation scale and a crossover rate."""
    import jax
    import numpy as np

    from experiments.neuroevolution import evolving
    from experiments.neuroevolution.config import points

    judge, keys = problem.judge(task), problem.keys(task, seeds)
    algorithm = evolving.algorithm(judge, arm, settings, matcher=problem.config.matcher)
    every = evolving.generations_between(algorithm, judge.task.every)
    states, scores = evolving.begin(algorithm, keys, judge.data), []
    for _ in range(points(problem.config, task, share)):
        states, told = evolving.advance(algorithm, judge, every, keys, states, judge.data, judge.kept)
        scores.append(np.asarray(told["score"]))
    jax.clear_caches()  # no program is used again
    return float(np.mean(scores))


if __name__ == "__main__":
    sys.exit(main())
