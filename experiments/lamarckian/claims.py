"""The claims and tables of the study: primary claims are declared before a run, all others are exploratory."""

from typing import Any

import numpy as np

from evojax_align import lab
from evojax_align.evolution.lamarckian.records import ORIGINS
from experiments.common import above, average, decided, deviation, identifier, known_mean, mean_of, row
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


def whole(view: View) -> bool:
    """Whether the first mark of a run is a quarter of its epochs, and the last mark all of them."""
    return (4 * view.marks[0], view.marks[-1]) == (view.budget, view.budget)


def means(arm: str, when: int) -> dict[str, Any]:
    """The paper's mean test accuracies, and how near to one agrees."""
    paper = {data: numbers[when][1] / 100 for (data, of), numbers in PAPER.items() if of == arm}
    return {"paper": paper, "margin": NEAR}


def told(arm: str, number: bool) -> str:
    """How a statement names its number."""
    return f" (number: the mean of {arm})" if number else ""


def tested(
    arm: str, when: int, other: str, then: int, name: str, *, number: bool = False, start: str | None = None
) -> lab.Claim:
    """The claim that what one search has found is better after final training than what another has found, from the
    arms' own weights or from a common start. With a number, the estimate is the mean accuracy of the first."""
    sides = [lambda view, of=of, at=at: view.test(of, view.marks[at], start) for of, at in ((arm, when), (other, then))]
    first = f"{arm} {WHEN[when]}" if when != then else arm
    final = "final training" if start is None else f"final training from {start} weights"
    statement = f"test accuracy after {final} is higher for {first} than for {other} {WHEN[then]}{told(arm, number)}"
    of_paper = {"number": "x", **means(arm, when)} if number else {}
    return above(name, statement, *sides, arms=(arm, other), known=whole, paired=False, **of_paper)


def searched(
    arm: str, other: str, name: str, *, share: float = 1, measure: str = "fitness", **number: Any
) -> lab.Claim:
    """The claim that one search is ahead after a share of the epochs of where another one is after all. With a number,
    the estimate is the mean of the first."""
    sides = [
        lambda view, of=of, part=part: view.at(of, view.budget * part, measure)
        for of, part in ((arm, share), (other, 1))
    ]
    what = {
        "fitness": "validation accuracy of the best network is higher",
        "blocks": "the best network has more blocks",
    }
    word = {1: "", 0.5: " after half of the epochs", 0.25: f" {WHEN[QUARTER]}"}[share]
    statement = f"{what[measure]} for {arm}{word} than for {other} {WHEN[END]}{told(arm, bool(number))}"
    number |= {"number": "x"} if number else {}
    return above(name, statement, *sides, arms=(arm, other), known=whole, paired=False, **number)


def short_first() -> lab.Claim:
    """Section 4.4: evaluations of few epochs are ahead at first."""
    statement = (
        f"validation accuracy of the best network is higher for {SHORT} than for {LONG} after the epochs of two "
        f"evaluations of {LONG}"
    )
    sides = [lambda view, arm=arm: view.at(arm, 2 * view.each(LONG)) for arm in (SHORT, LONG)]
    known = lambda view: whole(view) and 2 * view.each(LONG) <= view.budget  # noqa: E731
    return above("short_first", statement, *sides, arms=(SHORT, LONG), known=known, paired=False)


def mean_at(arm: str, when: int) -> lab.Claim:
    """A mean of Table 1, without a direction."""
    statement = f"mean test accuracy after final training of {arm} {WHEN[when]}"
    name = f"mean_{identifier(arm)}_{'end' if when == END else 'quarter'}"
    of = lambda view: view.test(arm, view.marks[when])  # noqa: E731
    return mean_of(name, statement, of, **means(arm, when), arms=(arm,), known=whole)


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
    mean_at(SHORT, END),
    mean_at(LONG, END),
)


def explore(view: View) -> list[lab.Claim]:
    """All other claims about the arms of a run."""
    claims = [searched(LAMARCK, SHORT, f"efficiency_{round(1 / share)}", share=share) for share in (0.5, 1)]
    claims += [tested(LAMARCK, END, SHORT, END, f"test_end_{start}", start=start) for start in view.starts]
    claims += [tested(LAMARCK, QUARTER, LONG, END, "test_early_long"), mean_at(SHORT, QUARTER), mean_at(LONG, QUARTER)]
    for arm, other in BEYOND:
        name = f"{identifier(arm)}_{identifier(other)}"
        claims += [searched(arm, other, f"search_{name}"), tested(arm, END, other, END, f"test_{name}")]
    return decided(claims, view)


def tables(view: View) -> dict[str, list[dict[str, Any]]]:
    """Table 1; the searches and their costs; the mutations that made the best networks."""
    rows = [(arm, mark, start) for arm in view.arms for mark in view.marks for start in view.starts]
    return {
        "test accuracy in percent, after final training": [test_row(view, *of) for of in rows],
        "search": [search_row(view, arm) for arm in view.arms],
        "mutations that made a new best network": [origin_row(view, arm) for arm in view.arms],
    }


def test_row(view: View, arm: str, mark: int, start: str) -> dict[str, Any]:
    """Table 1."""
    found = 100 * view.test(arm, mark, start)
    found = found[np.isfinite(found)]
    least, largest = (lab.rounded(of(found)) if found.size else None for of in (np.min, np.max))
    numbers = {"least": least, "mean": average(found), "sd": deviation(found), "largest": largest}
    cells: dict[str, Any] = {"search": arm, "epochs": mark, "weights": start} | numbers
    if view.published:
        theirs = PAPER.get((view.published, arm)) if start == own(arm) else None
        paper = theirs[view.marks.index(mark)] if theirs else (None,) * 4
        cells |= {f"{name}, paper": value for name, value in zip(numbers, paper, strict=True)}
    return cells


def search_row(view: View, arm: str) -> dict[str, Any]:
    """What a search found, and what it cost."""
    reference = float(known_mean(view.at(SHORT, view.budget), None)) if SHORT in view.arms else np.nan
    reached, ends = view.reached(arm, reference), view.at(arm, view.budget)
    finished = np.nan_to_num(reached[np.isfinite(ends)], nan=np.inf)
    sizes = {"blocks": "blocks", "filters": "filters", "weights": "parameters"}
    evaluated = np.isfinite(view.of(arm, "epochs")).sum(axis=1).astype(float)
    numbers = {"networks": np.where(evaluated, evaluated, np.nan), "validation accuracy": ends}
    costs = {title: view.at(arm, view.budget, name) for title, name in sizes.items()}
    costs["operations, forward in training"] = view.operations(arm)
    return {
        **row({"search": arm}, numbers),
        **row({"sd": deviation(ends)}, costs),
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


def origin_row(view: View, arm: str) -> dict[str, Any]:
    """The share of networks, by the mutation that made them, that were the best so far of their seed."""
    origin, fitness, best = (view.of(arm, name) for name in ("origin", "fitness", "best"))
    before = np.concatenate([np.full((view.seeds, 1), -np.inf), best[:, :-1]], axis=1)
    better = fitness > np.where(np.isnan(before), -np.inf, before)
    shares = {name: better[origin == n] for n, name in enumerate(ORIGINS) if name != "first"}
    return row({"search": arm}, shares | {"in niches": view.of(arm, "niche")})
