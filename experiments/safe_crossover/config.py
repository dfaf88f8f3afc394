"""The settings of the three parts of the study, the presets, and what they cost."""

import dataclasses
from collections.abc import Sequence

from evojax_align import _checks

MODES = {
    "clean": "aligned on training images, scored on test images; the paper's text otherwise",
    "text": "as in the paper's text: aligned on the images that score the offspring",
    "code": "the authors' code: as text, with deflated, sorted weights, greedy matching, semi-matching of b, ridge / n",
    "all": "text, code and clean on the same parents",
}
METHODS = {
    "naive": "naive crossover",
    "cca": "SC-CCA, all directions",
    "svcca": "SC-CCA, SVCCA",
    "one_to_one": "SC-PwC, one-to-one",
    "semi": "SC-PwC, semi-matching",
    "loadings": "structure loadings",
    "weights": "weight matching",
    "control": "control, at random",
}
"""The methods of crossover. Structure loadings use half of the directions; with all, they equal the correlations. The
control pairs dead neurons with each other, and all others at random."""
MODELS = ("mlp", "lenet", "vgg")
LENET_WIDTHS = (6, 16, 120, 84)
PAPER_SHARES = {
    "mnist": {2: 0.59, 10: 0.815, 20: 0.815, 30: 0.855, 40: 0.885, 50: 0.92, 100: 0.94, 256: 0.985, 512: 0.925},
    "cifar10": {2: 0.54, 25: 0.99, 50: 1.0, 75: 1.0, 100: 1.0},
}
"""Figure 2: the fraction of the paper's 200 pairs in which SC-CCA is below naive at t = .5, by number of directions."""
PAPER_RIDGE = {"mnist": 0.965, "cifar10": 1.0}
"""The same with ridge CCA, for each of the three ridges."""
PAPER_ACCURACY = {"naive": {"cifar10": 0.10}, "sc_cca": {"cifar10": 0.25}}
PAPER_COUNTS = {"significant_kept": {"mnist": 125.0}, "strong": {"mnist": 203.0}}
PAPER_PAIRS = 200
FIVE_PERCENT = 0.025
"""The paper gives accuracies of 10, 25 and about 40 percent, which are taken as rounded to five."""


@dataclasses.dataclass(frozen=True)
class Common:
    """Common settings of all parts."""

    dataset: str = "digits"
    mode: str = "clean"
    seed: int = 0

    def check(self, *positive: str, modes: Sequence[str] = ("clean",)) -> None:
        """Check the mode and the fields that must be above 0."""
        _checks.one_of("mode", self.mode, modes)
        for name in positive:
            check = _checks.above_zero if name == "learning_rate" else _checks.positive
            check(name, getattr(self, name))


def check_even(networks: int) -> None:
    """Check that networks come in pairs."""
    if networks % 2:
        raise _checks.bad("networks", networks, "an even number", "Networks 0 and 1 are the first pair.")


@dataclasses.dataclass(frozen=True)
class Config(Common):
    """The paper's study: pairs of parents, aligned by every method.

    Attributes:
        networks: number of parents; networks 2 i and 2 i + 1 form pair i.
        model: "mlp", "lenet" or "vgg".
        hidden: widths of the hidden layers, convolutions before dense layers; in "vgg", each is a separate stage.
        rank: number of directions that SVCCA keeps; SVCCA is omitted if no layer is wider, as it would equal CCA.
        ranks: the numbers of directions of Figure 2.
        ridges: the ridge parameters of regularised CCA.
        aligned: largest number of images that an alignment uses.
        scored: largest number of test images on which children are scored.
        points: number of values of t in [-0.25, 1.25].
        at_once: number of pairs in a cell, which are trained and aligned together; fewer need less memory.
    """

    networks: int = 40
    model: str = MODELS[0]
    hidden: tuple[int, ...] = (128,)
    epochs: int = 40
    batch_size: int = 64
    learning_rate: float = 1e-3
    patience: int = 5
    rank: int = 64
    ranks: tuple[int, ...] = (2, 4, 8, 16, 32, 64, 96, 128)
    ridges: tuple[float, ...] = (0.01, 0.1, 1.0)
    aligned: int = 10_000
    scored: int = 10_000
    points: int = 31
    at_once: int = 20

    def __post_init__(self) -> None:
        names = (
            "networks",
            "epochs",
            "batch_size",
            "learning_rate",
            "patience",
            "rank",
            "aligned",
            "scored",
            "at_once",
        )
        self.check(*names, modes=list(MODES))
        check_even(self.networks)
        _checks.one_of("model", self.model, MODELS)
        for name in ("hidden", "ranks", "ridges"):
            values = getattr(self, name)
            if min(values) <= 0 or (name != "hidden" and list(values) != sorted(set(values))):
                expected = "numbers above 0" if name == "hidden" else "ascending numbers above 0"
                raise _checks.bad(name, values, expected, f"Write --set '{name}=(2, 8)'.")
        if self.model == "lenet" and len(self.hidden) != len(LENET_WIDTHS):
            came, fix = f"{len(self.hidden)} widths for lenet", f"Write --set 'hidden={LENET_WIDTHS}'."
            raise _checks.bad("hidden", came, "two convolutions and two dense layers", fix)
        if self.aligned <= max(self.hidden) or self.scored < 2:
            name, least = ("scored", 2) if self.scored < 2 else ("aligned", max(self.hidden) + 1)
            raise _checks.bad(name, getattr(self, name), f"at least {least} images", "CCA needs more than neurons.")
        if self.points % 6 != 1 or self.points < 7:
            came, fix = f"{self.points} values of t in [-0.25, 1.25]", "Set points to 7, 13, 19, 25, 31, ..."
            raise _checks.bad("points", came, "values that include 0, 0.5 and 1", fix)


@dataclasses.dataclass(frozen=True)
class Beyond(Common):
    """Questions beyond the paper: width, common training, operators, many parents, curved paths.

    Attributes:
        width: width of the hidden layer, if it is not varied.
        widths: widths that are compared.
        repeats: pairs of parents in each comparison, and families whose members are averaged.
        steps: numbers of common training steps of two parents, from the same initial weights.
        parents: numbers of parents that are averaged.
        bends: epochs of training of a curved path.
        aligned: largest number of training images that an alignment uses.
        points: number of values of t in [0, 1].
    """

    width: int = 64
    widths: tuple[int, ...] = (8, 16, 32, 64, 128, 256)
    repeats: int = 12
    steps: tuple[int, ...] = (0, 10, 30, 100, 300)
    parents: tuple[int, ...] = (2, 4, 8)
    epochs: int = 30
    batch_size: int = 64
    learning_rate: float = 1e-3
    bends: int = 30
    aligned: int = 10_000
    points: int = 21

    def __post_init__(self) -> None:
        self.check("width", "repeats", "epochs", "batch_size", "learning_rate", "bends", "aligned")
        for name, least in {"widths": 1, "steps": 0, "parents": 2}.items():
            values = getattr(self, name)
            if list(values) != sorted(set(values)) or values[0] < least:
                raise _checks.bad(name, values, f"ascending numbers from {least} on", f"Write --set '{name}=(8, 16)'.")
        if self.points % 2 != 1 or self.points < 3:
            raise _checks.bad("points", self.points, "an odd number of at least 3", "t = 0.5 must be among them.")


@dataclasses.dataclass(frozen=True)
class Deep(Common):
    """Midpoints of deep networks with batch normalisation: naive, aligned, and repaired.

    Attributes:
        model: "vgg" (VGG-11) or "resnet" (ResNet-20).
        width: channels of the first layer: 64 and 16 in the papers of these networks.
        networks: number of parents; networks 2 i and 2 i + 1 form pair i.
        train_images: largest number of training images.
        test_images: largest number of test images.
        statistics_images: training images on which neurons are compared and statistics are estimated.
        ts: values of t, including 0, 0.5 and 1.
    """

    model: str = "resnet"
    width: int = 8
    networks: int = 16
    train_images: int = 1_000_000
    test_images: int = 1_000_000
    epochs: int = 12
    batch_size: int = 50
    learning_rate: float = 0.05
    statistics_images: int = 500
    ts: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75, 1.0)

    def __post_init__(self) -> None:
        self.check("width", "networks", "train_images", "test_images", "epochs", "batch_size", "learning_rate")
        self.check("statistics_images")
        check_even(self.networks)
        _checks.one_of("model", self.model, ("vgg", "resnet"))
        if not {0.0, 0.5, 1.0} <= set(self.ts):
            raise _checks.bad("ts", self.ts, "values that include 0, 0.5 and 1", "Write --set 'ts=(0, .5, 1)'.")


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
REAL = (
    MNIST,
    dataclasses.replace(MNIST, dataset="fashion_mnist"),
    CIFAR,
    dataclasses.replace(CIFAR, dataset="cifar100", epochs=5),
)
SMALL = {"networks": 20, "epochs": 4, "rank": 32, "scored": 4000, "aligned": 4000, "points": 13, "at_once": 2}
LENET = dataclasses.replace(MNIST, model="lenet", hidden=LENET_WIDTHS, ranks=(2, 4, 8, 16, 32, 64, 120), **SMALL)
WIDER = Beyond(
    dataset="mnist",
    width=256,
    widths=(32, 64, 128, 256, 512, 1024),
    steps=(0, 10, 30, 100, 300, 1000),
    epochs=3,
    batch_size=128,
    bends=3,
)
VGG11 = Deep(
    dataset="cifar10",
    model="vgg",
    width=32,
    networks=4,
    train_images=20_000,
    test_images=5000,
    epochs=15,
    batch_size=100,
)
PRESETS = {
    "demo": (Config(),),
    "small": REAL,
    "paper": tuple(dataclasses.replace(config, networks=400, mode="all") for config in REAL),
    "converged": (dataclasses.replace(CIFAR, epochs=60, patience=5, mode="all"),),
    "lenet": (LENET, dataclasses.replace(LENET, dataset="fashion_mnist")),
    "vgg": (dataclasses.replace(LENET, model="vgg", hidden=(16, 32, 64), ranks=(2, 4, 8, 16, 32, 64)),),
    "beyond": (Beyond(), WIDER),
    "deep": (Deep(), VGG11),
}
COSTS = {
    "demo": "40 networks and 20 pairs on handwritten digits; 25 s on 2 cores",
    "small": "40 networks on MNIST, Fashion-MNIST, CIFAR-10 or CIFAR-100; 6 min on MNIST, 2 busy cores",
    "paper": "400 networks and 200 pairs on the same, in all modes; MNIST 58 min, CIFAR-10 22 min on 2 busy cores",
    "converged": "40 networks on CIFAR-10, trained until validation stops it, in all modes; 10 min on 2 busy cores",
    "lenet": "20 LeNet-5 on MNIST or Fashion-MNIST; MNIST 9 min on 2 busy cores",
    "vgg": "20 networks of three convolutions on MNIST; 12 min on 2 busy cores",
    "beyond": "beyond the paper: 250 networks of one hidden layer; digits 40 s, MNIST 6 min on 2 busy cores",
    "deep": "deep networks: 16 ResNet-20 on digits, 40 s; 4 VGG-11 on CIFAR-10, 38 min on 2 busy cores",
}
