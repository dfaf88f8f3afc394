"""One cell of the study: a search for architectures, and the final training of the networks that it found."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from evojax_align import _checks, lab, training
from evojax_align._types import Array
from evojax_align.data import Dataset
from evojax_align.data.dataset import draw
from evojax_align.evolution import Genome, Individual, Lamarckian, LamarckianOffspring, LamarckianState, Space
from evojax_align.models import BlockCNN
from evojax_align.training import InTraining
from evojax_align.training.scoring import CHUNK
from experiments.lamarckian.config import ARMS, LONG, STARTS, Config, published

OF_HISTORY = ("fitness", "best", "loss", "epochs", "origin", "niche", "blocks")


class Problem:
    """The data, optimisers and searches that all cells share."""

    def __init__(self, config: Config, data: Dataset) -> None:
        self.config = config
        train, judge, test = parts(config, data)
        mean, deviation = moments(train[0])
        self.train, self.judge, self.test = (
            (jnp.asarray((x - mean) / deviation, jnp.float32), jnp.asarray(y)) for x, y in (train, judge, test)
        )
        self.classes = data.num_classes
        self.chunk = min(CHUNK, self.judge[1].size, self.test[1].size)  # of one size, for the same programs
        self.devices = tuple(jax.devices()) if len(jax.devices()) > 1 else ()
        size = min(config.batch_size, self.train[1].size)
        self.images = self.train[1].size - self.train[1].size % size
        steps = self.images // size * config.final
        falling = optax.piecewise_constant_schedule(config.learning_rate, {steps: 0.1, 2 * steps: 0.1})
        self.optimizer, self.finisher = optax.adam(config.learning_rate), optax.adam(falling)
        self.space = Space(config.filters, config.windows, halvings=config.halvings)
        self.searches = {name: self.search(name) for name in config.arms}
        least = max(search.epochs * search.size for search in self.searches.values())
        ascending = list(config.marks) == sorted(set(config.marks))
        if not (least <= config.marks[0] and config.marks[-1] <= config.budget and ascending):
            expected = f"ascending numbers of epochs, from {least} up to the budget of {config.budget}"
            raise _checks.bad("marks", config.marks, expected, f"Pass marks=({config.budget},).")

    def network(self, blocks: Any) -> BlockCNN:
        """The network of an architecture."""
        return BlockCNN(blocks, self.classes, momentum=self.config.momentum, dtype=jnp.dtype(self.config.dtype))

    def search(self, arm: str) -> Lamarckian:
        """The search of an arm."""
        config, settings = self.config, dict(ARMS[arm])
        if "scheme" in settings:
            settings |= {"size": config.size, "children": 1 if arm == "ageing" else config.size}
        same = ("batch_size", "budget", "marks", "niche_rate", "niche_length")
        settings |= {name: getattr(config, name) for name in same}
        settings |= {"epochs": config.long if arm == LONG else config.epochs}
        settings |= {"chunk": self.chunk, "devices": self.devices}
        return Lamarckian(self.network, self.space, self.optimizer, **settings)

    def epoch(
        self, networks: Sequence[BlockCNN], states: Sequence[InTraining], optimizer: Any, keys: Sequence[Array]
    ) -> tuple[tuple[InTraining, ...], list[float]]:
        """One epoch of several networks: their new states and losses."""
        settings = {"epochs": 1, "batch_size": self.config.batch_size, "keys": keys, "devices": self.devices}
        found, losses = training.train_pieces(networks, states, self.train, optimizer, **settings)
        return tuple(found), losses[:, 0].tolist()


def cells(config: Config) -> list[lab.Cell]:
    """Arm by arm of each seed."""
    return [lab.Cell(arm, seed) for seed in range(config.repeats) for arm in config.arms]


def run(problem: Problem, cell: lab.Cell, run: lab.Run) -> dict[str, np.ndarray]:
    """All measures of one cell: [evaluations] of the search, and the test accuracy [marks, starts]."""
    key = jax.random.fold_in(jax.random.key(problem.config.seed), cell.seed)
    key_search, key_finish = jax.random.split(key)
    pedigree = evolve(problem, cell.arm, run, key_search)
    tests = finish(problem, run, pedigree.marked, key_finish)
    found = measures(problem, pedigree) | {"test": tests, "images": np.array(problem.images)}
    return {name: values.astype(np.float32) for name, values in found.items()}


def evolve(problem: Problem, arm: str, run: lab.Run, key: Array) -> LamarckianState:
    """The whole search of an arm; a step is one epoch of all networks of a generation."""
    search, known = problem.searches[arm], {}

    def bred(generation: int, pedigree: LamarckianState) -> tuple[Array, list[LamarckianOffspring]]:
        if generation not in known:
            own = jax.random.fold_in(key, generation)
            known.clear()
            ready = search.breed(own, pedigree, problem.train) if generation else search.first(own, problem.train)
            known[generation] = own, ready
        return known[generation]

    def step(number: int, state: dict[str, Any]) -> tuple[dict[str, Any], dict[str, float]]:
        generation, epoch = divmod(number, search.epochs)
        pedigree = state["pedigree"]
        own, ready = bred(generation, pedigree)
        networks = [problem.network(child.genome.architecture) for child in ready]
        pairs = zip(networks, ready, strict=True)
        begun = state["training"] or [
            training.begin_pieces(network, child.variables, problem.optimizer) for network, child in pairs
        ]
        states, losses = problem.epoch(networks, begun, problem.optimizer, [child.key for child in ready])
        if epoch + 1 == search.epochs:
            evaluated = search.judge(ready, [one.variables for one in states], losses, problem.judge)
            pedigree, states = search.choose(own, pedigree, ready, evaluated)[0], ()
        told = {"evaluations": len(pedigree.history.fitness), "best": float(pedigree.champion.fitness)}
        return {"pedigree": pedigree, "training": states}, told

    def build(tree: dict[str, Any]) -> dict[str, Any]:
        return {"pedigree": LamarckianState.of(tree["pedigree"]), "training": in_training(tree)}

    generations = 1 + -(-(search.budget // search.epochs - search.size) // search.children)
    start = {"pedigree": search.empty(), "training": ()}
    return run.loop("search", start, step, total=generations * search.epochs, build=build)["pedigree"]


def finish(problem: Problem, run: lab.Run, marked: Sequence[Individual], key: Array) -> np.ndarray:
    """Test accuracy of the networks that were the best at the marks after final training, [marks, starts]; a step is
    one epoch of one network."""
    epochs = 3 * problem.config.final

    def step(number: int, state: dict[str, Any]) -> tuple[dict[str, Any], dict[str, float]]:
        case, epoch = divmod(number, epochs)
        place, start = divmod(case, len(STARTS))
        network = problem.network(Genome.of(marked[place].genes).architecture)
        key_train, key_fresh = jax.random.split(jax.random.fold_in(key, case))
        begun = state["training"]
        if not begun:
            fresh = STARTS[start] == "fresh"
            variables = training.init_pieces(network, key_fresh, problem.train[0]) if fresh else marked[place].variables
            begun = (training.begin_pieces(network, variables, problem.finisher),)
        states, (loss,) = problem.epoch([network], begun, problem.finisher, [key_train])
        if epoch + 1 < epochs:
            return {"test": state["test"], "training": states}, {"loss": loss}
        tests = state["test"].copy()
        tests[place, start] = training.evaluate_pieces(
            network, states[0].variables, *problem.test, chunk=problem.chunk
        ).accuracy
        return {"test": tests, "training": ()}, {"accuracy": tests[place, start]}

    def build(tree: dict[str, Any]) -> dict[str, Any]:
        return {"test": np.array(tree["test"]), "training": in_training(tree)}

    start = {"test": np.full((len(marked), len(STARTS)), np.nan), "training": ()}
    return run.loop("final training", start, step, total=start["test"].size * epochs, build=build)["test"]


def in_training(tree: Mapping[str, Any]) -> tuple[InTraining, ...]:
    """The networks in training of a checkpoint."""
    found = tree.get("training", {})
    return tuple(InTraining.of(found[str(number)]) for number in range(len(found)))


def measures(problem: Problem, pedigree: LamarckianState) -> dict[str, np.ndarray]:
    """All that is known of each network that a search evaluated; `filters` is the mean over its blocks."""
    found = {name: np.asarray(getattr(pedigree.history, name)) for name in OF_HISTORY}
    networks = [problem.network(blocks) for blocks in pedigree.history.architectures]
    sizes = [network.products(problem.train[0].shape[1:]) for network in networks]
    found["products"], found["parameters"] = np.array(sizes).T
    return found | {"filters": np.array([np.mean([block[0] for block in network.blocks]) for network in networks])}


def merge(config: Config, found: Mapping[lab.Cell, lab.Arrays]) -> dict[str, np.ndarray]:
    """The arrays of all finished cells, [arms, seeds, ...], with the settings that claims and tables need."""
    arrays = {name: of.astype(np.float32) for name, of in lab.by_arm(cells(config), found).items()}
    settings = {
        "arms": config.arms,
        "marks": config.marks,
        "starts": STARTS,
        "each": [config.long if arm == LONG else config.epochs for arm in config.arms],
        "budget": config.budget,
        "images": next(iter(found.values()))["images"],
        "dataset": config.dataset,
        "published": published(config),
    }
    return arrays | {name: np.array(value) for name, value in settings.items()}


def parts(config: Config, data: Dataset) -> tuple[Any, Any, Any]:
    """Images for training, for fitness and for testing: the official test images, and shares of all others."""
    every: Any = tuple(np.concatenate(both) for both in zip(data.train, data.validation, strict=True))
    judge, rest = draw(every, config.judged, config.seed, argument="judged")
    train = draw(rest, config.samples, config.seed, argument="samples")[0] if config.samples else rest
    test: Any = tuple(data.test)
    return train, judge, draw(test, config.tested, config.seed, argument="tested")[0] if config.tested else test


def moments(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each channel."""
    axes = (0, 1, 2)
    return x.mean(axis=axes, dtype=float), np.maximum(x.std(axis=axes, dtype=float), 1e-6)
