"""The settings of `mating.py`, and which populations its studies breed."""

import dataclasses

import optax

from evojax_align import _checks
from evojax_align.evolution import Encoding

STUDIES = ("paper", "choices")
OPTIMIZERS = ("sgd", "adam")
CONTROLS = {
    "magnitude": "the largest weights stay, and are drawn anew as a child's are",
    "magnitude, kept": "the largest weights stay, and go on learning",
    "magnitude, rewound": "the largest weights stay, and go back to where they began",
    "random": "any weights stay, and are drawn anew",
}
"""What the first child of a generation is compared with: networks pruned, generation by generation, to its number of
synapses, and trained as long."""


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of a run."""

    dataset: str = "digits"
    mode: str = "clean"
    seed: int = 0
    study: str = "paper"
    """"paper": asexual and sexual synthesis with controls; "choices": what the paper leaves open or proposes."""
    repeats: int = 3
    asexual: int = 13
    """Generations, the ancestor's among them."""
    sexual: int = 8
    enlarged: int = 1
    """How many times larger images are made."""
    side: int = 32
    """They are padded with zeros to this height and width."""
    samples: int = 0
    """Images to train on, of which in the mode "clean" a tenth are kept to judge by; 0 takes all."""
    tested: int = 0
    """Test images to measure accuracy on, the first ones; 0 takes all."""
    widths: tuple[int, ...] = (32, 32, 64, 64)
    epochs: int = 20
    """In every generation, the ancestor's too."""
    batch_size: int = 100
    optimizer: str = "sgd"
    """"sgd", or "adam", which learns more in a short training."""
    learning_rate: float = 0.02
    momentum: float = 0.9
    """Of "sgd", and so is the next."""
    weight_decay: float = 0.0001
    drops: tuple[float, ...] = (0.5, 0.8)
    """Shares of the training after which the learning rate falls to a tenth."""
    mirrored: bool = False
    """Whether every other epoch sees the images mirrored."""
    synapse_factor: float = 0.7
    start: str = "scaled"
    """"scaled" or "fresh": the weights that children, and controls that are drawn anew, begin with (see
    `evolution.Synthesis`)."""
    controls: tuple[str, ...] = tuple(CONTROLS)
    losses: tuple[float, ...] = (0.024,)
    """Drops of accuracy, from the ancestor's, at which networks are compared."""

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
            raise _checks.bad("samples", self.samples, "at least 20, or 0", "0 takes all.")
        if self.tested < 0:
            raise _checks.bad("tested", self.tested, "a number of images, or 0", "0 takes all.")
        if not 0 < self.synapse_factor <= 1:
            raise _checks.bad("synapse_factor", self.synapse_factor, "a share above 0", "The authors take 0.7.")
        for name in self.controls:
            _checks.one_of("controls", name, CONTROLS)
        if self.study == "paper" and "magnitude" not in self.controls:
            raise _checks.bad("controls", self.controls, "'magnitude' among them", "Add it: claims compare with it.")


@dataclasses.dataclass(frozen=True)
class Arm:
    """One population of a study: what is changed in `evolution.Synthesis`."""

    generations: int
    controlled: bool = False
    settings: tuple[tuple[str, object], ...] = ()

    @property
    def size(self) -> int:
        """Networks in a generation."""
        return dict(self.settings).get("size", 2)  # pyright: ignore[reportReturnType]


def arm(generations: int, controlled: bool = False, /, **settings: object) -> Arm:
    """An arm from keyword arguments."""
    return Arm(generations, controlled, tuple(settings.items()))


def arms_of(config: Config) -> dict[str, Arm]:
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
    several: dict[str, object] = {"ancestors": "several"}
    inherited: dict[str, object] = {"start": "inherited"}
    aligned: dict[str, object] = {"alignment": "correlation"}
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
