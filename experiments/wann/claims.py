"""The claims and tables of the study: primary claims are declared before a run, all others are exploratory."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from evojax_align import lab
from experiments.common import average
from experiments.wann.config import ALONE, ARMS, JOINT, LETTERS, PRUNED, RELATIVE, SWING
from experiments.wann.view import View

PAPER = {
    (ALONE, 0): (90, 91, 81, 82, 89, 88),
    (ALONE, 1): (6, 7, 6, 8, 7, 9),
    (JOINT, 0): (9, 10, 11, 7, 6, 9),
    (JOINT, 1): (62, 66, 51, 33, 57, 57),
}
"""Tables 4.1 and 4.2 of the thesis: test accuracy in percent at weights of -2, -1, -.5, .5, 1 and 2, of one network
each, on MNIST and on ten letters."""
CELLS = {ALONE: 762_129, JOINT: 290_521}
"""What its Table 5.7 calls edges: the squares of 873 and 539, the numbers of nodes."""
CONNECTIONS = {ALONE: 1849, PRUNED: 600_460}
"""Numbers of connections: of the authors' champion as it is published; of PADAWANN as the thesis says."""
AHEAD = 0.2
"""By how much a network that favours one task is more accurate on it than on the other."""
CHANCE, NEAR = 0.1, 0.05
"""Accuracy by guessing one of ten classes, and how far above it counts as nothing learnt."""
MARGIN = 0.05
"""The thesis has one network of each kind, without a spread."""
FIRST, SECOND = "the first images (digits)", "the second images (letters)"
SEEN = ("demo-clean-digits-0", "small-clean-mnist-0", "swing_up-clean-digits-0")


def claim(
    name: str,
    statement: str,
    arms: Iterable[str],
    compare: Callable[[View], lab.Comparison],
    paper: float | None = None,
) -> lab.Claim:
    """A claim over seeds, None for runs that lack one of its arms; `paper` is the thesis's number."""

    def known(view: View) -> lab.Comparison | None:
        return compare(view) if set(arms) <= set(view.arms) else None

    number = {} if paper is None else {"paper": {"mnist": paper}, "margin": MARGIN}
    return lab.Claim(name, statement, "seeds", known, **number)


def theirs(arm: str, task: int) -> float:
    """The thesis's accuracy at the best shared weight."""
    return max(PAPER[arm, task]) / 100


def own_task() -> lab.Claim:
    """Whether a network of one task classifies it."""

    def compare(view: View) -> lab.Comparison:
        return lab.paired(view.best(ALONE, 0), view.best(ALONE, 1), ours=view.best(ALONE, 0))

    statement = (
        f"WANN, evolved on {FIRST}, is more accurate on them than on {SECOND} (number: its accuracy on the first)"
    )
    return claim("own_task", statement, (ALONE,), compare, theirs(ALONE, 0))


def no_second() -> lab.Claim:
    """Whether a network of one task knows nothing of the other."""

    def compare(view: View) -> lab.Comparison:
        return lab.paired(CHANCE + NEAR, view.best(ALONE, 1), ours=view.best(ALONE, 1))

    statement = (
        f"WANN's accuracy on {SECOND}, at the best shared weight, is below {CHANCE + NEAR:g} (number: that accuracy)"
    )
    return claim("no_second", statement, (ALONE,), compare, theirs(ALONE, 1))


def favours(arm: str, name: str) -> lab.Claim:
    """Whether a network of two tasks serves one of them only."""

    def compare(view: View) -> lab.Comparison:
        gap = np.abs(view.best(arm, 1) - view.best(arm, 0))
        return lab.paired(gap, AHEAD, ours=gap)

    paper = theirs(JOINT, 1) - theirs(JOINT, 0) if arm == JOINT else None
    statement = f"{arm}'s accuracies on both tasks differ by more than {AHEAD:g} (number: their difference)"
    return claim(f"{name}_favours", statement, (arm,), compare, paper)


def second(arm: str, name: str) -> lab.Claim:
    """Whether a network of two tasks is better on the second."""

    def compare(view: View) -> lab.Comparison:
        return lab.paired(view.best(arm, 1), view.best(arm, 0), ours=view.best(arm, 1))

    statement = f"{arm} is more accurate on {SECOND} than on {FIRST} (number: its accuracy on the second)"
    return claim(f"{name}_second", statement, (arm,), compare, theirs(JOINT, 1) if arm == JOINT else None)


def costs(arm: str, name: str) -> lab.Claim:
    """What the second task costs on the first."""

    def compare(view: View) -> lab.Comparison:
        return lab.paired(view.best(ALONE, 0), view.best(arm, 0), ours=view.best(arm, 0))

    statement = f"{arm} is less accurate on {FIRST} than WANN (number: its accuracy on the first)"
    return claim(f"{name}_costs", statement, (arm, ALONE), compare, theirs(JOINT, 0) if arm == JOINT else None)


def better(name: str, statement: str, arm: str, other: str, task: int) -> lab.Claim:
    """The claim that the networks of one arm are more accurate on a task than those of another."""
    return claim(name, statement, (arm, other), lambda view: lab.paired(view.best(arm, task), view.best(other, task)))


def gains(arm: str, name: str) -> lab.Claim:
    """What judging on the second task gains there."""
    return better(f"{name}_gains", f"{arm} is more accurate on {SECOND} than WANN", arm, ALONE, 1)


def pruned(other: str, task: int) -> lab.Claim:
    """Pruning of a trained network against growing one."""
    statement = f"PADAWANN is more accurate on {(FIRST, SECOND)[task]} than {other}"
    return better(f"padawann_{other}_{task}", statement, PRUNED, other, task)


def size() -> lab.Claim:
    """The thesis's comparison by size, which counts the cells of WANN's matrix."""

    def compare(view: View) -> lab.Comparison:
        return lab.paired(view.of(ALONE, "connections"), view.of(PRUNED, "connections"))

    return claim("padawann_size", "PADAWANN has fewer connections than WANN", (PRUNED, ALONE), compare)


def own(name: str, statement: str, x: str, y: str) -> lab.Claim:
    """WANN's accuracy on its task with two kinds of weights."""

    def compare(view: View) -> lab.Comparison:
        return lab.paired(view.of(ALONE, x)[:, 0], view.of(ALONE, y)[:, 0])

    return claim(name, f"WANN's accuracy on {FIRST} is higher {statement}", (ALONE,), compare)


PRIMARY = (
    own_task(),
    no_second(),
    own("drawn", "with one random weight for all connections than with one for each", "one_drawn", "each_drawn"),
    own("trained", "with trained weights than with the best shared one", "trained", "best"),
    favours(JOINT, "joint"),
    second(JOINT, "joint"),
    costs(JOINT, "joint"),
    gains(JOINT, "joint"),
    pruned(ALONE, 0),
    pruned(ALONE, 1),
    size(),
)


def explore(view: View) -> list[lab.Claim]:
    """All other claims about the arms of a run."""
    claims = [own("ensemble", "with all shared weights together than with the best one", "ensemble", "best")]
    claims += [make(RELATIVE, "relative") for make in (favours, second, costs, gains)]
    for arm, name in ((JOINT, "joint"), (RELATIVE, "relative")):
        statement = f"{arm} is less accurate on {SECOND} than a WANN evolved on these alone"
        claims.append(better(f"{name}_costs_second", statement, LETTERS, arm, 1))
    claims += [scale(), pruned(JOINT, 0), pruned(JOINT, 1), *swung()]
    return [one for one in claims if one.compare(view) is not None]


def scale() -> lab.Claim:
    """Whether relative losses serve both tasks more evenly."""

    def compare(view: View) -> lab.Comparison:
        return lab.paired(*(np.abs(view.best(arm, 0) - view.best(arm, 1)) for arm in (JOINT, RELATIVE)))

    statement = (
        "the accuracies on both tasks differ less for logarithms of losses (JointWANN, relative) than for their sum"
    )
    return claim("scale", statement, (JOINT, RELATIVE), compare)


def swung() -> list[lab.Claim]:
    """Whether the pole is swung up, and whether it stays there, at the weight that did best in other rollouts."""
    half = "swing-up: the mean reward is more than half of the largest possible one"

    def share(view: View) -> np.ndarray:
        return view.of(SWING, "rewards") / float(view.arrays["limit"])

    ways = {
        "up": (f"{half} at the chosen weight", lambda view: at_chosen(view, share(view))),
        "up_all": (f"{half} at the worst of the shared weights", lambda view: np.min(share(view), axis=1)),
        "stands": (
            "swing-up: the pole is upright through the last two seconds of more than half of all rollouts, at the "
            "chosen weight",
            lambda view: at_chosen(view, view.of(SWING, "stands")),
        ),
    }
    return [
        claim(name, statement, (SWING,), lambda view, way=way: lab.paired(way(view), 0.5))
        for name, (statement, way) in ways.items()
    ]


def at_chosen(view: View, values: np.ndarray) -> np.ndarray:
    """Of values at each shared weight, [seeds, values], those at the chosen one; NaN for missing seeds."""
    chosen = view.of(SWING, "chosen")
    places = np.nan_to_num(chosen).astype(int)[:, None]
    return np.where(np.isfinite(chosen), np.take_along_axis(values, places, axis=1)[:, 0], np.nan)


def tables(view: View) -> dict[str, list[dict[str, Any]]]:
    """Tables 4.1 and 4.2 of the thesis, other weights, and its Table 5.7; or the rewards of the pole."""
    arms, found = [arm for arm in view.arms if arm != SWING], {}
    if arms:
        found["test accuracy at each shared weight"] = [row for arm in view.searches for row in weight_rows(view, arm)]
        found["champions"] = [row for arm in view.searches for row in champion_rows(view, arm)]
        found["accuracy and size"] = [size_row(view, arm) for arm in arms]
    if SWING in view.arms:
        found[f"rewards of a rollout, at most {int(view.arrays['limit'])}"] = swing_rows(view)
    return {title: rows for title, rows in found.items() if rows}


def weight_rows(view: View, arm: str) -> list[dict[str, Any]]:
    """Tables 4.1 and 4.2: ours, and where the data are the same, the thesis's."""
    rows, columns = [], [f"{value:g}" for value in view.values]
    for task, name in enumerate(view.sets):
        told = {"ours": [average(of) for of in view.of(arm, "accuracy")[:, task].T]}
        if view.published and (arm, task) in PAPER:
            told["thesis"] = [percent / 100 for percent in PAPER[arm, task]]
        rows += [
            {"search": arm, "images": name, "of": whose} | dict(zip(columns, numbers, strict=True))
            for whose, numbers in told.items()
        ]
    return rows


def champion_rows(view: View, arm: str) -> list[dict[str, Any]]:
    """The accuracy of champions with other weights than those that they were evolved at."""
    columns = {
        "best": "best shared weight",
        "ensemble": "all together",
        "one_drawn": "one random for all",
        "each_drawn": "each random",
        "trained": "trained",
    }
    return [
        {"search": arm, "images": name}
        | {title: average(view.of(arm, column)[:, task]) for column, title in columns.items()}
        for task, name in enumerate(view.sets)
    ]


def size_row(view: View, arm: str) -> dict[str, Any]:
    """Table 5.7, with connections counted as connections."""
    row: dict[str, Any] = {"search": arm}
    row |= {name: average(view.best(arm, task)) for task, name in enumerate(view.sets)}
    row["connections"] = average(view.of(arm, "connections"))
    row |= {title: average(view.of(arm, title)) if arm in ARMS else None for title in ("hidden", "layers")}
    return row | {"thesis's count": CELLS.get(arm, CONNECTIONS.get(arm)), "its connections": CONNECTIONS.get(arm)}


def swing_rows(view: View) -> list[dict[str, Any]]:
    """Of each seed's champion."""
    rows, columns = [], [f"{value:g}" for value in view.values]
    stands = at_chosen(view, view.of(SWING, "stands"))
    for seed in np.flatnonzero(np.isfinite(stands)):
        rewards, chosen = (view.of(SWING, name)[seed] for name in ("rewards", "chosen"))
        row = {"seed": int(seed)} | dict(zip(columns, map(lab.rounded, rewards), strict=True))
        rows.append(row | {"weight chosen": columns[int(chosen)], "stands at the end": lab.rounded(stands[seed])})
    return rows
