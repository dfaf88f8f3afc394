"""Settings of the study, its presets, and the populations that are compared."""

import dataclasses
from typing import Any

from evojax_align import _checks

STUDIES = ("paper", "cross", "cures")
KINDS = {"layer": "layers", "block": "blocks", "neuron": "neurons"}
EPSILON = round(0.05 / 0.3081, 4)
"""The authors' FGSM step: .05, added to images that their code first multiplies by .3081 as if normalised."""
ISLANDS = 4
ALONE = "alone, "
"""Prefix of the names of control arms, whose networks are trained without recombination."""


@dataclasses.dataclass(frozen=True)
class Config:
    """The settings of one run.

    Attributes:
        study: the populations that are compared: those of the paper ("paper"), kinds of genes with and without
            alignment ("cross"), or methods that keep a population diverse ("cures").
        repeats: number of seeds; the populations of one seed and network have the same first generation.
        size: number of members of a population.
        generations: the number of generations in the paper.
        later: the total number of generations.
        hidden: widths of the hidden layers; the second layer of the vertical network is divided into two halves.
        block: rows and columns of the blocks of weights that are genes.
        compared: number of training images on which the neurons of parents are compared.
        ensemble: number of control networks, trained separately for as many epochs, whose predictions are averaged.
        attacked: largest number of test images that are attacked; 0 for no attacks.
        epsilons: ascending FGSM steps.
        children: number of offspring of a population; one of them is attacked and all are tested.
    """

    dataset: str = "digits"
    mode: str = "clean"
    seed: int = 0
    study: str = STUDIES[0]
    repeats: int = 10
    size: int = 20
    generations: int = 6
    later: int = 10
    hidden: tuple[int, int] = (256, 128)
    block: int = 64
    epochs: int = 1
    batch_size: int = 100
    learning_rate: float = 0.01
    momentum: float = 0.9
    bonus_weight: float = 0.05
    mutation: float = 0.1
    compared: int = 1000
    ensemble: int = 5
    attacked: int = 2000
    epsilons: tuple[float, ...] = (0.02, 0.05, 0.1, EPSILON, 0.25)
    children: int = 11

    def __post_init__(self) -> None:
        _checks.one_of("study", self.study, STUDIES)
        names = ("repeats", "size", "generations", "block", "epochs", "batch_size", "compared")
        for name in (*names, "ensemble", "children"):
            _checks.positive(name, getattr(self, name))
        for name in ("learning_rate", "mutation", "bonus_weight"):
            _checks.above_zero(name, getattr(self, name))
        if len(self.hidden) != 2 or self.hidden[1] % 2 or min(self.hidden) < 2:
            raise _checks.bad("hidden", self.hidden, "two widths, the second even", "Write --set 'hidden=(256, 128)'.")
        if not 0 <= self.momentum < 1:
            raise _checks.bad("momentum", self.momentum, "a number from 0 to less than 1", "Write --set momentum=0.9.")
        least = {"attacked": 0, "children": 2, "generations": 2, "ensemble": 2, "size": 2 * ISLANDS}
        for name, smallest in (least | {"later": self.generations}).items():
            if getattr(self, name) < smallest:
                raise _checks.bad(name, getattr(self, name), f"{smallest} or more", f"Write --set {name}={smallest}.")
        if self.size % ISLANDS:
            fix = f"Write --set size={self.size - self.size % ISLANDS}."
            raise _checks.bad("size", self.size, f"a multiple of the {ISLANDS} islands", fix)
        rising = list(self.epsilons) == sorted(set(self.epsilons)) and min(self.epsilons) > 0
        if not rising or EPSILON not in self.epsilons:
            fix = f"Write --set 'epsilons=(0.1, {EPSILON})'."
            raise _checks.bad("epsilons", self.epsilons, f"ascending numbers above 0, including {EPSILON}", fix)

    @property
    def marks(self) -> tuple[int, ...]:
        """The generations with ensembles and attacks: the last of the paper, and the last of the run."""
        return tuple(sorted({self.generations, self.later}))

    @property
    def shown(self) -> tuple[int, ...]:
        """The generations whose similarities are drawn."""
        return tuple(sorted({0, self.generations // 2, self.generations, self.later}))


@dataclasses.dataclass(frozen=True)
class Arm:
    """One of the populations that are compared.

    Attributes:
        network: "horizontal" or "vertical".
        genes: the kind of genes, one of `KINDS`.
        settings: arguments of `evolution.Recombination` that differ from its defaults.
    """

    network: str = "horizontal"
    genes: str = "layer"
    settings: tuple[tuple[str, Any], ...] = ()


def populations(config: Config) -> dict[str, Arm]:
    """The populations of a study by name."""
    kind, usual = ("block", {"immigrants": 2}) if config.mode == "code" else ("layer", {})

    def arm(network: str = "horizontal", genes: str = kind, **settings: Any) -> Arm:
        return Arm(network, genes, tuple(sorted((usual | settings).items())))

    weight: dict[str, Any] = {"bonus_weight": config.bonus_weight}
    if config.study == "cross":
        ways = {"naive": "none", "aligned": "correlation"}
        bonuses: dict[str, dict[str, Any]] = {"": {}, ", bonus": {"bonus": "cosine"} | weight}
        return {
            f"{KINDS[genes]}, {way}{end}": arm(genes=genes, alignment=ways[way], **bonuses[end])
            for genes in KINDS
            for way in ways
            for end in bonuses
        }
    common = {
        "horizontal": arm(),
        "random selection": arm(selection="random", immigrants=0),
        "aligned parents": arm(alignment="correlation"),
    }
    if config.study == "paper":
        return common | {"vertical": arm("vertical")}
    return common | {
        "aligned by CCA": arm(alignment="cca"),
        "mutation": arm(mutation=config.mutation),
        "adaptive mutation": arm(mutation=config.mutation, adaptive=True),
        "cosine bonus": arm(bonus="cosine", **weight),
        "hybrid vigour": arm(bonus="hybrid", **weight),
        "fitness sharing": arm(bonus="sharing", **weight),
        "novelty": arm(bonus="novelty", **weight),
        "immigrants": arm(immigrants=config.size // 2),
        "islands": arm(islands=ISLANDS, immigrants=ISLANDS if usual else 0),
    }


def controls(config: Config) -> dict[str, str]:
    """The arms of networks that are trained separately, and their networks."""
    return {f"{ALONE}{arm.network}": arm.network for arm in populations(config).values()}


MODES = {
    "clean": "whole layers as genes; fitness on a validation split, samples shuffled, attacks clipped to the range of "
    "the images",
    "text": "as in the paper's text: whole layers as genes, fitness on the test images",
    "code": "as in the authors' code: fitness on the test images, blocks of 64 x 64 weights as genes, two new networks "
    "a generation",
}
MNIST = Config(dataset="mnist")
DEMO = Config(
    size=12,
    generations=4,
    later=8,
    hidden=(64, 32),
    block=16,
    batch_size=20,
    learning_rate=0.05,
    compared=500,
    ensemble=3,
    attacked=200,
    children=5,
)
PRESETS = {
    "demo": (DEMO,),
    "small": (dataclasses.replace(MNIST, repeats=2, later=6, attacked=1000),),
    "paper": (dataclasses.replace(MNIST, mode="code"),),
    "text": (dataclasses.replace(MNIST, mode="text"),),
    "cross": (dataclasses.replace(MNIST, study="cross", repeats=8, later=6),),
    "cures": (dataclasses.replace(MNIST, study="cures", later=6),),
}
COSTS = {
    "demo": "12 networks, 8 generations and 10 seeds on handwritten digits; 119 s of CPU time on 2 busy cores",
    "small": "20 networks and 6 generations on MNIST, 2 seeds",
    "paper": "as the authors' code: 20 networks on MNIST, 10 generations, 10 seeds; 49 min on 2 busy cores",
    "text": "the same with whole layers as genes, as in the text",
    "cross": "aligned or not, with layers, blocks or neurons as genes, with and without a bonus, 8 seeds; 68 min on 2 "
    "busy cores",
    "cures": "12 methods that keep a population diverse, on MNIST; 10 seeds",
}
