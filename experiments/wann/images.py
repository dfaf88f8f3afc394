"""The arms with images: graphs that classify, and a trained network that is pruned, on two data sets."""

from collections.abc import Sequence
from functools import cache, cached_property, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import evojax_align as ea
from evojax_align import _checks, lab, pruning, training
from evojax_align._types import Array
from evojax_align.data import Dataset
from evojax_align.data.dataset import draw
from evojax_align.data.upright import deskewed, resized
from evojax_align.evolution import Padawann, PadawannState, Wann
from evojax_align.evolution import graph as graphs
from evojax_align.evolution.tasks import Classification
from evojax_align.evolution.wann.graph import Graph
from experiments.common import on_one_device
from experiments.wann.config import ARMS, Config

DRAWN = 10
"""Random shared weights, and random sets of weights, for each network; within the range of the shared weights."""
BATCH, DESCENT = 50, optax.adam(3e-3)
"""Images of a step of gradient descent, and the optimiser for weights of graphs."""
LAYERS = 8
"""Programs that train weights are made for a multiple of so many layers, so that they are few."""


class Images:
    """The data of both tasks, the searches, and the measures of champions."""

    def __init__(self, config: Config, sets: Sequence[Dataset]) -> None:
        self.config = config
        self.mesh = ea.population.devices()
        parts = [cut(config, of) for of in sets]
        self.train, self.judge, self.test = ([of[place] for of in parts] for place in range(3))
        if config.mode == "text":
            self.judge = self.train
        self.classes = sets[0].num_classes
        if sets[1].num_classes > self.classes:
            raise _checks.bad("second", sets[1].name, f"at most {self.classes} classes", "Cut it with `only`.")
        self._made = cache(self._algorithm)

    def search(self, arm: str, hidden: int) -> Wann:
        """The algorithm of an arm, with a capacity for hidden nodes; arms of one scale share it and its programs."""
        return self._made(ARMS[arm].scale, hidden)

    def _algorithm(self, scale: str, hidden: int) -> Wann:
        config, task = self.config, Classification(self.config.batch, scale)
        settings = {name: getattr(config, name) for name in ("size", "tournament", "enabled", "values", "chunk")}
        return Wann(config.side**2, self.classes, task, hidden=hidden, mesh=self.mesh, **settings)

    def data(self, arm: str) -> list[tuple[Array, Array]]:
        """Training images of the tasks of an arm."""
        return [self.train[task] for task in ARMS[arm].tasks]

    def judged(self, arm: str, graph: Graph, key: Array) -> Array:
        """The reward at each shared weight by which champions are chosen: on all images for that, whatever the key."""
        data = [self.judge[task] for task in ARMS[arm].tasks]
        whole = Classification(max(y.size for _, y in data), ARMS[arm].scale)
        return whole(key, self.search(arm, graph.event.shape[-1]).forward(graph), data)

    def measured(self, run: lab.Run, arm: str, champion: Graph, keys: tuple[Array, Array]) -> dict[str, np.ndarray]:
        """Test accuracies of a champion on both tasks: at each shared weight and the chosen one, with one random weight
        and with each weight random, of all shared weights together, and with weights trained from the best shared one.
        """
        tasks, search = list(ARMS[arm].tasks), self.search(arm, champion.event.shape[-1])
        key_shared, key_each, key_fit = jax.random.split(keys[1], 3)
        cap, count = max(map(abs, search.values)), len(search.values)
        drawn_values = jax.random.uniform(key_shared, (DRAWN,), minval=-cap, maxval=cap)
        values = jnp.concatenate([jnp.array(search.values), drawn_values])
        each = jax.random.uniform(key_each, (DRAWN, search.capacity), minval=-cap, maxval=cap)
        layers = LAYERS * -(-int(champion.layer.max()) // LAYERS)

        judged, tested = self.by_part(_shared(search.activations, champion, values, self.every))
        right = accuracy(tested, self.test)
        choosing = (right if self.config.mode == "text" else accuracy(judged, self.judge))[:, :count]
        together = [np.mean(jax.nn.softmax(of[:count]), axis=0, keepdims=True) for of in tested]
        begin = search.values[int(np.argmax(choosing[tasks].sum(axis=0)))]  # one for all tasks of the search
        trained = self.fitted(run, arm, champion, begin, layers, key_fit)
        weights = jnp.concatenate([each, trained[None]])
        _, of_own = self.by_part(_own(search.activations, layers, champion, weights, self.every))
        right_own, chosen = accuracy(of_own, self.test), np.argmax(choosing, axis=1)
        return {
            "accuracy": right[:, :count],
            "best": right[np.arange(len(chosen)), chosen],
            "ensemble": accuracy(together, self.test)[:, 0],
            "one_drawn": right[:, count:].mean(axis=1),
            "each_drawn": right_own[:, :DRAWN].mean(axis=1),
            "trained": right_own[:, DRAWN],
        }

    def fitted(self, run: lab.Run, arm: str, champion: Graph, begin: float, layers: int, key: Array) -> Array:
        """Weights of a champion, each of its own, trained on the tasks of its search from one shared weight on."""
        search, keys = self.search(arm, champion.event.shape[-1]), jax.random.split(key, self.config.learnt)
        data = jax.tree.map(lambda *of: jnp.concatenate(of), *self.data(arm))

        def step(number: int, state: tuple[Array, Any]) -> tuple[tuple[Array, Any], dict[str, float]]:
            weights, moments, loss = _trained(search.activations, layers, keys[number], champion, *state, *data)
            return (weights, moments), {"loss": float(loss)}

        start = jnp.full(search.capacity, begin)
        return run.loop("weights", (start, DESCENT.init(start)), step, total=self.config.learnt)[0]

    @cached_property
    def every(self) -> Array:
        """All images to choose by and to test on, so that one program serves."""
        return jnp.concatenate([x for x, _ in (*self.judge, *self.test)])

    def by_part(self, logits: Array) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Logits of these images, [..., images, classes], by data set: of those to choose by, and those to test on."""
        ends = np.cumsum([y.size for _, y in (*self.judge, *self.test)])
        parts = np.split(np.asarray(logits), ends[:-1], axis=1)
        return parts[: len(self.judge)], parts[len(self.judge) :]

    @cached_property
    def network(self) -> tuple[ea.models.MLP, Padawann, optax.GradientTransformation]:
        """The network that PADAWANN prunes, the algorithm, and the optimiser of the network."""
        module = ea.models.MLP(hidden=(self.config.units,), classes=self.classes, start="fan_in", output_bias=True)
        synapses = pruning.find(jax.eval_shape(partial(self._drawn, module), jax.random.key(0)))
        return module, Padawann(module.apply, synapses, fitness="ratio", mesh=self.mesh), optax.adam(1e-3)

    def _drawn(self, module: ea.models.MLP, key: Array) -> Any:
        return module.init(key, self.train[0][0][:1])

    def pruned(self, run: lab.Run, key: Array) -> dict[str, np.ndarray]:
        """Test accuracies of a network that is trained on the first task and whose signs are pruned by evolution for
        both tasks, at its best shared value; and of the network itself."""
        module, search, optimizer = self.network
        key_init, key_fit, key_search = jax.random.split(key, 3)
        key_first, key_steps = jax.random.split(key_search)
        train, judge, test = ([pruning.Task(*part) for part in of] for of in (self.train, self.judge, self.test))

        def train_step(number: int, members: training.Member) -> tuple[training.Member, dict[str, float]]:
            settings = {"batch_size": BATCH, "mesh": self.mesh}
            members = training.step_epoch(module.apply, members, self.train[0], optimizer, **settings)
            return members, {"loss": float(members.history["loss"][0, number])}

        networks = ea.population.init(partial(self._drawn, module), key_init, 1)
        members = training.init(networks, optimizer, epochs=self.config.learnt, key=key_fit)
        members = run.loop("training", members, train_step, total=self.config.learnt)
        params = ea.population.take(on_one_device(members.params), 0)

        def step(number: int, state: PadawannState) -> tuple[PadawannState, dict[str, float]]:
            state, _ = on_one_device(search.step(jax.random.fold_in(key_steps, number), state, train))
            return state, {"fitness": float(state.champion.fitness), "synapses": int(state.champion.synapses)}

        start = search.init(key_first, ea.population.stack([pruning.basis(search.synapses, params)]), train)
        champion = run.loop("pruning", start, step, total=self.config.pruned).champion
        kept = jax.tree.map(lambda leaf, mask: leaf * mask, champion.kept, champion.masks)
        judged, tested = (
            np.stack(
                [pruning.rollouts(module.apply, search.synapses, kept, search.values, task).accuracy for task in of]
            )
            for of in (judge, test)
        )
        best = np.argmax(tested if self.config.mode == "text" else judged, axis=1)
        return {
            "best": tested[np.arange(len(best)), best],
            "network": np.array([float(training.evaluate(module.apply, params, *part).accuracy) for part in self.test]),
            "connections": np.asarray(champion.synapses),
            "all": np.array(sum(leaf.size for leaf in search.synapses.of(params).values())),
        }


def cut(config: Config, of: Dataset) -> tuple[Any, Any, Any]:
    """Images for training, for choosing and for testing, as rows of pixels."""
    every: Any = tuple(of.train)
    judge, rest = draw(every, config.judged, config.seed, argument="judged")
    train = draw(rest, config.samples, config.seed, argument="samples")[0] if config.samples else rest
    test: Any = tuple(of.test)
    test = draw(test, config.tested, config.seed, argument="tested")[0] if 0 < config.tested < len(test[1]) else test

    def rows(part: Any) -> tuple[Array, Array]:
        x, y = part
        if x.shape[1] > config.side:
            x = deskewed(resized(x, config.side))
        elif x.shape[1] < config.side:
            raise _checks.bad("side", config.side, f"at most {x.shape[1]}, the side of {of.name}", "Lower it.")
        return jnp.asarray(x.reshape(len(x), -1), jnp.float32), jnp.asarray(y)

    return rows(train), rows(judge), rows(test)


def accuracy(logits: Sequence[Any], parts: Sequence[Any]) -> np.ndarray:
    """Of each task with each set of weights; 0 where an output is not finite."""
    pairs = zip(map(np.asarray, logits), parts, strict=True)
    right = [
        np.where(np.isfinite(of).all(axis=(1, 2)), np.mean(np.argmax(of, axis=2) == np.asarray(y), axis=1), 0.0)
        for of, (_, y) in pairs
    ]
    return np.stack(right)


@partial(jax.jit, static_argnums=0)
def _shared(activations: tuple[str, ...], graph: Graph, values: Array, x: Array) -> Array:
    """Logits at each of several shared weights."""
    return graphs.forward(graph, values, activations)(x[None])


@partial(jax.jit, static_argnums=(0, 1))
def _own(activations: tuple[str, ...], layers: int, graph: Graph, weights: Array, x: Array) -> Array:
    """Logits with each of several sets of weights."""
    return jax.lax.map(lambda own: graphs.apply(graph, own, x, activations, layers), weights)


@partial(jax.jit, static_argnums=(0, 1))
def _trained(
    activations: tuple[str, ...],
    layers: int,
    key: Array,
    graph: Graph,
    weights: Array,
    moments: Any,
    x: Array,
    y: Array,
) -> tuple[Array, Any, Array]:
    """Weights of a graph, each of its own, and moments after one more epoch of gradient descent; and the mean loss."""

    def logits(weights: Array, x: Array) -> Array:
        return graphs.apply(graph, weights, x, activations, layers)

    found = training.epoch(logits, weights, moments, x, y, DESCENT, batch_size=BATCH, key=key)
    return *found[:2], found[2].loss
