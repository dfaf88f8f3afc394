"""The settings of `wann.py`, and its loop: graphs that evolve, all seeds generation by generation together."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from evojax_align import _checks, lab
from evojax_align._types import Array, PyTree
from evojax_align.evolution import Colony, Wann, express
from evojax_align.evolution.graph import Graph
from evojax_align.evolution.selection import failed_last


@dataclasses.dataclass(frozen=True)
class Arm:
    """A search: on which tasks, and how their losses become one."""

    tasks: tuple[int, ...] = (0,)
    scale: str = "sum"


ARMS = {
    "WANN": Arm(),
    "WANN, letters": Arm((1,)),
    "JointWANN": Arm((0, 1)),
    "JointWANN, relative": Arm((0, 1), "relative"),
}
OTHERS = ("PADAWANN", "swing-up")
VALUES = (-2.0, -1.0, -0.5, 0.5, 1.0, 2.0)
"""The authors' shared weights."""


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of a run."""

    dataset: str = "digits"
    mode: str = "clean"
    seed: int = 0
    second: str = "glyphs_10letters"
    """The data set of the second task."""
    arms: tuple[str, ...] = ("WANN", "WANN, letters", "JointWANN", "JointWANN, relative", "PADAWANN")
    """Searches, of `ARMS`; "PADAWANN", which prunes a trained network; or "swing-up" alone."""
    repeats: int = 10
    generations: int = 300
    size: int = 128
    hidden: int = 64
    """Room for hidden nodes; twice as much whenever it is full."""
    tournament: int = 16
    values: tuple[float, ...] = VALUES
    """What all weights are, one value after the other."""
    enabled: float = 0.1
    """The chance of each connection at first."""
    batch: int = 200
    """Images of each task that a generation is judged on."""
    side: int = 8
    """Pixels; larger images are made smaller, and freed of their slant."""
    samples: int = 4000
    """Training images of each task; 0 takes all."""
    judged: int = 1000
    """Of each task, to choose networks and weights by."""
    tested: int = 2000
    """Test images of each task; 0 takes all."""
    learnt: int = 5
    """Epochs for which weights of champions, and the network of PADAWANN, are trained."""
    units: int = 64
    """Hidden units of that network."""
    chunk: int | None = None
    """Networks judged side by side; by default all of them on an accelerator, and one after the other on a CPU."""
    pruned: int = 10
    """Generations of PADAWANN."""

    def __post_init__(self) -> None:
        for name in ("repeats", "generations", "size", "hidden", "batch", "side", "judged", "learnt", "units"):
            _checks.positive(name, getattr(self, name))
        for name in self.arms:
            _checks.one_of("arms", name, (*ARMS, *OTHERS))
        if "swing-up" in self.arms and len(self.arms) > 1:
            raise _checks.bad("arms", self.arms, "'swing-up' alone", "It has no images: run it by itself.")
        if self.arms == ("PADAWANN",) or len(set(self.arms)) < len(self.arms):
            raise _checks.bad("arms", self.arms, "each once, one of them a WANN", "Add 'WANN'.")


COURSES = ("mean", "largest", "judged", "connections", "hidden", "layers")
"""Of the fittest member of each generation; the first two on the images that it was judged on."""


def measured(colony: Colony, best: Graph, judged: Array) -> Array:
    """What is kept of a generation, in the order of `COURSES`."""
    place = jnp.argmax(failed_last(colony.mean))
    numbers = (colony.mean[place], jnp.max(colony.rewards[place]), jnp.mean(judged), best.connections, best.hidden)
    return jnp.stack([jnp.asarray(number, jnp.float32) for number in (*numbers, jnp.max(best.layer))])


def room(found: Colony | Graph) -> int:
    """Hidden nodes that there is room for."""
    return (found.members if isinstance(found, Colony) else found).event.shape[-1]


def built(tree: dict[str, Any]) -> dict[str, Any]:
    """The state of a search from dictionaries of arrays."""

    def graph(leaves: dict[str, np.ndarray]) -> Graph:
        return Graph(**{name: jnp.asarray(leaf) for name, leaf in leaves.items()})

    def colony(leaves: dict[str, Any]) -> Colony:
        rest = {name: jnp.asarray(leaves[name]) for name in ("rewards", "generation")}
        return Colony(graph(leaves["members"]), **rest)

    count = len(tree["colonies"])
    return {
        "colonies": tuple(colony(tree["colonies"][str(seed)]) for seed in range(count)),
        "champions": tuple(graph(tree["champions"][str(seed)]) for seed in range(count)),
        "records": np.array(tree["records"]),
        "courses": {name: np.array(course) for name, course in tree["courses"].items()},
    }


def drawing(champion: Graph, activations: tuple[str, ...]) -> dict[str, np.ndarray]:
    """A champion as it is drawn: layers, edges and activations of its nodes."""
    network = express(champion, activations)
    kinds = [""] * (network.inputs + 1) + [kind for layer in network.layers for kind in layer]
    edges = np.stack([network.source, network.target], axis=1)
    return {"layer": network.layer, "edges": edges, "kinds": np.array(kinds)}


def evolve(
    run: lab.Run,
    name: str,
    config: Config,
    search: Callable[[int], Wann],
    data: PyTree,
    judged: Callable[[Graph], Array],
    key: Array,
) -> dict[str, Any]:
    """Search with all seeds.

    Args:
        run: where steps are told and kept.
        name: of the phase.
        config: of the run.
        search: the algorithm, with room for so many hidden nodes.
        data: what its task takes.
        judged: the rewards of one graph by which champions are chosen.
        key: split into one for each seed.

    Returns:
        The "champions", the "courses" of what was measured, [seeds, generations], and the rest of the state.
    """
    seeds, algorithms = range(config.repeats), {config.hidden: search(config.hidden)}
    keys = [jax.random.fold_in(key, seed) for seed in seeds]

    @jax.jit
    def told(colony: Colony) -> tuple[Graph, Array]:
        best = colony.fittest
        return best, measured(colony, best, judged(best))

    def generation(seed: int, number: int, colony: Colony) -> tuple[Colony, bool]:
        own, algorithm = jax.random.fold_in(keys[seed], number), algorithms.get(room(colony))
        if algorithm is None:
            algorithm = algorithms[room(colony)] = search(room(colony))
        if not number:
            return algorithm.init(own, data), False
        colony, grown = algorithm.step(own, colony, data)
        return colony, int(grown.full) > 0

    def step(number: int, state: dict[str, Any]) -> tuple[dict[str, Any], dict[str, float]]:
        colonies, champions, records, courses = [], [], state["records"].copy(), state["courses"]
        for seed in seeds:
            colony, full = generation(seed, number, state["colonies"][seed])
            best, numbers = told(colony)
            for measure, value in zip(COURSES, np.asarray(numbers), strict=True):
                courses[measure][seed, number] = value
            better = courses["judged"][seed, number] > records[seed]
            records[seed] = courses["judged"][seed, number] if better else records[seed]
            champions.append(best if better else state["champions"][seed])
            if full:
                had = algorithms[room(colony)]
                larger, colony = had.enlarged(colony, hidden=2 * had.hidden)
                was, now = (f"{of.hidden} hidden nodes and {of.room} genes" for of in (had, larger))
                run.say(f"{name}: a graph of seed {seed} is full at generation {number}, {was}; {now} from here on")
            colonies.append(colony)
        numbers = {measure: float(np.mean(courses[measure][:, number])) for measure in ("judged", "connections")}
        state = {"colonies": tuple(colonies), "champions": tuple(champions), "records": records, "courses": courses}
        return state, numbers | {"room": max(map(room, colonies))}

    empty = algorithms[config.hidden].empty()
    start = {
        "colonies": (empty,) * config.repeats,
        "champions": (empty.fittest,) * config.repeats,
        "records": np.full(config.repeats, -np.inf),
        "courses": {measure: np.full((config.repeats, config.generations), np.nan) for measure in COURSES},
    }
    return run.loop(name, start, step, total=config.generations, build=built)
