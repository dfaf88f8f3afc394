"""Evaluations until double pole balancing is solved, by arms of the study `experiments.neuroevolution`.

python -m experiments.benchmarks.poles --out experiments/benchmarks/results/poles.json

With velocities it is solved by a network that keeps the poles up for 100 000 steps; without them, by one that does so
and also keeps them up for 1000 steps from at least 200 of 625 starts (Gruau, Whitley & Pyeatt 1996). After each
generation the fittest network is tested, which is the mean of a strategy, and the champion. These tests are not counted
as evaluations, as in the literature; founders are.

Arms of evosax need the extra `evosax` and are left out, by name, where it is missing. The numbers of the literature are
means over 50 runs, or more, of evaluations until the task is solved, with networks and stopping rules of their own.
"""

import argparse
import statistics
import sys
from typing import Any

import jax

from evojax_align import data, population
from evojax_align.lab.report import text_table
from experiments.benchmarks.timing import store
from experiments.neuroevolution import evolving
from experiments.neuroevolution.arms import ARMS
from experiments.neuroevolution.config import Config
from experiments.neuroevolution.study import Problem
from experiments.neuroevolution.tasks import TASKS

SEEN, HIDDEN = "double pole", "double pole, no velocities"
STEPS, STARTS = 100_000, 200
OFFSET = 40_000
"""The first of the seeds, which no other part of the study uses."""
LITERATURE = {
    "CNE": (22_100, 87_623),
    "SANE": (12_600, 451_612),
    "ESP": (3_800, 26_342),
    "NEAT": (3_600, 6_929),
    "CMA-ES": (895, 6_061),
    "CoSyNE": (954, 3_416),
}
"""Evaluations with and without velocities, the latter with the fitness of Gruau et al., of Gomez, Schmidhuber and
Miikkulainen 2008, JMLR 9, 937-965; not checked against a copy of the paper. Theirs without velocities ends at 100 000
steps and has no test of other starts."""


def main(argv: list[str] | None = None) -> int:
    """Evolve all arms with all seeds, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--arm", nargs="+", default=["mutation only", "naive", "aligned", "sep-CMA-ES"])
    parser.add_argument("--task", nargs="+", default=[SEEN, HIDDEN], choices=[SEEN, HIDDEN])
    parser.add_argument("--most", type=int, default=50_000, help="evaluations after which a seed counts as unsolved")
    parser.add_argument("--out")
    arguments = parser.parse_args(argv)
    problem, rows = Problem(Config(), data.load("digits")), []
    for name in arguments.task:
        for arm in arguments.arm:
            found = problem.algorithm(name, ARMS[arm])
            if found is None:
                print(f"{name}, {arm}: left out, because evosax is not installed", file=sys.stderr, flush=True)
                continue
            spent = [evaluations(problem, name, found, seed, arguments.most) for seed in range(arguments.seeds)]
            solved = [count for count in spent if count is not None]
            row = {"task": name, "arm": arm, "seeds": arguments.seeds, "solved": len(solved), "evaluations": spent}
            rows.append(row)
            print(f"{name}, {arm}: {len(solved)} of {len(spent)} solved, {spent}", file=sys.stderr, flush=True)
            jax.clear_caches()
    print(text_table(table(rows)))
    store(arguments.out, rows, {"most": arguments.most})
    return 0


def evaluations(problem: Problem, name: str, found: Any, seed: int, most: int) -> int | None:
    """How many networks were evaluated when the task was solved; None if it never was."""
    judge, control = problem.judge(name), TASKS[name].control
    assert isinstance(control, tuple)
    task, _ = control
    policy = judge.network if judge.recurrent else judge.network.apply
    keys = problem.keys(name, [OFFSET + seed])
    states = evolving.begin(found, keys, None)
    while (spent := int(states.evaluations[0])) < most:
        for network in (jax.vmap(found.fittest)(states), states.champion):
            if succeeds(task, policy, population.take(network, 0)):
                return spent
        states, _ = evolving.advance(found, judge, 1, keys, states, None, None)
    return None


def succeeds(task: Any, policy: Any, network: Any) -> bool:
    """Whether a network passes the test."""
    if int(task.balanced(policy, network, limit=1000)) < 1000:
        return False
    if not task.velocities and int(task.generalisation(policy, network).sum()) < STARTS:
        return False
    return int(task.balanced(policy, network, limit=STEPS)) == STEPS


def table(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Ours by task and arm, and the literature."""
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        solved = [count for count in row["evaluations"] if count is not None]
        cell = f"{statistics.mean(solved):.0f} ({row['solved']} of {row['seeds']} seeds)" if solved else "none solved"
        found.setdefault(f"ours, {row['arm']}", {})[row["task"]] = cell
    for name, (seen, hidden) in LITERATURE.items():
        found[f"{name}, Gomez et al. 2008"] = {SEEN: f"{seen}", HIDDEN: f"{hidden}"}
    return [
        {"method": name, "with velocities": cells.get(SEEN, "–"), "without velocities": cells.get(HIDDEN, "–")}
        for name, cells in found.items()
    ]


if __name__ == "__main__":
    sys.exit(main())
