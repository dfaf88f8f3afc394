"""Settings, arms and presets of the study."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from evojax_align import _checks
from evojax_align.evolution import Space

MODES = {"text": "as in the paper; its code was not published"}
DTYPES = ("float32", "bfloat16")
STARTS = ("inherited", "fresh")
"""The weights with which the final training of a network begins."""
SHAPE: Mapping[str, Any] = {"inherit": "shape"}
LAMARCK, SHORT, LONG = "inheritance", "baseline I", "baseline II"
ARMS: dict[str, Mapping[str, Any]] = {
    LAMARCK: SHAPE,
    SHORT: {"inherit": "none"},
    LONG: {"inherit": "none"},
    "function kept": {"inherit": "function"},
    "population": SHAPE | {"scheme": "plus"},
    "ageing": SHAPE | {"scheme": "ageing"},
    "crossover": SHAPE | {"scheme": "plus", "crossover": 0.5},
    "crossover, as it stands": SHAPE | {"scheme": "plus", "crossover": 0.5, "matching": "order"},
}
"""Searches, and their differences from the paper's default; those with a scheme have `Config.size` members."""


@dataclasses.dataclass(frozen=True)
class Config:
    """All settings of a run.

    Attributes:
        dataset: the images.
        mode: one of `MODES`.
        seed: seed of all random numbers.
        arms: names in `ARMS`.
        repeats: number of seeds.
        filters: numbers of filters that a block may have.
        windows: sides of the square windows.
        halvings: largest number of blocks of stride 2.
        samples: number of training images; 0 for all that are not used for fitness.
        judged: number of images on which fitness is measured.
        tested: number of test images; 0 for all.
        epochs: epochs of an evaluation.
        long: epochs of an evaluation of baseline II.
        budget: epochs of a search.
        marks: epochs after which the best network is kept for final training.
        final: epochs of final training at each of its three learning rates.
        batch_size: images in a training step.
        learning_rate: learning rate of Adam.
        momentum: momentum of the running statistics.
        niche_rate: probability of opening a niche for a child that is not fitter than its parent.
        niche_length: number of networks that are tried in a niche.
        size: number of members of populations.
        dtype: dtype of the computation, such as bfloat16 on an accelerator.
    """

    dataset: str = "digits"
    mode: str = "text"
    seed: int = 0
    arms: tuple[str, ...] = (LAMARCK, SHORT)
    repeats: int = 20
    filters: tuple[int, ...] = Space.filters
    windows: tuple[int, ...] = Space.windows
    halvings: int = 3
    samples: int = 0
    judged: int = 5000
    tested: int = 0
    epochs: int = 4
    long: int = 16
    budget: int = 512
    marks: tuple[int, ...] = (128, 512)
    final: int = 10
    batch_size: int = 512
    learning_rate: float = 0.001
    momentum: float = 0.99
    niche_rate: float = 0.1
    niche_length: int = 5
    size: int = 4
    dtype: str = "float32"

    def __post_init__(self) -> None:
        for name in self.arms:
            _checks.one_of("arms", name, ARMS)
        for name in ("repeats", "final", "long"):
            _checks.positive(name, getattr(self, name))
        _checks.one_of("dtype", self.dtype, DTYPES)
        if len(set(self.arms)) < len(self.arms):
            raise _checks.bad("arms", self.arms, "different names", "Pass each once.")


SMALL = Config(
    dataset="fashion_mnist",
    repeats=3,
    filters=(8, 16, 32),
    samples=1500,
    judged=1000,
    tested=2000,
    epochs=2,
    long=8,
    budget=64,
    marks=(16, 64),
    final=2,
    batch_size=32,
    momentum=0.9,
)
PAPER = Config(dataset="cifar10", arms=(LAMARCK, SHORT, LONG))
EASY = dataclasses.replace(PAPER, repeats=10, long=8)
PRESETS = {
    "demo": (
        Config(
            repeats=6,
            filters=(8, 16),
            windows=(1, 3),
            halvings=1,
            samples=750,
            judged=300,
            epochs=1,
            long=2,
            budget=16,
            marks=(4, 16),
            final=1,
            batch_size=30,
            learning_rate=0.005,
            momentum=0.9,
        ),
    ),
    "small": (SMALL, dataclasses.replace(SMALL, dataset="cifar10", samples=3000)),
    "paper": (
        PAPER,
        dataclasses.replace(PAPER, dataset="cifar100"),
        dataclasses.replace(EASY, dataset="mnist"),
        dataclasses.replace(EASY, dataset="fashion_mnist"),
    ),
}
COSTS = {
    "demo": "few and small networks on 750 handwritten digits, 16 epochs, 6 seeds; about 75 s on 2 slow cores",
    "small": "blocks of up to 32 filters on 1500 images of Fashion-MNIST or 3000 of CIFAR-10, 64 epochs, 3 seeds; "
    "on 2 slow and busy cores 10 seeds of Fashion-MNIST took 147 min, and for one seed of CIFAR-10 32 epochs of both "
    "searches 12 min",
    "paper": "as in the paper, 512 epochs; 20 seeds on CIFAR, 10 on MNIST and Fashion-MNIST; for a GPU",
}
NOT_SCALE = ("dataset", "seed", "arms", "repeats", "size", "dtype")
"""Settings that may differ from the paper's in a run whose numbers are compared with the paper's."""


def published(config: Config) -> str:
    """The data set, if Table 1 of the paper has numbers of this data set and these settings; otherwise ""."""
    same = {name: getattr(config, name) for name in NOT_SCALE}
    as_published = config.dataset in ("cifar10", "cifar100") and config == dataclasses.replace(PAPER, **same)
    return config.dataset if as_published else ""
