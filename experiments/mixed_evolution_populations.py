"""The settings of `mixed_evolution.py`, and the populations that each of its studies compares."""

import dataclasses
from typing import Any

from evojax_align import _checks

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
