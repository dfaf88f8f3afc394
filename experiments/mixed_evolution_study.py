"""How `mixed_evolution.py` breeds populations, trains their rivals, attacks both, and what it measures of them."""

import sys
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import evojax_align as ea
from evojax_align import lab
from evojax_align._types import Apply, Array, PyTree
from evojax_align.data import Dataset
from evojax_align.evolution import Recombination, State, diversity
from evojax_align.evolution.fitness import accuracies
from evojax_align.evolution.selection import best

sys.path.insert(0, str(Path(__file__).parent))

from mixed_evolution_populations import PUBLISHED, Arm, Config  # pyright: ignore[reportImplicitRelativeImport]
from mixed_evolution_view import TARGETS  # pyright: ignore[reportImplicitRelativeImport]


class Study:
    """Data, networks and rivals of a study, and what is measured of a population."""

    def __init__(self, config: Config, data: Dataset) -> None:
        self.config = config
        self.mesh = ea.population.devices()
        train, judge, test = (tuple(part) for part in (data.train, data.validation, data.test))
        if config.mode != "clean":  # the authors have no validation split, and judge by the test images
            train, judge = tuple(np.concatenate(both) for both in zip(train, judge, strict=True)), test
        self.train, self.judge, self.test = (jax.tree.map(jnp.asarray, part) for part in (train, judge, test))
        self.compared = self.train[0][: config.compared]
        self.optimizer = optax.sgd(config.learning_rate, momentum=config.momentum)
        first, second = config.hidden
        self.networks = {
            "horizontal": ea.models.MLP((first, second), data.num_classes, output_bias=True, start="fan_in"),
            "vertical": ea.models.SplitMLP(first, (second // 2, second // 2), data.num_classes),
        }
        self.inits = {name: partial(drawn, network, self.train[0][:1]) for name, network in self.networks.items()}
        self.shuffle = config.mode == "clean"
        self.marks = sorted({config.generations, config.later})

    def algorithm(self, arm: Arm) -> Recombination:
        """What breeds the population of an arm."""
        config, network, init_fn = self.config, self.networks[arm.network], self.inits[arm.network]
        one = init_fn(jax.random.key(0))
        if arm.genes == "layer":
            genes = ea.crossover.layer_genes(one)
        elif arm.genes == "block":
            remainder = "leave" if config.mode == "code" else "spread"
            genes = ea.crossover.block_genes(one, block=config.block, remainder=remainder)
        else:
            genes = ea.crossover.neuron_genes(one, ea.symmetry.infer(network.apply, one, self.train[0][:1]))
        settings = {name: getattr(config, name) for name in ("size", "epochs", "batch_size", "compared")}
        settings |= {"shuffle": self.shuffle, "mesh": self.mesh, **dict(arm.settings)}
        return Recombination(network.apply, init_fn, genes, self.optimizer, **settings)

    def evolve(self, run: lab.Run, name: str, algorithm: Recombination, key: Array) -> dict[str, np.ndarray]:
        """All repeats of one population, with a leading axis of repeats."""
        config = self.config
        state = algorithm.init(key, self.judge)
        found = self.room(algorithm, state)

        def step(number: int, state: dict[str, Any]) -> tuple[dict[str, Any], dict[str, float]]:
            repeat, generation = divmod(number, config.later)
            key_init, key_step, key_attack = jax.random.split(jax.random.fold_in(key, repeat), 3)
            alive, found = state["alive"], state["found"]
            if generation == 0:
                alive = algorithm.init(key_init, self.judge)
                self.note(found, (repeat, 0), algorithm, alive)
            alive, info = algorithm.step(jax.random.fold_in(key_step, generation), alive, self.train, self.judge)
            found["untrained"][repeat, generation] = info.untrained
            self.note(found, (repeat, generation + 1), algorithm, alive)
            if generation + 1 in self.marks:
                mark = self.marks.index(generation + 1)
                found["together"][repeat, mark] = together(algorithm.apply, alive.population, *self.test)[1]
                found["aligned_cosine"][repeat, mark] = alike_in_order(algorithm, fittest_first(alive), self.compared)
                if config.attacked:
                    attacks = self.attack(algorithm, alive, jax.random.fold_in(key_attack, mark))
                    found["attack"][repeat, mark], found["child_accuracy"][repeat, mark] = attacks
            fitness = np.asarray(alive.fitness)
            shown = {"best": float(fitness.max()), "worst": float(fitness.min())}
            shown["cosine"] = float(np.nanmean(found["layer_cosine"][repeat, generation + 1]))
            return {"alive": alive, "found": found}, shown

        state = {"alive": state, "found": found}
        return run.loop(name, state, step, total=config.repeats * config.later)["found"]

    def room(self, algorithm: Recombination, state: State) -> dict[str, np.ndarray]:
        """Where the results of all repeats go."""
        config, marks = self.config, len(self.marks)
        measured = measure(algorithm, state, self.test)
        shapes = {name: (config.later + 1, *np.shape(value)) for name, value in measured.items()}
        shapes["untrained"] = (config.later, config.size)
        shapes["together"] = (marks,)
        shapes["aligned_cosine"] = (marks, *shapes["layer_cosine"][1:])
        shapes["attack"] = (marks, len(config.epsilons) + 1, len(TARGETS))
        shapes["child_accuracy"] = (marks, 2)
        return {name: np.full((config.repeats, *shape), np.nan, np.float32) for name, shape in shapes.items()}

    def layers(self, name: str) -> tuple[str, ...]:
        """Names of the layers of a network, as its tree has them."""
        params = self.inits[name](jax.random.key(0))
        return tuple(layer.removeprefix("params/") for layer in kernel_genes(params).names)

    def note(
        self, found: dict[str, np.ndarray], place: tuple[int, int], algorithm: Recombination, state: State
    ) -> None:
        """Keep what is measured of one generation, at its place [repeat, generation]."""
        for name, value in measure(algorithm, state, self.test).items():
            found[name][place] = value

    def attack(self, algorithm: Recombination, state: State, key: Array) -> tuple[np.ndarray, np.ndarray]:
        """Accuracies under attack, [attacks, targets], and without one of children, untrained and grown.

        Each time the first network is attacked, and the others have to answer to the same images: the best member
        and all other members, then children of the population, then these children once they have been trained.
        """
        key_breed, key_grow, key_attack = jax.random.split(key, 3)
        brood = algorithm.breed(key_breed, state, self.compared, self.count(algorithm))
        keys = jax.random.split(key_grow, self.count(algorithm))
        grown = ea.population.gather(raised(algorithm, keys, brood.population, self.train))
        x, y = (part[: self.config.attacked] for part in self.test)
        found = [
            self.under_attack(algorithm.apply, pop, x, y, key_attack)
            for pop in (fittest_first(state), brood.population, grown)
        ]
        clean = [accuracies(algorithm.apply, pop, *self.test) for pop in (brood.population, grown)]
        return np.concatenate(found, axis=1), np.array([np.mean(values) for values in clean])

    def count(self, algorithm: Recombination) -> int:
        """Children that are attacked: as many for each island."""
        return -(-self.config.children // algorithm.islands) * algorithm.islands

    def under_attack(self, apply: Apply, pop: PyTree, x: Array, y: Array, key: Array) -> np.ndarray:
        """Accuracy of the first, and mean accuracy of the others, on images made against the first: [attacks, 2]."""
        spare = self.config.mode != "clean"
        bounds = None if spare else (0.0, 1.0)
        return np.asarray(transferred(apply, pop, x, y, key, self.config.epsilons, PUBLISHED, bounds, spare))

    def alone(self, run: lab.Run, name: str, key: Array) -> dict[str, np.ndarray]:
        """Networks that train as long without any recombination, with a leading axis of repeats."""
        config, apply, init_fn = self.config, self.networks[name].apply, self.inits[name]
        shape = (config.repeats, config.later, config.rivals)
        found: dict[str, np.ndarray] = {"accuracy": np.full(shape, np.nan, np.float32)}
        marks = (config.repeats, len(self.marks))
        found["together"] = np.full(marks, np.nan, np.float32)
        found["attack"] = np.full((*marks, len(config.epsilons) + 1, 2), np.nan, np.float32)

        def begin(repeat: int) -> ea.training.Member:
            key_init, key_fit, _ = jax.random.split(jax.random.fold_in(key, repeat), 3)
            pop = ea.population.init(init_fn, key_init, config.rivals)
            return ea.training.init(pop, self.optimizer, epochs=config.later * config.epochs, key=key_fit)

        def step(number: int, state: dict[str, Any]) -> tuple[dict[str, Any], dict[str, float]]:
            repeat, generation = divmod(number, config.later)
            members, found = state["members"] if generation else begin(repeat), state["found"]
            settings = {"batch_size": config.batch_size, "shuffle": self.shuffle, "mesh": self.mesh}
            for _ in range(config.epochs):
                members = ea.training.step_epoch(apply, members, self.train, self.optimizer, **settings)
            pop = ea.population.gather(members.params)
            found["accuracy"][repeat, generation] = accuracies(apply, pop, *self.test)
            if generation + 1 in self.marks:
                mark = self.marks.index(generation + 1)
                found["together"][repeat, mark] = together(apply, pop, *self.test)[1]
                if config.attacked:
                    x, y = (part[: config.attacked] for part in self.test)
                    key_attack = jax.random.split(jax.random.fold_in(key, repeat), 3)[2]
                    found["attack"][repeat, mark] = self.under_attack(apply, pop, x, y, key_attack)
            return {"members": members, "found": found}, {"mean": found["accuracy"][repeat, generation].mean()}

        state = {"members": begin(0), "found": found}
        total = config.repeats * config.later
        return run.loop(f"alone, {name}", state, step, total=total)["found"]


def drawn(network: Any, x: Array, key: Array) -> PyTree:
    """One network before training."""
    return network.init(key, x)


def kernels(params: PyTree, least: int = 2) -> PyTree:
    """The parameters without their biases."""
    return jax.tree.map(lambda leaf: leaf if leaf.ndim >= least else None, params)


def kernel_genes(params: PyTree) -> ea.crossover.Genes:
    """The layers of one network as genes, without their biases."""
    return ea.crossover.layer_genes(kernels(params))


@partial(jax.jit, static_argnames="algorithm")
def measure(algorithm: Recombination, state: State, test: tuple[Array, Array]) -> dict[str, Array]:
    """What is noted of a population: fitness, test accuracy, how alike its layers and genes are, its founders."""
    layers = kernel_genes(ea.population.take(state.population, 0))
    return {
        "fitness": state.fitness,
        "accuracy": accuracies(algorithm.apply, state.population, *test),
        "layer_cosine": diversity.cosines(kernels(state.population, 3), layers),
        "gene_cosine": diversity.mean_of_pairs(diversity.cosines(state.population, algorithm.genes)),
        "alleles": diversity.effective_alleles(kernels(state.ancestors, 3), layers),
    }


def fittest_first(state: State) -> PyTree:
    """The members by their fitness, which a bonus or chance may not have ordered them by."""
    return ea.population.take(state.population, best(state.fitness, state.fitness.shape[0]))


@partial(jax.jit, static_argnames="algorithm")
def alike_in_order(algorithm: Recombination, pop: PyTree, x: Array) -> Array:
    """How alike two members are, layer by layer, when all take the order of the best: [layers, n, n]."""
    first = ea.population.take(pop, 0)
    ordered = ea.alignment.align_to(algorithm.apply, first, pop, x).networks
    return diversity.cosines(kernels(ordered, 3), kernel_genes(first))


together = jax.jit(ea.training.evaluate_ensemble, static_argnames="apply")


@partial(jax.jit, static_argnames="algorithm")
def raised(algorithm: Recombination, keys: Array, children: PyTree, train: tuple[Array, Array]) -> PyTree:
    """Children after the training of one generation."""

    def one(key: Array, params: PyTree) -> PyTree:
        return algorithm.grow(key, params, train)[0]

    return ea.population.map(one, keys, children, mesh=algorithm.mesh)


@partial(jax.jit, static_argnames=("apply", "epsilons", "strongest", "bounds", "spare"))
def transferred(
    apply: Apply,
    pop: PyTree,
    x: Array,
    y: Array,
    key: Array,
    epsilons: tuple[float, ...],
    strongest: float,
    bounds: tuple[float, float] | None,
    spare: bool,
) -> Array:
    """Accuracy of the first network, and the others' mean, on images made against the first: [attacks, 2].

    The attacks are FGSM with every epsilon, then PGD with the authors' epsilon.
    """
    first = ea.population.take(pop, 0)
    settings = {"bounds": bounds, "spare_errors": spare}
    crafted = [ea.attacks.fgsm(apply, first, x, y, epsilon=epsilon, **settings) for epsilon in epsilons]
    crafted.append(ea.attacks.pgd(apply, first, x, y, epsilon=strongest, key=key, **settings))
    found = jnp.stack([accuracies(apply, pop, images, y) for images in crafted])
    return jnp.stack([found[:, 0], found[:, 1:].mean(axis=1)], axis=1)
