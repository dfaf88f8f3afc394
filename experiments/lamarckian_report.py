"""Figures, claims and tables of `lamarckian.py`, made of its stored arrays alone."""

import sys
from pathlib import Path
from typing import Any

import numpy as np

from evojax_align import lab, plotting
from evojax_align.evolution.pedigree import ORIGINS
from evojax_align.statistics import mann_whitney

sys.path.insert(0, str(Path(__file__).parent))

PAPER = {
    ("cifar10", "inheritance", 128): (79.1, 85.0, 2.4, 89.0),
    ("cifar10", "inheritance", 512): (83.3, 87.2, 1.5, 89.3),
    ("cifar10", "baseline I", 128): (68.3, 77.6, 3.2, 81.8),
    ("cifar10", "baseline I", 512): (78.9, 82.3, 1.4, 84.2),
    ("cifar10", "baseline II", 128): (32.5, 70.4, 12.6, 85.5),
    ("cifar10", "baseline II", 512): (76.6, 84.8, 3.1, 88.9),
    ("cifar100", "inheritance", 128): (47.7, 55.3, 3.8, 61.1),
    ("cifar100", "inheritance", 512): (56.1, 60.7, 2.9, 66.1),
    ("cifar100", "baseline I", 128): (31.7, 40.2, 3.8, 46.0),
    ("cifar100", "baseline I", 512): (39.8, 46.1, 3.0, 52.2),
    ("cifar100", "baseline II", 128): (25.9, 41.4, 10.3, 57.7),
    ("cifar100", "baseline II", 512): (46.6, 56.7, 4.5, 63.0),
}
"""Table 1: least, mean, standard deviation and largest test accuracy in percent."""
CIFAR = ("cifar10", "cifar100")
LAMARCK, SHORT, LONG = "inheritance", "baseline I", "baseline II"
INHERITED, FRESH = 0, 1
"""Weights from which what was found is trained to the end. Those of the baselines are fresh in claims."""
BEYOND = (
    ("function kept", LAMARCK),
    ("population", LAMARCK),
    ("ageing", LAMARCK),
    ("crossover", "population"),
    ("crossover", "crossover, as it stands"),
)
"""Arms that may be better, and than which."""


def own(arm: str) -> int:
    """From which weights the networks of an arm are trained to the end in claims and figures."""
    return FRESH if arm in (SHORT, LONG) else INHERITED


class View:
    """What a run's arrays say."""

    def __init__(self, arrays: lab.Arrays) -> None:
        self.arrays = arrays
        self.arms: list[str] = arrays["arms"].tolist()
        self.marks: list[int] = arrays["marks"].tolist()
        self.budget = int(arrays["budget"])
        self.dataset = str(arrays["dataset"])
        self.seeds = arrays["best"].shape[1]
        self.grid = np.arange(1, self.budget // self.step + 1) * self.step

    @property
    def step(self) -> int:
        """Epochs of the shortest evaluation."""
        return int(self.arrays["each"].min())

    def of(self, arm: str, name: str) -> np.ndarray:
        """One measure of all networks that were evaluated, [seeds, evaluations]."""
        return self.arrays[name][self.arms.index(arm)]

    def best(self, arm: str, name: str = "best") -> np.ndarray:
        """Of the best network so far, after so many epochs as the grid says: [seeds, grid]; NaN before the first."""
        fitness, epochs = self.of(arm, "fitness"), self.of(arm, "epochs")
        values = np.full((self.seeds, len(self.grid)), np.nan)
        for seed in range(self.seeds):
            known = np.where(np.isnan(fitness[seed]), -np.inf, fitness[seed])
            for place, spent in enumerate(self.grid):
                seen = epochs[seed] <= spent
                if seen.any():
                    values[seed, place] = self.of(arm, name)[seed][np.argmax(np.where(seen, known, -np.inf))]
        return values

    def at(self, arm: str, epochs: float) -> np.ndarray:
        """The best fitness of each seed after so many epochs."""
        return self.best(arm)[:, np.searchsorted(self.grid, epochs, side="right") - 1]

    def reached(self, arm: str, accuracy: float) -> np.ndarray:
        """Epochs after which each seed was as accurate; infinite where it never was."""
        there = self.best(arm) >= accuracy
        return np.where(there.any(axis=1), self.grid[np.argmax(there, axis=1)], np.inf)

    def test(self, arm: str, mark: int, start: int | None = None) -> np.ndarray:
        """Test accuracy after the training to the end, of each seed."""
        start = own(arm) if start is None else start
        return self.arrays["test"][self.arms.index(arm), :, self.marks.index(mark), start]

    def operations(self, arm: str) -> np.ndarray:
        """What a search cost, of each seed: forward passes of all images, two operations for each product."""
        epochs = self.arrays["each"][self.arms.index(arm)]
        return 2 * np.nansum(self.of(arm, "products"), axis=1) * epochs * int(self.arrays["images"])


def plot(arrays: lab.Arrays, folder: Path) -> None:
    """The course of the search and where it ends (Figures 2 and 4), genomes (Figure 3), and what networks cost."""
    view = View(arrays)
    fig, axes = plotting.figure(1, 2, width=4.6)
    grid = view.grid
    courses = {arm: view.best(arm) for arm in view.arms}
    plotting.plot_courses(grid, courses, axes[0, 0], x="epochs", y="best validation accuracy", title=view.dataset)
    ends = {arm: np.stack([view.test(arm, mark) for mark in view.marks], axis=1) for arm in view.arms}
    plotting.plot_trend(
        np.array(view.marks), ends, axes[0, 1], x="epochs of search", y="test accuracy, trained to the end"
    )
    plotting.save(fig, folder / "search.png")

    fig, axes = plotting.figure(1, 3, width=3.8)
    shown = (("blocks", "blocks of the best network"), ("filters", "filters of a block, mean"))
    for ax, (name, label) in zip(axes[0], shown, strict=False):
        plotting.plot_courses(grid, {arm: view.best(arm, name) for arm in view.arms}, ax, x="epochs", y=label)
    costs = {arm: 2 * view.best(arm, "products") for arm in view.arms}
    plotting.plot_courses(grid, costs, axes[0, 2], x="epochs", y="operations for an image", logarithmic=True)
    plotting.save(fig, folder / "genomes.png")


def judge(arrays: lab.Arrays) -> tuple[list[dict], dict[str, list[dict]]]:
    """The claims of the paper and of what goes beyond it; and the tables."""
    view = View(arrays)
    claims = []
    if {LAMARCK, SHORT} <= set(view.arms):
        claims += inheritance_claims(view)
    if {LAMARCK, SHORT, LONG} <= set(view.arms):
        claims += crossing_claims(view)
    claims += beyond_claims(view)
    tables = {
        "test accuracy in percent, trained to the end": [
            test_row(view, arm, mark, start) for arm in view.arms for mark in view.marks for start in (INHERITED, FRESH)
        ],
        "search": [search_row(view, arm) for arm in view.arms],
        "how the best networks came about": [origin_row(view, arm) for arm in view.arms],
    }
    return lab.decide(claims), tables


def inheritance_claims(view: View) -> list[lab.Claim]:
    """Inherited weights against fresh ones in evaluations of the same length."""
    end = float(view.at(SHORT, view.budget).mean())
    claims, cifar = [], view.dataset in CIFAR
    for share, word in ((2, "half"), (4, "a quarter")):
        statement = f"inheritance is as accurate on validation images as baseline I ends ({end:.3f}) in {word} of the"
        spent, most = view.reached(LAMARCK, end), view.budget / share
        name = f"efficiency_{share}"
        claims.append(lab.below(name, f"{statement} epochs", spent, most + view.step / 2, paper=1.0 if cifar else None))
    claims.append(higher(view, "validation", "validation accuracy at the end", LAMARCK, SHORT, view.budget, None))
    first, last = view.marks[0], view.marks[-1]
    quarter = f"test accuracy, inheritance after {first} epochs against baseline I after {last}"
    x, y = view.test(LAMARCK, first), view.test(SHORT, last)
    claims.append(unpaired("test_early", f"higher {quarter}", x, y, paper=1.0 if cifar else None))
    for mark in view.marks:
        claims.append(higher(view, f"test_{mark}", "test accuracy", LAMARCK, SHORT, mark, 1.0 if cifar else 0.0))
    return claims


def crossing_claims(view: View) -> list[lab.Claim]:
    """Long evaluations, which are behind at first and ahead at last (section 4.4); and inheritance against them."""
    each = int(view.arrays["each"][view.arms.index(LONG)])
    claims = [
        unpaired(
            "short_first",
            f"baseline I is ahead of baseline II after {2 * each} epochs, on validation images",
            view.at(SHORT, 2 * each),
            view.at(LONG, 2 * each),
            paper=1.0,
        ),
        higher(view, "long_last", "validation accuracy at the end", LONG, SHORT, view.budget, 1.0),
    ]
    last, cifar = view.marks[-1], view.dataset in CIFAR
    claims.append(higher(view, "test_long", "test accuracy", LAMARCK, LONG, last, 1.0 if cifar else 0.0))
    statement = f"higher test accuracy, inheritance after {view.marks[0]} epochs against baseline II after {last}"
    x, y = view.test(LAMARCK, view.marks[0]), view.test(LONG, last)
    return [*claims, unpaired("test_early_long", statement, x, y, paper=0.0)]


def beyond_claims(view: View) -> list[lab.Claim]:
    """What the paper wishes for."""
    claims, last = [], view.marks[-1]
    for arm, other in BEYOND:
        if {arm, other} <= set(view.arms):
            name = f"{arm}_{other}".replace(", ", "_").replace(" ", "_")
            claims.append(
                higher(view, f"{name}_search", "validation accuracy at the end", arm, other, view.budget, None)
            )
            statement = f"higher test accuracy after {last} epochs: {arm} against {other}, both from inherited weights"
            claims.append(unpaired(f"{name}_test", statement, view.test(arm, last, 0), view.test(other, last, 0)))
    return claims


def higher(view: View, name: str, what: str, arm: str, other: str, epochs: int, paper: float | None) -> lab.Claim:
    """The claim that an arm is more accurate than another after as many epochs."""
    of = view.at if what.startswith("validation") else view.test
    statement = f"higher {what}: {arm} against {other}" + ("" if "end" in what else f", after {epochs} epochs")
    return unpaired(name, statement, of(arm, epochs), of(other, epochs), paper=paper)


def unpaired(name: str, statement: str, x: np.ndarray, y: np.ndarray, *, paper: float | None = None) -> lab.Claim:
    """The claim that x is above y by the test of Mann and Whitney; ours is the share of all couples in which it is."""
    test = mann_whitney(x, y, alternative="greater")
    share = float(np.mean(np.sign(x[:, None] - y[None]) / 2 + 0.5))
    told = (test.name, test.p) if min(len(x), len(y)) >= lab.FEWEST else (None, None)
    return lab.Claim(name, statement, paper, share, None, test.n, *told)


def test_row(view: View, arm: str, mark: int, start: int) -> dict[str, Any]:
    """Table 1."""
    found = 100 * view.test(arm, mark, start)
    row: dict[str, Any] = {"search": arm, "epochs": mark, "weights": ("inherited", "fresh")[start]}
    numbers = {"least": found.min(), "mean": found.mean(), "sd": found.std(ddof=1), "largest": found.max()}
    row |= {name: lab.rounded(value) for name, value in numbers.items()}
    if view.dataset in CIFAR:
        theirs = PAPER.get((view.dataset, arm, mark)) if start == own(arm) else None
        names = ("least, paper", "mean, paper", "sd, paper", "largest, paper")
        row |= dict(zip(names, theirs or (None,) * 4, strict=True))
    return row


def search_row(view: View, arm: str) -> dict[str, Any]:
    """What a search found, and what it cost."""
    last = -1
    reference = float(view.at(SHORT, view.budget).mean()) if SHORT in view.arms else np.nan
    reached = view.reached(arm, reference) if np.isfinite(reference) else np.full(view.seeds, np.inf)
    return {
        "search": arm,
        "networks": lab.mean(np.sum(np.isfinite(view.of(arm, "epochs")), axis=1)),
        "validation accuracy": lab.mean(view.best(arm)[:, last]),
        "sd": lab.rounded(view.best(arm)[:, last].std(ddof=1)),
        "blocks": lab.mean(view.best(arm, "blocks")[:, last]),
        "filters": lab.mean(view.best(arm, "filters")[:, last]),
        "weights": lab.mean(view.best(arm, "parameters")[:, last]),
        "operations, all training": lab.mean(view.operations(arm)),
        "epochs to baseline I's end, median": finite(np.median(reached)),
        "seeds that get there": int(np.isfinite(reached).sum()),
    }


def origin_row(view: View, arm: str) -> dict[str, Any]:
    """How often each mutation made a network that was the best so far, of those that it made."""
    origin, fitness, best = (view.of(arm, name) for name in ("origin", "fitness", "best"))
    before = np.concatenate([np.full((view.seeds, 1), -np.inf), best[:, :-1]], axis=1)
    better = fitness > np.where(np.isnan(before), -np.inf, before)
    row: dict[str, Any] = {"search": arm}
    for number, name in enumerate(ORIGINS):
        if name != "first":
            made = origin == number
            row[name] = lab.rounded(better[made].mean()) if made.any() else None
    return row | {"in niches": lab.rounded(np.nanmean(view.of(arm, "niche")))}


def finite(value: float) -> float | None:
    """For a table; None stands for more than the run shows."""
    return lab.rounded(value) if np.isfinite(value) else None
