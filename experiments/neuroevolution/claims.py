"""The claims and tables of the study: primary claims are declared before a run, all others are exploratory."""

from collections.abc import Callable
from typing import Any

import numpy as np

from evojax_align import lab
from evojax_align.statistics import holm, rank_biserial, stratified_interval
from experiments.common import above, average, identifier
from experiments.neuroevolution.arms import ALIGNED, ARMS, NAIVE, factors
from experiments.neuroevolution.config import KINDS
from experiments.neuroevolution.tasks import TASKS
from experiments.neuroevolution.view import View, middle

SEEN = ()
VISITED = "aligned on visited states"
BY = {"halfway": "at t = 0.5", "neurons": "by the exchange of neurons"}
MEASURES: dict[str, tuple[str, Callable[[View, str, str], Any]]] = {
    "area": ("a larger area under the curve", lambda view, arm, other: view.area(arm)),
    "final": ("a higher last score", lambda view, arm, other: view.final(arm)),
    "seconds": ("a higher score at equal seconds", View.in_time),
}


def transfers(task: str, method: str = VISITED, other: str = NAIVE, kind: str = "halfway") -> lab.Claim:
    """The children of champions by one method against those by another."""
    name = identifier("transfer", task) if (method, other, kind) == (VISITED, NAIVE, "halfway") else ""
    name = name or identifier("transfer", task, method, "over", other, kind)
    statement = (
        f"{task}: children of champions of separate runs, crossed {BY[kind]}, keep more of their parents' score "
        f"{phrase(method)} than {phrase(other)}"
    )
    x, y = (lambda view, side=side: view.kept(task, side, kind) for side in (method, other))
    return above(name, statement, x, y, unit="pairs", known=lambda view: task in view.crossed, number="x - y")


def phrase(method: str) -> str:
    """A method in a sentence."""
    words = {NAIVE: "without alignment", "random order": "in random order", "dead only": "with dead neurons matched"}
    return words.get(method, method)


def speeds(task: str, arm: str = ALIGNED, other: str = NAIVE, measure: str = "area") -> lab.Claim:
    """One population against another."""
    words, of = MEASURES[measure]
    own = "speed" if measure == "area" else measure
    name = identifier(own, task) if (arm, other) == (ALIGNED, NAIVE) else identifier(own, task, arm, "over", other)
    arms = [f"{task}: {side}" for side in (arm, other)]
    x, y = (lambda view, pair=pair: of(view, *pair) for pair in (arms, arms[::-1]))
    return above(name, f"{task}: {words} with the arm {arm!r} than with {other!r}", x, y, arms=arms, number="x - y")


PRIMARY = (
    *(transfers(task) for task in ("swing-up", "double pole", "double pole, no velocities", "acrobot", "digits")),
    *(speeds(task) for task in ("digits", "swing-up", "double pole", "acrobot")),
    speeds("digits", measure="seconds"),
)


def explore(view: View) -> list[lab.Claim]:
    """All other comparisons that a run decides."""
    claims = [
        transfers(task, method, other, kind)
        for task in view.crossed
        for kind in KINDS
        for method, other in (*((m, NAIVE) for m in view.methods if m != NAIVE), (VISITED, "aligned on random states"))
    ]
    for task in view.tasks:
        names = view.within(task)
        pairs = [(name, NAIVE) for name in names if name in ARMS and name != NAIVE]
        pairs += [(ALIGNED, other) for other in ("mutation only", "random order", "dead neurons only")]
        pairs += of_factors(task)
        claims += [speeds(task, arm, other, measure) for arm, other in pairs for measure in MEASURES]
    declared = {claim.id for claim in PRIMARY}
    own = {claim.id: claim for claim in claims if claim.id not in declared}
    return [claim for claim in own.values() if (found := claim.compare(view)) is not None and found.n]


def of_factors(task: str) -> list[tuple[str, str]]:
    """Which arms of the factors are compared with which."""
    pairs = []
    for group in factors(TASKS[task].width, TASKS[task].children).values():
        for name in group:
            if name.startswith(f"{ALIGNED}, ") and (other := name.replace(ALIGNED, NAIVE, 1)) in group:
                pairs.append((name, other))
            elif name == "naive, 4 islands, migrants aligned":
                pairs.append((name, "naive, 4 islands"))
            elif name == "naive, 4 islands":
                pairs.append((name, "naive, one island" if "naive, one island" in group else NAIVE))
            elif not name.startswith(f"{NAIVE}, "):
                pairs.append((name, ALIGNED if group[name].tuned == ALIGNED else NAIVE))
    return pairs


def tables(view: View) -> dict[str, list[dict[str, Any]]]:
    """The answer by task and condition; then all numbers."""
    found = {"where aligned crossover helps": answers(view)}
    found["part 1: what children keep"] = [of for task in view.crossed for of in kept_rows(view, task)]
    found["part 2: all populations"] = [speed_row(view, arm) for arm in view.arms]
    found["M2N2, beside its own figures"] = beside_published(view)
    found["over tasks"] = over_tasks(view)
    found["left out"] = [
        {"arm": arm, "because": f"{TASKS[view.task(arm)].needs or 'evosax'} was not installed"} for arm in view.left_out
    ]
    return found


M2N2 = {
    NAIVE: ("M2N2", 0.82, 0.87),
    "mutation only": ("M2N2 without crossover", 0.63, 0.77),
    "sep-CMA-ES": ("CMA-ES", 0.78, 0.86),
}
"""Test accuracy after 10 000 and 50 000 evaluations, means of ten runs, read off the figure of its authors."""


def beside_published(view: View) -> list[dict[str, Any]]:
    """Our arms with the settings of M2N2, beside the curves of its authors."""
    rows = []
    for name in view.within("M2N2"):
        arm = f"M2N2: {name}"
        theirs, *accuracies = M2N2.get(name, ("", None, None))
        row: dict[str, Any] = {"arm": name, "seeds": int(np.isfinite(view.final(arm)).sum()), "their method": theirs}
        for count, accuracy in zip((10_000, 50_000), accuracies, strict=True):
            places = np.flatnonzero(view.evaluations(arm) == count)
            row[f"theirs at {count}"] = accuracy
            row[f"ours at {count}"] = average(view.curve(arm)[:, places[0]]) if places.size else None
        rows.append(row)
    return rows


def answers(view: View) -> list[dict[str, Any]]:
    """Aligned against naive under each condition: helps, harms, or no difference shown."""
    rows = []
    for task in view.crossed:
        for kind in KINDS:
            sides = [view.kept(task, method, kind) for method in (VISITED, NAIVE)]
            rows.append((f"{task}, champions crossed {BY[kind]}", "share of the parents' score", "pairs", *sides))
    for task in view.tasks:
        pairs = [(ALIGNED, NAIVE), *of_factors(task)]
        for arm, other in pairs:
            names = [f"{task}: {side}" for side in (arm, other)]
            if all(name in view for name in names):
                sides = [view.area(name) for name in names]
                label = "evolution" if (arm, other) == (ALIGNED, NAIVE) else f"{arm!r} against {other!r}"
                rows.append((f"{task}, {label}", "mean score", "seeds", *sides))
                if label == "evolution" and (timed := view.in_time(*names)) is not None:
                    other_timed = view.in_time(*names[::-1])
                    assert other_timed is not None  # the table of seconds has both or none
                    rows.append((f"{task}, evolution, equal seconds", "score", "seeds", timed, other_timed))
    tests = [lab.paired(first, second) for *_, first, second in rows]
    corrected = holm([two_sided(of) for of in tests]) if tests else []
    return [answer(row, test, p) for row, test, p in zip(rows, tests, corrected, strict=True)]


def two_sided(test: lab.Comparison) -> float:
    """The p-value of a difference in either direction; 1 where there is no test."""
    return 1.0 if test.p is None or test.p_reverse is None else min(1.0, 2 * min(test.p, test.p_reverse))


def answer(row: tuple, test: lab.Comparison, p: float) -> dict[str, Any]:
    """A row of the table of answers; p is two-sided, and corrected for all of its rows by Holm's method."""
    condition, measure, unit, first, second = row
    known = np.isfinite(first) & np.isfinite(second)
    verdict = "no difference shown"
    if p < 0.05:
        verdict = "helps" if (test.p or 0.0) < (test.p_reverse or 0.0) else "harms"
    return {
        "task and condition": condition,
        "measure": measure,
        "n": f"{int(known.sum())} {unit}",
        "aligned, or the first": average(np.where(known, first, np.nan)),
        "naive, or the second": average(np.where(known, second, np.nan)),
        "effect (rank-biserial)": lab.rounded(rank_biserial(first[known], second[known])) if known.any() else None,
        "p, corrected": None if test.p is None else lab.rounded(p),
        "verdict": verdict if test.p is not None else "too few",
    }


def kept_rows(view: View, task: str) -> list[dict[str, Any]]:
    """What children keep in one task, for each method."""
    rows = []
    for method in view.methods:
        row: dict[str, Any] = {"task": task, "method": method, "pairs": int(np.isfinite(view.kept(task, method)).sum())}
        for kind in KINDS:
            found = middle(view.kept(task, method, kind))
            row[f"{kind}, interquartile mean"] = found and lab.rounded(found.estimate)
            row[f"{kind}, 95 % interval"] = found and [lab.rounded(found.low), lab.rounded(found.high)]
        rows.append(row | {"parents' score": average(view.parents(task)), "dead neurons": average(view.dead(task))})
    return rows


def speed_row(view: View, arm: str) -> dict[str, Any]:
    """One population of part 2."""
    final, reached = middle(view.final(arm)), view.reached(arm)
    timed = view.in_time(arm, f"{view.task(arm)}: {NAIVE}")
    known = reached[~np.isnan(reached)]
    half = float(np.sort(known)[(len(known) - 1) // 2])
    related = view.curve(arm, "unrelated")
    return {
        "task": view.task(arm),
        "arm": view.own(arm),
        "seeds": len(known),
        "evaluations": int(view.evaluations(arm)[-1]),
        "last score, interquartile mean": final and lab.rounded(final.estimate),
        "95 % interval": final and [lab.rounded(final.low), lab.rounded(final.high)],
        "standard deviation": lab.finite(np.nanstd(view.final(arm), ddof=1)) if len(known) > 1 else None,
        "mean score over the run": average(view.area(arm)),
        "at the threshold, share": lab.rounded(np.mean(np.isfinite(known))),
        "median evaluations to it": lab.finite(half),
        "score when its run or naive's ends, in seconds": None if timed is None else average(timed),
        "unrelated parents, first part": average(related[:, 1]),
        "unrelated parents, last part": average(related[:, -1]),
    }


def over_tasks(view: View) -> list[dict[str, Any]]:
    """Each arm over all tasks that have it for the same seeds, on a scale from 0 to 1."""
    rows = []
    for name in ARMS:
        arms = [f"{task}: {name}" for task in view.tasks if f"{task}: {name}" in view]
        scores = [view.scaled(arm) for arm in arms]
        whole = np.array([np.isfinite(of) for of in scores]).all(axis=0) if scores else np.zeros(0, bool)
        if not whole.any():
            continue
        found = stratified_interval(np.stack(scores)[:, whole], seed=0, resamples=500)
        low, high = lab.rounded(found.low), lab.rounded(found.high)
        row = {"arm": name, "tasks": len(arms), "seeds": int(whole.sum())}
        rows.append(row | {"interquartile mean": lab.rounded(found.estimate), "95 % interval": [low, high]})
    return rows
