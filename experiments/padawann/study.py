"""Networks that are trained, and populations of their topologies that are evolved: one variant and trial at a time."""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from functools import cache, cached_property, partial
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
import optax

import evojax_align as ea
from evojax_align import _checks, lab, pruning
from evojax_align._types import Array, PyTree
from evojax_align.data import Dataset
from evojax_align.data.dataset import draw
from evojax_align.evolution import Padawann, PadawannState, Topology
from evojax_align.pruning import Synapses, Task
from experiments.common import on_one_device
from experiments.padawann import measures
from experiments.padawann.config import VARIANTS, Config, Kind, Variant

Images: TypeAlias = tuple[np.ndarray, np.ndarray]
PLAIN_CONTROLS = ("network", "random pruning", "pruning by magnitude")
"""Networks with their weights: the trained one, and two with as many synapses as the champion of "default"."""
SHARED_CONTROLS = ("network, shared value", "random pruning, shared value", "by magnitude, shared value")
"""The same with signs and a shared value."""
MAPPED_CONTROL = "mapping alone"
"""The trained network with a shared value and the outputs of "mapping optimised"."""
TRANSFERRED = ("network", "default", "weights kept", "first task alone")
"""Networks that take part in transfer learning."""
COMPARED = 1000
"""Training images on which the neurons of two ancestors are compared."""
FALL = 0.7
"""The factor of the learning rate after each epoch."""
PART = 4000
"""Training images of one step of the loop that trains a network: longer epochs are divided."""


class Problem:
    """Data, networks and algorithms, made once for all cells so that they share compiled programs."""

    def __init__(self, config: Config, sets: Sequence[Dataset]) -> None:
        self.config, self.sets, self.classes = config, sets, sets[0].num_classes
        if max(of.num_classes for of in sets) > self.classes:
            came = {of.name: of.num_classes for of in sets}
            raise _checks.bad("second, others", came, "no more classes than the first has", "Cut them with `only`.")
        parts = [map(np.concatenate, zip(of.train, of.validation, strict=True)) for of in sets]
        self.train = self.framed(parts)  # nothing is chosen by validation
        every = [(of.test.x, of.test.y) for of in sets]
        counts = [config.tested or y.size for _, y in every]
        drawn = [draw(of, n, config.seed, argument="tested")[0] for of, n in zip(every, counts, strict=True)]
        self.test = self.framed(drawn)
        named = zip([of.name for of in sets], self.train, strict=True)
        self.few = [of_each_class(name, *part, config.samples) for name, part in named]
        self.image = self.train[0][0][:1]
        self.network, self._algorithm = cache(self._network), cache(self._made)

    def framed(self, parts: Sequence[Any]) -> list[Images]:
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
            found.append((np.asarray((x - first.mean()) / first.std(), np.float32), y))
        return found

    def _network(self, kind: Kind) -> tuple[Any, Synapses, Any]:
        """The network of a kind: the module, its synapses, and what gives its logits for the first task."""
        classes = self.classes * kind.layers
        module: Any = ea.models.MnistNet(self.config.widths, classes)
        if kind.network == "forward":
            module = ea.models.MLP((self.config.hidden,), classes, start="fan_in", output_bias=True)
        synapses = pruning.find(jax.eval_shape(module.init, jax.random.key(0), self.image))
        return module, synapses, partial(of_first_task, module.apply, self.classes)

    def algorithm(self, variant: Variant) -> Padawann:
        """The algorithm of a variant; variants with equal settings share it, and with it compiled programs."""
        return self._algorithm(variant.kind, variant.ancestors, variant.settings)

    def _made(self, kind: Kind, ancestors: int, changed: tuple[tuple[str, object], ...]) -> Padawann:
        module, synapses, _ = self.network(kind)
        settings: dict[str, Any] = {"mesh": ea.population.devices()} | self.config.algorithm | dict(changed)
        if ancestors > 1:
            one = module.init(jax.random.key(0), self.image)
            spec = ea.symmetry.infer(module.apply, one, self.image)
            settings |= {"genes": ea.crossover.neuron_genes(one, spec=spec), "crossover": "uniform"}
        if self.config.mode != "clean":
            settings |= {"layers": "one"} if settings.get("whole_clusters") else {}
            settings |= {"between": "layers"} if settings.get("crossover", "one_point") == "one_point" else {}
        return Padawann(module.apply, synapses, **settings)

    @cached_property
    def learnt(self) -> list[list[Images]]:
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
        (module, _, first_task), total = self.network(kind), self.config.epochs * len(parts)
        kinds = list(dict.fromkeys(variant.kind for variant in VARIANTS.values()))
        key = jax.random.fold_in(keys(self.config, origin)["networks"], kinds.index(kind))
        key_init, key_train = jax.random.split(jax.random.fold_in(key, number))
        members = ea.training.init(initial(module, key_init, self.image), optimizer, epochs=total, key=key_train)

        def step(at: int, members: ea.training.Member) -> tuple[ea.training.Member, dict[str, float]]:
            settings = {"batch_size": self.config.batch_size, "noisy": kind.network == "conv"}
            data = parts[at % len(parts)]
            members = ea.training.step_epoch(first_task, members, data, optimizer, **settings)
            return members, {name: float(values[0, at]) for name, values in members.history.items()}

        name = f"network, {kind.network}, {self.config.sets[kind.trained_on]}, {kind.layers}, {origin}, {number}"
        return on_host(run.loop(name, members, step, total=total, shared=True).params)

    def ancestors(self, run: lab.Run, variant: Variant, trial: int) -> PyTree:
        """The trained networks of a trial, a population of one or two."""
        apply, origin = self.network(variant.kind)[0].apply, trial if self.config.mode == "clean" else 0
        trained = [self.trained(run, variant.kind, origin, number) for number in range(variant.ancestors)]
        if variant.aligned:
            one, x = ea.population.take(trained[0], 0), self.train[variant.kind.trained_on][0][:COMPARED]
            spec = ea.symmetry.infer(apply, one, self.image)
            trained[1:] = [on_host(ea.alignment.align_to(apply, one, trained[1], x, spec=spec).networks)]
        return jax.tree.map(lambda *of: np.concatenate(of), *trained)

    def outputs(self, variant: Variant, kept: PyTree, masks: PyTree) -> np.ndarray:
        """The outputs that stand for the classes of the second task; of one network."""
        count = self.sets[1].num_classes
        if variant.apart:
            return self.classes + np.arange(count)
        if variant.classes == "half":
            return np.arange(count // 2)
        if variant.mapping == "given":
            return np.array(self.config.mapping[:count])
        if variant.mapping == "none":
            return np.arange(count)
        all_, counts = np.arange(self.classes), np.zeros((self.classes, self.classes))
        one = measures.Row("", self.algorithm(variant), kept, masks, (1.0,), all_, False)
        np.add.at(counts, (self.few[1][1], one.answers(self.task(self.few, 1, all_, False))["classes"][0]), 1)
        found = ea.matching.one_to_one(jnp.asarray(counts, jnp.float32))
        return np.asarray(found.y)[np.argsort(np.asarray(found.x))][:count]

    def task(self, part: list[Images], number: int, outputs: np.ndarray, apart: bool) -> Task:
        """A data set as a task; sets other than the second take the first outputs, as many as they have classes."""
        x, y = part[number]
        if number != 1:
            outputs = np.arange(self.sets[number].num_classes)
        kept = slice(None) if y.max() < outputs.size else y < outputs.size
        return Task(jnp.asarray(x[kept]), jnp.asarray(y[kept]), jnp.asarray(outputs, jnp.int32))

    def evolve(
        self, run: lab.Run, variant: Variant, kept: PyTree, masks: PyTree, outputs: np.ndarray, key: Array
    ) -> tuple[PadawannState, dict[str, np.ndarray]]:
        """The last generation of a population, and what is measured of the best member of each generation."""
        algorithm = self.algorithm(variant)
        tasks = [self.task(self.few, number, outputs, variant.apart) for number in variant.tasks]
        one = ea.population.take((kept, masks), 0)

        def step(number: int, state: dict[str, Any]) -> tuple[dict[str, Any], dict[str, float]]:
            of_step = jax.random.fold_in(key, number)
            if number == 0:
                alive = algorithm.init(of_step, kept, tasks, masks=masks)
            else:
                alive, _ = on_one_device(algorithm.step(of_step, unpacked(state["alive"], *one), tasks))
            now = noted(alive, variant.tasks, algorithm.values, len(self.sets))
            course = {name: np.stack([*state["course"].get(name, ()), value]) for name, value in now.items()}
            best = {"fitness": float(alive.champion.fitness), "synapses": int(alive.champion.synapses)}
            return {"alive": packed(alive, variant.ancestors > 1), "course": course}, best

        start: dict[str, Any] = {"alive": {}, "course": {}}
        total = self.config.generations + 1
        found = run.loop("generations", start, step, total=total, build=lambda stored: stored)
        return unpacked(found["alive"], *one), found["course"]


def cells(config: Config) -> list[lab.Cell]:
    """Every variant in every trial, the first trial of all variants first."""
    return [lab.Cell(name, trial) for trial in range(config.trials) for name in config.variants]


def keys(config: Config, trial: int) -> dict[str, Array]:
    """The random keys of a trial, by their use. Variants share them, which pairs their trials."""
    uses = ("networks", "ancestors", "generations", "controls", "transfer")
    own = jax.random.fold_in(jax.random.key(config.seed), trial)
    return {use: jax.random.fold_in(own, number) for number, use in enumerate(uses)}


def run(problem: Problem, cell: lab.Cell, run: lab.Run) -> dict[str, np.ndarray]:
    """One variant in one trial: its champion and the controls that belong to it, tested; its course; transfer learning.

    Arrays have a leading axis of networks, named in "rows"; the champion is the first.
    """
    config, variant, of_trial = problem.config, VARIANTS[cell.arm], keys(problem.config, cell.seed)
    pop, algorithm = problem.ancestors(run, variant, cell.seed), problem.algorithm(variant)
    words = variant.signs, variant.magnitudes, variant.pruned
    kept, masks = on_host(begun(algorithm, *words, pop, of_trial["ancestors"]))
    one, all_, params = ea.population.take((kept, masks, pop), 0)
    outputs = problem.outputs(variant, one, all_)
    last, course = problem.evolve(run, variant, kept, masks, outputs, of_trial["generations"])
    best = last.champion.kept, last.champion.masks
    found = [measures.Row(cell.arm, algorithm, *best, algorithm.values, outputs, variant.apart)]
    if cell.arm == "default":
        found += controls(found[0], params, of_trial["controls"])
    if cell.arm == "mapping optimised":
        found.append(dataclasses.replace(found[0], name=MAPPED_CONTROL, kept=one, masks=all_))
    arrays = measures.examine(problem, run, found)
    again = np.full((len(found), len(problem.sets)), np.nan, np.float32)
    for place, row in enumerate(found):
        if row.name in TRANSFERRED and config.transfers:
            again[place] = measures.transfer(problem, run, row, arrays["value"][place], of_trial["transfer"])
    arrays |= {"transfer": again, "synapses": np.array([row.synapses for row in found])}
    lost = [row.lost for row in found]  # the share of its lost synapses that the champion has lost too
    arrays["common"] = np.array([(of & lost[0]).sum() / of.sum() if of.any() else np.nan for of in lost])
    arrays |= {f"course_{name}": values[None] for name, values in course.items()}
    arrays["found"] = np.asarray(last.found)[None]
    classes = [",".join(of.class_names) for of in problem.sets]
    return arrays | {"rows": np.array([row.name for row in found]), "classes": np.array(classes)}


def controls(champion: measures.Row, params: PyTree, key: Array) -> list[measures.Row]:
    """What the champion of "default" is compared with: the network that it comes from, and this network pruned to as
    many synapses by chance or by magnitude; each with its weights, and with signs and a shared value."""
    own, shared, masks = on_host(pruned_otherwise(champion.algorithm.synapses, params, champion.synapses, key))
    plans = zip((*PLAIN_CONTROLS, *SHARED_CONTROLS), [own] * 3 + [shared] * 3, masks * 2, strict=True)
    found = [dataclasses.replace(champion, name=name, kept=kept, masks=of) for name, kept, of in plans]
    return [dataclasses.replace(row, values=(1.0,)) if row.kept is own else row for row in found]


@jax.jit
def pruned_otherwise(synapses: Synapses, params: PyTree, count: int, key: Array) -> tuple[PyTree, PyTree, list[PyTree]]:
    """Weights and signs of a network; and its masks: all, and so many synapses by chance and by magnitude."""
    own, shared = (pruning.basis(synapses, params, magnitudes=of) for of in ("own", "shared"))
    all_ = pruning.full_masks(params)
    by_chance = pruning.at_random(key, synapses, all_, count)
    return own, shared, [all_, by_chance, pruning.magnitude(synapses, all_, params, count)]


@partial(jax.jit, static_argnums=(0, 1, 2, 3))
def begun(
    algorithm: Padawann, signs: str, magnitudes: str, pruned: float, pop: PyTree, key: Array
) -> tuple[PyTree, PyTree]:
    """What is kept of the weights of a population, and masks without a share of its smallest weights."""
    synapses, settings = algorithm.synapses, {"signs": signs, "magnitudes": magnitudes, "biases": algorithm.biases}

    def one(params: PyTree, key: Array) -> tuple[PyTree, PyTree]:
        masks = pruning.full_masks(params)
        if pruned:
            left = round((1 - pruned) * sum(leaf.size for leaf in synapses.of(params).values()))
            masks = pruning.magnitude(synapses, masks, params, left)
        return pruning.basis(synapses, params, key=key, **settings), masks

    return ea.population.map(one, pop, jax.random.split(key, ea.population.size(pop)))


def on_host(tree: PyTree) -> PyTree:
    """The arrays of a tree in NumPy, where taking one of them compiles nothing."""
    return jax.tree.map(np.asarray, tree)


def rows(config: Config) -> list[str]:
    """The networks that are compared: champions of the variants, then controls."""
    mapped = (MAPPED_CONTROL,) if "mapping optimised" in config.variants else ()
    return [*config.variants, *PLAIN_CONTROLS, *SHARED_CONTROLS, *mapped]


def merge(config: Config, found: Mapping[lab.Cell, lab.Arrays]) -> dict[str, np.ndarray]:
    """The arrays of all networks, [rows, trials, ...]; and of the first trial, on how many test images each network is
    right where each other one is wrong, [rows, rows, sets]."""
    names, of_rows = rows(config), {}
    for cell, arrays in found.items():
        for place, row in enumerate(arrays["rows"]):
            own = {name: of[place] for name, of in arrays.items() if name != "classes" and place < len(of)}
            of_rows[lab.Cell(str(row), cell.seed)] = own
    every = [lab.Cell(name, trial) for name in names for trial in range(config.trials)]
    measured = sorted({name for of in of_rows.values() for name in of} - {"right", "rows"})
    merged = {name: of.astype(np.float32) for name, of in lab.by_arm(every, of_rows, measured).items()}
    merged["alone"] = np.full((len(names), len(names), len(config.sets)), np.nan, np.float32)
    right = {names.index(cell.arm): of["right"] for cell, of in of_rows.items() if cell.seed == 0}
    for a, b in itertools.product(right, right):
        merged["alone"][a, b] = ((right[a] == 1) & (right[b] == 0)).sum(axis=-1)
    lists = {"rows": names, "variants": config.variants, "sets": config.sets}
    classes = next(iter(found.values()))["classes"]
    return merged | {"classes": classes} | {name: np.array(value) for name, value in lists.items()}


def noted(alive: PadawannState, tasks: tuple[int, ...], values: tuple[float, ...], sets: int) -> dict[str, np.ndarray]:
    """What is measured of the best member of a generation; NaN for data sets that are none of its tasks."""
    rollouts = on_host(vars(alive.members.rollouts))
    all_, synapses = on_host((alive.members.fitness, alive.members.synapses))
    mean = np.nanmean(all_) if np.isfinite(all_).any() else np.nan
    accuracy = np.nan_to_num(rollouts["accuracy"][0])
    chosen = accuracy.argmax(axis=1)
    pick = np.arange(len(tasks)), chosen
    of_tasks = {"accuracy": accuracy[pick], "loss": rollouts["loss"][0][pick], "ensemble": rollouts["ensemble"][0]}
    found: dict[str, Any] = {"fitness": all_[0], "mean_fitness": mean, "synapses": synapses[0]}
    for name, value in (of_tasks | {"value": np.asarray(values)[chosen]}).items():
        found[name] = np.full(sets, np.nan)
        found[name][list(tasks)] = value
    return {name: np.asarray(value, np.float32) for name, value in found.items()}


@partial(jax.jit, static_argnums=1)
def packed(alive: PadawannState, all_kept: bool) -> dict[str, Any]:
    """A population for a checkpoint: masks as bits, and what members keep of their weights only where they differ."""
    every: Any = jax.tree.map(lambda of, one: jnp.concatenate([of, one[None]]), alive.members, alive.champion)
    found = {name: getattr(every, name) for name in ("fitness", "synapses", *(("kept",) if all_kept else ()))}
    found |= {"bits": jax.vmap(to_bits)(every.masks), "rollouts": vars(every.rollouts)}
    return found | {"found": alive.found, "generation": alive.generation}


@jax.jit
def unpacked(stored: dict[str, Any], kept: PyTree, masks: PyTree) -> PadawannState:
    """The population that `packed` was given; the ancestor and its masks tell what is not stored, and shapes."""
    same = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (stored["fitness"].size, *leaf.shape)), kept)
    alive, rollouts = jax.vmap(of_bits, (0, None))(stored["bits"], masks), pruning.Rollouts(**stored["rollouts"])
    every = Topology(stored.get("kept", same), alive, rollouts, stored["fitness"], stored["synapses"])
    members, champion = (ea.population.take(every, which) for which in (slice(0, -1), -1))
    return PadawannState(members, champion, stored["found"], stored["generation"])


def to_bits(masks: PyTree) -> Array:
    """The masks of a network, eight entries to a byte."""
    return jnp.packbits(jnp.concatenate([jnp.ravel(leaf) for leaf in jax.tree.leaves(masks)]))


def of_bits(bits: Array, like: PyTree) -> PyTree:
    """The masks that `to_bits` was given; `like` are others of the same network."""
    leaves, structure = jax.tree.flatten(like)
    ends = np.cumsum([leaf.size for leaf in leaves])
    parts = jnp.split(jnp.unpackbits(bits, count=int(ends[-1])).astype(bool), ends[:-1])
    return structure.unflatten([part.reshape(leaf.shape) for part, leaf in zip(parts, leaves, strict=True)])


@partial(jax.jit, static_argnums=0)
def initial(module: Any, key: Array, x: Array) -> PyTree:
    """The parameters of a new network, with a leading axis."""
    return jax.tree.map(lambda leaf: leaf[None], module.init(key, x))


def of_first_task(apply: Any, classes: int, params: PyTree, x: PyTree, *key: Array) -> Array:
    """The logits for the first task, of a network that may have outputs for more."""
    return apply(params, x, *key)[..., :classes]


def of_each_class(name: str, x: np.ndarray, y: np.ndarray, count: int) -> Images:
    """The first samples of every class."""
    places = [np.flatnonzero(y == label) for label in range(int(y.max()) + 1)]
    fewest = min(map(len, places))
    if fewest < count:
        raise _checks.bad("samples", count, f"at most {fewest}, as {name} has of a class", "Lower it.")
    chosen = np.sort(np.concatenate([of[:count] for of in places]))
    return x[chosen], y[chosen]
