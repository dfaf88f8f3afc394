"""How sparse networks and their controls are bred and trained, and what is measured."""

import dataclasses
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import evojax_align as ea
from evojax_align import _checks, lab, pruning
from evojax_align._types import Array, PyTree
from evojax_align.data import Dataset
from evojax_align.evolution import Synthesis, SynthesisOffspring, SynthesisState
from evojax_align.evolution.fitness import accuracies
from evojax_align.evolution.synthesis.records import synthesis_info
from experiments.common import on_one_device
from experiments.mating.config import Arm, Config, populations

CLASSIFIER = "params/output"
"""The layer that is not counted, and not pruned."""
MEASURES = ("accuracy", "synapses", "kernels", "clusters", "connected", "layers")
SHARES = ("retained", "allowed", "expected")


def cells(config: Config) -> list[lab.Cell]:
    """All populations, seed by seed."""
    return [lab.Cell(arm, seed) for seed in range(config.repeats) for arm in populations(config)]


def merge(config: Config, found: Mapping[lab.Cell, Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The arrays of the study: [arms, seeds, generations, children and then controls]."""
    arms = populations(config)
    lists: dict[str, Any] = {
        "arms": list(arms),
        "generations": [arm.generations for arm in arms.values()],
        "sizes": [arm.size for arm in arms.values()],
        "controlled": [arm.controlled for arm in arms.values()],
        "controls": config.controls,
        "losses": config.losses,
        "study": config.study,
        "dataset": config.dataset,
    }
    whole = {cell: found.get(cell) or unknown(config, arms[cell.arm]) for cell in cells(config)}
    return lab.by_arm([*whole], whole) | {name: np.array(value) for name, value in lists.items()}


class Problem:
    """Data, networks and algorithms of a run, made once so that all cells share compiled programs."""

    def __init__(self, config: Config, data: Dataset) -> None:
        self.config = config
        self.mesh = ea.population.devices()
        train, judge, test = (tuple(part) for part in (data.train, data.validation, data.test))
        if config.samples:
            kept = config.samples // 10
            train, judge = of_first(train, config.samples - kept), of_first(judge, kept)
        if config.tested:
            test = of_first(test, config.tested, "tested")
        if config.mode == "text":  # the authors mention no validation split
            train, judge = tuple(np.concatenate(both) for both in zip(train, judge, strict=True)), test
        self.train, self.judge, self.test = (
            (jnp.asarray(framed(x, config.enlarged, config.side)), jnp.asarray(y)) for x, y in (train, judge, test)
        )
        self.mirrored = (self.train[0][:, :, ::-1], self.train[1]) if config.mirrored else self.train
        self.network = ea.models.LeNet(config.widths, data.num_classes)
        self.init_fn = partial(drawn, self.network, self.train[0][:1])
        one = jax.jit(self.init_fn)(jax.random.key(0))
        self.synapses = pruning.find(one, leave=[CLASSIFIER])
        self.spec = ea.symmetry.infer(self.network.apply, one, self.train[0][:1])
        steps = config.epochs * -(-self.train[1].size // config.batch_size)
        falls = {round(share * steps): 0.1 for share in config.drops}
        rate = optax.piecewise_constant_schedule(config.learning_rate, falls)
        decay, momentum = optax.add_decayed_weights(config.weight_decay), config.momentum
        sgd = optax.chain(decay, optax.sgd(rate, momentum=momentum))
        self.optimizer = optax.adam(rate) if config.optimizer == "adam" else sgd
        self.arms = populations(config)
        self.algorithms = {name: self.algorithm(arm) for name, arm in self.arms.items()}
        most = max(arm.size + len(controls_of(config, arm)) for arm in self.arms.values())
        self.devices = 1 if self.mesh is None else self.mesh.size
        self.places = places_of(most, self.devices)

    @property
    def slots(self) -> int:
        """Networks that the compiled program trains, some of them idle; the n-th one is at `places[n]`, so that each
        device has its part of those that are not."""
        return len(self.places)

    def turns(self, count: int) -> int:
        """Steps in which so many networks train for an epoch. On a CPU the networks of one device are trained one after
        the other anyway, so that each can be a short step of its own."""
        return -(-count // self.devices) if jax.default_backend() == "cpu" else 1

    def algorithm(self, arm: Arm) -> Synthesis:
        """The algorithm that breeds the population of an arm."""
        settings = {"synapse_factor": self.config.synapse_factor, "start": self.config.start, "spec": self.spec}
        settings |= dict(arm.settings)
        return Synthesis(self.network.apply, self.init_fn, self.synapses, self.optimizer, **settings)

    def about_to_train(self, *parts: tuple[PyTree, PyTree, Array]) -> ea.training.Member:
        """Networks in training, of all parts (populations, masks, keys), and idle ones up to the number that the
        compiled program takes."""
        count = sum(len(keys) for *_, keys in parts)
        order = np.argsort(self.places)
        pop, masks, keys = joined(parts, np.minimum(order, count - 1))
        members = ea.training.init(pop, self.optimizer, epochs=self.config.epochs, key=keys, masks=masks)
        return dataclasses.replace(members, active=jnp.asarray(order < count))

    def in_line(self, tree: PyTree, start: int, stop: int) -> PyTree:
        """What belongs to some of the networks in training, by the order in which they were given."""
        return take(on_one_device(tree), self.places[start:stop])

    def trained(self, members: ea.training.Member, step: int, turns: int) -> ea.training.Member:
        """The networks after one more step of `epochs * turns`: an epoch of all, or of one on each device."""
        epoch, turn = divmod(step, turns)
        data = self.mirrored if epoch % 2 else self.train
        settings = {"batch_size": self.config.batch_size, "some_idle": True, "mesh": self.mesh}
        whole = np.asarray(members.active)
        place = np.arange(self.slots) % (self.slots // self.devices)
        now = whole if turns == 1 else whole & (place == turn)
        members = dataclasses.replace(members, active=jnp.asarray(now))
        members = ea.training.step_epoch(self.network.apply, members, data, self.optimizer, **settings)
        return dataclasses.replace(members, active=jnp.asarray(whole))

    def ancestors(self, run: lab.Run, seed: int) -> dict[str, PyTree]:
        """The trained dense networks of one seed, as many as any arm begins with, and their first weights."""
        count = max(arm.ancestors for arm in self.arms.values())
        turns = self.turns(count)
        origin, masks, keys = founders(self.init_fn, count, self.keys(seed)[0])

        def step(number: int, members: ea.training.Member) -> tuple[ea.training.Member, dict[str, float]]:
            members = self.trained(members, number, turns)
            return members, {"loss": mean_loss(members, number // turns)}

        members = self.about_to_train((origin, masks, keys))
        total = self.config.epochs * turns
        members = run.loop(f"ancestors of seed {seed}", members, step, total=total, shared=True)
        return {"origin": origin, "trained": self.in_line(members.params, 0, count)}

    def keys(self, seed: int) -> Array:
        """The random keys of one seed: of the ancestors, and of all populations."""
        return jax.random.split(jax.random.fold_in(jax.random.key(self.config.seed), seed))

    def first(self, arm: Arm, ancestors: dict[str, PyTree]) -> SynthesisState:
        """The first generation of an arm: copies of one ancestor, or several."""
        which = np.arange(arm.size) if arm.ancestors > 1 else np.zeros(arm.size, int)
        mine = take(ancestors, which)
        fitness = accuracies(self.network.apply, mine["trained"], *self.judge)
        masks = jax.tree.map(lambda leaf: jnp.asarray(np.ones(leaf.shape, bool)), mine["trained"])
        return SynthesisState(mine["trained"], masks, mine["origin"], fitness, jnp.asarray(1, jnp.int32))

    def pruned(
        self, key: Array, offspring: SynthesisOffspring, before: Mapping[str, PyTree]
    ) -> list[tuple[PyTree, PyTree, Array]]:
        """The controls of a generation: networks with as many synapses as the only child, pruned from those of the
        generation before. Those that are drawn anew begin with equal weights, so that only their masks differ."""
        key_prune, key_anew = jax.random.split(key)
        found = []
        for name, (params, masks) in before.items():
            new_masks = prune(self.synapses, name == "random", key_prune, params, masks, offspring.masks)
            if name == "magnitude, kept":
                begun = params
            elif name == "magnitude, rewound":
                begun = offspring.origin
            else:
                begun = anew(self.init_fn, self.synapses, self.config.start == "scaled", key_anew, new_masks)
            found.append((begun, new_masks, offspring.keys))
        return found


def run(problem: Problem, cell: lab.Cell, run: lab.Run) -> dict[str, np.ndarray]:
    """One population: arrays [generations, children and then controls]."""
    arm, algorithm = problem.arms[cell.arm], problem.algorithms[cell.arm]
    controls = controls_of(problem.config, arm)
    count = arm.size + len(controls)
    turns = problem.turns(count)
    steps = problem.config.epochs * turns
    _, key = problem.keys(cell.seed)

    def conceived(state: dict[str, Any], generation: int) -> dict[str, Any]:
        """The state with children and controls that are to be trained."""
        key_breed, key_pruned = jax.random.split(jax.random.fold_in(key, generation))
        found, trained = state["found"], (state["members"].params, state["members"].masks)
        before = {name: problem.in_line(trained, place, place + 1) for place, name in enumerate(controls, arm.size)}
        offspring = algorithm.breed(key_breed, state["alive"], problem.train)
        parts = [(offspring.population, offspring.masks, offspring.keys)]
        if controls:
            parts += problem.pruned(key_pruned, take(offspring, np.zeros(1, int)), before)
        for name, values in shares(problem.synapses, offspring).items():
            found[name][generation + 1] = values
        unknown = jnp.asarray(np.full(arm.size, np.nan, np.float32))
        alive = algorithm.admit(offspring, offspring.population, unknown, generation=state["alive"].generation + 1)
        return {"alive": alive, "members": problem.about_to_train(*parts), "found": found}

    def step(number: int, state: dict[str, Any]) -> tuple[dict[str, Any], dict[str, float]]:
        generation, part = divmod(number, steps)
        if part == 0:
            state = conceived(state, generation)
        members = problem.trained(state["members"], part, turns)
        state, shown = state | {"members": members}, {"loss": mean_loss(members, part // turns)}
        if part == steps - 1:
            trained = problem.in_line((members.params, members.masks), 0, count)
            note(problem, state["found"], generation + 1, *trained)
            children = take(trained[0], np.arange(arm.size))
            fitness = accuracies(problem.network.apply, children, *problem.judge)
            state |= {"alive": dataclasses.replace(state["alive"], population=children, fitness=fitness)}
            shown["accuracy"] = float(state["found"]["accuracy"][generation + 1, : arm.size].mean())
        return state, shown

    alive = problem.first(arm, problem.ancestors(run, cell.seed))
    ancestor = take((alive.population, alive.masks), np.zeros(count, int))
    members = problem.about_to_train((*ancestor, jax.random.split(key, count)))
    found = unknown(problem.config, arm)
    note(problem, found, 0, *ancestor)
    start = {"alive": alive, "members": members, "found": found}
    return run.loop("evolution", start, step, total=(arm.generations - 1) * steps)["found"]


def controls_of(config: Config, arm: Arm) -> tuple[str, ...]:
    """The networks that the first child of a generation is compared with."""
    return config.controls if arm.controlled else ()


def unknown(config: Config, arm: Arm) -> dict[str, np.ndarray]:
    """The arrays of one cell before anything is known: NaN."""
    count = arm.size + len(controls_of(config, arm))
    shapes: dict[str, tuple[int, ...]] = {name: (count,) for name in MEASURES if name != "layers"}
    shapes |= {name: (arm.size,) for name in SHARES} | {"layers": (count, len(config.widths))}
    return {name: np.full((arm.generations, *shape), np.nan, np.float32) for name, shape in shapes.items()}


def note(problem: Problem, found: dict[str, np.ndarray], generation: int, pop: PyTree, masks: PyTree) -> None:
    """Keep what is measured of children and controls. A network that failed has an accuracy of 0."""
    measured = measure(problem.synapses, problem.spec, masks)
    accuracy = accuracies(problem.network.apply, pop, *problem.test, mesh=problem.mesh)
    for name, values in (measured | {"accuracy": np.nan_to_num(np.asarray(accuracy))}).items():
        found[name][generation] = values


def places_of(count: int, devices: int) -> np.ndarray:
    """Where each of so many networks is trained, one after the other on another device."""
    return np.arange(-(-count // devices) * devices).reshape(devices, -1).T.ravel()


def of_first(data: tuple[np.ndarray, ...], count: int, argument: str = "samples") -> tuple[np.ndarray, ...]:
    """The first samples."""
    if count > len(data[1]):
        raise _checks.bad(argument, count, f"at most {len(data[1])} of this kind", "Lower it, or pass 0 for all.")
    return tuple(part[:count] for part in data)


def framed(x: np.ndarray, enlarged: int, side: int) -> np.ndarray:
    """Images that are enlarged, and padded with zeros up to a height and width."""
    x = x.repeat(enlarged, axis=1).repeat(enlarged, axis=2)
    missing = [side - length for length in x.shape[1:3]]
    if min(missing) < 0:
        raise _checks.bad("side", side, f"at least {max(x.shape[1:3])}, as the images are", "Raise it.")
    return np.pad(x, [(0, 0), *((n // 2, n - n // 2) for n in missing), *[(0, 0)] * (x.ndim - 3)])


def drawn(network: Any, x: Array, key: Array) -> PyTree:
    """The parameters of one network."""
    return network.init(key, x)


def mean_loss(members: ea.training.Member, epoch: int) -> float:
    """The mean loss in this epoch of the networks that have been trained in it."""
    losses = np.asarray(members.history["loss"])[:, epoch]
    known = losses[np.isfinite(losses)]
    return float(known.mean()) if known.size else float("nan")


take = jax.jit(ea.population.take)


@jax.jit
def joined(parts: Sequence[PyTree], index: Array) -> PyTree:
    """Some members of several populations that are put together."""
    whole = jax.tree.map(lambda *of: jnp.concatenate(of), *parts) if len(parts) > 1 else parts[0]
    return ea.population.take(whole, index)


@partial(jax.jit, static_argnums=(0, 1))
def founders(init_fn: Any, count: int, key: Array) -> tuple[PyTree, PyTree, Array]:
    """Dense networks before training, their masks, and keys of their training."""
    keys = jax.vmap(partial(jax.random.split, num=2))(jax.random.split(key, count))
    origin = ea.population.map(init_fn, keys[:, 0])
    return origin, pruning.full_masks(origin), keys[:, 1]


@partial(jax.jit, static_argnums=0)
def shares(synapses: Any, offspring: SynthesisOffspring) -> dict[str, Array]:
    """Synapses that children have, are allowed and may expect, as shares of their parents'."""
    unknown = jnp.full(offspring.before.shape, jnp.nan)
    told = synthesis_info(synapses, offspring, unknown, unknown)
    return {name: getattr(told, name) for name in SHARES}


@partial(jax.jit, static_argnums=(0, 1))
def prune(synapses: Any, at_random: bool, key: Array, params: PyTree, masks: PyTree, like: PyTree) -> PyTree:
    """Each network of a population pruned to as many synapses as another mask leaves."""

    def one(key: Array, params: PyTree, masks: PyTree, like: PyTree) -> PyTree:
        count = pruning.total(synapses, like)
        if at_random:
            return pruning.at_random(key, synapses, masks, count)
        return pruning.magnitude(synapses, masks, params, count)

    return ea.population.map(one, jax.random.split(key, ea.population.size(masks)), params, masks, like)


@partial(jax.jit, static_argnums=(0, 1, 2))
def anew(init_fn: Any, synapses: Any, wide: bool, key: Array, masks: PyTree) -> PyTree:
    """Fresh weights for each network of a population."""

    def one(key: Array, mask: PyTree) -> PyTree:
        params = init_fn(key)
        return pruning.scaled(synapses, mask, params) if wide else params

    return ea.population.map(one, jax.random.split(key, ea.population.size(masks)), masks)


@partial(jax.jit, static_argnums=(0, 1))
def measure(synapses: Any, spec: Any, masks: PyTree) -> dict[str, Array]:
    """How many synapses, kernels and clusters each network has."""

    def one(mask: PyTree) -> dict[str, Array]:
        census = pruning.census(synapses, mask)
        counted = {name: getattr(census, name).sum() for name in ("synapses", "kernels", "clusters")}
        counted["layers"] = census.synapses
        return counted | {"connected": pruning.total(synapses, pruning.connected(spec, synapses, mask))}

    return ea.population.map(one, masks)
