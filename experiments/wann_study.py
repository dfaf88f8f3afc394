"""How `wann.py` evolves graphs on images, and measures what came of it."""

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
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
from evojax_align.evolution import Padawann, Wann, express
from evojax_align.evolution import graph as graphs
from evojax_align.evolution.graph import Graph
from evojax_align.evolution.tasks import Classification

sys.path.insert(0, str(Path(__file__).parent))

from wann_search import ARMS, Config, evolve, room  # pyright: ignore[reportImplicitRelativeImport]

DRAWN = 10
"""Shared weights, and sets of weights, that are drawn by chance for a network, as large as those of evolution."""

BATCH, RATE = 50, 3e-3
"""Images of a step of gradient descent, and how far it goes."""
LAYERS = 8
"""Weights are trained as if champions had a multiple of so many layers."""


class Study:
    """Data and searches of a study."""

    def __init__(self, config: Config, sets: Sequence[Dataset]) -> None:
        self.config = config
        self.mesh = ea.population.devices()
        self.names = [of.name for of in sets]
        parts = [cut(config, of) for of in sets]
        self.train, self.judge, self.test = ([of[place] for of in parts] for place in range(3))
        if config.mode == "text":
            self.judge = self.train
        self.classes = sets[0].num_classes
        if sets[1].num_classes > self.classes:
            raise _checks.bad("second", sets[1].name, f"at most {self.classes} classes", "Cut it with `only`.")

    def search(self, name: str, hidden: int) -> Wann:
        """The algorithm of an arm, with room for so many hidden nodes."""
        config, scale = self.config, ARMS[name].scale
        settings = {name: getattr(config, name) for name in ("size", "tournament", "enabled", "values")}
        task = Classification(config.batch, scale)
        settings |= {"chunk": config.chunk, "mesh": self.mesh}
        return Wann(config.side**2, self.classes, task, hidden=hidden, **settings)

    def evolve(self, run: lab.Run, name: str, key: Array) -> dict[str, Any]:
        """The champions of an arm, and the courses of its searches."""
        arm = ARMS[name]
        data, judge = ([part[task] for task in arm.tasks] for part in (self.train, self.judge))
        whole = Classification(max(part[1].size for part in judge), arm.scale)

        def judged(graph: Graph) -> Array:
            return whole(jax.random.key(0), self.search(name, room(graph)).forward(graph), judge)

        return evolve(run, name, self.config, partial(self.search, name), data, judged, key)

    def examined(self, run: lab.Run, name: str, champions: Sequence[Graph], key: Array) -> dict[str, np.ndarray]:
        """What one arm's champions do on test images and how large they are, [seeds, ...] (see `_row`)."""
        rows = []
        with run.phase(f"{name}, weights", len(champions)) as bar:
            for seed, champion in enumerate(champions):
                run.check()
                row = self._row(name, champion, jax.random.fold_in(key, seed))
                first = ARMS[name].tasks[0]
                bar.step(accuracy=row["accuracy"][first, row["chosen"][first]], trained=row["trained"][first])
                rows.append(row)
        return {measure: np.stack([row[measure] for row in rows]) for measure in rows[0]}

    def _row(self, name: str, champion: Graph, key: Array) -> dict[str, np.ndarray]:
        """Of one champion: accuracies on the tasks at each shared weight, with one drawn by chance, with each weight
        drawn by chance, of all shared weights together, and with weights that are trained from the best shared one."""
        tasks, search = list(ARMS[name].tasks), self.search(name, room(champion))
        key_shared, key_each, key_fit = jax.random.split(key, 3)
        cap = max(map(abs, search.values))
        drawn_values = jax.random.uniform(key_shared, (DRAWN,), minval=-cap, maxval=cap)
        values = jnp.concatenate([jnp.array(search.values), drawn_values])
        each = jax.random.uniform(key_each, (DRAWN, search.room), minval=-cap, maxval=cap)
        layers = LAYERS * -(-int(champion.layer.max()) // LAYERS)  # few different numbers, for few programs

        evolved = slice(0, len(search.values))
        judged, tested = self.by_part(_shared(search.activations, champion, values, self.every))
        right = accuracy(tested, self.test)
        choosing = right if self.config.mode == "text" else accuracy(judged, self.judge)
        best = int(np.argmax(choosing[tasks, evolved].sum(axis=0)))  # one for its tasks, where training begins
        together = [np.mean(jax.nn.softmax(of[evolved]), axis=0, keepdims=True) for of in tested]
        joined = jax.tree.map(lambda *of: jnp.concatenate(of), *[self.train[task] for task in tasks])
        begin = jnp.full(search.room, search.values[best])
        trained = _trained(search.activations, layers, self.config.learnt, key_fit, champion, begin, *joined)
        weights = jnp.concatenate([each, trained[None]])
        _, of_own = self.by_part(_own(search.activations, layers, champion, weights, self.every))
        right_own = accuracy(of_own, self.test)
        network = express(champion, search.activations)
        return {
            "accuracy": right[:, evolved],
            "chosen": np.argmax(choosing[:, evolved], axis=1),
            "ensemble": accuracy(together, self.test)[:, 0],
            "one_drawn": right[:, len(search.values) :].mean(axis=1),
            "each_drawn": right_own[:, :DRAWN].mean(axis=1),
            "trained": right_own[:, DRAWN],
            "connections": np.array(network.connections),
            "hidden": np.array(network.nodes - network.inputs - 1 - network.outputs),
            "layers": np.array(len(network.layers)),
        }

    @property
    def every(self) -> Array:
        """All images to choose by and to test on, so that one program serves."""
        return jnp.concatenate([x for x, _ in (*self.judge, *self.test)])

    def by_part(self, logits: Array) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Logits of these images, [..., images, classes], by data set: of those to choose by, and those to test on."""
        ends = np.cumsum([y.size for _, y in (*self.judge, *self.test)])
        parts = np.split(np.asarray(logits), ends[:-1], axis=1)
        return parts[: len(self.judge)], parts[len(self.judge) :]

    def pruned(self, run: lab.Run, key: Array) -> dict[str, np.ndarray]:
        """A network that is trained on the first task, whose signs are pruned by evolution for both: test accuracies at
        its best shared value, and synapses, beside those of the network."""
        config = self.config
        module = ea.models.MLP(hidden=(config.units,), classes=self.classes, start="fan_in", output_bias=True)
        key_init, key_fit, key_search = jax.random.split(key, 3)
        networks = ea.population.init(lambda k: module.init(k, self.train[0][0][:1]), key_init, config.repeats)
        settings = {"optimizer": optax.adam(1e-3), "epochs": config.learnt, "mesh": self.mesh}
        synapses = pruning.find(ea.population.take(networks, 0))
        search = Padawann(module.apply, synapses, fitness="ratio", mesh=self.mesh)
        train, judge, test = ([pruning.Task(*part) for part in of] for of in (self.train, self.judge, self.test))
        with run.phase("PADAWANN", config.repeats) as bar:
            settings |= {"batch_size": BATCH, "key": key_fit}
            networks, _ = training.fit(module.apply, networks, self.train[0], **settings)
            rows = []
            for seed in range(config.repeats):
                run.check()
                params = ea.population.take(networks, seed)
                key_first, key_steps = jax.random.split(jax.random.fold_in(key_search, seed))
                state = search.init(key_first, ea.population.stack([pruning.basis(synapses, params)]), train)
                for number in range(config.pruned):
                    state, _ = search.step(jax.random.fold_in(key_steps, number), state, train)
                champion = state.champion
                kept = jax.tree.map(lambda leaf, mask: leaf * mask, champion.kept, champion.masks)
                by = {}
                for part, tasks in (("judge", judge), ("test", test)):
                    by[part] = [pruning.rollouts(module.apply, synapses, kept, search.values, task) for task in tasks]
                choosing = by["test"] if config.mode == "text" else by["judge"]
                best = [int(np.argmax(of.accuracy)) for of in choosing]
                accuracy = [float(of.accuracy[place]) for of, place in zip(by["test"], best, strict=True)]
                whole = [float(training.evaluate(module.apply, params, *part)[1]) for part in self.test]
                rows.append((accuracy, whole, int(champion.synapses)))
                bar.step(first=accuracy[0], second=accuracy[1])
        total = sum(leaf.size for leaf in synapses.of(ea.population.take(networks, 0)).values())
        columns = dict(zip(("accuracy", "network", "synapses"), zip(*rows, strict=True), strict=True))
        return {name: np.array(column) for name, column in columns.items()} | {"all": np.array(total)}


def cut(config: Config, of: Dataset) -> tuple[Any, Any, Any]:
    """Images to learn from, to choose by and to test on, as rows of pixels."""
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


@partial(jax.jit, static_argnums=(0, 1, 2))
def _trained(
    activations: tuple[str, ...],
    layers: int,
    epochs: int,
    key: Array,
    graph: Graph,
    weights: Array,
    x: Array,
    y: Array,
) -> Array:
    """Weights of a graph, each for itself, after so many epochs of gradient descent."""

    def logits(weights: Array, x: Array) -> Array:
        return graphs.apply(graph, weights, x, activations, layers)

    settings = {"epochs": epochs, "batch_size": BATCH, "key": key}
    return training.descend(logits, optax.adam(RATE), weights, x, y, **settings)[0]
