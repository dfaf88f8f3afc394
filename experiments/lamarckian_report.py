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
RESAMPLES = 2000
LAMARCK, SHORT, LONG = "inheritance", "baseline I", "baseline II"
BEYOND = (
    ("function kept", LAMARCK),
    ("population", LAMARCK),
    ("ageing", LAMARCK),
    ("crossover", "population"),
    ("crossover", "crossover, as it stands"),
)
"""Arms that may be better, and than which."""


def own(arm: str) -> str:
    """From which weights the networks of an arm are trained to the end in claims and figures."""
    return "fresh" if arm in (SHORT, LONG) else "inherited"


class View:
    """What a run's arrays say."""

    def __init__(self, arrays: lab.Arrays) -> None:
        self.arrays = arrays
        self.arms: list[str] = arrays["arms"].tolist()
        self.marks: list[int] = arrays["marks"].tolist()
        self.starts: list[str] = arrays["starts"].tolist()
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

    def test(self, arm: str, mark: int, start: str | None = None) -> np.ndarray:
        """Test accuracy after the training to the end, of each seed."""
        place = self.starts.index(start or own(arm))
        return self.arrays["test"][self.arms.index(arm), :, self.marks.index(mark), place]

    def operations(self, arm: str) -> np.ndarray:
        """What a search cost, of each seed, as the authors count: forward passes in training, two operations for each
        product."""
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
            test_row(view, arm, mark, start) for arm in view.arms for mark in view.marks for start in view.starts
        ],
        "search": [search_row(view, arm) for arm in view.arms],
        "how the best networks came about": [origin_row(view, arm) for arm in view.arms],
    }
    return lab.decide(claims), tables


def inheritance_claims(view: View) -> list[lab.Claim]:
    """Inherited weights against fresh ones in evaluations of the same length."""
    end, first, last = view.at(SHORT, view.budget), view.marks[0], view.marks[-1]
    claims = []
    for share, word in ((2, "half"), (4, "a quarter"), (1, "all")):
        statement = f"inheritance after {word} of the epochs: fitter than baseline I after all"
        claims.append(unpaired(f"efficiency_{share}", statement, view.at(LAMARCK, view.budget / share), end))
    statement = f"inheritance after {first} epochs: higher test accuracy than baseline I after {last}"
    claims.append(unpaired("test_early", statement, view.test(LAMARCK, first), view.test(SHORT, last)))
    return claims + [tested(view, LAMARCK, SHORT, mark) for mark in view.marks]


def crossing_claims(view: View) -> list[lab.Claim]:
    """Long evaluations, which are behind at first and ahead at last (section 4.4); and inheritance against them."""
    soon, first, last = 2 * int(view.arrays["each"][view.arms.index(LONG)]), view.marks[0], view.marks[-1]
    claims = []
    if soon <= view.budget:
        statement = f"baseline I after {soon} epochs: fitter than baseline II"
        claims.append(unpaired("short_first", statement, view.at(SHORT, soon), view.at(LONG, soon)))
    claims.append(searched(view, LONG, SHORT))
    statement = f"inheritance after {first} epochs: higher test accuracy than baseline II after {last}"
    claims.append(unpaired("test_early_long", statement, view.test(LAMARCK, first), view.test(LONG, last)))
    return [*claims, tested(view, LAMARCK, LONG, last)]


def beyond_claims(view: View) -> list[lab.Claim]:
    """What the paper wishes for."""
    known = [(arm, other) for arm, other in BEYOND if {arm, other} <= set(view.arms)]
    return [
        claim
        for arm, other in known
        for claim in (searched(view, arm, other), tested(view, arm, other, view.marks[-1]))
    ]


def searched(view: View, arm: str, other: str) -> lab.Claim:
    """The claim that a search ends with more accurate networks than another."""
    statement = f"{arm} at the end: fitter than {other}"
    return unpaired(f"search_{slug(arm)}_{slug(other)}", statement, *(view.at(of, view.budget) for of in (arm, other)))


def tested(view: View, arm: str, other: str, mark: int) -> lab.Claim:
    """The claim that what a search has found after so many epochs is better in the end."""
    statement = f"{arm} after {mark} epochs: higher test accuracy than {other}"
    return unpaired(f"test_{mark}_{slug(arm)}_{slug(other)}", statement, *(view.test(of, mark) for of in (arm, other)))


def slug(name: str) -> str:
    """A name for a claim."""
    return name.replace(",", "").replace(" ", "_").lower()


def unpaired(name: str, statement: str, x: np.ndarray, y: np.ndarray) -> lab.Claim:
    """The claim that x is above y by the test of Mann and Whitney; ours is the share of all couples in which it is, a
    tie for half of one, with an interval by drawing seeds of both again. Seeds that failed are the worst."""
    x, y = (np.where(np.isnan(of), -1.0, of) for of in (x, y))
    if min(len(x), len(y)) < lab.FEWEST:
        return lab.Claim(name, statement, None, won(x, y), None, len(x) + len(y), None, None)
    test, random = mann_whitney(x, y, alternative="greater"), np.random.default_rng(0)
    drawn = [won(random.choice(x, len(x)), random.choice(y, len(y))) for _ in range(RESAMPLES)]
    low, high = (float(end) for end in np.quantile(drawn, (0.025, 0.975)))
    return lab.Claim(name, statement, None, won(x, y), (low, high), test.n, test.name, test.p)


def won(x: np.ndarray, y: np.ndarray) -> float:
    """The share of all couples in which the first is larger."""
    return float(np.mean(np.sign(x[:, None] - y[None]) / 2 + 0.5))


def test_row(view: View, arm: str, mark: int, start: str) -> dict[str, Any]:
    """Table 1."""
    found = 100 * view.test(arm, mark, start)
    row: dict[str, Any] = {"search": arm, "epochs": mark, "weights": start}
    numbers = {"least": found.min(), "mean": found.mean(), "sd": deviation(found), "largest": found.max()}
    row |= {name: finite(value) for name, value in numbers.items()}
    if view.dataset in CIFAR:
        theirs = PAPER.get((view.dataset, arm, mark)) if start == own(arm) else None
        names = ("least, paper", "mean, paper", "sd, paper", "largest, paper")
        row |= dict(zip(names, theirs or (None,) * 4, strict=True))
    return row


def search_row(view: View, arm: str) -> dict[str, Any]:
    """What a search found, and what it cost."""
    reference = float(view.at(SHORT, view.budget).mean()) if SHORT in view.arms else np.nan
    reached = view.reached(arm, reference) if np.isfinite(reference) else np.full(view.seeds, np.inf)
    return {
        "search": arm,
        "networks": lab.mean(np.sum(np.isfinite(view.of(arm, "epochs")), axis=1)),
        "validation accuracy": finite(float(np.mean(view.best(arm)[:, -1]))),
        "sd": finite(deviation(view.best(arm)[:, -1])),
        "blocks": lab.mean(view.best(arm, "blocks")[:, -1]),
        "filters": lab.mean(view.best(arm, "filters")[:, -1]),
        "weights": lab.mean(view.best(arm, "parameters")[:, -1]),
        "operations, forward in training": lab.mean(view.operations(arm)),
        "epochs to baseline I's end, median": finite(np.median(reached)),
        "seeds that get there": int(np.isfinite(reached).sum()),
        "ahead of baseline I on from": finite(ahead(view, arm)),
    }


def ahead(view: View, arm: str) -> float:
    """Epochs after which the mean over seeds stays above that of baseline I (section 4.4); infinite if it does not."""
    if SHORT not in view.arms or arm == SHORT:
        return np.inf
    above = view.best(arm).mean(axis=0) > view.best(SHORT).mean(axis=0)
    behind = np.flatnonzero(~above)
    start = behind[-1] + 1 if behind.size else 0
    return float(view.grid[start]) if start < len(view.grid) else np.inf


def deviation(values: np.ndarray) -> float:
    """The standard deviation over seeds; NaN of a single one."""
    return float(values.std(ddof=1)) if len(values) > 1 else np.nan


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
    """For a table; None stands for what the run does not show."""
    return lab.rounded(value) if np.isfinite(value) else None
