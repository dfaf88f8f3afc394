"""How sparse networks and their controls are bred and trained, and what is measured."""

import dataclasses
from collections.abc import Mapping
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
from evojax_align.evolution import Newborns, Sparse, Synthesis
from evojax_align.evolution.fitness import accuracies
from evojax_align.evolution.synthesis import births
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
    return lab.by_arm(cells(config), found) | {name: np.array(value) for name, value in lists.items()}


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
        one = self.init_fn(jax.random.key(0))
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
        most = max(arm.size + len(self.controls(arm)) for arm in self.arms.values())
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

    def controls(self, arm: Arm) -> tuple[str, ...]:
        """The networks that the first child of a generation is compared with."""
        return self.config.controls if arm.controlled else ()

    def algorithm(self, arm: Arm) -> Synthesis:
        """The algorithm that breeds the population of an arm."""
        settings = {"synapse_factor": self.config.synapse_factor, "start": self.config.start, "spec": self.spec}
        settings |= dict(arm.settings)
        return Synthesis(self.network.apply, self.init_fn, self.synapses, self.optimizer, **settings)

    def about_to_train(self, pop: PyTree, masks: PyTree, keys: Array) -> ea.training.Member:
        """Networks in training, and idle ones up to the number that the compiled program takes."""
        count = ea.population.size(pop)
        order = np.argsort(self.places)
        pop, masks, keys = ea.population.take((pop, masks, keys), jnp.minimum(order, count - 1))
        members = ea.training.init(pop, self.optimizer, epochs=self.config.epochs, key=keys, masks=masks)
        return dataclasses.replace(members, active=jnp.asarray(order < count))

    def in_line(self, tree: PyTree) -> PyTree:
        """What belongs to the networks in training, brought together, in the order in which they were given."""
        return ea.population.take(ea.population.gather(tree), self.places)

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
        key, _ = self.keys(seed)
        keys = jax.vmap(partial(jax.random.split, num=2))(jax.random.split(key, count))
        origin = ea.population.map(self.init_fn, keys[:, 0])

        def step(number: int, members: ea.training.Member) -> tuple[ea.training.Member, dict[str, float]]:
            members = self.trained(members, number, turns)
            return members, {"loss": mean_loss(members, number // turns)}

        members = self.about_to_train(origin, pruning.full_masks(origin), keys[:, 1])
        total = self.config.epochs * turns
        members = run.loop(f"ancestors of seed {seed}", members, step, total=total, shared=True)
        grown = ea.population.take(self.in_line(members.params), slice(0, count))
        return {"origin": origin, "grown": grown}

    def keys(self, seed: int) -> Array:
        """The random keys of one seed: of the ancestors, and of all populations."""
        return jax.random.split(jax.random.fold_in(jax.random.key(self.config.seed), seed))

    def first(self, arm: Arm, ancestors: dict[str, PyTree]) -> Sparse:
        """The first generation of an arm: copies of one ancestor, or several."""
        which = jnp.arange(arm.size) if arm.ancestors > 1 else jnp.zeros(arm.size, jnp.int32)
        mine = {name: ea.population.take(tree, which) for name, tree in ancestors.items()}
        fitness = accuracies(self.network.apply, mine["grown"], *self.judge)
        masks = pruning.full_masks(mine["grown"])
        return Sparse(mine["grown"], masks, mine["origin"], fitness, jnp.array(1, jnp.int32))

    def pruned(
        self, key: Array, newborns: Newborns, before: Mapping[str, PyTree]
    ) -> list[tuple[PyTree, PyTree, Array]]:
        """The controls of a generation: networks with as many synapses as the only newborn, pruned from those of the
        generation before. Those that are drawn anew begin with equal weights, so that only their masks differ."""
        counts = jax.vmap(partial(pruning.total, self.synapses))(newborns.masks)
        keys, keys_anew = (jax.random.split(k, counts.size) for k in jax.random.split(key))
        found = []
        for name, (params, masks) in before.items():
            new_masks = prune(self.synapses, name == "random", keys, params, masks, counts)
            if name == "magnitude, kept":
                begun = params
            elif name == "magnitude, rewound":
                begun = newborns.origin
            else:
                begun = anew(self.init_fn, self.synapses, self.config.start == "scaled", keys_anew, new_masks)
            found.append((begun, new_masks, newborns.keys))
        return found


def run(problem: Problem, cell: lab.Cell, run: lab.Run) -> dict[str, np.ndarray]:
    """One population: arrays [generations, children and then controls]."""
    arm, algorithm = problem.arms[cell.arm], problem.algorithms[cell.arm]
    controls = problem.controls(arm)
    count = arm.size + len(controls)
    turns = problem.turns(count)
    steps = problem.config.epochs * turns
    _, key = problem.keys(cell.seed)

    def conceived(state: dict[str, Any], generation: int) -> dict[str, Any]:
        """The state with children and controls that are to be trained."""
        key_breed, key_pruned = jax.random.split(jax.random.fold_in(key, generation))
        before = problem.in_line((state["members"].params, state["members"].masks))
        before = {name: one(before, arm.size + place) for place, name in enumerate(controls)}
        newborns = algorithm.breed(key_breed, state["alive"], problem.train)
        parts = [(newborns.population, newborns.masks, newborns.keys)]
        parts += problem.pruned(key_pruned, ea.population.take(newborns, slice(0, 1)), before)
        members = problem.about_to_train(*jax.tree.map(lambda *of: jnp.concatenate(of), *parts))
        unknown = jnp.full(arm.size, jnp.nan)
        told = births(problem.synapses, newborns, unknown, unknown)
        for name in SHARES:
            state["found"][name][generation + 1] = getattr(told, name)
        alive = algorithm.admit(newborns, newborns.population, unknown, generation=state["alive"].generation + 1)
        return {"alive": alive, "members": members, "found": state["found"]}

    def step(number: int, state: dict[str, Any]) -> tuple[dict[str, Any], dict[str, float]]:
        generation, part = divmod(number, steps)
        if part == 0:
            state = conceived(state, generation)
        members = problem.trained(state["members"], part, turns)
        state, shown = state | {"members": members}, {"loss": mean_loss(members, part // turns)}
        if part == steps - 1:
            trained = ea.population.take(problem.in_line((members.params, members.masks)), slice(0, count))
            note(problem, state["found"], generation + 1, *trained)
            children = ea.population.take(trained[0], slice(0, arm.size))
            fitness = accuracies(problem.network.apply, children, *problem.judge)
            state |= {"alive": dataclasses.replace(state["alive"], population=children, fitness=fitness)}
            shown["accuracy"] = float(state["found"]["accuracy"][generation + 1, : arm.size].mean())
        return state, shown

    alive = problem.first(arm, problem.ancestors(run, cell.seed))
    ancestor = ea.population.take((alive.population, alive.masks), jnp.zeros(count, jnp.int32))
    members = problem.about_to_train(ancestor[0], ancestor[1], jax.random.split(key, count))
    shapes = {name: (count,) for name in MEASURES} | {"layers": (count, len(problem.synapses.paths))}
    shapes |= {name: (arm.size,) for name in SHARES}
    found = {name: np.full((arm.generations, *shape), np.nan, np.float32) for name, shape in shapes.items()}
    note(problem, found, 0, *ancestor)
    start = {"alive": alive, "members": members, "found": found}
    return run.loop("evolution", start, step, total=(arm.generations - 1) * steps)["found"]


def note(problem: Problem, found: dict[str, np.ndarray], generation: int, pop: PyTree, masks: PyTree) -> None:
    """Keep what is measured of children and controls. A network that failed has an accuracy of 0."""
    measured = measure(problem.synapses, problem.spec, masks)
    accuracy = accuracies(problem.network.apply, pop, *problem.test, mesh=problem.mesh)
    for name, values in (measured | {"accuracy": jnp.where(jnp.isnan(accuracy), 0, accuracy)}).items():
        found[name][generation] = values


def one(tree: PyTree, place: int) -> PyTree:
    """A population of a single member."""
    return ea.population.take(tree, slice(place, place + 1))


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


@partial(jax.jit, static_argnums=(0, 1))
def prune(synapses: Any, at_random: bool, keys: Array, params: PyTree, masks: PyTree, counts: Array) -> PyTree:
    """Each network of a population pruned to a number of synapses of its own."""

    def one(key: Array, params: PyTree, masks: PyTree, count: Array) -> PyTree:
        if at_random:
            return pruning.at_random(key, synapses, masks, count)
        return pruning.magnitude(synapses, masks, params, count)

    return ea.population.map(one, keys, params, masks, counts)


@partial(jax.jit, static_argnums=(0, 1, 2))
def anew(init_fn: Any, synapses: Any, wide: bool, keys: Array, masks: PyTree) -> PyTree:
    """Fresh weights for each network of a population."""

    def one(key: Array, mask: PyTree) -> PyTree:
        params = init_fn(key)
        return pruning.scaled(synapses, mask, params) if wide else params

    return ea.population.map(one, keys, masks)


@partial(jax.jit, static_argnums=(0, 1))
def measure(synapses: Any, spec: Any, masks: PyTree) -> dict[str, Array]:
    """How many synapses, kernels and clusters each network has."""

    def one(mask: PyTree) -> dict[str, Array]:
        census = pruning.census(synapses, mask)
        counted = {name: getattr(census, name).sum() for name in ("synapses", "kernels", "clusters")}
        counted["layers"] = census.synapses
        return counted | {"connected": pruning.total(synapses, pruning.connected(spec, synapses, mask))}

    return ea.population.map(one, masks)
