"""One cell of the study: graphs that evolve, or a network that is pruned, and the measures of the result."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from evojax_align import lab
from evojax_align._types import Array
from evojax_align.data import Dataset
from evojax_align.evolution import WannState, express
from evojax_align.evolution.selection import failed_last
from evojax_align.evolution.tasks import SwingUp
from evojax_align.evolution.wann.graph import Graph
from experiments.common import on_one_device
from experiments.wann.config import PRUNED, SWING, Config
from experiments.wann.images import Images
from experiments.wann.swing import Swing

COURSES = ("mean", "largest", "judged", "connections", "hidden", "layers")
"""Of the fittest member of each generation; the first two on the samples of that generation."""


class Problem:
    """The tasks, and the compiled programs of their searches, that all cells share."""

    def __init__(self, config: Config, sets: Sequence[Dataset]) -> None:
        self.config = config
        self._images = Images(config, sets) if set(config.arms) != {SWING} else None
        self._swing = Swing(config)
        self.told = cache(self._told)

    @property
    def images(self) -> Images:
        """The tasks with images."""
        assert self._images is not None, "a run of swing-up alone has no images"
        return self._images

    def of(self, arm: str) -> Images | Swing:
        """The task of an arm."""
        return self._swing if arm == SWING else self.images

    def _told(self, arm: str) -> Any:
        """A program from a generation and a key to its fittest member and what is kept of it, as `COURSES`."""

        @jax.jit
        def told(colony: WannState, key: Array) -> tuple[Graph, Array]:
            best, place = colony.fittest, jnp.argmax(failed_last(colony.mean))
            judged = jnp.mean(self.of(arm).judged(arm, best, key))
            numbers = (colony.mean[place], jnp.max(colony.rewards[place]), judged, best.connections, best.hidden)
            return best, jnp.stack([jnp.asarray(of, jnp.float32) for of in (*numbers, jnp.max(best.layer))])

        return told


def cells(config: Config) -> list[lab.Cell]:
    """Arm by arm of each seed."""
    return [lab.Cell(arm, seed) for seed in range(config.repeats) for arm in config.arms]


def run(problem: Problem, cell: lab.Cell, run: lab.Run) -> dict[str, np.ndarray]:
    """All measures of one cell; arms of one seed begin with the same keys."""
    arm, task = cell.arm, problem.of(cell.arm)
    key = jax.random.fold_in(jax.random.key(problem.config.seed), cell.seed)
    key_search, key_judge, key_measure = jax.random.split(key, 3)
    if arm == PRUNED:
        return problem.images.pruned(run, key_search)
    found = evolve(problem, arm, run, key_search, key_judge)
    measures = task.measured(run, arm, found["champion"], (key_judge, key_measure))
    network = express(found["champion"], task.search(arm, problem.config.hidden).activations)
    kinds = [""] * (network.inputs + 1) + [kind for layer in network.layers for kind in layer]
    edges = np.stack([network.source, network.target], axis=1)
    graph = {"graph_layer": network.layer, "graph_edges": edges, "graph_kinds": np.array(kinds)}
    sizes = {"connections": network.connections, "layers": len(network.layers)}
    sizes["hidden"] = network.nodes - network.inputs - 1 - network.outputs
    courses = {f"course_{name}": course for name, course in found["courses"].items()}
    return {**measures, **courses, **graph, "record": found["record"], **{n: np.array(of) for n, of in sizes.items()}}


def evolve(problem: Problem, arm: str, run: lab.Run, key: Array, key_judge: Array) -> dict[str, Any]:
    """A whole search: its last generation, its champion, and the course of what was measured."""
    config, task = problem.config, problem.of(arm)

    def step(number: int, state: dict[str, Any]) -> tuple[dict[str, Any], dict[str, float]]:
        own, algorithm, full = jax.random.fold_in(key, number), task.search(arm, capacity(state["colony"])), False
        if number:
            colony, info = on_one_device(algorithm.step(own, state["colony"], task.data(arm)))
            full = int(info.full) > 0
        else:
            colony = algorithm.init(own, task.data(arm))
        best, numbers = problem.told(arm)(colony, key_judge)
        courses = {name: course.copy() for name, course in state["courses"].items()}
        for name, value in zip(COURSES, np.asarray(numbers), strict=True):
            courses[name][number] = value
        told = {name: float(courses[name][number]) for name in ("judged", "connections")}
        better = told["judged"] > state["record"]
        if full:
            larger, colony = algorithm.enlarged(colony, hidden=2 * algorithm.hidden)
            was, now = (f"{of.hidden} hidden nodes and {of.capacity} genes" for of in (algorithm, larger))
            run.say(f"{arm}: a graph is full at generation {number}, {was}; {now} from here on")
        new = {"colony": colony, "courses": courses, "champion": best if better else state["champion"]}
        record = np.array(told["judged"]) if better else state["record"]
        return new | {"record": record}, told | {"capacity": capacity(colony)}

    empty = task.search(arm, config.hidden).empty()
    start = {"colony": empty, "champion": empty.fittest, "record": np.array(-np.inf)}
    start["courses"] = {name: np.full(config.generations, np.nan, np.float32) for name in COURSES}
    return run.loop("search", start, step, total=config.generations, build=built)


def capacity(colony: WannState) -> int:
    """The largest number of hidden nodes."""
    return colony.members.event.shape[-1]


def built(tree: dict[str, Any]) -> dict[str, Any]:
    """The state of a search from dictionaries of arrays."""

    def graph(leaves: Mapping[str, np.ndarray]) -> Graph:
        return Graph(**{name: jnp.asarray(leaf) for name, leaf in leaves.items()})

    colony = {name: jnp.asarray(tree["colony"][name]) for name in ("rewards", "generation")}
    members, courses = graph(tree["colony"]["members"]), {name: np.array(of) for name, of in tree["courses"].items()}
    new = {"colony": WannState(members, **colony), "champion": graph(tree["champion"])}
    return new | {"record": np.array(tree["record"]), "courses": courses}


def merge(config: Config, found: Mapping[lab.Cell, lab.Arrays]) -> dict[str, np.ndarray]:
    """The arrays of all finished cells, [arms, seeds, ...]; of graphs and rollouts those of each arm's best seed."""
    drawn = ("graph_", "pole_")
    names = dict.fromkeys(name for of in found.values() for name in of if not name.startswith(drawn))
    arrays = {name: of.astype(np.float32) for name, of in lab.by_arm(cells(config), found, list(names)).items()}
    for arm in config.arms:
        seeds = [of for cell, of in found.items() if cell.arm == arm and "record" in of]
        if seeds:
            best = max(seeds, key=lambda of: float(of["record"]))
            arrays |= {f"{name} {arm}": of for name, of in best.items() if name.startswith(drawn)}
    task = SwingUp()
    settings = {"arms": config.arms, "sets": (config.dataset, config.second), "values": config.values}
    settings |= {"limit": task.limit, "interval": task.interval}
    return arrays | {name: np.array(value) for name, value in settings.items()}
