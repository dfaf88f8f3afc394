"""The claims and tables of the study: primary claims are declared before a run, all others are exploratory."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from evojax_align import lab
from evojax_align.evolution.lamarckian.records import ORIGINS
from experiments.common import average, known_mean
from experiments.lamarckian.config import LAMARCK, LONG, SHORT
from experiments.lamarckian.view import View, own

PAPER = {
    ("cifar10", LAMARCK): ((79.1, 85.0, 2.4, 89.0), (83.3, 87.2, 1.5, 89.3)),
    ("cifar10", SHORT): ((68.3, 77.6, 3.2, 81.8), (78.9, 82.3, 1.4, 84.2)),
    ("cifar10", LONG): ((32.5, 70.4, 12.6, 85.5), (76.6, 84.8, 3.1, 88.9)),
    ("cifar100", LAMARCK): ((47.7, 55.3, 3.8, 61.1), (56.1, 60.7, 2.9, 66.1)),
    ("cifar100", SHORT): ((31.7, 40.2, 3.8, 46.0), (39.8, 46.1, 3.0, 52.2)),
    ("cifar100", LONG): ((25.9, 41.4, 10.3, 57.7), (46.6, 56.7, 4.5, 63.0)),
}
"""Table 1, after 128 and 512 epochs: least, mean, standard deviation and largest test accuracy in percent."""
NEAR = 0.02
"""Twice the standard error of most means of Table 1, of 20 seeds each."""
BLOCKS = 0.5
"""Numbers of blocks are read from the paper's Figure 3, and rounded there."""
QUARTER, END = 0, -1
"""Places in the marks, and in `PAPER`."""
WHEN = {QUARTER: "after a quarter of the epochs", END: "after all epochs"}
BEYOND = (
    ("function kept", LAMARCK),
    ("population", LAMARCK),
    ("ageing", LAMARCK),
    ("crossover", "population"),
    ("crossover", "crossover, as it stands"),
)
"""Arms that may be better, and than which."""
SEEN = ("demo-text-digits-0", "small-text-fashion_mnist-0", "small-text-cifar10-0")


def claim(
    name: str, statement: str, arms: Iterable[str], compare: Callable[[View], lab.Comparison | None], **number: Any
) -> lab.Claim:
    """A claim over seeds, None for runs that lack one of its arms, or whose first mark is not a quarter of the epochs
    and the last mark all of them."""

    def known(view: View) -> bool:
        return set(arms) <= set(view.arms) and (4 * view.marks[0], view.marks[-1]) == (view.budget, view.budget)

    return lab.Claim(name, statement, "seeds", lambda view: compare(view) if known(view) else None, **number)


def means(arm: str, when: int) -> dict[str, Any]:
    """The paper's mean test accuracies, and how near to one agrees."""
    paper = {data: numbers[when][1] / 100 for (data, of), numbers in PAPER.items() if of == arm}
    return {"paper": paper, "margin": NEAR}


def tested(
    arm: str, when: int, other: str, then: int, name: str, *, number: bool = False, start: str | None = None
) -> lab.Claim:
    """The claim that what one search has found is better after final training than what another has found, from the
    arms' own weights or from a common start. With a number, the estimate is the mean accuracy of the first."""

    def compare(view: View) -> lab.Comparison:
        x, y = (view.test(*of, start) for of in ((arm, view.marks[when]), (other, view.marks[then])))
        return lab.unpaired(x, y, ours=x if number else None)

    first = f"{arm} {WHEN[when]}" if when != then else arm
    told = f" (number: the mean of {arm})" if number else ""
    final = "final training" if start is None else f"final training from {start} weights"
    statement = f"test accuracy after {final} is higher for {first} than for {other} {WHEN[then]}{told}"
    return claim(name, statement, (arm, other), compare, **(means(arm, when) if number else {}))


def searched(
    arm: str, other: str, name: str, *, share: float = 1, measure: str = "fitness", **number: Any
) -> lab.Claim:
    """The claim that one search is ahead after a share of the epochs of where another one is after all. With a number,
    the estimate is the mean of the first."""

    def compare(view: View) -> lab.Comparison:
        x, y = view.at(arm, view.budget * share, measure), view.at(other, view.budget, measure)
        return lab.unpaired(x, y, ours=x if number else None)

    what = {
        "fitness": "validation accuracy of the best network is higher",
        "blocks": "the best network has more blocks",
    }
    word = {1: "", 0.5: " after half of the epochs", 0.25: f" {WHEN[QUARTER]}"}[share]
    told = f" (number: the mean of {arm})" if number else ""
    statement = f"{what[measure]} for {arm}{word} than for {other} {WHEN[END]}{told}"
    return claim(name, statement, (arm, other), compare, **number)


def short_first() -> lab.Claim:
    """Section 4.4: evaluations of few epochs are ahead at first."""

    def compare(view: View) -> lab.Comparison | None:
        soon = 2 * view.each(LONG)
        return lab.unpaired(view.at(SHORT, soon), view.at(LONG, soon)) if soon <= view.budget else None

    statement = (
        f"validation accuracy of the best network is higher for {SHORT} than for {LONG} after the epochs of two "
    )
    return claim("short_first", f"{statement}evaluations of {LONG}", (SHORT, LONG), compare)


def mean_of(arm: str, when: int) -> lab.Claim:
    """A mean of Table 1, without a direction."""

    def compare(view: View) -> lab.Comparison:
        return lab.measured(view.test(arm, view.marks[when]))

    statement = f"mean test accuracy after final training of {arm} {WHEN[when]}"
    return claim(
        f"mean_{slug(arm)}_{'end' if when == END else 'quarter'}", statement, (arm,), compare, **means(arm, when)
    )


def slug(arm: str) -> str:
    """A name of an arm for an identifier."""
    return lab.slug(arm).replace("-", "_")


PRIMARY = (
    tested(LAMARCK, QUARTER, SHORT, END, "test_early", number=True),
    tested(LAMARCK, QUARTER, SHORT, QUARTER, "test_quarter"),
    tested(LAMARCK, END, SHORT, END, "test_end", number=True),
    tested(LAMARCK, END, LONG, END, "test_end_long"),
    searched(LAMARCK, SHORT, "efficiency_4", share=0.25),
    short_first(),
    searched(LONG, SHORT, "long_last"),
    searched(LAMARCK, SHORT, "blocks", measure="blocks", paper={"cifar100": 7.0}, margin=BLOCKS),
    searched(LONG, SHORT, "blocks_long", measure="blocks", paper={"cifar100": 7.0}, margin=BLOCKS),
    mean_of(SHORT, END),
    mean_of(LONG, END),
)


def explore(view: View) -> list[lab.Claim]:
    """All other claims about the arms of a run."""
    claims = [searched(LAMARCK, SHORT, f"efficiency_{round(1 / share)}", share=share) for share in (0.5, 1)]
    claims += [tested(LAMARCK, END, SHORT, END, f"test_end_{start}", start=start) for start in view.starts]
    claims += [tested(LAMARCK, QUARTER, LONG, END, "test_early_long"), mean_of(SHORT, QUARTER), mean_of(LONG, QUARTER)]
    for arm, other in BEYOND:
        name = f"{slug(arm)}_{slug(other)}"
        claims += [searched(arm, other, f"search_{name}"), tested(arm, END, other, END, f"test_{name}")]
    return [one for one in claims if one.compare(view) is not None]


def tables(view: View) -> dict[str, list[dict[str, Any]]]:
    """Table 1; the searches and their costs; the mutations that made the best networks."""
    rows = [(arm, mark, start) for arm in view.arms for mark in view.marks for start in view.starts]
    return {
        "test accuracy in percent, after final training": [test_row(view, *row) for row in rows],
        "search": [search_row(view, arm) for arm in view.arms],
        "mutations that made a new best network": [origin_row(view, arm) for arm in view.arms],
    }


def test_row(view: View, arm: str, mark: int, start: str) -> dict[str, Any]:
    """Table 1."""
    found = 100 * view.test(arm, mark, start)
    found = found[np.isfinite(found)]
    row: dict[str, Any] = {"search": arm, "epochs": mark, "weights": start}
    least, largest = (float(of(found)) if found.size else np.nan for of in (np.min, np.max))
    numbers = {"least": least, "mean": average(found), "sd": deviation(found), "largest": largest}
    row |= {name: None if value is None else lab.finite(value) for name, value in numbers.items()}
    if view.published:
        theirs = PAPER.get((view.published, arm)) if start == own(arm) else None
        paper = theirs[view.marks.index(mark)] if theirs else (None,) * 4
        row |= {f"{name}, paper": value for name, value in zip(numbers, paper, strict=True)}
    return row


def search_row(view: View, arm: str) -> dict[str, Any]:
    """What a search found, and what it cost."""
    reference = float(known_mean(view.at(SHORT, view.budget), None)) if SHORT in view.arms else np.nan
    reached, ends = view.reached(arm, reference), view.at(arm, view.budget)
    finished = np.nan_to_num(reached[np.isfinite(ends)], nan=np.inf)
    sizes = {"blocks": "blocks", "filters": "filters", "weights": "parameters"}
    evaluated = np.isfinite(view.of(arm, "epochs")).sum(axis=1).astype(float)
    return {
        "search": arm,
        "networks": average(np.where(evaluated, evaluated, np.nan)),
        "validation accuracy": average(ends),
        "sd": lab.finite(deviation(ends)),
        **{title: average(view.at(arm, view.budget, name)) for title, name in sizes.items()},
        "operations, forward in training": average(view.operations(arm)),
        "epochs to baseline I's end, median": lab.finite(np.median(finished)) if finished.size else None,
        "seeds that get there": int(np.isfinite(reached).sum()),
        "ahead of baseline I on from": lab.finite(ahead(view, arm)),
    }


def ahead(view: View, arm: str) -> float:
    """Epochs after which the mean over seeds stays above that of baseline I (section 4.4); infinite if it does not."""
    if SHORT not in view.arms or arm == SHORT:
        return np.inf
    above = known_mean(view.best(arm), 0) > known_mean(view.best(SHORT), 0)
    behind = np.flatnonzero(~above)
    start = behind[-1] + 1 if behind.size else 0
    return float(view.grid[start]) if start < len(view.grid) else np.inf


def deviation(values: np.ndarray) -> float:
    """The standard deviation over known values; NaN of a single one."""
    known = values[np.isfinite(values)]
    return float(known.std(ddof=1)) if known.size > 1 else np.nan


def origin_row(view: View, arm: str) -> dict[str, Any]:
    """The share of networks, by the mutation that made them, that were the best so far of their seed."""
    origin, fitness, best = (view.of(arm, name) for name in ("origin", "fitness", "best"))
    before = np.concatenate([np.full((view.seeds, 1), -np.inf), best[:, :-1]], axis=1)
    better = fitness > np.where(np.isnan(before), -np.inf, before)
    row: dict[str, Any] = {"search": arm}
    row |= {name: average(better[origin == n]) for n, name in enumerate(ORIGINS) if name != "first"}
    return row | {"in niches": average(view.of(arm, "niche"))}
