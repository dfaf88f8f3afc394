"""Networks that are trained, and populations of their topologies that are evolved: one variant and trial at a time."""

import dataclasses
from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import evojax_align as ea
from evojax_align import _checks, lab, pruning
from evojax_align._types import Array, Bool, Int, PyTree
from evojax_align.data import Dataset, Part
from evojax_align.data.dataset import draw
from evojax_align.evolution import Padawann, Topologies, Topology
from evojax_align.pruning import Synapses, Task
from experiments.padawann import measures
from experiments.padawann.config import (
    MAPPED_CONTROL,
    OF_MODES,
    PLAIN_CONTROLS,
    SHARED_CONTROLS,
    TRANSFERRED,
    VARIANTS,
    Config,
    Kind,
    Variant,
    rows,
)

COMPARED = 1000
"""Training images on which the neurons of two ancestors are compared."""
FALL = 0.7
"""The factor of the learning rate after each epoch."""
PART = 4000
"""Training images of one step of the loop that trains a network: longer epochs are divided."""


@dataclasses.dataclass(frozen=True, eq=False)
class Network:
    """The architecture of a kind.

    Attributes:
        module: the Flax module.
        synapses: which leaves of its parameters are pruned.
        first_task: its logits for the classes of the first task, `first_task(params, x, *key)`.
    """

    module: Any
    synapses: Synapses
    first_task: Any


class Problem:
    """Data, networks and algorithms, made once for all cells so that they share compiled programs."""

    def __init__(self, config: Config, sets: Sequence[Dataset]) -> None:
        self.config, self.sets, self.classes = config, sets, sets[0].num_classes
        self.mesh = ea.population.devices()
        if max(of.num_classes for of in sets) > self.classes:
            came = {of.name: of.num_classes for of in sets}
            raise _checks.bad("second, others", came, "no more classes than the first has", "Cut them with `only`.")
        self.train = self.framed([joined(of.train, of.validation) for of in sets])  # nothing is chosen by validation
        self.test = self.framed([fair(of.test, config.tested, config.seed) for of in sets])
        named = zip([of.name for of in sets], self.train, strict=True)
        self.few = [of_each_class(name, *part, config.samples) for name, part in named]
        self._networks: dict[Kind, Network] = {}
        self._algorithms: dict[Any, Padawann] = {}

    def framed(self, parts: Sequence[Any]) -> list[tuple[Array, Array]]:
        """Images of one size and number of channels, standardised as the first set's training images."""
        first = self.sets[0].train.x
        side = max(max(of.image_shape[:2]) for of in self.sets)
        channels = max(of.image_shape[2] if len(of.image_shape) == 3 else 1 for of in self.sets)
        found = []
        for of, (x, y) in zip(self.sets, parts, strict=True):
            if self.config.mode == "code" and of.name.startswith("emnist"):
                x = x.swapaxes(1, 2)  # the thesis's program takes these images as they are in the file
            if channels > 1:
                x = np.broadcast_to(x[..., None], (*x.shape, channels)) if x.ndim == 3 else x
            border = [(0, 0), *((n // 2, n - n // 2) for n in (side - length for length in x.shape[1:3]))]
            x = np.pad(x, [*border, *[(0, 0)] * (x.ndim - 3)])
            found.append((jnp.asarray((x - first.mean()) / first.std(), jnp.float32), jnp.asarray(y)))
        return found

    def network(self, kind: Kind) -> Network:
        """The network of a kind."""
        if kind not in self._networks:
            classes = self.classes * kind.layers
            if kind.network == "conv":
                module: Any = ea.models.MnistNet(self.config.widths, classes)
            else:
                module = ea.models.MLP((self.config.hidden,), classes, start="fan_in", output_bias=True)
            synapses = pruning.find(jax.eval_shape(partial(self.drawn, module), jax.random.key(0)))
            first_task = partial(of_first_task, module.apply, self.classes)
            self._networks[kind] = Network(module, synapses, first_task)
        return self._networks[kind]

    def drawn(self, module: Any, key: Array) -> PyTree:
        """Initial parameters of one network."""
        return module.init(key, self.train[0][0][:1])

    def algorithm(self, variant: Variant) -> Padawann:
        """The algorithm of a variant; variants with equal settings have the same one."""
        name = variant.kind, variant.settings, variant.ancestors
        if name not in self._algorithms:
            config, network = self.config, self.network(variant.kind)
            known = {"size": config.size, "tournament": config.tournament, "share": config.share}
            known |= {"chunk": config.chunk, "mesh": self.mesh}
            settings: dict[str, Any] = known | OF_MODES[config.mode] | dict(variant.settings)
            if variant.ancestors > 1:
                one = self.drawn(network.module, jax.random.key(0))
                spec = ea.symmetry.infer(network.module.apply, one, self.train[0][0][:2])
                settings |= {"genes": ea.crossover.neuron_genes(one, spec), "crossover": "uniform"}
            self._algorithms[name] = Padawann(network.module.apply, network.synapses, **settings)
        return self._algorithms[name]

    @cached_property
    def learnt(self) -> list[list[tuple[Array, Array]]]:
        """Of each data set the parts of an epoch; every part is a fair sample of a set that is sorted by class."""
        cut = [tuple(part[: self.config.learnt or None] for part in of) for of in self.train]
        counts = [-(-y.size // PART) for _, y in cut]
        return [[(x[n::count], y[n::count]) for n in range(count)] for (x, y), count in zip(cut, counts, strict=True)]

    @cached_property
    def optimizers(self) -> list[optax.GradientTransformation]:
        """The optimiser for each data set: its learning rate falls with the set's epochs."""
        steps = [sum(-(-y.size // self.config.batch_size) for _, y in parts) for parts in self.learnt]
        falls = [{count * epoch: FALL for epoch in range(1, self.config.epochs)} for count in steps]
        rates = [optax.piecewise_constant_schedule(self.config.learning_rate, fall) for fall in falls]
        return [optax.adadelta(rate, rho=0.9, eps=1e-6) for rate in rates]

    def trained(self, run: lab.Run, kind: Kind, origin: int, number: int) -> PyTree:
        """A network trained with dropout: the first or second of a trial, shared by the cells of that trial."""
        parts, optimizer = self.learnt[kind.trained_on], self.optimizers[kind.trained_on]
        network, total = self.network(kind), self.config.epochs * len(parts)
        kinds = list(dict.fromkeys(variant.kind for variant in VARIANTS.values()))
        key = jax.random.fold_in(keys(self.config, origin)["networks"], kinds.index(kind))
        key_init, key_train = jax.random.split(jax.random.fold_in(key, number))
        pop = ea.population.init(partial(self.drawn, network.module), key_init, 1)
        members = ea.training.init(pop, optimizer, epochs=total, key=key_train)

        def step(at: int, members: ea.training.Member) -> tuple[ea.training.Member, dict[str, float]]:
            settings = {"batch_size": self.config.batch_size, "noisy": kind.network == "conv"}
            data = parts[at % len(parts)]
            members = ea.training.step_epoch(network.first_task, members, data, optimizer, **settings)
            return members, {name: float(values[0, at]) for name, values in members.history.items()}

        name = f"network, {kind.network}, {self.config.sets[kind.trained_on]}, {kind.layers}, {origin}, {number}"
        return ea.population.take(run.loop(name, members, step, total=total, shared=True).params, 0)

    def ancestors(self, run: lab.Run, variant: Variant, trial: int) -> tuple[PyTree, PyTree, PyTree]:
        """The networks of a trial: their parameters, what is kept of these, and masks; populations of one or two."""
        network = self.network(variant.kind)
        origin = trial if self.config.mode == "clean" else 0
        trained = [self.trained(run, variant.kind, origin, number) for number in range(variant.ancestors)]
        if variant.aligned:
            apply, others = network.module.apply, ea.population.stack(trained[1:])
            spec = ea.symmetry.infer(apply, trained[0], self.train[0][0][:2])
            x = self.train[variant.kind.trained_on][0][:COMPARED]
            moved = ea.alignment.align_to(apply, trained[0], others, x, spec=spec)
            trained[1:] = ea.population.unstack(moved.networks)
        return self.begun(variant, ea.population.stack(trained), keys(self.config, trial)["ancestors"])

    def begun(self, variant: Variant, pop: PyTree, key: Array) -> tuple[PyTree, PyTree, PyTree]:
        """Parameters with what a variant keeps of them and the masks that it begins with."""
        synapses, masks = self.network(variant.kind).synapses, pruning.full_masks(pop)
        if variant.pruned:
            left = round((1 - variant.pruned) * int(pruning.total(synapses, ea.population.take(masks, 0))))
            masks = jax.vmap(lambda m, p: pruning.magnitude(synapses, m, p, left))(masks, pop)
        settings = {"signs": variant.signs, "magnitudes": variant.magnitudes, "biases": variant.biases}
        each = zip(ea.population.unstack(pop), jax.random.split(key, variant.ancestors), strict=True)
        kept = [pruning.basis(synapses, of, key=of_ancestor, **settings) for of, of_ancestor in each]
        return pop, ea.population.stack(kept), masks

    def outputs(self, variant: Variant, kept: PyTree, masks: PyTree) -> Array | None:
        """The outputs that stand for the classes of the second task; of one network."""
        count = self.sets[1].num_classes
        if variant.apart:
            return self.classes + jnp.arange(count)
        if variant.classes == "half":
            return jnp.arange(count // 2)
        if variant.mapping == "given":
            return jnp.array(self.config.mapping[:count])
        if variant.mapping == "none":
            return None if count == self.classes else jnp.arange(count)
        network, (x, y) = self.network(variant.kind), self.few[1]
        settings = network.module.apply, network.synapses, variant.biases, pruning.masked(masks, kept)
        given = measures.answered(*settings, jnp.ones(1), Task(x, y)).classes[0]
        found = ea.matching.one_to_one(jnp.zeros((self.classes, self.classes)).at[y, given].add(1))
        return jnp.zeros(self.classes, jnp.int32).at[found.x].set(found.y)[:count]

    def task(self, part: list[tuple[Array, Array]], number: int, outputs: Array | None, apart: bool) -> Task:
        """A data set as a task; sets other than the second take the first outputs, as many as they have classes."""
        x, y = part[number]
        if number == 1:
            kept = y < self.classes if outputs is None else y < outputs.size
            return Task(x[kept], y[kept], outputs)
        count = self.sets[number].num_classes
        return Task(x, y, jnp.arange(count) if apart or count < self.classes else None)

    def evolve(
        self, run: lab.Run, variant: Variant, kept: PyTree, masks: PyTree, outputs: Array | None, key: Array
    ) -> tuple[Topologies, dict[str, np.ndarray]]:
        """The last generation of a population, and what is measured of the best member of each generation."""
        algorithm = self.algorithm(variant)
        tasks = [self.task(self.few, number, outputs, variant.apart) for number in variant.tasks]
        one = ea.population.take((kept, masks), 0)
        start: dict[str, Any] = {"alive": {}, "course": course(self.config.generations + 1, len(self.sets))}

        def step(number: int, state: dict[str, Any]) -> tuple[dict[str, Any], dict[str, float]]:
            of_step = jax.random.fold_in(key, number)
            if number == 0:
                alive = algorithm.init(of_step, kept, tasks, masks=masks)
            else:
                alive, _ = algorithm.step(of_step, unpacked(state["alive"], *one), tasks)
            note(state["course"], number, alive, variant.tasks, algorithm.values)
            best = {"fitness": float(alive.champion.fitness), "synapses": int(alive.champion.synapses)}
            return {"alive": packed(alive, variant.ancestors > 1), "course": state["course"]}, best

        total = self.config.generations + 1
        found = run.loop("generations", start, step, total=total, build=lambda stored: {"alive": {}, **stored})
        return unpacked(found["alive"], *one), found["course"]


def cells(config: Config) -> list[lab.Cell]:
    """Every variant in every trial, the first trial of all variants first."""
    return [lab.Cell(name, trial) for trial in range(config.trials) for name in config.variants]


def keys(config: Config, trial: int) -> dict[str, Array]:
    """The random keys of a trial, by their use. Variants share them, which pairs their trials."""
    uses = ("networks", "ancestors", "generations", "controls", "transfer")
    split = jax.random.split(jax.random.fold_in(jax.random.key(config.seed), trial), len(uses))
    return dict(zip(uses, split, strict=True))


def run(problem: Problem, cell: lab.Cell, run: lab.Run) -> dict[str, np.ndarray]:
    """One variant in one trial: its champion and the controls that belong to it, tested; its course; transfer learning.

    Arrays have a leading axis of networks, named in "rows"; the champion is the first.
    """
    config, variant = problem.config, VARIANTS[cell.arm]
    of_trial = keys(config, cell.seed)
    pop, kept, masks = problem.ancestors(run, variant, cell.seed)
    outputs = problem.outputs(variant, *ea.population.take((kept, masks), 0))
    last, measured = problem.evolve(run, variant, kept, masks, outputs, of_trial["generations"])
    network, algorithm, champion = problem.network(variant.kind), problem.algorithm(variant), last.champion
    given = {"values": algorithm.values, "over": algorithm.over, "biases": algorithm.biases, "outputs": outputs}
    given |= {"module": network.module, "synapses": network.synapses, "apart": variant.apart}
    found = [measures.Row(cell.arm, kept=champion.kept, masks=champion.masks, **given)]
    if cell.arm == "default":
        found += controls(found[0], ea.population.take(pop, 0), of_trial["controls"])
    if cell.arm == "mapping optimised":
        found.append(
            dataclasses.replace(found[0], name=MAPPED_CONTROL, **ea.population.take({"kept": kept, "masks": masks}, 0))
        )
    arrays = measures.examine(problem, run, found)
    again = [
        measures.transfer(problem, run, row, values, of_trial["transfer"])
        if row.name in TRANSFERRED and config.transfers
        else np.full(len(problem.sets), np.nan, np.float32)
        for row, values in zip(found, arrays["value"], strict=True)
    ]
    arrays |= {"rows": np.array([row.name for row in found]), "transfer": np.stack(again)}
    arrays |= {"synapses": np.array([int(pruning.total(row.synapses, row.masks)) for row in found])}
    arrays |= {"common": np.array([measures.common(row, found[0]) for row in found], np.float32)}
    arrays |= {f"course_{name}": values[None] for name, values in measured.items()}
    return arrays | {
        "found": np.array([int(last.found)]),
        "classes": np.array([",".join(of.class_names) for of in problem.sets]),
    }


def controls(champion: measures.Row, params: PyTree, key: Array) -> list[measures.Row]:
    """What the champion of "default" is compared with: the network that it comes from, and this network pruned to as
    many synapses by chance or by magnitude; each with its weights, and with signs and a shared value."""
    synapses, all_ = champion.synapses, pruning.full_masks(params)
    count = pruning.total(synapses, champion.masks)
    masks = {
        "network": all_,
        "random pruning": pruning.at_random(key, synapses, all_, count),
        "pruning by magnitude": pruning.magnitude(synapses, all_, params, count),
    }
    found = []
    for plain, shared in zip(PLAIN_CONTROLS, SHARED_CONTROLS, strict=True):
        for name, magnitudes, values in ((plain, "own", (1.0,)), (shared, "shared", champion.values)):
            kept = pruning.basis(synapses, params, magnitudes=magnitudes)
            given = {"kept": kept, "masks": masks[plain], "values": values}
            found.append(dataclasses.replace(champion, name=name, **given))
    return found


def merge(config: Config, found: Mapping[lab.Cell, lab.Arrays]) -> dict[str, np.ndarray]:
    """The arrays of all networks, [rows, trials, ...]; and of the first trial, on how many test images each network is
    right where each other one is wrong, [rows, rows, sets]."""
    names, of_rows = rows(config), {}
    for cell, arrays in found.items():
        for place, row in enumerate(arrays["rows"]):
            own = {
                name: of[place] for name, of in arrays.items() if name not in ("rows", "classes") and place < len(of)
            }
            of_rows[lab.Cell(str(row), cell.seed)] = own
    every = [lab.Cell(name, trial) for name in names for trial in range(config.trials)]
    measured = sorted({name for of in of_rows.values() for name in of} - {"right"})
    merged = {name: of.astype(np.float32) for name, of in lab.by_arm(every, of_rows, measured).items()}
    alone = np.full((len(names), len(names), len(config.sets)), np.nan, np.float32)
    first = {names.index(cell.arm): of["right"] for cell, of in of_rows.items() if cell.seed == 0}
    for a, of_a in first.items():
        for b, of_b in first.items():
            alone[a, b] = ((of_a == 1) & (of_b == 0)).sum(axis=-1)
    lists = {"rows": names, "variants": config.variants, "sets": config.sets, "mode": config.mode}
    classes = next(iter(found.values()))["classes"]
    return merged | {"alone": alone, "classes": classes} | {name: np.array(value) for name, value in lists.items()}


def course(generations: int, sets: int) -> dict[str, np.ndarray]:
    """Where `note` writes what it measures: [generations] or [generations, sets]."""
    shapes = dict.fromkeys(("fitness", "mean_fitness", "synapses"), (generations,))
    shapes |= dict.fromkeys(("accuracy", "loss", "value", "ensemble"), (generations, sets))
    return {name: np.full(shape, np.nan, np.float32) for name, shape in shapes.items()}


def note(
    course: dict[str, np.ndarray], number: int, alive: Topologies, tasks: tuple[int, ...], values: tuple[float, ...]
) -> None:
    """Write what is measured of the best member of a generation."""
    best, all_ = ea.population.take(alive.members, 0), np.asarray(alive.members.fitness)
    course["fitness"][number], course["synapses"][number] = best.fitness, best.synapses
    course["mean_fitness"][number] = np.nanmean(all_) if np.isfinite(all_).any() else np.nan
    accuracy, loss = np.nan_to_num(np.asarray(best.rollouts.accuracy)), np.asarray(best.rollouts.loss)
    for row, (task, chosen) in enumerate(zip(tasks, accuracy.argmax(axis=1), strict=True)):
        where = number, task
        course["accuracy"][where], course["loss"][where] = accuracy[row, chosen], loss[row, chosen]
        course["value"][where], course["ensemble"][where] = values[chosen], best.rollouts.ensemble[row]


def packed(alive: Topologies, all_kept: bool) -> dict[str, Any]:
    """A population for a checkpoint: masks as bits, and what members keep of their weights only where they differ."""

    def of(some: Topology) -> dict[str, Any]:
        bits, others = to_bits(some.masks), {"fitness": some.fitness, "synapses": some.synapses}
        return others | {"bits": bits, "rollouts": vars(some.rollouts)} | ({"kept": some.kept} if all_kept else {})

    champion = jax.tree.map(lambda leaf: leaf[None], alive.champion)
    own = {"found": alive.found, "generation": alive.generation}
    return own | {"members": of(alive.members), "champion": of(champion)}


def unpacked(stored: dict[str, Any], kept: PyTree, masks: PyTree) -> Topologies:
    """The population that `packed` was given; the ancestor and its masks tell what is not stored, and shapes."""
    stored = jax.tree.map(jnp.asarray, stored)

    def of(some: dict[str, Any]) -> Topology:
        count = some["fitness"].size
        same = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (count, *leaf.shape)), kept)
        rollouts = pruning.Rollouts(**some["rollouts"])
        return Topology(
            some.get("kept", same), of_bits(some["bits"], masks), rollouts, some["fitness"], some["synapses"]
        )

    champion = ea.population.take(of(stored["champion"]), 0)
    return Topologies(of(stored["members"]), champion, stored["found"], stored["generation"])


@jax.jit
def to_bits(masks: PyTree) -> Int[Array, "members bytes"]:
    """The masks of several networks, eight entries to a byte."""
    flat = [leaf.reshape(leaf.shape[0], -1) for leaf in jax.tree.leaves(masks)]
    return jnp.packbits(jnp.concatenate(flat, axis=1), axis=1)


@jax.jit
def of_bits(bits: Int[Array, "members bytes"], like: PyTree) -> PyTree:
    """The masks that `to_bits` was given; `like` are those of one network."""
    leaves, structure = jax.tree.flatten(like)
    ends = np.cumsum([leaf.size for leaf in leaves])
    flat: Bool[Array, "members n"] = jnp.unpackbits(bits, axis=1, count=int(ends[-1])).astype(bool)
    parts = zip(jnp.split(flat, ends[:-1], axis=1), leaves, strict=True)
    return jax.tree.unflatten(structure, [part.reshape(-1, *leaf.shape) for part, leaf in parts])


def of_first_task(apply: Any, classes: int, params: PyTree, x: PyTree, *key: Array) -> Array:
    """The logits for the first task, of a network that may have outputs for more."""
    return apply(params, x, *key)[..., :classes]


def joined(*parts: Part) -> tuple[np.ndarray, ...]:
    """The samples of several parts."""
    return tuple(np.concatenate(of) for of in zip(*parts, strict=True))


def fair(part: Part, count: int, seed: int) -> tuple[np.ndarray, ...]:
    """A sample of test images, stratified by class; 0 takes all."""
    if count > len(part.y):
        raise _checks.bad("tested", count, f"at most {len(part.y)}", "Lower it, or pass 0 for all.")
    return draw((part.x, part.y), count, seed)[0] if count else (part.x, part.y)


def of_each_class(name: str, x: Array, y: Array, count: int) -> tuple[Array, Array]:
    """The first samples of every class."""
    places = [np.flatnonzero(np.asarray(y) == label) for label in range(int(y.max()) + 1)]
    fewest = min(map(len, places))
    if fewest < count:
        raise _checks.bad("samples", count, f"at most {fewest}, as {name} has of a class", "Lower it.")
    chosen = np.sort(np.concatenate([of[:count] for of in places]))
    return x[chosen], y[chosen]
