"""How `lamarckian.py` searches for architectures, seed beside seed, and trains what it found to the end."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from evojax_align import _checks, lab, training
from evojax_align._types import Array
from evojax_align.data import Dataset
from evojax_align.data.dataset import draw
from evojax_align.evolution import Genome, Individual, Lamarckian, Pedigree, Seedling, Space
from evojax_align.models import BlockCNN

DTYPES = ("float32", "bfloat16")
STARTS = ("inherited", "fresh")
"""Weights from which what was found is trained to the end."""
MEASURES = ("fitness", "best", "loss", "epochs", "origin", "niche", "blocks", "filters", "products", "parameters")
"""Of every network that was evaluated; `filters` is their mean over its blocks."""


@dataclasses.dataclass(frozen=True)
class Config:
    """All settings of a run."""

    dataset: str = "digits"
    mode: str = "text"
    seed: int = 0
    arms: tuple[str, ...] = ("inheritance", "baseline I")
    """Of `ARMS`."""
    repeats: int = 20
    filters: tuple[int, ...] = Space.filters
    windows: tuple[int, ...] = Space.windows
    halvings: int = 3
    samples: int = 0
    """Images to learn from; 0 takes all but those that are judged on."""
    judged: int = 5000
    """Images that fitness is measured on."""
    tested: int = 0
    """Test images; 0 takes all."""
    epochs: int = 4
    """Of an evaluation."""
    long: int = 16
    """Of an evaluation of baseline II."""
    budget: int = 512
    marks: tuple[int, ...] = (128, 512)
    """Epochs after which the best network is kept, to be trained to the end."""
    final: int = 10
    """Epochs at each of the three learning rates of that training."""
    batch_size: int = 512
    learning_rate: float = 0.001
    momentum: float = 0.99
    """Of the running statistics."""
    niche_rate: float = 0.1
    niche_length: int = 5
    size: int = 4
    """Members of populations."""
    dtype: str = "float32"
    """What networks compute in, such as bfloat16 on an accelerator."""


SHAPE: Mapping[str, Any] = {"inherit": "shape"}
ARMS: dict[str, Mapping[str, Any]] = {
    "inheritance": SHAPE,
    "baseline I": {"inherit": "none"},
    "baseline II": {"inherit": "none"},
    "function kept": {"inherit": "function"},
    "population": SHAPE | {"scheme": "plus"},
    "ageing": SHAPE | {"scheme": "ageing"},
    "crossover": SHAPE | {"scheme": "plus", "crossover": 0.5},
    "crossover, as it stands": SHAPE | {"scheme": "plus", "crossover": 0.5, "matching": "order"},
}
"""Searches by name, and how they differ from the paper's; those with a scheme have `Config.size` members."""


class Study:
    """Data, networks and searches of a run."""

    def __init__(self, config: Config, data: Dataset) -> None:
        self.config = config
        for name in config.arms:
            _checks.one_of("arms", name, ARMS)
        for name in ("repeats", "final", "long"):
            _checks.positive(name, getattr(config, name))
        _checks.one_of("dtype", config.dtype, DTYPES)
        if len(set(config.arms)) < len(config.arms):
            raise _checks.bad("arms", config.arms, "different ones", "Name each once.")
        train, judge, test = parts(config, data)
        mean, deviation = moments(train[0])
        self.train, self.judge, self.test = (
            (jnp.asarray((x - mean) / deviation, jnp.float32), jnp.asarray(y)) for x, y in (train, judge, test)
        )
        self.classes = data.num_classes
        self.chunk = min(training.CHUNK, self.judge[1].size, self.test[1].size)  # of one size, for the same programs
        self.devices = tuple(jax.devices()) if len(jax.devices()) > 1 else ()  # each core a device is no faster here
        steps = max(1, self.train[1].size // config.batch_size) * config.final
        falling = optax.piecewise_constant_schedule(config.learning_rate, {steps: 0.1, 2 * steps: 0.1})
        self.optimizer, self.finisher = optax.adam(config.learning_rate), optax.adam(falling)  # programs are theirs
        self.space = Space(config.filters, config.windows, halvings=config.halvings)
        self.searches = {name: self.search(name) for name in config.arms}
        least = max(search.epochs * search.size for search in self.searches.values())
        if not (least <= config.marks[0] and config.marks[-1] <= config.budget and ascending(config.marks)):
            expected = f"ascending numbers of epochs, from {least} on and up to the budget of {config.budget}"
            raise _checks.bad("marks", config.marks, expected, f"Pass marks=({config.budget},).")

    def network(self, blocks: Any) -> BlockCNN:
        """The network of an architecture."""
        return BlockCNN(blocks, self.classes, momentum=self.config.momentum, dtype=jnp.dtype(self.config.dtype))

    def search(self, name: str) -> Lamarckian:
        """The search of an arm."""
        config, settings = self.config, dict(ARMS[name])
        if "scheme" in settings:
            settings |= {"size": config.size, "children": 1 if name == "ageing" else config.size}
        epochs = config.long if name == "baseline II" else config.epochs
        settings |= {"epochs": epochs, "batch_size": config.batch_size, "budget": config.budget}
        settings |= {"niche_rate": config.niche_rate, "niche_length": config.niche_length}
        settings |= {"chunk": self.chunk, "devices": self.devices}
        return Lamarckian(self.network, self.space, self.optimizer, **settings)

    def evolve(self, run: lab.Run, name: str, key: Array) -> dict[str, Any]:
        """All seeds of an arm, step by step together: their pedigrees, and the best networks at the marks."""
        search, seeds = self.searches[name], range(self.config.repeats)
        keys = [jax.random.fold_in(key, seed) for seed in seeds]

        def step(number: int, state: dict[str, Any]) -> tuple[dict[str, Any], dict[str, float]]:
            known = [jax.random.fold_in(own, number) for own in keys]
            ready: list[list[Seedling]] = [
                search.breed(own, pedigree, self.train) if number else search.first(own, self.train)
                for own, pedigree in zip(known, state["pedigrees"], strict=True)
            ]
            grown = search.grow([child for own in ready for child in own], self.train, self.judge)
            pedigrees, marked = [], []
            for seed in seeds:
                ours, grown = grown[: len(ready[seed])], grown[len(ready[seed]) :]
                pedigrees.append(search.choose(known[seed], state["pedigrees"][seed], ready[seed], ours)[0])
                marked.append(self.marked(state["marked"][seed], pedigrees[-1]))
            best = np.array([float(pedigree.champion.fitness) for pedigree in pedigrees])
            state = {"pedigrees": tuple(pedigrees), "marked": tuple(marked)}
            return state, {"epochs": pedigrees[0].epochs, "best": float(np.nanmean(best))}

        def build(tree: dict[str, Any]) -> dict[str, Any]:
            pedigrees = tuple(Pedigree.of(tree["pedigrees"][str(seed)]) for seed in seeds)
            marked = tuple(
                tuple(Individual(**tree["marked"][str(seed)][str(n)]) for n in range(len(self.config.marks)))
                for seed in seeds
            )
            return {"pedigrees": pedigrees, "marked": marked}

        nobody = search.empty()
        start = {
            "pedigrees": (nobody,) * self.config.repeats,
            "marked": ((nobody.champion,) * len(self.config.marks),) * self.config.repeats,
        }
        total = 1 + -(-(search.budget // search.epochs - search.size) // search.children)
        return run.loop(name, start, step, total=total, build=build)

    def marked(self, kept: tuple[Individual, ...], pedigree: Pedigree) -> tuple[Individual, ...]:
        """The best networks at the marks, of those that are not passed yet the one of now."""
        pairs = zip(self.config.marks, kept, strict=True)
        return tuple(pedigree.champion if pedigree.epochs <= mark else old for mark, old in pairs)

    def measures(self, pedigree: Pedigree) -> dict[str, np.ndarray]:
        """What is told of each network that one seed evaluated."""
        history = pedigree.history
        found = {name: np.asarray(getattr(history, name), float) for name in MEASURES if hasattr(history, name)}
        networks = [self.network(blocks) for blocks in history.architectures]
        shape = self.train[0].shape[1:]
        sizes = [network.products(shape) for network in networks]
        found["products"], found["parameters"] = np.array(sizes, float).reshape(-1, 2).T
        found["filters"] = np.array([np.mean([block[0] for block in network.blocks]) for network in networks])
        return found

    def finish(self, run: lab.Run, name: str, marked: tuple[tuple[Individual, ...], ...], key: Array) -> np.ndarray:
        """Test accuracy of what the seeds of an arm found, trained to the end: [seeds, marks, starts]."""
        config = self.config
        settings = {"epochs": 3 * config.final, "batch_size": config.batch_size, "devices": self.devices}

        def step(number: int, found: np.ndarray) -> tuple[np.ndarray, dict[str, float]]:
            place, start = divmod(number, len(STARTS))
            champions = [of[place] for of in marked]
            networks = [self.network(Genome.of(champion.genes).architecture) for champion in champions]
            own = [jax.random.fold_in(jax.random.fold_in(key, seed), number) for seed in range(config.repeats)]
            keys, fresh = zip(*map(jax.random.split, own), strict=True)
            variables = [champion.variables for champion in champions]
            if STARTS[start] == "fresh":
                pairs = zip(networks, fresh, strict=True)
                variables = [training.init_pieces(network, own, self.train[0]) for network, own in pairs]
            trained, _ = training.fit_pieces(networks, variables, self.train, self.finisher, keys=keys, **settings)
            for seed, (network, own) in enumerate(zip(networks, trained, strict=True)):
                found[seed, place, start] = training.evaluate_pieces(network, own, *self.test, chunk=self.chunk)[1]
            return found, {"accuracy": float(found[:, place, start].mean())}

        room = np.zeros((config.repeats, len(config.marks), len(STARTS)))
        return run.loop(f"{name}, to the end", room, step, total=len(config.marks) * len(STARTS))


def parts(config: Config, data: Dataset) -> tuple[Any, Any, Any]:
    """Images to learn from, to judge by and to test on: the official test images, and shares of all others."""
    every: Any = tuple(np.concatenate(both) for both in zip(data.train, data.validation, strict=True))
    judge, rest = draw(every, config.judged, config.seed, argument="judged")
    train = draw(rest, config.samples, config.seed, argument="samples")[0] if config.samples else rest
    test: Any = tuple(data.test)
    return train, judge, draw(test, config.tested, config.seed, argument="tested")[0] if config.tested else test


def ascending(numbers: tuple[int, ...]) -> bool:
    """Whether each is larger than the one before."""
    return list(numbers) == sorted(set(numbers))


def moments(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation, of each channel."""
    axes = (0, 1, 2)
    return x.mean(axis=axes, dtype=float), np.maximum(x.std(axis=axes, dtype=float), 1e-6)
