"""How `mating.py` breeds sparse networks and their controls, trains them side by side, and what it measures of them."""

import dataclasses
import sys
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
from evojax_align.data import Dataset
from evojax_align.evolution import Newborns, Sparse, Synthesis
from evojax_align.evolution.fitness import accuracies
from evojax_align.evolution.synthesis import births

sys.path.insert(0, str(Path(__file__).parent))

from mating_populations import Arm, Config, arms_of  # pyright: ignore[reportImplicitRelativeImport]

CLASSIFIER = "params/output"
"""The layer that is not counted, and not pruned."""


class Study:
    """Data and networks of a study."""

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
        self.arms = arms_of(config)
        most = max(arm.size + len(self.controls(arm)) for arm in self.arms.values())
        self.places = places_of(most, 1 if self.mesh is None else self.mesh.size)

    @property
    def slots(self) -> int:
        """Networks that the compiled program trains, some of them idle; the n-th one is at `places[n]`, so that each
        device has its part of those that are not."""
        return len(self.places)

    def controls(self, arm: Arm) -> tuple[str, ...]:
        """The networks that the first child of a generation is compared with."""
        return self.config.controls if arm.controlled else ()

    def algorithm(self, arm: Arm) -> Synthesis:
        """What breeds the population of an arm."""
        settings = {"synapse_factor": self.config.synapse_factor, "start": self.config.start, "spec": self.spec}
        settings |= dict(arm.settings)
        return Synthesis(self.network.apply, self.init_fn, self.synapses, self.optimizer, **settings)

    def ancestors(self, run: lab.Run, key: Array) -> dict[str, PyTree]:
        """Dense networks, trained: for every repeat as many as any arm begins with."""
        each = max(arm.size if dict(arm.settings).get("ancestors") == "several" else 1 for arm in self.arms.values())
        count = self.config.repeats * each
        keys = jax.vmap(partial(jax.random.split, num=2))(jax.random.split(key, count))
        origin = ea.population.map(self.init_fn, keys[:, 0])
        masks = pruning.full_masks(origin)
        parts = [slice(start, start + self.slots) for start in range(0, count, self.slots)]

        def begin(part: slice) -> ea.training.Member:
            mine = ea.population.take((origin, masks, keys[:, 1]), part)
            return self.about_to_train(*mine)

        def step(number: int, state: dict[str, Any]) -> tuple[dict[str, Any], dict[str, float]]:
            which, epoch = divmod(number, self.config.epochs)
            part = parts[which]
            members = self.trained(begin(part) if epoch == 0 else state["members"], epoch)
            grown = state["grown"]
            if epoch == self.config.epochs - 1:
                alone = self.in_line(members.params)
                grown = jax.tree.map(lambda all_, of: all_.at[part].set(of[: all_[part].shape[0]]), grown, alone)
            return {"members": members, "grown": grown}, {"loss": mean_loss(members, epoch)}

        start = {"members": begin(parts[0]), "grown": origin}
        grown = run.loop("ancestors", start, step, total=len(parts) * self.config.epochs)["grown"]
        return {name: by_repeat(tree, each) for name, tree in (("origin", origin), ("grown", grown))}

    def evolve(self, run: lab.Run, name: str, arm: Arm, key: Array, ancestors: dict[str, PyTree]) -> dict[str, Any]:
        """All repeats of one arm: arrays with a leading axis of repeats."""
        config, algorithm = self.config, self.algorithm(arm)
        later, epochs = arm.generations - 1, config.epochs
        found = self.room(arm)

        def begin(repeat: int) -> dict[str, Any]:
            state = self.first(arm, ancestors, repeat)
            ancestor = ea.population.take((state.population, state.masks), slice(0, 1))
            return {"alive": state, "rivals": tuple(ancestor for _ in self.controls(arm))}

        def conceive(place: tuple[int, int], state: dict[str, Any]) -> dict[str, Any]:
            repeat, generation = place
            key_breed, key_rivals = jax.random.split(jax.random.fold_in(jax.random.fold_in(key, repeat), generation))
            newborns = algorithm.breed(key_breed, state["alive"], self.train)
            bred = newborns.population, newborns.masks, newborns.keys
            first = ea.population.take(newborns, slice(0, 1))
            parts = [bred, *self.rivals(key_rivals, first, state["rivals"])]
            members = self.about_to_train(*jax.tree.map(lambda *of: jnp.concatenate(of), *parts))
            return state | {"newborns": newborns, "members": members}

        def step(number: int, state: dict[str, Any]) -> tuple[dict[str, Any], dict[str, float]]:
            (repeat, generation), epoch = divmod(number // epochs, later), number % epochs
            if epoch == 0:
                if generation == 0:
                    state = state | begin(repeat)
                    self.note(state["found"], (repeat, 0), arm, state["alive"].population, state["alive"].masks)
                state = conceive((repeat, generation), state)
            state = state | {"members": self.trained(state["members"], epoch)}
            if epoch == epochs - 1:
                state = self.grown_up(algorithm, arm, state, (repeat, generation + 1))
            grown = generation + (epoch == epochs - 1)
            accuracy = state["found"]["accuracy"][repeat, grown, : arm.size].mean()
            return state, {"loss": mean_loss(state["members"], epoch), "accuracy": float(accuracy)}

        start = conceive((0, 0), begin(0)) | {"found": found}
        return run.loop(name, start, step, total=config.repeats * later * epochs)["found"]

    def first(self, arm: Arm, ancestors: dict[str, PyTree], repeat: int) -> Sparse:
        """The first generation of an arm: copies of one ancestor, or several."""
        several = dict(arm.settings).get("ancestors") == "several"
        which = jnp.arange(arm.size) if several else jnp.zeros(arm.size, jnp.int32)
        mine = {name: ea.population.take(ea.population.take(tree, repeat), which) for name, tree in ancestors.items()}
        fitness = accuracies(self.network.apply, mine["grown"], *self.judge)
        masks = pruning.full_masks(mine["grown"])
        return Sparse(mine["grown"], masks, mine["origin"], fitness, jnp.array(1, jnp.int32))

    def rivals(self, key: Array, newborns: Newborns, before: tuple) -> list[tuple[PyTree, PyTree, Array]]:
        """Networks of as many synapses as the newborns have, from those pruned in the generation before. Those that are
        drawn anew begin with the same weights, so that they differ by their masks alone."""
        counts = jax.vmap(partial(pruning.total, self.synapses))(newborns.masks)
        keys, keys_anew = (jax.random.split(k, counts.size) for k in jax.random.split(key))
        found = []
        for name, (params, masks) in zip(self.config.controls, before, strict=False):
            pruned = prune(self.synapses, name == "random", keys, params, masks, counts)
            if name == "magnitude, kept":
                begun = params
            elif name == "magnitude, rewound":
                begun = newborns.origin
            else:
                begun = anew(self.init_fn, self.synapses, self.config.start == "scaled", keys_anew, pruned)
            found.append((begun, pruned, newborns.keys))
        return found

    def about_to_train(self, pop: PyTree, masks: PyTree, keys: Array) -> ea.training.Member:
        """Networks in training, and idle ones up to the number that the compiled program takes."""
        count = ea.population.size(pop)
        order = np.argsort(self.places)
        pop, masks, keys = ea.population.take((pop, masks, keys), jnp.minimum(order, count - 1))
        settings = {"epochs": self.config.epochs, "key": keys, "masks": masks}
        members = ea.training.init(pop, self.optimizer, **settings)
        return dataclasses.replace(members, active=jnp.asarray(order < count))

    def in_line(self, tree: PyTree) -> PyTree:
        """What belongs to the networks in training, brought together, in the order in which they were given."""
        return ea.population.take(ea.population.gather(tree), self.places)

    def trained(self, members: ea.training.Member, epoch: int) -> ea.training.Member:
        """The networks after one more epoch."""
        data = self.mirrored if epoch % 2 else self.train
        settings = {"batch_size": self.config.batch_size, "some_idle": True, "mesh": self.mesh}
        return ea.training.step_epoch(self.network.apply, members, data, self.optimizer, **settings)

    def grown_up(self, algorithm: Synthesis, arm: Arm, state: dict[str, Any], place: tuple[int, int]) -> dict[str, Any]:
        """The state after a generation's training, with what was measured noted at its place."""
        newborns, members = state["newborns"], state["members"]
        count = arm.size + len(self.controls(arm))
        trained = ea.population.take(self.in_line((members.params, members.masks)), slice(0, count))
        self.note(state["found"], place, arm, *trained)
        children, _ = ea.population.take(trained, slice(0, arm.size))
        rivals = [ea.population.take(trained, slice(i, i + 1)) for i in range(arm.size, count)]
        fitness = accuracies(self.network.apply, children, *self.judge)
        loss = self.in_line(members.history["loss"])[: arm.size, -1]
        told = births(self.synapses, newborns, loss, fitness)
        for name in SHARES:
            state["found"][name][place] = getattr(told, name)
        alive = algorithm.admit(newborns, children, fitness, generation=state["alive"].generation + 1)
        return state | {"alive": alive, "rivals": tuple(rivals)}

    def room(self, arm: Arm) -> dict[str, np.ndarray[Any, Any]]:
        """Where the results of all repeats go: [repeats, generations, children and then controls]."""
        before = (self.config.repeats, arm.generations)
        count = arm.size + len(self.controls(arm))
        shapes: dict[str, tuple[int, ...]] = {}
        for name in MEASURES:
            shapes[name] = (count, len(self.synapses.paths)) if name == "layers" else (count,)
        for name in SHARES:
            shapes[name] = (arm.size,)
        return {name: np.full((*before, *shape), np.nan, np.float32) for name, shape in shapes.items()}

    def note(self, found: dict[str, np.ndarray], place: tuple[int, int], arm: Arm, pop: PyTree, masks: PyTree) -> None:
        """Keep what is measured of children and controls; ancestors stand for both. A network that failed has no
        accuracy at all."""
        measured = measure(self.synapses, self.spec, masks)
        accuracy = accuracies(self.network.apply, pop, *self.test, mesh=self.mesh)
        measured |= {"accuracy": jnp.where(jnp.isnan(accuracy), 0, accuracy)}
        for name, values in measured.items():
            room = found[name][place]
            found[name][place] = np.resize(np.asarray(values), room.shape)


MEASURES = ("accuracy", "synapses", "kernels", "clusters", "connected", "layers")
SHARES = ("retained", "allowed", "expected")


def places_of(count: int, devices: int) -> np.ndarray:
    """Where each of so many networks is trained, one after the other on another device."""
    return np.arange(-(-count // devices) * devices).reshape(devices, -1).T.ravel()


def of_first(data: tuple[np.ndarray, ...], count: int, argument: str = "samples") -> tuple[np.ndarray, ...]:
    """The first samples."""
    if count > len(data[1]):
        raise _checks.bad(argument, count, f"at most {len(data[1])} of this kind", "Lower it, or pass 0 for all.")
    return tuple(part[:count] for part in data)


def framed(x: np.ndarray, enlarged: int, side: int) -> np.ndarray:
    """Images made larger, with zeros around them up to a height and width."""
    x = x.repeat(enlarged, axis=1).repeat(enlarged, axis=2)
    room = [side - length for length in x.shape[1:3]]
    if min(room) < 0:
        raise _checks.bad("side", side, f"at least {max(x.shape[1:3])}, as the images are", "Raise it.")
    return np.pad(x, [(0, 0), *((n // 2, n - n // 2) for n in room), *[(0, 0)] * (x.ndim - 3)])


def drawn(network: Any, x: Array, key: Array) -> PyTree:
    """The parameters of one network."""
    return network.init(key, x)


def by_repeat(pop: PyTree, each: int) -> PyTree:
    """A population as so many members for each repeat."""
    return jax.tree.map(lambda leaf: leaf.reshape(-1, each, *leaf.shape[1:]), pop)


def mean_loss(members: ea.training.Member, epoch: int) -> float:
    """Of the networks in training, in this epoch."""
    return float(np.nanmean(np.asarray(members.history["loss"])[:, epoch]))


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
    """How much of every network lives."""

    def one(mask: PyTree) -> dict[str, Array]:
        census = pruning.census(synapses, mask)
        counted = {name: getattr(census, name).sum() for name in ("synapses", "kernels", "clusters")}
        counted["layers"] = census.synapses
        return counted | {"connected": pruning.total(synapses, pruning.connected(spec, synapses, mask))}

    return ea.population.map(one, masks)
