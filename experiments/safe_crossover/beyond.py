"""What the paper leaves open about safe crossover.

How the barrier falls with width; parents that share their first steps; uniform and neuron-wise crossover beside the
arithmetic one, and how far each explores against what it loses (the paper's section 6); many parents averaged, against
an ensemble and against one network trained as long (section 6); curved paths beside straight ones (section 4.4). Each
of the three arms has one cell for every repeat, with a pair of parents or a family of its own.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import evojax_align as ea
from evojax_align import _checks, lab
from evojax_align._types import Apply, Array, PyTree
from evojax_align.alignment import match, relate
from evojax_align.data import Dataset
from evojax_align.interpolation import bezier, sweep_curve, sweep_pairs
from evojax_align.symmetry import PermutationSpec
from experiments.safe_crossover.config import Beyond

ARMS = ("widths", "steps", "families")
OPERATORS = {
    "arithmetic": "arithmetic, t = .5",
    "quarter": "arithmetic, t = .25",
    "neurons": "neuron by neuron",
    "uniform": "weight by weight",
}
KINDS = {
    "naive": "mean, as they are",
    "aligned": "mean, aligned",
    "parents": "one parent, on the mean",
    "ensemble": "ensemble of the parents",
    "longer": "one network trained as long",
}


def cells(config: Beyond) -> list[lab.Cell]:
    """All arms of one repeat, then the next."""
    return [lab.Cell(arm, repeat) for repeat in range(config.repeats) for arm in ARMS]


class Problem:
    """The arms of the study, each from a key to the arrays of one repeat."""

    def __init__(self, config: Beyond, data: Dataset) -> None:
        self.config = config
        self.train, self.test = ((jnp.asarray(part.x), jnp.asarray(part.y)) for part in (data.train, data.test))
        self.seen = self.train[0][: config.aligned]
        self.total = config.epochs * max(1, len(data.train.y) // config.batch_size)
        if config.steps[-1] >= self.total:
            fix = "Share fewer, or set epochs higher."
            raise _checks.bad("steps", config.steps, f"fewer than all {self.total} steps of training", fix)
        self.ts = np.linspace(0, 1, config.points, dtype=np.float32)
        self.optimizer = optax.adam(config.learning_rate)
        self.networks = {width: ea.models.MLP(hidden=(width,)) for width in (config.width, *config.widths)}
        self.specs = {width: self.symmetry(network) for width, network in self.networks.items()}
        self.network, self.spec = self.networks[config.width], self.specs[config.width]

    def run(self, cell: lab.Cell, run: lab.Run) -> dict[str, np.ndarray]:
        """One repeat of one arm."""
        arms = {"widths": self.widths, "steps": self.common_steps, "families": self.family}
        key = jax.random.fold_in(jax.random.key(self.config.seed), cell.seed)
        return arms[cell.arm](jax.random.fold_in(key, ARMS.index(cell.arm)), run)

    def symmetry(self, network: ea.models.MLP) -> PermutationSpec:
        """The symmetry of a network."""
        sample = self.seen[:1]
        return ea.symmetry.infer(network.apply, network.init(jax.random.key(0), sample), sample)

    def trained(self, network: ea.models.MLP, key: Array, count: int, run: lab.Run, name: str) -> PyTree:
        """Some networks after all epochs."""
        config = self.config
        key_init, key_fit = jax.random.split(key)
        start = ea.population.init(lambda key: network.init(key, self.seen[:1]), key_init, count)
        members = ea.training.init(start, self.optimizer, epochs=config.epochs, key=key_fit)
        members = self.epochs(network, members, config.epochs, run, name)
        return members.params

    def epochs(
        self, network: ea.models.MLP, members: ea.training.Member, total: int, run: lab.Run, name: str
    ) -> ea.training.Member:
        """Members after all of their epochs; those that are scored keep their test scores."""
        validation = self.test if "validation_loss" in members.history else None

        def step(number: int, members: ea.training.Member) -> tuple[ea.training.Member, dict[str, float]]:
            size = self.config.batch_size
            members = ea.training.step_epoch(
                network.apply, members, self.train, self.optimizer, batch_size=size, validation=validation
            )
            return members, {"loss": float(np.mean(members.history["loss"][:, number]))}

        return run.loop(name, members, step, total=total)

    def lines(self, network: ea.models.MLP, spec: PermutationSpec, pair: PyTree) -> dict[str, np.ndarray]:
        """Loss and accuracy between two networks, as they are and aligned, [ways, t]."""
        a, b = ea.population.pairs(pair)
        relations = relate(spec, network.apply, a, b, self.seen, covariances=False)
        matches = [match(relations, method) for method in ("none", "correlation")]
        of_a, of_b = (
            {group: jnp.stack([getattr(m[group], side) for m in matches], axis=1) for group in relations}
            for side in "xy"
        )
        chosen = {"spec": spec, "permutations_a": of_a, "permutations_b": of_b}
        found = sweep_pairs(network.apply, a, b, *self.test, ts=self.ts, **chosen)
        return {"loss": np.asarray(found.loss[0]), "accuracy": np.asarray(found.accuracy[0])}

    def widths(self, key: Array, run: lab.Run) -> dict[str, np.ndarray]:
        """Lines between two parents of every width, [widths, ways, t]."""
        found = []
        for width in self.config.widths:
            network = self.networks[width]
            pair = self.trained(network, jax.random.fold_in(key, width), 2, run, f"width {width}")
            found.append(self.lines(network, self.specs[width], pair))
            run.check()
        return {f"width_{name}": np.stack([lines[name] for lines in found]) for name in found[0]}

    def common_steps(self, key: Array, run: lab.Run) -> dict[str, np.ndarray]:
        """Lines between two parents that were one network for some steps, 0 being the start, [steps, ways, t].

        However many they share, all take equally many steps.
        """
        config, apply = self.config, self.network.apply
        key_init, key_common, key_apart = jax.random.split(key, 3)
        start = self.network.init(key_init, self.seen[:1])
        begun = ea.population.stack([(start, self.optimizer.init(start))])
        settings = {"batch_size": config.batch_size, "data": self.train}

        def step(number: int, found: dict[str, Any]) -> tuple[dict[str, Any], dict[str, float]]:
            steps = config.steps[number]
            shared = advanced(apply, self.optimizer, begun, key_common[None], steps, **settings)
            both = jax.tree.map(lambda leaf: jnp.repeat(leaf, 2, axis=0), shared)
            keys = jax.random.split(jax.random.fold_in(key_apart, number), 2)
            pair, _ = advanced(apply, self.optimizer, both, keys, self.total - steps, **settings)
            lines = self.lines(self.network, self.spec, pair)
            naive, aligned = lines["loss"].max(axis=-1)
            return found | {str(number): lines}, {"naive": naive, "aligned": aligned}

        found = run.loop("common steps", {}, step, total=len(config.steps), build=dict)
        rows = [found[str(number)] for number in range(len(config.steps))]
        return {f"common_{name}": np.stack([lines[name] for lines in rows]) for name in rows[0]}

    def family(self, key: Array, run: lab.Run) -> dict[str, np.ndarray]:
        """Averages, offspring and curved paths of one family of networks."""
        keys = jax.random.split(key, 4)
        members = self.trained(self.network, keys[0], max(self.config.parents), run, "family")
        a, b = (ea.population.take(members, member) for member in (0, 1))
        ways = (b, ea.align(self.network.apply, a, b, self.seen, spec=self.spec).b)
        found = self.averages(members, run) | self.offspring(a, ways, keys[2])
        run.check()
        for name, values in self.longer(keys[1], run).items():
            found[name] = np.concatenate([found[name], values[None]])
        return found | self.curves(a, ways, keys[3], run)

    def averages(self, family: PyTree, run: lab.Run) -> dict[str, np.ndarray]:
        """Loss and accuracy of one child of many parents, and of what it is compared with, [kinds, parents]."""
        apply, scores = self.network.apply, []
        for count in self.config.parents:
            members = ea.population.take(family, slice(0, count))
            aligned = ea.align_many(apply, members, self.seen, spec=self.spec).networks
            single = ea.population.stack([evaluated(apply, one, *self.test) for one in ea.population.unstack(members)])
            found = {
                "naive": evaluated(apply, ea.crossover.average(members), *self.test),
                "aligned": evaluated(apply, ea.crossover.average(aligned), *self.test),
                "parents": jax.tree.map(jnp.mean, single),
                "ensemble": together(apply, members, *self.test),
            }
            scores.append([(found[kind].loss, found[kind].accuracy) for kind in KINDS if kind in found])
            run.check()
        loss, accuracy = np.array(scores, np.float32).transpose(2, 1, 0)
        return {"average_loss": loss, "average_accuracy": accuracy}

    def longer(self, key: Array, run: lab.Run) -> dict[str, np.ndarray]:
        """A single network that takes as many steps as some parents together, [parents]."""
        config = self.config
        key_init, key_fit = jax.random.split(key)
        start = ea.population.stack([self.network.init(key_init, self.seen[:1])])
        total = config.epochs * max(config.parents)
        members = ea.training.init(start, self.optimizer, epochs=total, key=key_fit, validated=True)
        history = self.epochs(self.network, members, total, run, "one network, longer").history
        ends = np.array(config.parents) * config.epochs - 1
        return {f"average_{name}": np.asarray(history[f"validation_{name}"])[0, ends] for name in ("loss", "accuracy")}

    def offspring(self, a: PyTree, ways: tuple[PyTree, ...], key: Array) -> dict[str, np.ndarray]:
        """What every operator makes of a parent and of each form of the other, [ways, operators] each."""
        apply = self.network.apply
        found = [[explored(apply, child, a, b, self.test) for child in bred(self.spec, key, a, b)] for b in ways]
        return {f"child_{name}": np.array([[child[name] for child in way] for way in found]) for name in found[0][0]}

    def curves(self, a: PyTree, ways: tuple[PyTree, ...], key: Array, run: lab.Run) -> dict[str, np.ndarray]:
        """Straight and curved paths, [paths, t]: straight to each form of the other parent, then curved."""
        apply, straight, curved = self.network.apply, [], []
        for number, b in enumerate(ways):
            bent = self.bent(a, b, key, run, f"curved path {number}")
            for lines, control in ((straight, ea.crossover.arithmetic(a, b, 0.5)), (curved, bent)):
                lines.append(sweep_curve(apply, a, control, b, *self.test, ts=self.ts))
            run.check()
        paths = straight + curved
        return {f"path_{name}": np.stack([getattr(s, name) for s in paths]) for name in ("loss", "accuracy")}

    def bent(self, a: PyTree, b: PyTree, key: Array, run: lab.Run, name: str) -> PyTree:
        """The middle point of a curved path, as `interpolation.bend` finds it, one epoch after the other."""
        keys, settings = jax.random.split(key, self.config.bends), {"batch_size": self.config.batch_size}

        def step(number: int, state: tuple[PyTree, PyTree]) -> tuple[tuple[PyTree, PyTree], dict[str, float]]:
            found = bent_further(self.network.apply, self.optimizer, state, a, b, keys[number], self.train, **settings)
            return found[:2], {"loss": float(found[2])}

        middle = ea.crossover.arithmetic(a, b, 0.5)
        return run.loop(name, (middle, self.optimizer.init(middle)), step, total=self.config.bends)[0]


def merge(config: Beyond, found: Mapping[lab.Cell, lab.Arrays]) -> dict[str, np.ndarray]:
    """The arrays of every arm, with a leading axis of repeats."""
    arrays = {}
    for number, arm in enumerate(ARMS):
        of_arm = {cell: values for cell, values in found.items() if cell.arm == arm}
        if of_arm:
            arrays |= {name: rows[number] for name, rows in lab.by_arm(cells(config), of_arm).items()}
    constants = {name: getattr(config, name) for name in ("dataset", "widths", "steps", "parents")}
    constants |= {"part": "beyond", "ts": np.linspace(0, 1, config.points, dtype=np.float32)}
    return arrays | {name: np.asarray(value) for name, value in constants.items()}


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
    """Parameters and moments after some more steps on random batches; equal keys draw equal batches."""
    x, y = data

    def one(state: tuple[PyTree, PyTree], key: Array) -> tuple[PyTree, PyTree]:
        def step(number: Array, state: tuple[PyTree, PyTree]) -> tuple[PyTree, PyTree]:
            index = jax.random.randint(jax.random.fold_in(key, number), (batch_size,), 0, len(y))
            return ea.training.step(apply, *state, x[index], y[index], optimizer)[:2]

        return jax.lax.fori_loop(0, steps, step, state)

    return ea.population.map(one, pop, keys)


@partial(jax.jit, static_argnames=("apply", "optimizer", "batch_size"))
def bent_further(
    apply: Apply,
    optimizer: optax.GradientTransformation,
    state: tuple[PyTree, PyTree],
    a: PyTree,
    b: PyTree,
    key: Array,
    data: tuple[Array, Array],
    *,
    batch_size: int,
) -> tuple[PyTree, PyTree, Array]:
    """The middle point of a path and its moments after one more epoch of `interpolation.bend`, and the mean loss."""
    key_order, key_t = jax.random.split(key)
    x, y = data

    def child(control: PyTree, inputs: tuple[Array, Array]) -> Array:
        samples, ts = inputs
        return apply(bezier(a, control, b, ts[0]), samples)

    inputs = x, jax.random.uniform(key_t, (len(y),))  # a batch goes by the t of its first sample
    found = ea.training.epoch(child, *state, inputs, y, optimizer, batch_size=batch_size, key=key_order)
    return *found[:2], found[2].loss


evaluated = jax.jit(ea.training.evaluate, static_argnames="apply")
together = jax.jit(ea.training.evaluate_ensemble, static_argnames="apply")


@partial(jax.jit, static_argnames="spec")
def bred(spec: PermutationSpec, key: Array, a: PyTree, b: PyTree) -> list[PyTree]:
    """A child by each operator."""
    operators: dict[str, Callable[[Array, PyTree, PyTree], PyTree]] = {
        "arithmetic": lambda key, a, b: ea.crossover.arithmetic(a, b, 0.5),
        "quarter": lambda key, a, b: ea.crossover.arithmetic(a, b, 0.25),
        "neurons": partial(ea.crossover.neurons, spec=spec),
        "uniform": ea.crossover.uniform,
    }
    return [operators[name](key, a, b) for name in OPERATORS]


@partial(jax.jit, static_argnames="apply")
def explored(apply: Apply, child: PyTree, a: PyTree, b: PyTree, data: tuple[Array, Array]) -> dict[str, Array]:
    """How far a child went, and what it cost.

    - accuracy, and what of the parents' mean accuracy was lost;
    - moved: the share of images on which the child differs from the parent that it is nearest to;
    - new: the share of images on which the child differs from both;
    - found: the share of images that the child alone classifies correctly.
    """
    x, y = data
    labels, by_a, by_b = (jnp.argmax(apply(params, x), axis=-1) for params in (child, a, b))
    right = (labels == y).mean()
    differs = labels != by_a, labels != by_b
    return {
        "accuracy": right,
        "lost": ((by_a == y).mean() + (by_b == y).mean()) / 2 - right,
        "moved": jnp.minimum(differs[0].mean(), differs[1].mean()),
        "new": (differs[0] & differs[1]).mean(),
        "found": ((labels == y) & (by_a != y) & (by_b != y)).mean(),
    }
