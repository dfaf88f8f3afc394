"""The claims and tables of the study: primary claims are declared before a run, all others are exploratory."""

from collections.abc import Callable
from typing import Any

import numpy as np

from evojax_align import lab
from experiments.common import above, average, decided, row
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


def best(arm: str, task: int) -> Callable[[View], np.ndarray]:
    """The accuracy of an arm on a task, at the shared weight that was chosen for it."""
    return lambda view: view.best(arm, task)


def gap(arm: str) -> Callable[[View], np.ndarray]:
    """How far the accuracies of an arm on both tasks are apart."""
    return lambda view: np.abs(view.best(arm, 1) - view.best(arm, 0))


def thesis(of: Callable[[float, float], float], arm: str = JOINT) -> dict[str, Any]:
    """The thesis's number, from its accuracies on both tasks at the best shared weight, and how near to it agrees."""
    return {"paper": of(*(max(PAPER[arm, task]) / 100 for task in (0, 1))), "margin": MARGIN}


def of_two(arm: str, name: str) -> tuple[lab.Claim, ...]:
    """Whether a network of two tasks serves one of them only, which one, and what the second costs and gains."""
    apart = f"{arm}'s accuracies on both tasks differ by more than {AHEAD:g} (number: their difference)"
    second = f"{arm} is more accurate on {SECOND} than on {FIRST} (number: its accuracy on the second)"
    costs = f"{arm} is less accurate on {FIRST} than WANN (number: its accuracy on the first)"
    gains = f"{arm} is more accurate on {SECOND} than WANN"
    numbers = (lambda x, y: y - x, lambda x, y: y, lambda x, y: x)
    paper = [thesis(of) if arm == JOINT else {} for of in numbers]
    one, other = best(arm, 0), best(arm, 1)
    return (
        above(f"{name}_favours", apart, gap(arm), AHEAD, number="x", arms=(arm,), **paper[0]),
        above(f"{name}_second", second, other, one, number="x", arms=(arm,), **paper[1]),
        above(f"{name}_costs", costs, best(ALONE, 0), one, number="y", arms=(arm, ALONE), **paper[2]),
        above(f"{name}_gains", gains, other, best(ALONE, 1), arms=(arm, ALONE)),
    )


def pruned(other: str, task: int) -> lab.Claim:
    """Pruning of a trained network against growing one."""
    statement = f"PADAWANN is more accurate on {(FIRST, SECOND)[task]} than {other}"
    return above(f"padawann_{other}_{task}", statement, best(PRUNED, task), best(other, task), arms=(PRUNED, other))


def own(name: str, statement: str, x: str, y: str) -> lab.Claim:
    """WANN's accuracy on its task with two kinds of weights."""
    sides = [lambda view, kind=kind: view.of(ALONE, kind)[:, 0] for kind in (x, y)]
    return above(name, f"WANN's accuracy on {FIRST} is higher {statement}", *sides, arms=(ALONE,))


PRIMARY = (
    above(
        "own_task",
        f"WANN, evolved on {FIRST}, is more accurate on them than on {SECOND} (number: its accuracy on the first)",
        *(best(ALONE, 0), best(ALONE, 1)),
        **{"number": "x", "arms": (ALONE,), **thesis(lambda x, y: x, ALONE)},
    ),
    above(
        "no_second",
        f"WANN's accuracy on {SECOND}, at the best shared weight, is below {CHANCE + NEAR:g} (number: that accuracy)",
        *(CHANCE + NEAR, best(ALONE, 1)),
        **{"number": "y", "arms": (ALONE,), **thesis(lambda x, y: y, ALONE)},
    ),
    own("drawn", "with one random weight for all connections than with one for each", "one_drawn", "each_drawn"),
    own("trained", "with trained weights than with the best shared one", "trained", "best"),
    *of_two(JOINT, "joint"),
    pruned(ALONE, 0),
    pruned(ALONE, 1),
    above(  # the thesis counts the cells of WANN's matrix
        "padawann_size",
        "PADAWANN has fewer connections than WANN",
        *(lambda view, arm=arm: view.of(arm, "connections") for arm in (ALONE, PRUNED)),
        arms=(PRUNED, ALONE),
    ),
)


def explore(view: View) -> list[lab.Claim]:
    """All other claims about the arms of a run."""
    claims = [own("ensemble", "with all shared weights together than with the best one", "ensemble", "best")]
    claims += of_two(RELATIVE, "relative")
    for arm, name in ((JOINT, "joint"), (RELATIVE, "relative")):
        statement = f"{arm} is less accurate on {SECOND} than a WANN evolved on these alone"
        sides = {"x": best(LETTERS, 1), "y": best(arm, 1), "arms": (LETTERS, arm)}
        claims.append(above(f"{name}_costs_second", statement, **sides))
    even = "the accuracies on both tasks differ less for logarithms of losses (JointWANN, relative) than for their sum"
    claims.append(above("scale", even, gap(JOINT), gap(RELATIVE), arms=(JOINT, RELATIVE)))
    return decided([*claims, pruned(JOINT, 0), pruned(JOINT, 1), *swung()], view)


def swung() -> list[lab.Claim]:
    """Whether the pole is swung up, and whether it stays there, at the weight that did best in other rollouts."""
    half = "swing-up: the mean reward is more than half of the largest possible one"
    stands = (
        "swing-up: the pole is upright through the last two seconds of more than half of all rollouts, at the chosen "
        "weight"
    )

    def share(view: View) -> np.ndarray:
        return view.of(SWING, "rewards") / float(view.arrays["limit"])

    ways: dict[str, tuple[str, Callable[[View], np.ndarray]]] = {
        "up": (f"{half} at the chosen weight", lambda view: at_chosen(view, share(view))),
        "up_all": (f"{half} at the worst of the shared weights", lambda view: np.min(share(view), axis=1)),
        "stands": (stands, lambda view: at_chosen(view, view.of(SWING, "stands"))),
    }
    return [above(name, statement, way, 0.5, arms=(SWING,)) for name, (statement, way) in ways.items()]


def at_chosen(view: View, values: np.ndarray) -> np.ndarray:
    """Of values at each shared weight, [seeds, values], those at the chosen one; NaN for missing seeds."""
    chosen = view.of(SWING, "chosen")
    places = np.nan_to_num(chosen).astype(int)[:, None]
    return np.where(np.isfinite(chosen), np.take_along_axis(values, places, axis=1)[:, 0], np.nan)


def tables(view: View) -> dict[str, list[dict[str, Any]]]:
    """Tables 4.1 and 4.2 of the thesis, other weights, and its Table 5.7; or the rewards of the pole."""
    arms, found = [arm for arm in view.arms if arm != SWING], {}
    if arms:
        found["test accuracy at each shared weight"] = [of for arm in view.searches for of in weight_rows(view, arm)]
        found["champions"] = [of for arm in view.searches for of in champion_rows(view, arm)]
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
            {"search": arm, "images": name, "accuracy of": whose} | dict(zip(columns, numbers, strict=True))
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
        row({"search": arm, "images": name}, {columns[of]: view.of(arm, of)[:, task] for of in columns})
        for task, name in enumerate(view.sets)
    ]


def size_row(view: View, arm: str) -> dict[str, Any]:
    """Table 5.7, with connections counted as connections."""
    numbers = {name: view.best(arm, task) for task, name in enumerate(view.sets)}
    found = row({"search": arm}, numbers | {"connections": view.of(arm, "connections")})
    found |= {title: average(view.of(arm, title)) if arm in ARMS else None for title in ("hidden", "layers")}
    return found | {"thesis's count": CELLS.get(arm, CONNECTIONS.get(arm)), "its connections": CONNECTIONS.get(arm)}


def swing_rows(view: View) -> list[dict[str, Any]]:
    """Of each seed's champion."""
    rows, columns = [], [f"{value:g}" for value in view.values]
    stands = at_chosen(view, view.of(SWING, "stands"))
    for seed in np.flatnonzero(np.isfinite(stands)):
        rewards, chosen = (view.of(SWING, name)[seed] for name in ("rewards", "chosen"))
        of_seed = {"seed": int(seed)} | dict(zip(columns, map(lab.rounded, rewards), strict=True))
        rows.append(of_seed | {"weight chosen": columns[int(chosen)], "stands at the end": lab.rounded(stands[seed])})
    return rows
