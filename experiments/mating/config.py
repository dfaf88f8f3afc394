"""Settings of the study, its presets, and the populations that are compared."""

import dataclasses
from typing import Any

import optax

from evojax_align import _checks
from evojax_align.evolution import Encoding

STUDIES = ("paper", "choices")
OPTIMIZERS = ("sgd", "adam")
CONTROLS = {
    "magnitude": "the largest weights are kept, and then redrawn like those of a child",
    "magnitude, kept": "the largest weights are kept with their values",
    "magnitude, rewound": "the largest weights are kept, and reset to their initial values",
    "random": "random weights are kept, and then redrawn",
}
"""Pruned networks for comparison with the first child of a generation, with equal numbers of synapses and epochs."""


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of a run.

    Attributes:
        study: "paper": asexual and sexual synthesis with controls; "choices": unspecified choices of the paper, and its
            proposals.
        repeats: number of seeds; the populations of one seed have the same ancestor.
        asexual, sexual: number of generations of these populations, including the ancestor's.
        enlarged: factor by which images are enlarged.
        side: height and width to which they are padded with zeros.
        samples: number of training images, of which a tenth measures fitness in the mode "clean"; 0 for all.
        tested: number of test images, the first ones; 0 for all.
        epochs: epochs of training in every generation, including the ancestor's.
        momentum, weight_decay: settings of the optimizer "sgd".
        drops: fractions of the training after which the learning rate is divided by ten.
        mirrored: whether every other epoch uses mirrored images.
        synapse_factor: the expected fraction of its parents' synapses in a child.
        start: the initial weights of children, and of controls that are redrawn (see `evolution.Synthesis`).
        controls: names of `CONTROLS`.
        losses: losses of accuracy, from the ancestor's, at which networks are compared.
    """

    dataset: str = "digits"
    mode: str = "clean"
    seed: int = 0
    study: str = STUDIES[0]
    repeats: int = 10
    asexual: int = 13
    sexual: int = 8
    enlarged: int = 1
    side: int = 32
    samples: int = 0
    tested: int = 0
    widths: tuple[int, ...] = (32, 32, 64, 64)
    epochs: int = 20
    batch_size: int = 100
    optimizer: str = OPTIMIZERS[0]
    learning_rate: float = 0.02
    momentum: float = 0.9
    weight_decay: float = 0.0001
    drops: tuple[float, ...] = (0.5, 0.8)
    mirrored: bool = False
    synapse_factor: float = 0.7
    start: str = "scaled"
    controls: tuple[str, ...] = tuple(CONTROLS)
    losses: tuple[float, ...] = (0.024,)

    def __post_init__(self) -> None:
        _checks.one_of("study", self.study, STUDIES)
        _checks.one_of("optimizer", self.optimizer, OPTIMIZERS)
        _checks.one_of("start", self.start, ("scaled", "fresh"))
        for name in ("repeats", "epochs", "batch_size", "side", "enlarged"):
            _checks.positive(name, getattr(self, name))
        for name in ("asexual", "sexual"):
            if getattr(self, name) < 3:
                raise _checks.bad(name, getattr(self, name), "at least 3 generations", "Parents differ from 2 on.")
        for name, value in (("learning_rate", self.learning_rate), *(("losses", loss) for loss in self.losses)):
            _checks.above_zero(name, value)
        if self.samples != 0 and self.samples < 20:
            raise _checks.bad("samples", self.samples, "at least 20, or 0", "Pass 0 for all.")
        if self.tested < 0:
            raise _checks.bad("tested", self.tested, "a number of images, or 0", "Pass 0 for all.")
        if not 0 < self.synapse_factor <= 1:
            raise _checks.bad("synapse_factor", self.synapse_factor, "a number above 0", "The authors use 0.7.")
        for name in self.controls:
            _checks.one_of("controls", name, CONTROLS)
        if self.study == "paper" and "magnitude" not in self.controls:
            raise _checks.bad("controls", self.controls, "'magnitude' among them", "Add it: claims are about it.")


@dataclasses.dataclass(frozen=True)
class Arm:
    """One population.

    Attributes:
        generations: number of generations, including the ancestor's.
        controlled: whether pruned networks are trained for comparison.
        settings: arguments of `evolution.Synthesis` that differ from its defaults.
    """

    generations: int
    controlled: bool = False
    settings: tuple[tuple[str, Any], ...] = ()

    def setting(self, name: str, default: Any) -> Any:
        """One argument of `evolution.Synthesis`."""
        return dict(self.settings).get(name, default)

    @property
    def size(self) -> int:
        """Number of networks in a generation."""
        return self.setting("size", 2)

    @property
    def ancestors(self) -> int:
        """Number of trained ancestors."""
        return self.size if self.setting("ancestors", "one") == "several" else 1


def arm(generations: int, controlled: bool = False, /, **settings: Any) -> Arm:
    """An arm from keyword arguments."""
    return Arm(generations, controlled, tuple(settings.items()))


def populations(config: Config) -> dict[str, Arm]:
    """The populations of a study, by name."""
    asexual, sexual = config.asexual, config.sexual
    mean, union = Encoding(support="mean"), Encoding(support="union")
    if config.study == "paper":
        return {
            "asexual": arm(asexual, True, parents=1),
            "sexual": arm(sexual, True),
            "sexual, mean": arm(sexual, encoding=mean),
            "sexual, union": arm(sexual, encoding=union),
        }
    several: dict[str, Any] = {"ancestors": "several"}
    inherited: dict[str, Any] = {"start": "inherited"}
    aligned: dict[str, Any] = {"alignment": "correlation"}
    harder = optax.linear_schedule(0.9, 0.5, transition_steps=max(1, sexual - 2), transition_begin=2)
    return {
        "sexual": arm(sexual),
        "asexual": arm(asexual, parents=1),
        "support: mean": arm(sexual, encoding=mean),
        "support: union": arm(sexual, encoding=union),
        "exact numbers": arm(sexual, encoding=Encoding(draw="exact")),
        "the likeliest": arm(sexual, encoding=Encoding(draw="top")),
        "one budget for all layers": arm(sexual, encoding=Encoding(budget="network")),
        "clusters die": arm(sexual, cluster_factor=0.9),
        "environment ever harder": arm(sexual, synapse_factor=harder),
        "all synapses count": arm(sexual, encoding=Encoding(truncation="zero")),
        "signed strengths": arm(sexual, encoding=Encoding(strength="signed")),
        "saliency": arm(sexual, encoding=Encoding(strength="saliency")),
        "the fitter parent favoured": arm(sexual, shares="fitness"),
        "a pool of six": arm(sexual, size=6, mates="tournament"),
        "three parents": arm(sexual, size=3, parents=3),
        "siblings realigned": arm(sexual, realigned=True, **aligned),
        "weights inherited": arm(sexual, **inherited),
        "weights not scaled": arm(sexual, start="fresh"),
        "weights of the ancestor": arm(sexual, start="origin"),
        "weights drawn apart": arm(sexual, alike=False),
        "two ancestors": arm(sexual, **several),
        "two ancestors, aligned": arm(sexual, **several, **aligned),
        "two ancestors, inherited": arm(sexual, **several, **inherited),
        "two ancestors, aligned, inherited": arm(sexual, **several, **aligned, **inherited),
    }


MODES = {
    "clean": "fitness is measured on training images that are not used for training",
    "text": "as in the paper's text, which mentions no such images: fitness is measured on the test images",
}
HALF = (16, 16, 32, 32)
FEW = ("magnitude", "random")
DIGITS = Config(
    asexual=8,
    sexual=6,
    enlarged=2,
    side=16,
    widths=(8, 8, 16, 16),
    epochs=8,
    batch_size=5,
    optimizer="adam",
    learning_rate=0.003,
    drops=(0.8,),
    losses=(0.05,),
)
MNIST = Config(dataset="mnist")
CIFAR10 = Config(
    dataset="cifar10",
    asexual=10,
    sexual=5,
    epochs=45,
    drops=(0.667, 0.889),
    mirrored=True,
    losses=(0.037, 0.092),
)


def quicker(config: Config, **settings: Any) -> Config:
    """Settings with a training that is feasible on a CPU."""
    adam: dict[str, Any] = {"batch_size": 20, "optimizer": "adam", "learning_rate": 0.002, "drops": (0.8,)}
    return dataclasses.replace(config, **adam, **settings)


PRESETS = {
    "demo": (
        dataclasses.replace(
            DIGITS,
            repeats=8,
            asexual=6,
            sexual=4,
            enlarged=1,
            side=8,
            samples=1000,
            epochs=4,
            learning_rate=0.006,
            controls=FEW,
        ),
    ),
    "small": (
        quicker(MNIST, widths=HALF, samples=2000, tested=2000, epochs=3, controls=FEW),
        quicker(CIFAR10, widths=HALF, samples=3000, tested=2000, epochs=4, controls=FEW),
    ),
    "short": (
        quicker(MNIST, repeats=1, samples=10_000, epochs=2),
        quicker(CIFAR10, repeats=1, samples=10_000, epochs=4),
    ),
    "paper": (MNIST, CIFAR10),
    "choices": (dataclasses.replace(DIGITS, study="choices"),),
}
COSTS = {
    "demo": "a small LeNet on handwritten digits, 6 generations asexual and 4 sexual, 8 seeds; 84 s on 2 cores",
    "small": "a LeNet of half the widths on 2000 images of MNIST or 3000 of CIFAR-10, 10 seeds; MNIST took 113 min on "
    "2 slow and busy cores",
    "short": "the paper's LeNet on 10 000 images, one seed; MNIST took 94 min on 2 slow and busy cores",
    "paper": "the paper's LeNet and schedule, 10 seeds; for a GPU",
    "choices": "choices that the paper does not specify, and its proposals, on handwritten digits, 10 seeds",
}
