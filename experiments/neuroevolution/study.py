"""The cells of the study: a pair of champions in part 1, a block of seeds of one population in part 2."""

import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from evojax_align import lab
from evojax_align._types import Array, PyTree
from evojax_align.data import Dataset
from experiments.neuroevolution import evolving, transfer
from experiments.neuroevolution.arms import ARMS, Arm
from experiments.neuroevolution.config import METHODS, Config, interval, known, points, populations
from experiments.neuroevolution.tasks import TASKS, Judge
from experiments.neuroevolution.tuned import setting

CROSSING = "transfer: "
"""The beginning of the names of cells of part 1."""
CHAMPION = "mutation only"
"""The arm from which champions come: each order of neurons is then that of one lineage."""
FIRST = ("naive", "aligned")
SECONDS = Path(__file__).parent / "seconds.json"
SHARES = ("score", "unrelated")


def cells(config: Config) -> list[lab.Cell]:
    """Those of the primary claims first: part 1, the arms that are compared, all other arms, and then factors."""
    pairs = [lab.Cell(CROSSING + task, pair) for pair in range(config.pairs) for task in known(config.transfer)]
    arms = populations(config)

    def rank(name: str) -> int:
        own = arms[name][1]
        return 0 if own in FIRST else 1 if own in ARMS else 2

    blocks = range(config.repeats // config.block)
    return pairs + [lab.Cell(arm, block) for arm in sorted(arms, key=rank) for block in blocks]


class Problem:
    """Data, tasks and algorithms of a run, made once so that all cells share compiled programs."""

    def __init__(self, config: Config, data: Dataset) -> None:
        self.config, self.data = config, data
        self._judges: dict[tuple[str, int], Judge] = {}
        self._algorithms: dict[tuple[str, Arm], Any] = {}

    @cached_property
    def arms(self) -> dict[str, tuple[str, str, Arm]]:
        """The populations of part 2."""
        return populations(self.config)

    def judge(self, task: str, width: int = 0) -> Judge:
        """A task with a network of some width."""
        width = width or (self.config.width if TASKS[task].control else 0)
        if (task, width) not in self._judges:
            self._judges[task, width] = Judge(task, self.data, width)
        return self._judges[task, width]

    def algorithm(self, task: str, arm: Arm) -> Any:
        """The algorithm of an arm; None if it needs a package that is missing."""
        if TASKS[task].missing:
            return None
        if (task, arm) not in self._algorithms:
            judge = self.judge(task, arm.width)
            settings = {"size": self.config.size if TASKS[task].control else 0, "matcher": self.config.matcher}
            self._algorithms[task, arm] = evolving.algorithm(judge, arm, setting(task, arm.tuned), **settings)
        return self._algorithms[task, arm]

    def keys(self, name: str, seeds: Any) -> Array:
        """The random keys of some seeds; those of all arms of a task are the same."""
        key = jax.random.fold_in(jax.random.key(self.config.seed), list(TASKS).index(name))
        return jax.vmap(lambda seed: jax.random.fold_in(key, seed))(jnp.asarray(np.asarray(seeds, np.int32)))

    def evolved(
        self, run: lab.Run, title: str, task: str, arm: Arm, keys: Array, points: int
    ) -> tuple[PyTree, dict[str, np.ndarray], Any] | None:
        """The last states of a population, one for each key, and curves [seeds, 1 + points], founders first."""
        found = self.algorithm(task, arm)
        if found is None:
            return None
        judge = self.judge(task, arm.width)
        generations = evolving.generations_between(found, interval(self.config, task))

        def step(number: int, state: dict[str, Any]) -> tuple[dict[str, Any], dict[str, float]]:
            states, told = evolving.advance(
                found, judge, generations, keys, state["states"], judge.data, judge.held_out
            )
            curves = state["curves"]
            for name in SHARES:
                curves[name][:, number + 1] = np.asarray(told[name])
            return {"states": states, "curves": curves}, {"score": float(curves["score"][:, number + 1].mean())}

        curves = {name: np.full((len(keys), points + 1), np.nan, np.float32) for name in SHARES}
        states = evolving.begin(found, keys, judge.data)
        curves["score"][:, 0] = np.asarray(evolving.founding(found, judge, keys, states, judge.held_out))
        curves["unrelated"][:, 0] = 1.0
        start = {"states": states, "curves": curves}
        last = run.loop(title, start, step, total=points)
        return last["states"], last["curves"], found


def run(problem: Problem, cell: lab.Cell, run: lab.Run) -> dict[str, np.ndarray]:
    """One cell."""
    if cell.arm.startswith(CROSSING):
        return run_pair(problem, cell, run)
    config = problem.config
    task, _, arm = problem.arms[cell.arm]
    keys = problem.keys(task, cell.seed * config.block + np.arange(config.block))
    found = problem.evolved(run, "evolution", task, arm, keys, points(config, task, config.budget))
    if found is None:
        run.say(f"{cell.arm}: left out, because {TASKS[task].needs or 'evosax'} is not installed")
        return unknown(config, cell) | {"left_out": np.ones(config.block, np.float32)}
    return found[1] | {"left_out": np.zeros(config.block, np.float32)}


def run_pair(problem: Problem, cell: lab.Cell, run: lab.Run) -> dict[str, np.ndarray]:
    """The champions of two seeds that no other pair has, crossed."""
    task = cell.arm.removeprefix(CROSSING)
    keys = problem.keys(task, 10_000 + 2 * cell.seed + np.arange(2))
    found = problem.evolved(
        run, "champions", task, ARMS[CHAMPION], keys, points(problem.config, task, problem.config.champions)
    )
    if found is None:
        run.say(f"{cell.arm}: left out, because {TASKS[task].needs} is not installed")
        return unknown(problem.config, cell)
    states, _, algorithm = found
    champions = jax.vmap(algorithm.fittest)(states)
    judge, key = problem.judge(task), jax.random.fold_in(keys[0], 1)
    with run.phase("crossing"):
        return transfer.plain(transfer.crossed(judge, problem.config.children, key, champions, judge.held_out))


def unknown(config: Config, cell: lab.Cell) -> dict[str, np.ndarray]:
    """The arrays of a cell before anything is known."""
    if cell.arm.startswith(CROSSING):
        shapes: dict[str, tuple[int, ...]] = {"parents": (2,), "dead": ()}
        shapes |= {name: (len(METHODS),) for name in ("halfway", "exchanged")}
    else:
        task = populations(config)[cell.arm][0]
        shapes = {name: (config.block, points(config, task, config.budget) + 1) for name in SHARES} | {
            "left_out": (config.block,)
        }
    return {name: np.full(shape, np.nan, np.float32) for name, shape in shapes.items()}


def merge(config: Config, found: Mapping[lab.Cell, Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The arrays of the study: [tasks, pairs, ...] of part 1, and [arms, seeds, points] of part 2."""
    everything = {cell: found.get(cell) or unknown(config, cell) for cell in cells(config)}
    arms = populations(config)
    merged: dict[str, Any] = {
        "methods": METHODS,
        "transfer_tasks": known(config.transfer),
        "arms": list(arms),
        "tasks": [task for task, *_ in arms.values()],
        "names": [name for _, name, _ in arms.values()],
        "seconds": [seconds_of(task, name) for task, name, _ in arms.values()],
    }
    merged["every"] = [float(interval(config, task)) for task, *_ in arms.values()]
    for name in ("floor", "top", "threshold"):
        merged[name] = [float(getattr(TASKS[task], name)) for task, *_ in arms.values()]
    for name in ("floor", "top"):
        merged[f"transfer_{name}"] = [float(getattr(TASKS[task], name)) for task in known(config.transfer)]
    arrays = {name: np.array(value) for name, value in merged.items()}
    parts = [[cell for cell in everything if cell.arm.startswith(CROSSING) == first] for first in (True, False)]
    for first, part in zip((True, False), parts, strict=True):
        if part:
            stacked = lab.by_arm(part, {cell: everything[cell] for cell in part})
            names = [CROSSING + task for task in known(config.transfer)] if first else list(arms)
            order = [list(dict.fromkeys(cell.arm for cell in part)).index(name) for name in names]
            for name, values in stacked.items():
                values = values[order]
                arrays[name] = values if first else values.reshape(len(arms), config.repeats, *values.shape[3:])
    return arrays


def seconds_of(task: str, name: str) -> float:
    """Seconds of one evaluation, by the stored table; NaN where none was measured."""
    table = json.loads(SECONDS.read_text())["seconds"] if SECONDS.is_file() else {}
    return float(table.get(task, {}).get(name, np.nan))
