"""The arm without images: a graph that swings a pole up."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np

import evojax_align as ea
from evojax_align import lab
from evojax_align._types import Array
from evojax_align.evolution import Wann
from evojax_align.evolution.tasks import Pole, SwingUp
from evojax_align.evolution.wann.graph import ACTIVATIONS, Forward, Graph
from experiments.wann.config import SWING, Config

STARTS, JUDGED, TESTED = 3, 20, 100
"""Rollouts of a member in a generation, of the fittest of a generation, and of the champion."""
UPRIGHT, LAST = 0.9, 2.0
"""The cosine from which a pole is upright, and for how many seconds at the end it has to be."""


class Swing:
    """The search of this arm, and the measures of its champions."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.search = cache(self._search)
        self._chosen = jax.jit(partial(self.judged, SWING))
        self._tested, self._shown = jax.jit(self._rollouts), jax.jit(partial(self._traced, starts=1))

    def _search(self, arm: str, hidden: int) -> Wann:
        """The algorithm; such small graphs are judged together, on a CPU too."""
        settings = {name: getattr(self.config, name) for name in ("size", "tournament", "enabled", "values")}
        settings |= {"activations": tuple(ACTIVATIONS), "mesh": (mesh := ea.population.devices())}
        settings["chunk"] = -(-self.config.size // (1 if mesh is None else mesh.size))
        return Wann(len(SwingUp.INPUTS), 1, SwingUp(STARTS), hidden=hidden, **settings)

    def data(self, arm: str) -> None:
        """A task without data."""

    def judged(self, arm: str, graph: Graph, key: Array) -> Array:
        """The reward at each shared weight, by which champions are chosen."""
        return SwingUp(JUDGED)(key, self._forward(graph))

    def measured(self, run: lab.Run, arm: str, champion: Graph, keys: tuple[Array, Array]) -> dict[str, np.ndarray]:
        """Of a champion the rewards, how often its pole stands, the weight that is chosen, and one rollout at it."""
        key_judge, key_test = keys
        with run.phase("rollouts"):
            rewards, stands = self._tested(champion, key_test)
            chosen = int(np.argmax(self._chosen(champion, key_judge)))
            states, reward = self._shown(champion, jax.random.fold_in(key_test, 1))
        pole = {"place": states.place, "angle": states.angle, "reward": reward}
        shown = {f"pole_{name}": np.asarray(array)[:, chosen, 0] for name, array in pole.items()}
        return {"rewards": np.asarray(rewards), "stands": np.asarray(stands), "chosen": np.array(chosen), **shown}

    def _forward(self, graph: Graph) -> Forward:
        return self.search(SWING, graph.event.shape[-1]).forward(graph)

    def _traced(self, graph: Graph, key: Array, starts: int) -> tuple[Pole, Array]:
        """Rollouts, [time, values, starts]."""
        return SwingUp(starts).trace(key, self._forward(graph))

    def _rollouts(self, graph: Graph, key: Array) -> tuple[Array, Array]:
        states, rewards = self._traced(graph, key, TESTED)
        last = states.angle[-round(LAST / SwingUp().interval) :]
        upright = jnp.all(jnp.cos(last) > UPRIGHT, axis=0)
        return jnp.mean(jnp.sum(rewards, axis=0), axis=1), jnp.mean(upright, axis=1)
