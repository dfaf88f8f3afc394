"""The part of `wann.py` without images: a graph that swings a pole up."""

import sys
from pathlib import Path

import jax
import numpy as np

from evojax_align import lab
from evojax_align._types import Array
from evojax_align.evolution import Wann
from evojax_align.evolution.graph import ACTIVATIONS, Graph
from evojax_align.evolution.tasks import SwingUp

sys.path.insert(0, str(Path(__file__).parent))

from wann_search import Config, drawing, evolve, room  # pyright: ignore[reportImplicitRelativeImport]

STARTS, JUDGED = 3, 20
"""Rollouts of a member in a generation, and of what may become a champion."""


def search(config: Config, hidden: int) -> Wann:
    """The algorithm, with room for so many hidden nodes; such small graphs are judged side by side, on a CPU too."""
    settings = {name: getattr(config, name) for name in ("size", "tournament", "enabled", "values")}
    settings |= {"activations": tuple(ACTIVATIONS), "chunk": config.size}
    return Wann(len(SwingUp.INPUTS), 1, SwingUp(STARTS), hidden=hidden, **settings)


def swing(config: Config, run: lab.Run, key: Array) -> dict[str, np.ndarray]:
    """All seeds: the courses of their searches, the champions' rewards, and a rollout of the best."""
    judge, first = SwingUp(JUDGED), search(config, config.hidden)
    key_search, key_judge, key_test = jax.random.split(key, 3)

    def rewarded(graph: Graph, key: Array) -> Array:
        return judge(key, search(config, room(graph)).forward(graph))

    def judged(graph: Graph) -> Array:
        return rewarded(graph, key_judge)

    def algorithm(hidden: int) -> Wann:
        return search(config, hidden)

    found = evolve(run, "swing-up", config, algorithm, None, judged, key_search)
    best = found["champions"][int(np.argmax(found["records"]))]
    states, rewards = jax.jit(lambda graph: SwingUp(1).trace(key_test, first.forward(graph)))(best)
    value = int(np.argmax(rewards.sum(axis=0)[:, 0]))
    pole = {"place": states.place, "angle": states.angle, "reward": rewards}
    return {
        **{f"course_{name}": course[None] for name, course in found["courses"].items()},
        **{f"graph_swing-up_{name}": array for name, array in drawing(best, first.activations).items()},
        **{f"pole_{name}": np.asarray(array)[:, value, 0] for name, array in pole.items()},
        "rewards": np.stack([np.asarray(rewarded(champion, key_test)) for champion in found["champions"]]),
        "values": np.array(config.values),
        "limit": np.array(judge.limit),
        "interval": np.array(judge.interval),
        "arms": np.array(["swing-up"]),
    }
