"""How populations are bred, networks are trained alone as the control, both are attacked, and what is measured."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import evojax_align as ea
from evojax_align import lab
from evojax_align._types import Apply, Array, PyTree
from evojax_align.data import Dataset
from evojax_align.evolution import Recombination, RecombinationState, diversity
from evojax_align.evolution.fitness import accuracies
from evojax_align.evolution.selection import best
from experiments.common import on_one_device
from experiments.mixed_evolution.config import EPSILON, Arm, Config, controls, populations

TARGETS = ("best member", "other members", "child", "other children", "trained child", "other trained children")
"""Networks that are attacked, each followed by those that are tested on the same images."""
LINKED = 0.9
"""Members whose layers have at least this cosine similarity belong to one group."""
LAYERS = {
    "horizontal": ("output", "hidden_0", "hidden_1"),
    "vertical": ("output", "hidden_0", "part_0", "part_1"),
}
"""The layers of both networks, in the order of all arrays."""


def cells(config: Config) -> list[lab.Cell]:
    """All populations and controls, seed by seed."""
    arms = [*populations(config), *controls(config)]
    return [lab.Cell(arm, seed) for seed in range(config.repeats) for arm in arms]


def run(problem: "Problem", cell: lab.Cell, run: lab.Run) -> dict[str, np.ndarray]:
    """The arrays of one population, or of one group of networks that are trained alone."""
    return (alone if cell.arm in problem.controls else evolve)(problem, cell, run)


def merge(config: Config, found: Mapping[lab.Cell, Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The arrays of the study: [arms, seeds, ...], and of the first seed the similarities of all members."""
    arms, others = populations(config), controls(config)
    whole = {cell: found.get(cell) or unknown(config, cell.arm) for cell in cells(config)}
    first = {cell: of for cell, of in whole.items() if cell.seed == 0 and cell.arm in arms}
    seeds = lab.by_arm([*whole], whole, sorted(unknown(config, next(iter(arms))).keys() - {"similarity"}))
    seeds |= {"similarity": lab.by_arm([*first], first, ["similarity"])["similarity"][:, 0]}
    scale = ("size", "generations", "epochs", "hidden", "block", "batch_size", "learning_rate")
    as_published = config.mode == "code" and all(getattr(config, name) == getattr(Config, name) for name in scale)
    lists: dict[str, Any] = {
        "arms": [*arms, *others],
        "network": [*(arm.network for arm in arms.values()), *others.values()],
        "genes": [*(arm.genes for arm in arms.values()), *("none" for _ in others)],
        "marks": config.marks,
        "shown": config.shown,
        "epsilons": config.epsilons,
        "study": config.study,
        "mode": config.mode,
        "dataset": config.dataset,
        "published": config.dataset if as_published else "",
    }
    return seeds | {name: np.array(value) for name, value in lists.items()}


class Problem:
    """Data, networks and algorithms of a run, made once so that all cells share compiled programs."""

    def __init__(self, config: Config, data: Dataset) -> None:
        self.config = config
        self.mesh = ea.population.devices()
        self.clean = config.mode == "clean"
        train, judge, test = (tuple(part) for part in (data.train, data.validation, data.test))
        if not self.clean:  # the authors have no validation split, and measure fitness on the test images
            train, judge = tuple(np.concatenate(both) for both in zip(train, judge, strict=True)), test
        self.train, self.judge, self.test = (jax.tree.map(jnp.asarray, part) for part in (train, judge, test))
        self.compared = self.train[0][: config.compared]
        self.attacked = jax.tree.map(lambda part: part[: config.attacked], self.test)
        self.optimizer = optax.sgd(config.learning_rate, momentum=config.momentum)
        first, second = config.hidden
        self.networks = {
            "horizontal": ea.models.MLP((first, second), data.num_classes, output_bias=True, start="fan_in"),
            "vertical": ea.models.SplitMLP(first, (second // 2, second // 2), data.num_classes),
        }
        self.inits = {name: partial(drawn, network, self.train[0][:1]) for name, network in self.networks.items()}
        self.controls = controls(config)
        self.algorithms = {name: self.algorithm(arm) for name, arm in populations(config).items()}

    def algorithm(self, arm: Arm) -> Recombination:
        """The algorithm that breeds the population of an arm."""
        config, network, init_fn = self.config, self.networks[arm.network], self.inits[arm.network]
        shapes = jax.eval_shape(init_fn, jax.random.key(0))
        one = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)
        if arm.genes == "layer":
            genes = ea.crossover.layer_genes(one)
        elif arm.genes == "block":
            remainder = "leave" if config.mode == "code" else "spread"
            genes = ea.crossover.block_genes(one, block=config.block, remainder=remainder)
        else:
            real = init_fn(jax.random.key(0))
            genes = ea.crossover.neuron_genes(real, spec=ea.symmetry.infer(network.apply, real, self.train[0][:1]))
        settings = {name: getattr(config, name) for name in ("size", "epochs", "batch_size", "compared")}
        settings |= {"shuffle": self.clean, "mesh": self.mesh, **dict(arm.settings)}
        return Recombination(network.apply, init_fn, genes, self.optimizer, **settings)

    def keys(self, seed: int) -> Array:
        """The random keys of one seed: of the first generation, evolution, attacks, and the networks trained alone."""
        return jax.random.split(jax.random.fold_in(jax.random.key(self.config.seed), seed), 4)

    def under_attack(self, apply: Apply, pop: PyTree, key: Array) -> np.ndarray:
        """Accuracy of the first network, and the others' mean, on images that fool the first: [attacks, 2]."""
        bounds = (0.0, 1.0) if self.clean else None
        first = take(pop, np.zeros((), int))
        images = crafted(apply, first, *self.attacked, key, self.config.epsilons, bounds)
        found = np.stack([np.asarray(accuracies(apply, pop, of, self.attacked[1])) for of in images])
        return np.stack([found[:, 0], found[:, 1:].mean(axis=1)], axis=1)

    def attack(self, algorithm: Recombination, state: RecombinationState, key: Array) -> tuple[np.ndarray, np.ndarray]:
        """Accuracies of all `TARGETS` under attack, [attacks, targets], and of untrained and trained children without.

        The best member is attacked first; then a child of the population, before and after training.
        """
        key_breed, key_train, key_attack = jax.random.split(key, 3)
        count = -(-self.config.children // algorithm.islands) * algorithm.islands
        children = on_one_device(algorithm.breed(key_breed, state, self.compared, count).population)
        keys = jax.random.split(key_train, count)
        later = on_one_device(trained(self, algorithm.apply, keys, children, self.train))
        targets = fittest_first(state), children, later
        found = [self.under_attack(algorithm.apply, pop, key_attack) for pop in targets]
        clean = [accuracies(algorithm.apply, pop, *self.test).mean() for pop in targets[1:]]
        return np.concatenate(found, axis=1), np.array(clean)


def evolve(problem: Problem, cell: lab.Cell, run: lab.Run) -> dict[str, np.ndarray]:
    """One population: arrays over generations, the untrained first one included, over marks, or over `shown`."""
    config, algorithm = problem.config, problem.algorithms[cell.arm]
    key_init, key_step, key_attack, _ = problem.keys(cell.seed)
    marks, layers = config.marks, LAYERS[populations(config)[cell.arm].network]

    def note(
        found: dict[str, np.ndarray], generation: int, alive: RecombinationState, untrained: Array | float
    ) -> None:
        measured, matrices = measure(algorithm.apply, layers, alive, problem.test)
        measured |= {"gene_cosine": cosine_of_genes(algorithm, alive.population), "untrained": np.mean(untrained)}
        for name, value in measured.items():
            found[name][generation] = value
        if generation in config.shown:
            found["similarity"][config.shown.index(generation)] = matrices

    def step(number: int, state: dict[str, Any]) -> tuple[dict[str, Any], dict[str, float]]:
        generation, found = number + 1, state["found"]
        key = jax.random.fold_in(key_step, number)
        alive, info = on_one_device(algorithm.step(key, state["alive"], problem.train, problem.judge))
        note(found, generation, alive, info.untrained)
        if generation in marks:
            mark = marks.index(generation)
            found["together"][mark] = together(algorithm.apply, alive.population, *problem.test).accuracy
            found["alike"][mark] = alike(algorithm.apply, layers, fittest_first(alive), problem.compared)
            if config.attacked:
                key = jax.random.fold_in(key_attack, mark)
                found["attack"][mark], found["child_accuracy"][mark] = problem.attack(algorithm, alive, key)
        fitness = np.asarray(alive.fitness)
        shown = {"best": float(fitness.max()), "worst": float(fitness.min())}
        return {"alive": alive, "found": found}, shown | {"cosine": float(found["cosine"][generation].mean())}

    alive = algorithm.init(key_init, problem.judge)
    found = unknown(config, cell.arm)
    note(found, 0, alive, np.nan)
    state = run.loop("evolution", {"alive": alive, "found": found}, step, total=config.later)["found"]
    return {name: of for name, of in state.items() if name != "similarity" or cell.seed == 0}


def alone(problem: Problem, cell: lab.Cell, run: lab.Run) -> dict[str, np.ndarray]:
    """Networks that are trained for as many epochs without recombination; arrays as of a population."""
    config, network = problem.config, problem.controls[cell.arm]
    apply = problem.networks[network].apply
    key_init, key_train, key_attack = jax.random.split(problem.keys(cell.seed)[3], 3)
    settings = {"batch_size": config.batch_size, "shuffle": problem.clean, "mesh": problem.mesh}

    def step(number: int, state: dict[str, Any]) -> tuple[dict[str, Any], dict[str, float]]:
        generation, members, found = number + 1, state["members"], state["found"]
        for _ in range(config.epochs):
            members = ea.training.step_epoch(apply, members, problem.train, problem.optimizer, **settings)
        pop = on_one_device(members.params)
        found["accuracy"][generation] = accuracies(apply, pop, *problem.test)
        if generation in config.marks:
            mark = config.marks.index(generation)
            found["together"][mark] = together(apply, pop, *problem.test).accuracy
            if config.attacked:
                found["attack"][mark, :, :2] = problem.under_attack(apply, pop, key_attack)
        return {"members": members, "found": found}, {"mean": found["accuracy"][generation].mean()}

    pop = drawn_many(problem.inits[network], key_init, config.ensemble)
    members = ea.training.init(pop, problem.optimizer, epochs=config.later * config.epochs, key=key_train)
    found = unknown(config, cell.arm)
    found["accuracy"][0] = accuracies(apply, pop, *problem.test)
    return run.loop("training", {"members": members, "found": found}, step, total=config.later)["found"]


def unknown(config: Config, arm: str) -> dict[str, np.ndarray]:
    """The arrays of one cell before anything is known: NaN."""
    generations, marks, attacks = config.later + 1, len(config.marks), len(config.epsilons) + 1
    shapes: dict[str, tuple[int, ...]] = {
        "accuracy": (generations, config.ensemble),
        "together": (marks,),
        "attack": (marks, attacks, len(TARGETS)),
    }
    if arm in (arms := populations(config)):
        layers = len(LAYERS[arms[arm].network])
        shapes |= {name: (generations, config.size) for name in ("accuracy", "fitness")}
        shapes |= {name: (generations, layers) for name in ("cosine", "groups", "alleles")}
        shapes |= {name: (generations,) for name in ("gene_cosine", "untrained")}
        shapes |= {"alike": (marks,), "child_accuracy": (marks, 2)}
        shapes |= {"similarity": (len(config.shown), layers, config.size, config.size)}
    return {name: np.full(shape, np.nan, np.float32) for name, shape in shapes.items()}


def drawn(network: Any, x: Array, key: Array) -> PyTree:
    """One network before training."""
    return network.init(key, x)


drawn_many = jax.jit(ea.population.init, static_argnums=(0, 2))


def kernels(params: PyTree, axes: int = 2) -> PyTree:
    """The parameters without those that have fewer axes than weights of layers have, the biases."""
    return jax.tree.map(lambda leaf: leaf if leaf.ndim >= axes else None, params)


def kernel_genes(params: PyTree, layers: Sequence[str]) -> tuple[ea.crossover.Genes, np.ndarray]:
    """The layers of one network as genes, without biases; and the place of each of the named layers among them."""
    genes = ea.crossover.layer_genes(kernels(params))
    return genes, np.array([genes.names.index(f"params/{layer}") for layer in layers])


@partial(jax.jit, static_argnames=("apply", "layers"))
def measure(
    apply: Apply, layers: tuple[str, ...], state: RecombinationState, test: tuple[Array, Array]
) -> tuple[dict[str, Array], Array]:
    """What is kept of a generation; and the similarities of its members, layer by layer, [layers, n, n]."""
    genes, order = kernel_genes(ea.population.take(state.population, 0), layers)
    matrices = diversity.cosines(kernels(state.population, 3), genes)[order]
    measured = {
        "fitness": state.fitness,
        "accuracy": accuracies(apply, state.population, *test),
        "cosine": diversity.mean_of_pairs(matrices),
        "groups": diversity.clusters(matrices, threshold=LINKED),
        "alleles": diversity.effective_alleles(kernels(state.ancestors, 3), genes)[order],
    }
    return measured, matrices


@partial(jax.jit, static_argnums=0)
def cosine_of_genes(algorithm: Recombination, pop: PyTree) -> Array:
    """Mean cosine similarity of two members, mean of the genes."""
    return jnp.nanmean(diversity.mean_of_pairs(diversity.cosines(pop, algorithm.genes)))


def fittest_first(state: RecombinationState) -> PyTree:
    """The members by their fitness, which a bonus or chance may not have ordered them by."""
    return take(state.population, best(state.fitness, state.fitness.shape[0]))


@partial(jax.jit, static_argnames=("apply", "layers"))
def alike(apply: Apply, layers: tuple[str, ...], pop: PyTree, x: Array) -> Array:
    """Mean cosine similarity of two members, with neurons as they are or aligned to those of the first member,
    whichever is larger: relatives share places by descent, unrelated members only once they are aligned."""
    first = ea.population.take(pop, 0)
    genes, order = kernel_genes(first, layers)
    aligned = ea.alignment.align_to(apply, first, pop, x).networks
    both = [diversity.cosines(kernels(of, 3), genes)[order] for of in (pop, aligned)]
    return diversity.mean_of_pairs(jnp.maximum(*both)).mean()


together = jax.jit(ea.training.evaluate_ensemble, static_argnames="apply")


@partial(jax.jit, static_argnums=(0, 1))
def trained(problem: Problem, apply: Apply, keys: Array, children: PyTree, train: tuple[Array, Array]) -> PyTree:
    """Children after the training of one generation."""
    settings = {name: getattr(problem.config, name) for name in ("epochs", "batch_size")}

    def one(key: Array, params: PyTree) -> PyTree:
        how = {"key": key, "shuffle": problem.clean, **settings}
        return ea.training.descend(apply, params, *train, problem.optimizer, **how)[0]

    return ea.population.map(one, keys, children, mesh=problem.mesh)


take = jax.jit(ea.population.take)


@partial(jax.jit, static_argnames=("apply", "epsilons", "bounds"))
def crafted(
    apply: Apply,
    params: PyTree,
    x: Array,
    y: Array,
    key: Array,
    epsilons: tuple[float, ...],
    bounds: tuple[float, float] | None,
) -> list[Array]:
    """Images that fool one network: by FGSM with every epsilon, then by PGD with the authors' one.

    Without bounds, images that the network classifies wrongly are left as they are, as in the authors' code.
    """
    settings = {"bounds": bounds, "spare_errors": bounds is None}
    found = [ea.attacks.fgsm(apply, params, x, y, epsilon=epsilon, **settings) for epsilon in epsilons]
    return [*found, ea.attacks.pgd(apply, params, x, y, epsilon=EPSILON, key=key, **settings)]
