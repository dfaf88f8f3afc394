"""The settings of `safe_crossover.py`: what can be set, the presets and what they cost."""

import dataclasses

import jax

from evojax_align import _checks
from evojax_align._types import Array

MODES = {
    "clean": "aligned on training images, scored on test images; the paper's text otherwise",
    "text": "as the paper's text: aligned on the images that score the offspring",
    "code": "as the authors' code: that, deflated and sorted weights, greedy and other-sided semi-matching, ridge / n",
    "all": "text, code and clean, one after the other, on the same parents",
}
MODELS = ("mlp", "lenet", "vgg")
LENET_WIDTHS = (6, 16, 120, 84)


@dataclasses.dataclass(frozen=True)
class Config:
    """The settings of one study."""

    dataset: str = "digits"
    mode: str = "clean"
    seed: int = 0
    first: int = 0
    """Number of the first network: part of a larger study is done again by its numbers."""
    networks: int = 40
    model: str = MODELS[0]
    hidden: tuple[int, ...] = (128,)
    """Widths of the hidden layers, convolutions before dense ones; in "vgg" each has a stage of its own."""
    epochs: int = 40
    batch_size: int = 64
    learning_rate: float = 1e-3
    patience: int = 5
    rank: int = 64
    """Directions that SVCCA keeps; where no layer has more, it is left out, being the same as CCA."""
    ranks: tuple[int, ...] = (2, 4, 8, 16, 32, 64, 96, 128)
    """Directions of Figure 2."""
    ridges: tuple[float, ...] = (0.01, 0.1, 1.0)
    aligned: int = 10_000
    """Images that an alignment sees, at most."""
    scored: int = 10_000
    """Test images that score, at most."""
    points: int = 31
    """Values of t in [-0.25, 1.25]."""
    at_once: int = 20
    """Pairs that are aligned, or whose parents are trained, at a time: fewer where memory is short."""

    def __post_init__(self) -> None:
        _checks.one_of("model", self.model, MODELS)
        for name in ("networks", "epochs", "batch_size", "patience", "rank", "aligned", "scored", "at_once"):
            _checks.positive(name, getattr(self, name))
        _checks.above_zero("learning_rate", self.learning_rate)
        for name in ("first", "networks"):
            if getattr(self, name) % 2 or self.first < 0:
                raise _checks.bad(name, getattr(self, name), "an even number", "Networks 0 and 1 are the first pair.")
        for name in ("hidden", "ranks", "ridges"):
            values = getattr(self, name)
            if min(values) <= 0 or (name != "hidden" and list(values) != sorted(set(values))):
                expected = "numbers above 0" if name == "hidden" else "rising numbers above 0"
                raise _checks.bad(name, values, expected, f"Write --set '{name}=(2, 8)'.")
        if self.model == "lenet" and len(self.hidden) != len(LENET_WIDTHS):
            came, mend = f"{len(self.hidden)} widths for lenet", f"Write --set 'hidden={LENET_WIDTHS}'."
            raise _checks.bad("hidden", came, "two convolutions and two dense layers", mend)
        if self.aligned <= max(self.hidden) or self.scored < 2:
            name, least = ("scored", 2) if self.scored < 2 else ("aligned", max(self.hidden) + 1)
            raise _checks.bad(name, getattr(self, name), f"at least {least} images", "CCA needs more than neurons.")
        if self.points % 6 != 1 or self.points < 7:
            came, mend = f"{self.points} values of t in [-0.25, 1.25]", "Set points to 7, 13, 19, 25, 31, ..."
            raise _checks.bad("points", came, "values with 0, 0.5 and 1 among them", mend)


MNIST = Config(
    dataset="mnist",
    hidden=(512,),
    epochs=12,
    batch_size=128,
    patience=2,
    rank=256,
    ranks=(2, 10, 20, 30, 40, 50, 100, 256, 512),
)
CIFAR = dataclasses.replace(
    MNIST, dataset="cifar10", hidden=(100, 100, 100), epochs=2, rank=100, ranks=(2, 25, 50, 75, 100)
)
FASHION = dataclasses.replace(MNIST, dataset="fashion_mnist")
CIFAR100 = dataclasses.replace(CIFAR, dataset="cifar100", epochs=5)
REAL = (MNIST, FASHION, CIFAR, CIFAR100)
LENET = dataclasses.replace(
    MNIST,
    model="lenet",
    hidden=LENET_WIDTHS,
    networks=20,
    epochs=4,
    rank=32,
    ranks=(2, 4, 8, 16, 32, 64, 120),
    scored=4000,
    aligned=4000,
    points=13,
    at_once=5,
)
PRESETS = {
    "demo": (Config(),),
    "small": REAL,
    "paper": tuple(dataclasses.replace(config, networks=400, mode="all") for config in REAL),
    "converged": (dataclasses.replace(CIFAR, epochs=60, patience=5, mode="all"),),
    "lenet": (LENET, dataclasses.replace(LENET, dataset="fashion_mnist")),
    "vgg": (dataclasses.replace(LENET, model="vgg", hidden=(16, 32, 64), ranks=(2, 4, 8, 16, 32, 64)),),
}
COSTS = {
    "demo": "40 networks and 20 pairs on handwritten digits; 25 s on 2 cores",
    "small": "40 networks on MNIST, Fashion-MNIST, CIFAR-10 or CIFAR-100; 6 min on MNIST, 2 busy cores",
    "paper": "400 networks and 200 pairs on the same, in all modes; MNIST 58 min, CIFAR-10 22 min on 2 busy cores",
    "converged": "40 networks on CIFAR-10, trained until validation stops it, in all modes; 9 min on 2 busy cores",
    "lenet": "20 LeNet-5 on MNIST or Fashion-MNIST; MNIST 9 min on 2 busy cores",
    "vgg": "20 networks of three convolutions on MNIST; 12 min on 2 busy cores",
}


def keys_of(config: Config) -> Array:
    """Of the networks' starts, of the order of their batches, and of the control."""
    return jax.random.split(jax.random.key(config.seed), 3)
