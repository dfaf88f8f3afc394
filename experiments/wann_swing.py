"""The part of `wann.py` without images: a graph that swings a pole up."""

import sys
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

import evojax_align as ea
from evojax_align import lab
from evojax_align._types import Array
from evojax_align.evolution import Wann
from evojax_align.evolution.graph import ACTIVATIONS, Graph
from evojax_align.evolution.tasks import Pole, SwingUp

sys.path.insert(0, str(Path(__file__).parent))

from wann_search import Config, drawing, evolve, room  # pyright: ignore[reportImplicitRelativeImport]

STARTS, JUDGED, TESTED = 3, 20, 100
"""Rollouts of a member in a generation, of what may become a champion, and of what has become one."""
UPRIGHT, LAST = 0.9, 2.0
"""The cosine from which a pole is upright, and the seconds at the end through which it has to be."""


def search(config: Config, hidden: int) -> Wann:
    """The algorithm, with room for so many hidden nodes; such small graphs are judged side by side, on a CPU too."""
    settings = {name: getattr(config, name) for name in ("size", "tournament", "enabled", "values")}
    settings |= {"activations": tuple(ACTIVATIONS), "mesh": (mesh := ea.population.devices())}
    settings["chunk"] = -(-config.size // (1 if mesh is None else mesh.size))
    return Wann(len(SwingUp.INPUTS), 1, SwingUp(STARTS), hidden=hidden, **settings)


def swing(config: Config, run: lab.Run, key: Array) -> dict[str, np.ndarray]:
    """All seeds: the courses of their searches, the champions' rewards, and a rollout of the best."""
    first, task = search(config, config.hidden), SwingUp()
    key_search, key_judge, key_test, key_shown = jax.random.split(key, 4)

    def traced(graph: Graph, key: Array, starts: int) -> tuple[Pole, Array]:
        return SwingUp(starts).trace(key, search(config, room(graph)).forward(graph))

    @jax.jit
    def judged(graph: Graph) -> Array:
        return jnp.mean(jnp.sum(traced(graph, key_judge, JUDGED)[1], axis=0), axis=1)

    @jax.jit
    def tested(graph: Graph) -> tuple[Array, Array]:
        states, rewards = traced(graph, key_test, TESTED)
        upright = jnp.all(jnp.cos(states.angle[-round(LAST / task.interval) :]) > UPRIGHT, axis=0)
        return jnp.mean(jnp.sum(rewards, axis=0), axis=1), jnp.mean(upright, axis=1)

    def algorithm(hidden: int) -> Wann:
        return search(config, hidden)

    found = evolve(run, "swing-up", config, algorithm, None, judged, key_search)
    champions = found["champions"]
    rewards, stands = (np.stack(of) for of in zip(*map(tested, champions), strict=True))
    chosen = np.array([int(np.argmax(judged(champion))) for champion in champions])
    best = int(np.argmax(found["records"]))
    states, shown = jax.jit(partial(traced, starts=1))(champions[best], key_shown)
    pole = {"place": states.place, "angle": states.angle, "reward": shown}
    return {
        **{f"course_{name}": course[None] for name, course in found["courses"].items()},
        **{f"graph_swing-up_{name}": array for name, array in drawing(champions[best], first.activations).items()},
        **{f"pole_{name}": np.asarray(array)[:, chosen[best], 0] for name, array in pole.items()},
        "rewards": rewards,
        "stands": stands,
        "chosen": chosen,
        "values": np.array(config.values),
        "limit": np.array(task.limit),
        "interval": np.array(task.interval),
        "arms": np.array(["swing-up"]),
    }
