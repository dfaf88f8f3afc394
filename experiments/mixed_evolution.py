"""Mixed genetic and gradient evolution (Cooke & de Alfaro), what its authors ask for, and aligned parents.

python experiments/mixed_evolution.py                                      # 2 minutes, handwritten digits
python experiments/mixed_evolution.py --preset paper --data-dir DIR        # 20 networks on MNIST, 10 seeds
python experiments/mixed_evolution.py --preset cross --data-dir DIR        # naive or aligned, three kinds of genes
python experiments/mixed_evolution.py --preset cures --data-dir DIR        # what keeps a population diverse
"""

import contextlib
import dataclasses
import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # LAPACK's own threads stall beside XLA's

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh

import evojax_align as ea
from evojax_align import _checks, lab
from evojax_align._types import Apply, Array, PyTree
from evojax_align.data.dataset import Dataset
from evojax_align.evolution import Recombination, State, diversity
from evojax_align.evolution.fitness import fitness_of
from evojax_align.evolution.selection import best

sys.path.insert(0, str(Path(__file__).parent))

from mixed_evolution_report import TARGETS, judge, plot  # pyright: ignore[reportImplicitRelativeImport]

MODES = {
    "clean": "whole layers as genes; fitness on a validation split, samples shuffled, attacks stay within the images",
    "text": "as the paper's text: whole layers as genes, fitness on the test images",
    "code": "as the authors' code: that, but blocks of 64 x 64 weights as genes, and two immigrants a generation",
}
STUDIES = ("paper", "cross", "cures")
KINDS = {"layer": "layers", "block": "blocks", "neuron": "neurons"}
PUBLISHED = round(0.05 / 0.3081, 4)
"""The authors' epsilon of 0.05, which they add to images that they scale as if these had been normalised."""
ISLANDS = 4


@dataclasses.dataclass(frozen=True)
class Config:
    """The settings of one study."""

    dataset: str = "digits"
    mode: str = "clean"
    seed: int = 0
    study: str = STUDIES[0]
    """Which populations are compared: those of the paper and their controls, the cross-table, or the cures."""
    repeats: int = 10
    """Seeds: each has its own first generation, which all populations of one network share."""
    size: int = 20
    generations: int = 6
    later: int = 10
    """Generations in all, to see what becomes of a population beyond those of the paper."""
    hidden: tuple[int, int] = (256, 128)
    """Widths; the vertical network has its second layer in two halves."""
    block: int = 64
    epochs: int = 1
    batch_size: int = 100
    learning_rate: float = 0.01
    momentum: float = 0.9
    bonus_weight: float = 0.05
    mutation: float = 0.1
    compared: int = 1000
    """Training images on which the neurons of parents are compared."""
    rivals: int = 5
    """Networks that train alone for as many epochs, and their ensemble."""
    attacked: int = 2000
    """Test images that are attacked, at most; 0 leaves attacks out."""
    epsilons: tuple[float, ...] = (0.02, 0.05, 0.1, PUBLISHED, 0.25)
    children: int = 11
    """Offspring of a population, one of which is attacked, and the others with it."""

    def __post_init__(self) -> None:
        _checks.one_of("study", self.study, STUDIES)
        names = ("repeats", "size", "generations", "block", "epochs", "batch_size", "compared")
        for name in (*names, "rivals", "children"):
            _checks.positive(name, getattr(self, name))
        for name in ("learning_rate", "mutation", "bonus_weight"):
            _checks.above_zero(name, getattr(self, name))
        if len(self.hidden) != 2 or self.hidden[1] % 2 or min(self.hidden) < 2:
            raise _checks.bad("hidden", self.hidden, "two widths, the second even", "Write --set 'hidden=(256, 128)'.")
        if self.later < self.generations:
            came, mend = self.later, f"Write --set later={self.generations} for no more than these."
            raise _checks.bad("later", came, f"at least generations={self.generations}", mend)
        if not 0 <= self.momentum < 1:
            raise _checks.bad("momentum", self.momentum, "a number from 0 to less than 1", "Write --set momentum=0.9.")
        for name, least in (("attacked", 0), ("children", 2), ("generations", 2), ("rivals", 2), ("size", 2 * ISLANDS)):
            if getattr(self, name) < least:
                raise _checks.bad(name, getattr(self, name), f"{least} or more", f"Write --set {name}={least}.")
        if self.size % ISLANDS:
            mend = f"Write --set size={self.size - self.size % ISLANDS}."
            raise _checks.bad("size", self.size, f"a multiple of the {ISLANDS} islands", mend)
        rising = list(self.epsilons) == sorted(set(self.epsilons)) and min(self.epsilons) > 0
        if not rising or PUBLISHED not in self.epsilons:
            mend = f"Write --set 'epsilons=(0.1, {PUBLISHED})'."
            raise _checks.bad("epsilons", self.epsilons, f"rising numbers above 0, {PUBLISHED} among them", mend)


@dataclasses.dataclass(frozen=True)
class Arm:
    """One of the populations that are compared."""

    network: str = "horizontal"
    genes: str = "layer"
    settings: tuple[tuple[str, Any], ...] = ()
    """Of the algorithm, where they are not its defaults."""


def arms_of(config: Config) -> dict[str, Arm]:
    """The populations of a study by name."""
    kind, usual = ("block", {"immigrants": 2}) if config.mode == "code" else ("layer", {})

    def arm(network: str = "horizontal", genes: str = kind, **settings: Any) -> Arm:
        return Arm(network, genes, tuple(sorted((usual | settings).items())))

    if config.study == "paper":
        return {
            "horizontal": arm(),
            "vertical": arm("vertical"),
            "random selection": arm(selection="random", immigrants=0),
            "aligned parents": arm(alignment="correlation"),
        }
    bonus = {"bonus": "cosine", "bonus_weight": config.bonus_weight}
    if config.study == "cross":
        return {
            f"{KINDS[genes]}, {'aligned' if alignment == 'correlation' else 'naive'}{', bonus' if extra else ''}": arm(
                genes=genes, alignment=alignment, **extra
            )
            for genes in KINDS
            for alignment in ("none", "correlation")
            for extra in ({}, bonus)
        }
    weight: dict[str, Any] = {"bonus_weight": config.bonus_weight}
    return {
        "as in the paper": arm(),
        "mutation": arm(mutation=config.mutation),
        "adaptive mutation": arm(mutation=config.mutation, adaptive=True),
        "cosine bonus": arm(bonus="cosine", **weight),
        "hybrid vigour": arm(bonus="hybrid", **weight),
        "fitness sharing": arm(bonus="sharing", **weight),
        "novelty": arm(bonus="novelty", **weight),
        "immigrants": arm(immigrants=config.size // 2),
        "islands": arm(islands=ISLANDS, immigrants=ISLANDS if usual else 0),
        "aligned parents": arm(alignment="correlation"),
        "aligned by CCA": arm(alignment="cca"),
        "random selection": arm(selection="random", immigrants=0),
    }


MNIST = Config(dataset="mnist")
PRESETS = {
    "demo": (
        Config(
            repeats=10,
            size=12,
            generations=4,
            later=8,
            hidden=(64, 32),
            block=16,
            batch_size=20,
            learning_rate=0.05,
            compared=500,
            rivals=3,
            attacked=200,
            children=5,
        ),
    ),
    "small": (dataclasses.replace(MNIST, repeats=2, later=6, attacked=1000),),
    "paper": (dataclasses.replace(MNIST, mode="code"),),
    "text": (dataclasses.replace(MNIST, mode="text"),),
    "cross": (dataclasses.replace(MNIST, study="cross", repeats=8, later=6),),
    "cures": (dataclasses.replace(MNIST, study="cures", repeats=10, later=6),),
}
COSTS = {
    "demo": "12 networks, 8 generations and 10 seeds on handwritten digits; 35 s on 2 cores",
    "small": "20 networks and 6 generations on MNIST, 2 seeds",
    "paper": "as the authors' code: 20 networks on MNIST, 10 generations, 10 seeds; 66 min on 2 busy cores",
    "text": "the same with whole layers as genes, as the text has it",
    "cross": "naive or aligned, layers, blocks or neurons, with and without a bonus, on MNIST; 8 seeds",
    "cures": "what might keep a population diverse, on MNIST; 10 seeds",
}


class Study:
    """Data, networks and rivals of a study, and what is measured of a population."""

    def __init__(self, config: Config, data: Dataset, run: lab.Run) -> None:
        self.config, self.run = config, run
        self.mesh = cores()
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

    def evolve(self, name: str, algorithm: Recombination, key: Array) -> dict[str, np.ndarray]:
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
        return self.run.loop(name, state, step, total=config.repeats * config.later)["found"]

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
        return tuple(layer.removeprefix("params/") for layer in kernel_genes(params)[1].names)

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
        clean = [accuracies(algorithm.apply, pop, self.test) for pop in (brood.population, grown)]
        return np.concatenate(found, axis=1), np.array([np.mean(values) for values in clean])

    def count(self, algorithm: Recombination) -> int:
        """Children that are attacked: as many for each island."""
        return -(-self.config.children // algorithm.islands) * algorithm.islands

    def under_attack(self, apply: Apply, pop: PyTree, x: Array, y: Array, key: Array) -> np.ndarray:
        """Accuracy of the first, and mean accuracy of the others, on images made against the first: [attacks, 2]."""
        spare = self.config.mode != "clean"
        bounds = None if spare else (0.0, 1.0)
        return np.asarray(transferred(apply, pop, x, y, key, self.config.epsilons, PUBLISHED, bounds, spare))

    def alone(self, name: str, key: Array) -> dict[str, np.ndarray]:
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
            members = ea.training.init(pop, self.optimizer, epochs=config.later * config.epochs, key=key_fit)
            return members

        def step(number: int, state: dict[str, Any]) -> tuple[dict[str, Any], dict[str, float]]:
            repeat, generation = divmod(number, config.later)
            members, found = state["members"] if generation else begin(repeat), state["found"]
            settings = {"batch_size": config.batch_size, "shuffle": self.shuffle, "mesh": self.mesh}
            for _ in range(config.epochs):
                members = ea.training.step_epoch(apply, members, self.train, self.optimizer, **settings)
            pop = ea.population.gather(members.params)
            found["accuracy"][repeat, generation] = accuracies(apply, pop, self.test)
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
        return self.run.loop(f"alone, {name}", state, step, total=total)["found"]


def run(config: Config, data: Dataset, run: lab.Run) -> dict[str, np.ndarray]:
    """All populations and those that train alone; returns everything that figures and claims are made of."""
    study, arms = Study(config, data, run), arms_of(config)
    key = jax.random.key(config.seed)
    algorithms = {name: study.algorithm(arm) for name, arm in arms.items()}  # what cannot be is refused at once
    found = [study.evolve(name, algorithm, key) for name, algorithm in algorithms.items()]
    networks = list(dict.fromkeys(arm.network for arm in arms.values()))
    rivals = [study.alone(name, jax.random.fold_in(key, config.repeats)) for name in networks]
    shapes = {name: max(of[name].shape for of in found) for name in found[0]}
    arrays = {name: np.stack([padded(of[name], shape) for of in found]) for name, shape in shapes.items()}
    arrays |= {f"alone_{name}": np.stack([of[name] for of in rivals]) for name in rivals[0]}
    lists = {
        "arms": list(arms),
        "genes": [arm.genes for arm in arms.values()],
        "settings": [", ".join(f"{name}={value}" for name, value in arm.settings) for arm in arms.values()],
        "networks": networks,
        "network": [networks.index(arm.network) for arm in arms.values()],
        "layers": [",".join(study.layers(name)) for name in networks],
        "marks": study.marks,
        "epsilons": config.epsilons,
        "published": PUBLISHED,
        "study": config.study,
        "mode": config.mode,
        "dataset": data.name,
    }
    return arrays | {name: np.array(value) for name, value in lists.items()}


def drawn(network: Any, x: Array, key: Array) -> PyTree:
    """One network before training."""
    return network.init(key, x)


def kernels(params: PyTree, least: int = 2) -> PyTree:
    """The parameters without their biases."""
    return jax.tree.map(lambda leaf: leaf if leaf.ndim >= least else None, params)


def kernel_genes(params: PyTree) -> tuple[PyTree, ea.crossover.Genes]:
    """The weights of one network without its biases, and its layers as genes of them."""
    weights = kernels(params)
    return weights, ea.crossover.layer_genes(weights)


@partial(jax.jit, static_argnames="algorithm")
def measure(algorithm: Recombination, state: State, test: tuple[Array, Array]) -> dict[str, Array]:
    """What is noted of a population: fitness, test accuracy, how alike its layers and genes are, its founders."""
    one = ea.population.take(state.population, 0)
    _, layers = kernel_genes(one)
    return {
        "fitness": state.fitness,
        "accuracy": accuracies(algorithm.apply, state.population, test),
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
    return diversity.cosines(kernels(ordered, 3), kernel_genes(first)[1])


@partial(jax.jit, static_argnames="apply")
def accuracies(apply: Apply, pop: PyTree, data: tuple[Array, Array]) -> Array:
    """Accuracy of every network."""
    return ea.population.map(lambda params: fitness_of(apply, params, *data)[0], pop)


together = jax.jit(ea.training.evaluate_ensemble, static_argnames="apply")


@partial(jax.jit, static_argnames="algorithm")
def raised(algorithm: Recombination, keys: Array, children: PyTree, train: tuple[Array, Array]) -> PyTree:
    """Children after the training of one generation."""
    one = partial(algorithm.grow, train=train)
    return ea.population.map(lambda key, params: one(key, params)[0], keys, children, mesh=algorithm.mesh)


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
    found = jnp.stack([accuracies(apply, pop, (images, y)) for images in crafted])
    return jnp.stack([found[:, 0], found[:, 1:].mean(axis=1)], axis=1)


def padded(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The values, with NaN up to a larger shape."""
    return np.pad(values, [(0, n - m) for n, m in zip(shape, values.shape, strict=True)], constant_values=np.nan)


def cores() -> Mesh | None:
    """The devices, where there are several, so that networks train side by side."""
    return jax.make_mesh((len(jax.devices()),), ("members",)) if len(jax.devices()) > 1 else None


EXPERIMENT = lab.Experiment(
    name="mixed_evolution",
    description=__doc__ or "",
    presets=PRESETS,
    costs=COSTS,
    modes=MODES,
    run=run,
    plot=plot,
    judge=judge,
)


def main(argv: list[str] | None = None) -> int:
    """The command line."""
    with contextlib.suppress(RuntimeError):  # once JAX has begun, its devices are what they are
        jax.config.update("jax_num_cpu_devices", os.cpu_count() or 1)
    return lab.main(EXPERIMENT, argv)


if __name__ == "__main__":
    sys.exit(main())
