"""Beyond Uriot & Izzo 2020: what its authors left open about safe crossover.

How the barrier falls with width; parents that share their first steps; uniform and neuron-wise crossover beside the
arithmetic one, and how far each explores against what it loses (section 6); many parents averaged, against an ensemble
and against one network trained as long (section 6); curved paths beside straight ones (section 4.4).

    python experiments/safe_crossover_beyond.py
"""

import dataclasses
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before NumPy: LAPACK's own threads stall beside XLA's

import jax
import jax.numpy as jnp
import numpy as np
import optax

import evojax_align as ea
from evojax_align import _checks, lab
from evojax_align._types import Apply, Array, PyTree
from evojax_align.alignment import match_pairs, relate_pairs
from evojax_align.data import Dataset
from evojax_align.interpolation import bend, sweep_curve, sweep_pairs
from evojax_align.symmetry import PermutationSpec

sys.path.insert(0, str(Path(__file__).parent))

from safe_crossover_beyond_report import (  # pyright: ignore[reportImplicitRelativeImport]
    KINDS,
    OPERATORS,
    PATHS,
    WAYS,
    judge,
    plot,
)

MODES = {"clean": "aligned on training images, scored on test images"}


@dataclasses.dataclass(frozen=True)
class Config:
    """The settings of one study."""

    dataset: str = "digits"
    mode: str = "clean"
    seed: int = 0
    width: int = 64
    """Of the hidden layer, where it is not varied."""
    widths: tuple[int, ...] = (8, 16, 32, 64, 128, 256)
    repeats: int = 12
    """Pairs of parents in each comparison, and families whose members are averaged."""
    steps: tuple[int, ...] = (0, 10, 30, 100, 300)
    """Steps of training that two parents share, after their start, which they share too."""
    parents: tuple[int, ...] = (2, 4, 8)
    """Numbers of parents that are averaged."""
    epochs: int = 30
    batch_size: int = 64
    learning_rate: float = 1e-3
    bends: int = 30
    """Epochs in which a path is bent."""
    aligned: int = 10_000
    """Training images that an alignment sees, at most."""
    points: int = 21
    """Values of t in [0, 1]."""

    def __post_init__(self) -> None:
        for name in ("width", "repeats", "epochs", "batch_size", "bends", "aligned"):
            _checks.positive(name, getattr(self, name))
        _checks.above_zero("learning_rate", self.learning_rate)
        for name, least in {"widths": 1, "steps": 0, "parents": 2}.items():
            values = getattr(self, name)
            if list(values) != sorted(set(values)) or values[0] < least:
                raise _checks.bad(name, values, f"rising numbers from {least} on", f"Write --set '{name}=(8, 16)'.")
        if self.points % 2 != 1 or self.points < 3:
            raise _checks.bad("points", self.points, "an odd number of at least 3", "t = 0.5 must be among them.")


PRESETS = {
    "demo": (Config(),),
    "small": (
        Config(
            dataset="mnist",
            width=256,
            widths=(32, 64, 128, 256, 512, 1024),
            steps=(0, 10, 30, 100, 300, 1000),
            epochs=3,
            batch_size=128,
            bends=3,
        ),
    ),
}
COSTS = {
    "demo": "some 250 networks on handwritten digits",
    "small": "the same on MNIST, widths from 32 to 1024; 6 min on 2 busy cores",
}


def run(config: Config, data: Dataset, run: lab.Run) -> dict[str, np.ndarray]:
    """All parts; returns everything that figures and claims are made of."""
    study = Study(config, data, run)
    keys = iter(jax.random.split(jax.random.key(config.seed), 6))
    found = study.widths(next(keys)) | study.common_steps(next(keys))
    families = study.families(next(keys))
    found |= study.averages(families, next(keys)) | study.offspring(families, next(keys))
    found |= study.curves(families, next(keys))
    for name in ("widths", "steps", "parents"):
        found[name] = np.array(getattr(config, name))
    lists = {"ways": list(WAYS), "operators": list(OPERATORS), "dataset": data.name}
    return found | {name: np.array(value) for name, value in lists.items()} | {"ts": study.ts}


class Study:
    """The parts of the study, each from its own key to arrays with a leading axis of repeats."""

    def __init__(self, config: Config, data: Dataset, run: lab.Run) -> None:
        self.config, self.run = config, run
        self.train = jnp.asarray(data.train.x), jnp.asarray(data.train.y)
        self.test = jnp.asarray(data.test.x), jnp.asarray(data.test.y)
        self.seen = self.train[0][: config.aligned]
        self.total = config.epochs * max(1, len(data.train.y) // config.batch_size)
        if config.steps[-1] >= self.total:
            mend = "Share fewer, or set epochs higher."
            raise _checks.bad("steps", config.steps, f"fewer than all {self.total} steps of training", mend)
        self.ts = np.linspace(0, 1, config.points, dtype=np.float32)
        self.optimizer = optax.adam(config.learning_rate)
        self.network = self.of_width(config.width)

    def of_width(self, width: int) -> ea.models.MLP:
        """The network with one hidden layer."""
        return ea.models.MLP(hidden=(width,))

    def drawn(self, network: ea.models.MLP, key: Array, count: int) -> PyTree:
        """Some networks before training."""
        return ea.population.init(lambda key: network.init(key, self.seen[:1]), key, count)

    def trained(self, name: str, apply: Apply, start: PyTree, key: Array) -> PyTree:
        """The same networks after all epochs."""
        config = self.config
        members = ea.training.init(start, self.optimizer, epochs=config.epochs, key=key)

        def step(number: int, members: ea.training.Member) -> tuple[ea.training.Member, dict[str, float]]:
            members = ea.training.step_epoch(apply, members, self.train, self.optimizer, batch_size=config.batch_size)
            return members, {"loss": float(np.mean(members.history["loss"][:, number]))}

        members = self.run.loop(name, members, step, total=config.epochs)
        return ea.training.finish(members)[0]

    def symmetry(self, network: ea.models.MLP, pop: PyTree) -> PermutationSpec:
        """The symmetry of the members of a population."""
        return ea.symmetry.infer(network.apply, ea.population.take(pop, 0), self.seen[:1])

    def lines(self, network: ea.models.MLP, pop: PyTree) -> dict[str, np.ndarray]:
        """Loss and accuracy between neighbours, as they are and aligned, [pairs, ways, t]."""
        self.run.check()
        spec, (a, b) = self.symmetry(network, pop), ea.population.pairs(pop)
        relations = relate_pairs(network.apply, a, b, self.seen, spec=spec, covariances=False)
        matches = [match_pairs(relations, method=method) for method in ("none", "correlation")]
        of_a, of_b = (
            {group: jnp.stack([getattr(m[group], side) for m in matches], axis=1) for group in relations}
            for side in "xy"
        )
        chosen = {"spec": spec, "permutations_a": of_a, "permutations_b": of_b}
        found = sweep_pairs(network.apply, a, b, *self.test, ts=self.ts, **chosen)
        return {"loss": np.asarray(found.loss), "accuracy": np.asarray(found.accuracy)}

    def widths(self, key: Array) -> dict[str, np.ndarray]:
        """Lines between parents of every width, [repeats, widths, ways, t]."""
        found = []
        for width in self.config.widths:
            key_init, key_fit = jax.random.split(jax.random.fold_in(key, width))
            network = self.of_width(width)
            start = self.drawn(network, key_init, 2 * self.config.repeats)
            found.append(self.lines(network, self.trained(f"width {width}", network.apply, start, key_fit)))
        return {f"width_{name}": np.stack([lines[name] for lines in found], axis=1) for name in found[0]}

    def common_steps(self, key: Array) -> dict[str, np.ndarray]:
        """Lines between parents that were one network for some steps, 0 being the start, [repeats, steps, ways, t].

        Whatever they share, all go through equally many steps.
        """
        config, apply = self.config, self.network.apply
        key_init, key_common, key_apart = jax.random.split(key, 3)
        start = self.drawn(self.network, key_init, config.repeats)
        begun = ea.population.map(lambda params: (params, self.optimizer.init(params)), start)
        settings = {"batch_size": config.batch_size, "data": self.train}

        def step(number: int, found: dict[str, np.ndarray]) -> tuple[dict[str, np.ndarray], dict[str, float]]:
            steps = config.steps[number]
            keys = jax.random.split(key_common, config.repeats)
            shared = advanced(apply, self.optimizer, begun, keys, steps, **settings)
            twins = jax.tree.map(lambda leaf: jnp.repeat(leaf, 2, axis=0), shared)
            keys = jax.random.split(jax.random.fold_in(key_apart, number), 2 * config.repeats)
            pop, _ = advanced(apply, self.optimizer, twins, keys, self.total - steps, **settings)
            lines = self.lines(self.network, pop)
            for name, values in lines.items():
                found[name][:, number] = values
            return found, {way: lines["loss"][:, i].max(axis=-1).mean() for i, way in enumerate(WAYS)}

        room = (config.repeats, len(config.steps), len(WAYS), config.points)
        start = {name: np.full(room, np.nan, np.float32) for name in ("loss", "accuracy")}
        found = self.run.loop("common steps", start, step, total=len(config.steps))
        return {f"common_{name}": values for name, values in found.items()}

    def families(self, key: Array) -> PyTree:
        """The networks of all families, trained apart, one family after the other."""
        key_init, key_fit = jax.random.split(key)
        start = self.drawn(self.network, key_init, self.config.repeats * max(self.config.parents))
        return self.trained("families", self.network.apply, start, key_fit)

    def members(self, families: PyTree, family: int, count: int) -> PyTree:
        """The first members of one family."""
        first = family * max(self.config.parents)
        return ea.population.take(families, slice(first, first + count))

    def averages(self, families: PyTree, key: Array) -> dict[str, np.ndarray]:
        """Accuracy and loss of one child of many parents and of its rivals, [repeats, kinds, numbers of parents]."""
        config, apply = self.config, self.network.apply
        spec = self.symmetry(self.network, families)
        kinds = list(KINDS)
        room = (config.repeats, len(kinds), len(config.parents))

        def step(family: int, found: dict[str, np.ndarray]) -> tuple[dict[str, np.ndarray], dict[str, float]]:
            for place, count in enumerate(config.parents):
                members = self.members(families, family, count)
                aligned = ea.align_many(apply, members, self.seen, spec=spec).networks
                alone = [score(apply, member, self.test) for member in ea.population.unstack(members)]
                rows = {
                    "naive": score(apply, ea.crossover.average(members), self.test),
                    "aligned": score(apply, ea.crossover.average(aligned), self.test),
                    "parents": np.mean(alone, axis=0),
                    "ensemble": together(apply, members, *self.test),
                }
                for name, (loss, accuracy) in rows.items():
                    kind = kinds.index(name)
                    found["loss"][family, kind, place], found["accuracy"][family, kind, place] = loss, accuracy
            return found, {name: found["accuracy"][family, i, -1] for i, name in enumerate(kinds[:2])}

        start = {name: np.full(room, np.nan, np.float32) for name in ("loss", "accuracy")}
        found = self.run.loop("averaging", start, step, total=config.repeats)
        for name, values in self.longer(key).items():
            found[name][:, kinds.index("longer")] = values
        return {f"average_{name}": values for name, values in found.items()} | {"kinds": np.array(kinds)}

    def longer(self, key: Array) -> dict[str, np.ndarray]:
        """Single networks that take as many steps as some parents together, [repeats, numbers of parents]."""
        config, apply = self.config, self.network.apply
        key_init, key_fit = jax.random.split(key)
        pop = self.drawn(self.network, key_init, config.repeats)
        total = config.epochs * max(config.parents)
        room = (config.repeats, len(config.parents))
        found = {name: np.full(room, np.nan, np.float32) for name in ("loss", "accuracy")}
        state = {"members": ea.training.init(pop, self.optimizer, epochs=total, key=key_fit), "found": found}

        def step(number: int, state: dict[str, Any]) -> tuple[dict[str, Any], dict[str, float]]:
            members = state["members"]
            members = ea.training.step_epoch(apply, members, self.train, self.optimizer, batch_size=config.batch_size)
            for place, count in enumerate(config.parents):
                if number + 1 == count * config.epochs:
                    scores = [score(apply, member, self.test) for member in ea.population.unstack(members.params)]
                    state["found"]["loss"][:, place], state["found"]["accuracy"][:, place] = np.array(scores).T
            return state | {"members": members}, {"loss": float(np.mean(members.history["loss"][:, number]))}

        return self.run.loop("single networks, longer", state, step, total=total)["found"]

    def couples(self, families: PyTree) -> tuple[PyTree, PyTree, PyTree, PermutationSpec]:
        """The first two of every family, and the second once more, aligned with the first."""
        size = max(self.config.parents)
        a, b = (ea.population.take(families, slice(side, None, size)) for side in (0, 1))
        spec = self.symmetry(self.network, families)
        out = ea.align_pairs(self.network.apply, a, b, self.seen, spec=spec)
        return a, b, out.b, spec

    def offspring(self, families: PyTree, key: Array) -> dict[str, np.ndarray]:
        """What every operator makes of two parents, [repeats, ways, operators] each."""
        a, b, aligned, spec = self.couples(families)
        keys = jax.random.split(key, self.config.repeats)
        with self.run.phase("offspring"):
            found = [
                [explored(self.network.apply, child, a, other, self.test) for child in bred(spec, keys, a, other)]
                for other in (b, aligned)
            ]
        return {
            f"child_{name}": np.stack([np.stack([child[name] for child in way], axis=1) for way in found], axis=1)
            for name in found[0][0]
        }

    def curves(self, families: PyTree, key: Array) -> dict[str, np.ndarray]:
        """Straight and bent paths, [repeats, paths, t]: naive, aligned, naive bent, aligned bent."""
        config, apply = self.config, self.network.apply
        a, b, aligned, _ = self.couples(families)
        keys = jax.random.split(key, config.repeats)

        def step(number: int, found: dict[str, np.ndarray]) -> tuple[dict[str, np.ndarray], dict[str, float]]:
            start, *ends = ea.population.take((a, b, aligned), number)
            settings = {"epochs": config.bends, "batch_size": config.batch_size, "key": keys[number]}
            for place, end in enumerate(ends):
                bent = bend(apply, start, end, self.train, self.optimizer, **settings)
                straight = ea.crossover.arithmetic(start, end, 0.5)
                for shift, control in ((0, straight), (2, bent)):
                    line = sweep_curve(apply, start, control, end, *self.test, ts=self.ts)
                    found["loss"][number, place + shift] = line.loss
                    found["accuracy"][number, place + shift] = line.accuracy
            half = config.points // 2
            return found, {name: found["loss"][number, i, half] for i, name in enumerate(PATHS)}

        room = (config.repeats, len(PATHS), config.points)
        start = {name: np.full(room, np.nan, np.float32) for name in ("loss", "accuracy")}
        found = self.run.loop("bending paths", start, step, total=config.repeats)
        return {f"path_{name}": values for name, values in found.items()}


@partial(jax.jit, static_argnames=("apply", "optimizer", "batch_size"))
def advanced(
    apply: Apply,
    optimizer: optax.GradientTransformation,
    pop: tuple[PyTree, PyTree],
    keys: Array,
    steps: int,
    *,
    data: tuple[Array, Array],
    batch_size: int,
) -> tuple[PyTree, PyTree]:
    """Parameters and moments after some more steps on random batches; equal keys go through equal batches."""
    x, y = data

    def one(state: tuple[PyTree, PyTree], key: Array) -> tuple[PyTree, PyTree]:
        def step(number: Array, state: tuple[PyTree, PyTree]) -> tuple[PyTree, PyTree]:
            index = jax.random.randint(jax.random.fold_in(key, number), (batch_size,), 0, len(y))
            return ea.training.step(apply, optimizer, *state, x[index], y[index])[:2]

        return jax.lax.fori_loop(0, steps, step, state)

    return ea.population.map(one, pop, keys)


def score(apply: Apply, params: PyTree, data: tuple[Array, Array]) -> tuple[float, float]:
    """Loss and accuracy of one network."""
    loss, accuracy = evaluated(apply, params, *data)
    return float(loss), float(accuracy)


evaluated = jax.jit(ea.training.evaluate, static_argnames="apply")
together = jax.jit(ea.training.evaluate_ensemble, static_argnames="apply")


@partial(jax.jit, static_argnames="spec")
def bred(spec: PermutationSpec, keys: Array, a: PyTree, b: PyTree) -> list[PyTree]:
    """A population of children by each operator."""
    operators: dict[str, Callable[[Array, PyTree, PyTree], PyTree]] = {
        "arithmetic": lambda key, a, b: ea.crossover.arithmetic(a, b, 0.5),
        "quarter": lambda key, a, b: ea.crossover.arithmetic(a, b, 0.25),
        "neurons": partial(ea.crossover.neurons, spec=spec),
        "uniform": ea.crossover.uniform,
    }
    return [ea.population.map(operators[name], keys, a, b) for name in OPERATORS]


@partial(jax.jit, static_argnames="apply")
def explored(apply: Apply, children: PyTree, a: PyTree, b: PyTree, data: tuple[Array, Array]) -> dict[str, Array]:
    """How far children went, and what it cost: for each pair
    * accuracy, and what of the parents' mean accuracy was lost;
    * moved: the share of images on which the child differs from the parent that it is nearest to;
    * new: the share of images on which the child differs from both;
    * found: the share of images that the child alone gets right.
    """
    x, y = data

    def one(child: PyTree, a: PyTree, b: PyTree) -> dict[str, Array]:
        said, by_a, by_b = (jnp.argmax(apply(params, x), axis=-1) for params in (child, a, b))
        right = (said == y).mean()
        differs = said != by_a, said != by_b
        return {
            "accuracy": right,
            "lost": ((by_a == y).mean() + (by_b == y).mean()) / 2 - right,
            "moved": jnp.minimum(differs[0].mean(), differs[1].mean()),
            "new": (differs[0] & differs[1]).mean(),
            "found": ((said == y) & (by_a != y) & (by_b != y)).mean(),
        }

    return ea.population.map(one, children, a, b)


EXPERIMENT = lab.Experiment(
    name="safe_crossover_beyond",
    description="Beyond the paper on safe crossover: width, common training, operators, many parents, curved paths.",
    presets=PRESETS,
    costs=COSTS,
    modes=MODES,
    run=run,
    plot=plot,
    judge=judge,
)


def main(argv: list[str] | None = None) -> int:
    """The command line."""
    return lab.main(EXPERIMENT, argv)


if __name__ == "__main__":
    sys.exit(main())
