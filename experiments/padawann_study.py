"""How `padawann.py` trains networks, evolves populations of their topologies, and measures what came of it."""

import dataclasses
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import evojax_align as ea
from evojax_align import _checks, lab, pruning
from evojax_align._types import Array, PyTree
from evojax_align.data import Dataset, Part
from evojax_align.data.dataset import draw
from evojax_align.evolution import Padawann, Topologies
from evojax_align.pruning import Synapses, Task

sys.path.insert(0, str(Path(__file__).parent))

from padawann_variants import OF_MODES, VARIANTS, Config, Variant  # pyright: ignore[reportImplicitRelativeImport]

COMPARED = 1000
"""Training images on which the neurons of two ancestors are compared."""
FALL = 0.7
"""What is left of the learning rate after each epoch."""


@dataclasses.dataclass(frozen=True)
class Kind:
    """Networks that are trained alike: on a data set, with outputs for so many tasks."""

    network: str
    trained_on: int
    tasks: int


@dataclasses.dataclass(frozen=True)
class Network:
    """A network of a kind, and which of its leaves are pruned."""

    module: Any
    synapses: Synapses


@dataclasses.dataclass(frozen=True)
class Row:
    """Networks, one of each trial, whose answers are compared: what is kept of them, and how they are judged."""

    name: str
    network: Network
    kept: PyTree
    masks: PyTree
    values: tuple[float, ...]
    biases: str
    over: str
    """How values are taken together: as one "ensemble", or else the best one is chosen."""
    outputs: tuple[Array | None, ...]
    """Of each trial, those of the second task."""
    apart: bool
    """Whether the second task has an output layer of its own."""


class Study:
    """Data and networks of a study."""

    def __init__(self, config: Config, sets: Sequence[Dataset]) -> None:
        self.config = config
        self.mesh = ea.population.devices()
        if max(of.num_classes for of in sets) > sets[0].num_classes:
            came = {of.name: of.num_classes for of in sets}
            raise _checks.bad("second, others", came, "no more classes than the first has", "Cut them with `only`.")
        self.sets, self.classes = sets, sets[0].num_classes
        self.names = [of.name for of in sets]
        self.train = self.framed([joined(of.train, of.validation) for of in sets])  # nothing is chosen by validation
        self.test = self.framed([fair(of.test, config.tested, config.seed) for of in sets])
        self.few = [
            of_each_class(name, *part, config.samples) for name, part in zip(self.names, self.train, strict=True)
        ]
        self.variants = {name: VARIANTS[name] for name in config.variants}
        self._networks: dict[Kind, Network] = {}

    def framed(self, parts: Sequence[Any]) -> list[tuple[Array, Array]]:
        """Images of one size and number of channels, scaled as the first set's training images are."""
        first = self.sets[0].train.x
        side = max(max(of.image_shape[:2]) for of in self.sets)
        channels = max(of.image_shape[2] if len(of.image_shape) == 3 else 1 for of in self.sets)
        found = []
        for of, (x, y) in zip(self.sets, parts, strict=True):
            if self.config.mode == "code" and of.name.startswith("emnist"):
                x = x.swapaxes(1, 2)  # the code takes these images as they lie in the file
            if channels > 1:
                x = np.broadcast_to(x[..., None], (*x.shape, channels)) if x.ndim == 3 else x
            room = [(0, 0), *((n // 2, n - n // 2) for n in (side - length for length in x.shape[1:3]))]
            x = np.pad(x, [*room, *[(0, 0)] * (x.ndim - 3)])
            found.append((jnp.asarray((x - first.mean()) / first.std(), jnp.float32), jnp.asarray(y)))
        return found

    def network(self, kind: Kind) -> Network:
        """The network of a kind, made once."""
        if kind not in self._networks:
            self._networks[kind] = self._built(kind)
        return self._networks[kind]

    def _built(self, kind: Kind) -> Network:
        classes = self.classes * kind.tasks
        settings: dict[str, Any] = {"start": "fan_in", "output_bias": True}
        forward = ea.models.MLP(hidden=(self.config.hidden,), classes=classes, **settings)
        module = ea.models.MnistNet(self.config.widths, classes) if kind.network == "conv" else forward
        return Network(module, pruning.find(jax.eval_shape(partial(self.drawn, module), jax.random.key(0))))

    def drawn(self, module: Any, key: Array) -> PyTree:
        """The parameters of one network."""
        return module.init(key, self.train[0][0][:1])

    def kind(self, variant: Variant) -> Kind:
        """Of a variant's ancestors."""
        return Kind(variant.network, variant.trained_on, 2 if variant.outputs == "apart" else 1)

    def kinds(self) -> list[Kind]:
        """All that are trained, that of "default" first."""
        own = [self.kind(self.variants["default"])]
        return list(dict.fromkeys(own + [self.kind(variant) for variant in self.variants.values()]))

    @property
    def founders(self) -> int:
        """How many networks of each kind are trained: one of every trial, or as in the thesis a single one; and with
        each a second one, where a variant has two ancestors."""
        each = max(variant.ancestors for variant in self.variants.values())
        return each * (self.config.trials if self.config.mode == "clean" else 1)

    def trained(self, run: lab.Run, kind: Kind, key: Array) -> PyTree:
        """Networks of a kind, trained with dropout."""
        config, module = self.config, self.network(kind).module
        x, y = self.train[kind.trained_on]
        if config.learnt:
            x, y = x[: config.learnt], y[: config.learnt]
        steps = -(-y.size // config.batch_size)
        falls = {steps * epoch: FALL for epoch in range(1, config.epochs)}
        optimizer = optax.adadelta(optax.piecewise_constant_schedule(config.learning_rate, falls), rho=0.9, eps=1e-6)
        apply = partial(of_first_task, module.apply, self.classes)
        key_init, key_train = jax.random.split(key)
        pop = ea.population.init(partial(self.drawn, module), key_init, self.founders)
        members = ea.training.init(pop, optimizer, epochs=config.epochs, key=key_train)

        def step(number: int, members: ea.training.Member) -> tuple[ea.training.Member, dict[str, float]]:
            settings = {"batch_size": config.batch_size, "noisy": kind.network == "conv", "mesh": self.mesh}
            members = ea.training.step_epoch(apply, members, (x, y), optimizer, **settings)
            return members, {name: float(np.mean(rows[:, number])) for name, rows in members.history.items()}

        name = f"networks: {kind.network}, {self.names[kind.trained_on]}, {kind.tasks}"
        return ea.population.gather(run.loop(name, members, step, total=config.epochs).params)

    def ancestors(self, variant: Variant, networks: PyTree, trial: int, key: Array) -> tuple[PyTree, PyTree]:
        """What is kept of the networks that a trial begins with, and their masks."""
        network = self.network(self.kind(variant))
        count = 1 if self.config.mode != "clean" else self.config.trials
        first = trial % count
        pop = ea.population.take(networks, jnp.array([first, count + first][: variant.ancestors]))
        if variant.aligned:
            spec = ea.symmetry.infer(network.module.apply, ea.population.take(pop, 0), self.train[0][0][:2])
            x = self.train[variant.trained_on][0][:COMPARED]
            others = ea.population.take(pop, slice(1, None))
            moved = ea.alignment.align_to(network.module.apply, ea.population.take(pop, 0), others, x, spec=spec)
            pop = jax.tree.map(lambda a, b: jnp.concatenate([a[:1], b]), pop, moved.networks)
        synapses = network.synapses
        masks = pruning.full_masks(pop)
        if variant.pruned:
            left = round((1 - variant.pruned) * int(pruning.total(synapses, ea.population.take(masks, 0))))
            masks = jax.vmap(lambda m, p: pruning.magnitude(synapses, m, p, left))(masks, pop)
        settings = {"signs": variant.signs, "magnitudes": variant.magnitudes, "biases": self.biases(variant)}
        keys = jax.random.split(jax.random.fold_in(key, trial), variant.ancestors)
        kept = [
            pruning.basis(synapses, of, key=k, **settings)
            for of, k in zip(ea.population.unstack(pop), keys, strict=True)
        ]
        return ea.population.stack(kept), masks

    def biases(self, variant: Variant) -> str:
        """What becomes of the biases of a variant."""
        return str(dict(variant.settings).get("biases", "kept"))

    def algorithm(self, variant: Variant) -> Padawann:
        """What breeds the population of a variant."""
        config, network = self.config, self.network(self.kind(variant))
        known = {"size": config.size, "tournament": config.tournament, "share": config.share}
        known |= {"chunk": config.chunk, "mesh": self.mesh}
        settings: dict[str, Any] = known | OF_MODES[config.mode] | dict(variant.settings)
        if variant.ancestors > 1:
            one = self.drawn(network.module, jax.random.key(0))
            spec = ea.symmetry.infer(network.module.apply, one, self.train[0][0][:2])
            settings["genes"] = ea.crossover.neuron_genes(one, spec)
            settings["crossover"] = "uniform"
        return Padawann(network.module.apply, network.synapses, **settings)

    def outputs(self, variant: Variant, kept: PyTree, masks: PyTree) -> Array | None:
        """The outputs that stand for the classes of the second task."""
        count = self.sets[1].num_classes
        if variant.outputs == "apart":
            return self.classes + jnp.arange(count)
        if variant.outputs == "fewer":
            return jnp.arange(count // 2)
        if variant.mapping == "given":
            return jnp.array(self.config.mapping[:count])
        if variant.mapping == "none":
            return None if count == self.classes else jnp.arange(count)
        network, (x, y) = self.network(self.kind(variant)), self.few[1]
        one = pruning.masked(ea.population.take(masks, 0), ea.population.take(kept, 0))
        said = answered(network.module.apply, network.synapses, "kept", one, jnp.ones(1), Task(x, y)).classes[0]
        counts = jnp.zeros((self.classes, self.classes)).at[y, said].add(1)
        found = ea.matching.one_to_one(counts)
        return jnp.zeros(self.classes, jnp.int32).at[found.x].set(found.y)[:count]

    def task(self, part: list[tuple[Array, Array]], number: int, outputs: Array | None, apart: bool) -> Task:
        """A data set as a task; other sets than the second take the first outputs, as many as they have classes."""
        x, y = part[number]
        if number == 1:
            kept = y < self.classes if outputs is None else y < outputs.size
            return Task(x[kept], y[kept], outputs)
        count = self.sets[number].num_classes
        return Task(x, y, jnp.arange(count) if apart or count < self.classes else None)

    def evolve(self, run: lab.Run, name: str, networks: PyTree, key: Array) -> dict[str, Any]:
        """All trials of a variant: its courses, its champions, and the generations that these were found in."""
        config, variant = self.config, self.variants[name]
        algorithm, apart = self.algorithm(variant), variant.outputs == "apart"
        each = config.generations + 1
        key_ancestors, key_steps = jax.random.split(key)

        def begin(trial: int) -> tuple[tuple[PyTree, PyTree], list[Task]]:
            ancestors = self.ancestors(variant, networks, trial, key_ancestors)
            outputs = self.outputs(variant, *ancestors)
            return ancestors, [self.task(self.few, number, outputs, apart) for number in variant.tasks]

        def started(key: Array, kept: PyTree, masks: PyTree, tasks: list[Task]) -> Topologies:
            return dataclasses.replace(algorithm, mesh=None).init(key, kept, tasks, masks=masks)

        (kept, masks), tasks = begin(0)
        like = emptied(started, key, kept, masks, tasks)
        known: dict[int, Any] = {0: ((kept, masks), tasks)}  # of the trial at hand alone

        def step(number: int, state: dict[str, Any]) -> tuple[dict[str, Any], dict[str, float]]:
            trial, generation = divmod(number, each)
            if trial not in known:
                known.clear()
                known[trial] = begin(trial)
            (kept, masks), tasks = known[trial]
            of_step = jax.random.fold_in(jax.random.fold_in(key_steps, trial), generation)
            if generation == 0:
                alive = algorithm.init(of_step, kept, tasks, masks=masks)
            else:
                alive, _ = algorithm.step(of_step, state["alive"], tasks)
            note(state["courses"], (trial, generation), alive, variant.tasks, algorithm.values)
            champions = state["champions"]
            if generation == config.generations:
                of = alive.champion.kept, alive.champion.masks
                champions = jax.tree.map(lambda all_, one: all_.at[trial].set(one), champions, of)
                state["found"][trial] = int(alive.found)
            best = {"fitness": float(alive.champion.fitness), "synapses": int(alive.champion.synapses)}
            return state | {"alive": alive, "champions": champions}, best

        room = jax.tree.map(lambda leaf: jnp.zeros((config.trials, *leaf.shape[1:]), leaf.dtype), (kept, masks))
        start = {"alive": like, "champions": room, "found": np.zeros(config.trials), "courses": self.courses()}
        found = run.loop(name, start, step, total=config.trials * each)
        return {"champions": found["champions"], "found": found["found"], "courses": found["courses"]}

    def courses(self) -> dict[str, np.ndarray[Any, Any]]:
        """Where what is measured of each generation goes: [trials, generations, ...]."""
        shape = (self.config.trials, self.config.generations + 1)
        shapes = {name: shape for name in ("fitness", "mean_fitness", "synapses")}
        shapes |= {name: (*shape, len(self.sets)) for name in ("accuracy", "loss", "value", "ensemble")}
        return {name: np.full(of, np.nan, np.float32) for name, of in shapes.items()}

    def champions(self, name: str, networks: PyTree, key: Array, found: dict[str, Any]) -> Row:
        """The champions of a variant's trials, as they are compared."""
        variant = self.variants[name]
        algorithm, kind = self.algorithm(variant), self.kind(variant)
        key_ancestors, _ = jax.random.split(key)
        begun = [self.ancestors(variant, networks, trial, key_ancestors) for trial in range(self.config.trials)]
        outputs = [self.outputs(variant, *ancestors) for ancestors in begun]
        settings: dict[str, Any] = {"values": algorithm.values, "biases": algorithm.biases, "over": algorithm.over}
        settings["outputs"] = tuple(outputs)
        return Row(name, self.network(kind), *found["champions"], apart=variant.outputs == "apart", **settings)

    def controls(self, networks: PyTree, rows: Sequence[Row], key: Array) -> list[Row]:
        """What the champions of "default" are compared with: the networks that they come from, with their weights or
        with a shared value, and these pruned to the same numbers of synapses by chance or by magnitude; and where other
        outputs stand for the second task's classes, that alone."""
        of_name = {row.name: row for row in rows}
        champions = of_name["default"]
        network, trials = champions.network, self.config.trials
        pop = ea.population.take(networks, jnp.arange(trials) % (trials if self.config.mode == "clean" else 1))
        synapses, all_ = network.synapses, pruning.full_masks(pop)
        counts = jax.vmap(partial(pruning.total, synapses))(champions.masks)
        keys = jax.random.split(key, trials)
        by_chance = jax.vmap(lambda k, m, n: pruning.at_random(k, synapses, m, n))(keys, all_, counts)
        by_size = jax.vmap(lambda m, p, n: pruning.magnitude(synapses, m, p, n))(all_, pop, counts)
        own, shared = (jax.vmap(partial(pruning.basis, synapses, magnitudes=sizes))(pop) for sizes in ("own", "shared"))
        plans = {
            "network": (own, all_, (1.0,)),
            "network, shared value": (shared, all_, champions.values),
            "random pruning": (own, by_chance, (1.0,)),
            "random pruning, shared value": (shared, by_chance, champions.values),
            "pruning by magnitude": (own, by_size, (1.0,)),
            "by magnitude, shared value": (shared, by_size, champions.values),
        }
        found = [
            dataclasses.replace(champions, name=name, kept=kept, masks=masks, values=values)
            for name, (kept, masks, values) in plans.items()
        ]
        if "mapping optimised" in of_name:
            mapped = of_name["mapping optimised"]
            found.append(dataclasses.replace(mapped, name="mapping alone", kept=shared, masks=all_))
        return found


def emptied(fn: Callable[..., PyTree], *args: PyTree) -> PyTree:
    """Zeros in the place of what a function would give, which is not computed."""
    found = []

    def leaves(*args: PyTree) -> list[Array]:
        flat, structure = jax.tree.flatten(fn(*args))
        found.append(structure)
        return flat

    shapes = jax.eval_shape(leaves, *args)
    return jax.tree.unflatten(found[0], [jnp.zeros(of.shape, of.dtype) for of in shapes])


def of_first_task(apply: Any, classes: int, params: PyTree, x: PyTree, *key: Array) -> Array:
    """The logits of a network that may have outputs for more tasks."""
    return apply(params, x, *key)[..., :classes]


def joined(*parts: Part) -> tuple[np.ndarray, ...]:
    """The samples of several parts."""
    return tuple(np.concatenate(of) for of in zip(*parts, strict=True))


def fair(part: Part, count: int, seed: int) -> tuple[np.ndarray, ...]:
    """So many test samples, of each class its share; 0 takes all."""
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


@partial(jax.jit, static_argnums=(0, 1, 2))
def answered(apply: Any, synapses: Any, biases: str, kept: PyTree, values: Array, task: Task) -> pruning.Answers:
    """What one network says of a task."""
    return pruning.answers(apply, synapses, kept, values, task, biases=biases)


def note(
    courses: dict[str, np.ndarray],
    place: tuple[int, int],
    alive: Topologies,
    tasks: tuple[int, ...],
    values: tuple[float, ...],
) -> None:
    """Keep what is measured of the best member of a generation."""
    best, all_ = ea.population.take(alive.members, 0), np.asarray(alive.members.fitness)
    courses["fitness"][place], courses["synapses"][place] = best.fitness, best.synapses
    courses["mean_fitness"][place] = np.nanmean(all_) if np.isfinite(all_).any() else np.nan
    accuracy, loss = np.nan_to_num(np.asarray(best.rollouts.accuracy)), np.asarray(best.rollouts.loss)
    chosen = accuracy.argmax(axis=1)
    for row, number in enumerate(tasks):
        where = (*place, number)
        courses["accuracy"][where], courses["loss"][where] = accuracy[row, chosen[row]], loss[row, chosen[row]]
        courses["value"][where], courses["ensemble"][where] = values[chosen[row]], best.rollouts.ensemble[row]
