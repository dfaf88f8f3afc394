"""Figures, claims and tables of `padawann.py`, made of its stored arrays alone."""

import dataclasses
import sys
from pathlib import Path
from typing import Any

import numpy as np

from evojax_align import lab, plotting
from evojax_align.statistics import mcnemar, mean_interval, paired_t

sys.path.insert(0, str(Path(__file__).parent))

from padawann_view import PUBLISHED, View  # pyright: ignore[reportImplicitRelativeImport]

PAPER: dict[str, tuple[float, ...]] = {
    "default": (0.9367, 0.221, 0.1379, 0.10895),
    "signs discarded": (0.203, 0.1434),
    "weights kept": (0.8302, 0.1542, 0.129, 0.1072),
    "first task alone": (0.9795, 0.0607, 0.107, 0.0707),
    "three tasks": (0.9099, 0.1944, 0.2435, 0.1379),
    "from the second task": (0.17296, 0.8925),
    "without convolutions": (0.80314, 0.1266),
    "mapping given": (0.9384, 0.2025),
    "ten members": (0.9346, 0.1973),
    "ten, no elitism": (0.937, 0.1713),
    "ten, no culling": (0.94, 0.1944),
    "ten, whole clusters": (0.9587, 0.1399),
    "ten, no crossover": (0.9299, 0.2002),
    "ten, uniform crossover": (0.9289, 0.2009),
    "ten, tournaments of 2": (0.9397, 0.1872),
    "ten, tournaments of 6": (0.932, 0.2048),
    "network": (0.9813, 0.0668, 0.0999, 0.0782),
    "network, shared value": (0.9769, 0.064),
    "random pruning": (0.7727, 0.0994),
    "pruning by magnitude": (0.9812, 0.0674),
    "by magnitude, shared value": (0.979, 0.0663),
}
"""Mean accuracies that the thesis reports on `PUBLISHED`. Its "optimised" mapping was chosen by eye."""
PAPER_SYNAPSES = {
    "default": 600460,
    "signs discarded": 1016651,
    "weights kept": 560583,
    "first task alone": 996093,
    "three tasks": 627897,
    "from the second task": 768888,
    "without convolutions": 34134,
    "mapping given": 626963,
    "ten members": 658028,
    "ten, no elitism": 720954,
    "ten, no culling": 676044,
    "ten, whole clusters": 855915,
    "ten, no crossover": 675996,
    "ten, uniform crossover": 681010,
    "ten, tournaments of 2": 676672,
    "ten, tournaments of 6": 656885,
}
PAPER_FITNESS = {
    "ten members": 1.33,
    "ten, no elitism": 1.26,
    "ten, no culling": 1.33,
    "ten, whole clusters": 1.24,
    "ten, no crossover": 1.32,
    "ten, uniform crossover": 1.33,
    "ten, tournaments of 2": 1.31,
    "ten, tournaments of 6": 1.35,
}
PAPER_COMMON = {"random pruning": 0.51, "pruning by magnitude": 0.53}
PAPER_TRANSFER = {
    "network": (0.981, 0.5869, 0.727, 0.67),
    "default": (0.9648, 0.55, 0.6714, 0.6355),
    "weights kept": (0.9507, 0.5444, 0.6417, 0.613),
    "first task alone": (0.9804, 0.5276, 0.6642, 0.5857),
}
"""Accuracies after transfer learning."""
YES, NO = 1.0, 0.0
GUESSING = "guessing"
"""In the place of a row: right as often as there are classes."""
CONTROLS = (
    *("random pruning", "random pruning, shared value"),
    *("pruning by magnitude", "by magnitude, shared value"),
)
"""Rows of as many synapses as the champions of "default", chosen otherwise."""
SHOWN = (
    *("network", "default", "signs discarded", "three tasks", "mapping optimised"),
    *("random pruning", "pruning by magnitude"),
)
"""Rows whose confusion matrices are drawn."""


@dataclasses.dataclass(frozen=True)
class Comparison:
    """A claim that one row is above, or below, another in something."""

    statement: str
    first: str
    second: str
    what: str
    """A data set's place, "fitness" or "synapses", or "transfer" and a place."""
    above: bool
    paper: float | None = None
    """`YES` where the thesis says so, `NO` where it says that it is not so: of its own data sets"""


def more(statement: str, first: str, second: str, what: str, paper: float | None = None) -> Comparison:
    """The claim that the first is above the second."""
    return Comparison(statement, first, second, what, True, paper)


def less(statement: str, first: str, second: str, what: str, paper: float | None = None) -> Comparison:
    """The claim that the first is below the second."""
    return Comparison(statement, first, second, what, False, paper)


NEW = "more accurate on the second task than the default"
COMPARISONS = (
    more("the default: more accurate on the second task than its network", "default", "network", "1", YES),
    less("the default: less accurate on the first task than its network", "default", "network", "0", YES),
    more("the default: more accurate on the third data set than its network", "default", "network", "2", YES),
    more("the default: more accurate on the fourth data set than its network", "default", "network", "3", YES),
    more("the default: more accurate on the second task than guessing", "default", GUESSING, "1"),
    more("the default: more accurate on the third data set than guessing", "default", GUESSING, "2"),
    more("the default: more accurate on the fourth data set than guessing", "default", GUESSING, "3"),
    less("without signs: less accurate on the first task", "signs discarded", "default", "0", YES),
    less("without signs: less accurate on the second task", "signs discarded", "default", "1", YES),
    less("weights kept: less accurate on the first task", "weights kept", "default", "0", YES),
    less("weights kept: less accurate on the second task", "weights kept", "default", "1", YES),
    more("first task alone: more accurate on it", "first task alone", "default", "0", YES),
    less("first task alone: less accurate on the second", "first task alone", "default", "1", YES),
    less("first task alone: less accurate on it than the network", "first task alone", "network", "0", NO),
    more("three tasks: more accurate on the third", "three tasks", "default", "2", YES),
    less("three tasks: less accurate on the first", "three tasks", "default", "0", YES),
    less("a shared value alone: less accurate on the second task", "network, shared value", "default", "1", YES),
    less("random pruning: less accurate on the first task", "random pruning", "default", "0", YES),
    less("random pruning: less accurate on the second task", "random pruning", "default", "1", YES),
    *(
        less(f"{row}: less accurate on the {task} task", row, "default", place)
        for row in ("random pruning, shared value", "by magnitude, shared value")
        for task, place in (("first", "0"), ("second", "1"))
    ),
    more("by magnitude: more accurate on the first task", "pruning by magnitude", "default", "0", YES),
    less("by magnitude: less accurate on the second task", "pruning by magnitude", "default", "1", YES),
    less("without convolutions: less accurate on the second task", "without convolutions", "default", "1", YES),
    more("mapping optimised: more accurate on the second task", "mapping optimised", "default", "1"),
    more("mapping optimised: more accurate on it than without evolution", "mapping optimised", "mapping alone", "1"),
    more("mapping alone: more accurate on the second task than the default", "mapping alone", "default", "1"),
    more("mapping given: more accurate on the second task", "mapping given", "default", "1", NO),
    more("the default: fitter than the best of as many without selection", "default", "without selection", "fitness"),
    less("without selection: less accurate on the second task", "without selection", "default", "1"),
    more("fitter with crossover than without", "default", "no crossover", "fitness"),
    more("fitter with real crossover than without", "real crossover", "default", "fitness"),
    less("no elitism: less fit", "ten, no elitism", "ten members", "fitness", YES),
    less("no culling: less fit", "ten, no culling", "ten members", "fitness", NO),
    less("whole clusters: less fit", "ten, whole clusters", "ten members", "fitness", YES),
    more("uniform crossover: fitter than of one point", "ten, uniform crossover", "ten members", "fitness", NO),
    more("tournaments of 6: fitter than of 4", "ten, tournaments of 6", "ten members", "fitness", YES),
    less("tournaments of 2: less fit than of 4", "ten, tournaments of 2", "ten members", "fitness", YES),
    more("transfer: the network more accurate on the second task", "network", "default", "transfer 1", YES),
    less("transfer: weights kept less accurate on it", "weights kept", "default", "transfer 1", YES),
    less("transfer: first task alone less accurate on it", "first task alone", "default", "transfer 1", YES),
    less("from the second task: less accurate on the first", "from the second task", "default", "0", YES),
    more("from the second task: more accurate on the second", "from the second task", "default", "1", YES),
    more("pruning as printed: more synapses", "as printed", "default", "synapses"),
    less("edges that count: fewer synapses", "edges count", "default", "synapses"),
    *(
        more(f"{name}: {NEW}", name, "default", "1")
        for name in (
            *("fitness: mean", "fitness: worst", "fitness: product", "edges count", "ensemble", "mean of values"),
            *("seven values", "biases shared", "random magnitudes", "random weights", "pruned by magnitude first"),
            *("forty members", "one parent", "only the living are drawn", "an output layer for each task"),
            *("two ancestors", "two ancestors, aligned"),
        )
    ),
    more("aligned: fitter than two ancestors as they are", "two ancestors, aligned", "two ancestors", "fitness"),
)


def plot(arrays: lab.Arrays, folder: Path) -> None:
    """Courses of every population, all of them beside each other, and confusion matrices."""
    view = View(arrays)
    for variant in view.variants:
        plot_course(view, variant, folder)
    plot_comparison(view, folder)
    for row in SHOWN:
        if row in view.rows:
            plot_answers(view, row, folder)


def plot_course(view: View, variant: str, folder: Path) -> None:
    """Accuracy, loss, synapses and fitness of the best member, generation by generation (Figures 5.3, 5.8 and B)."""
    fig, axes = plotting.figure(2, 2, width=4.2)
    steps = np.arange(view.course(variant, "fitness").shape[1])
    for ax, name in zip(axes[0], ("accuracy", "loss"), strict=True):
        values = view.course(variant, name)
        known = [place for place in range(len(view.sets)) if np.isfinite(values[..., place]).all()]
        curves = {view.sets[place]: values[..., place] for place in known}
        plotting.plot_courses(
            steps, curves, ax, x="generation", y=f"{name} on training images", logarithmic=name == "loss"
        )
    plotting.plot_courses(steps, {variant: view.course(variant, "synapses")}, axes[1, 0], x="generation", y="synapses")
    fitness = {"best member": view.course(variant, "fitness"), "all members": view.course(variant, "mean_fitness")}
    plotting.plot_courses(steps, fitness, axes[1, 1], x="generation", y="fitness")
    plotting.save(fig, folder / f"course-{slug(variant)}.png")


def plot_comparison(view: View, folder: Path) -> None:
    """Training accuracy of all populations on the first two tasks (Figures 6.1 and 6.2)."""
    fig, axes = plotting.figure(1, 2, width=4.4)
    for place, ax in enumerate(axes[0]):
        curves = {name: view.course(name, "accuracy")[..., place] for name in view.variants}
        curves = {name: of if np.isfinite(of).all() else np.full_like(of, np.nan) for name, of in curves.items()}
        steps = np.arange(next(iter(curves.values())).shape[1])
        plotting.plot_courses(
            steps, curves, ax, x="generation", y="accuracy on training images", title=view.sets[place]
        )
    plotting.save(fig, folder / "comparison.png")


def plot_answers(view: View, row: str, folder: Path) -> None:
    """What test images of every data set are taken for (Figures 5.2, 5.4 to 5.7 and 6.3)."""
    fig, axes = plotting.figure(1, len(view.sets), width=3.0)
    for place, ax in enumerate(axes[0]):
        names = [name[:8] for name in view.classes(place)]
        numbers = [str(number) for number in range(len(names))]
        counts = view.confusion(row, place)
        plotting.plot_confusion(counts, ax, names=names, answers=numbers, title=f"{view.sets[place]}: {row}")
    plotting.save(fig, folder / f"confusion-{slug(row)}.png")


def slug(name: str) -> str:
    """A name for a file."""
    return name.replace(":", "").replace(",", "").replace(" ", "-")


def judge(arrays: lab.Arrays) -> tuple[list[dict], dict[str, list[dict]]]:
    """The claims of the thesis and of what goes beyond it; and the tables."""
    view = View(arrays)
    wanted = [of for of in COMPARISONS if known(view, of) or (of.paper is not None and published(view, of))]
    claims = [claimed(view, of) if known(view, of) else untested(of) for of in wanted]
    tables = {
        "accuracy on test images": [accuracy_row(view, row) for row in view.rows],
        "best, worst and mean": [spread_row(view, row, place) for row in view.rows for place in (0, 1)],
        "fitness and shared values": [fitness_row(view, variant) for variant in view.variants],
    }
    asked = [of for of in COMPARISONS if known(view, of) and of.what.isdigit() and of.second != GUESSING]
    tables["McNemar's test, two-sided, of the first trial"] = [mcnemar_row(view, of) for of in asked]
    if view.again:
        tables["transfer learning of the output layer"] = [transfer_row(view, row) for row in view.again]
    return lab.decide(claims), tables


def known(view: View, comparison: Comparison) -> bool:
    """Whether a run has what a comparison needs."""
    what, *place = comparison.what.split()
    rows = view.again if what == "transfer" else view.variants if what == "fitness" else view.rows
    wanted = int(place[0]) if place else int(what) if what.isdigit() else 0
    return {comparison.first, comparison.second} <= {*rows, GUESSING} and wanted < len(view.sets)


def published(view: View, comparison: Comparison) -> bool:
    """Whether the thesis says something of the data sets that a comparison is about."""
    count = max(2, int(comparison.what[-1]) + 1) if comparison.what[-1].isdigit() else 2
    return view.as_published(max(count, *map(sets_of, (comparison.first, comparison.second))))


def sets_of(row: str) -> int:
    """How many data sets a row is made with."""
    return 3 if row == "three tasks" else 2


def untested(comparison: Comparison) -> lab.Claim:
    """A claim of the thesis on what a run has not."""
    return lab.Claim(named(comparison), comparison.statement, comparison.paper, None, None, 0, None, None)


def named(comparison: Comparison) -> str:
    """A name for a claim."""
    return "_".join(map(slug, (comparison.first, comparison.second, comparison.what))).replace("-", "_")


def claimed(view: View, comparison: Comparison) -> lab.Claim:
    """A comparison over trials; of accuracies of fewer trials than a test needs, the test is over images by how many
    trials are right on each, which speaks of these networks alone."""
    first, second, what = comparison.first, comparison.second, comparison.what
    paper = comparison.paper if published(view, comparison) else None
    x, y = (measured(view, row, what) for row in (first, second))
    statement, side = comparison.statement, lab.above if comparison.above else lab.below
    found = side(named(comparison), statement, x, y, paper=paper)
    if not what.isdigit() or view.trials >= lab.FEWEST:
        return found
    right = view.right(first, first if second == GUESSING else second, int(what))
    x, y = (of.mean(axis=0) for of in right)
    y = np.full_like(y, guessed(view, int(what))) if second == GUESSING else y
    test = paired_t(x, y, alternative="greater" if comparison.above else "less")
    return dataclasses.replace(
        found, statement=f"{statement} (tested over images, of these networks)", test=test.name, p=test.p
    )


def guessed(view: View, place: int) -> float:
    """What guessing is right on, of a data set."""
    return 1 / len(view.classes(place))


def mcnemar_row(view: View, comparison: Comparison) -> dict[str, Any]:
    """The thesis's own test, of the first trial's networks."""
    x, y = (of[0] for of in view.right(comparison.first, comparison.second, int(comparison.what)))
    test = mcnemar(x, y, alternative="two-sided")
    cells = {"data set": view.sets[int(comparison.what)], "first": comparison.first, "second": comparison.second}
    return cells | {
        "right: first alone": int(test.statistic),
        "second alone": int(test.n - test.statistic),
        "p": lab.rounded(test.p),
    }


def measured(view: View, row: str, what: str) -> np.ndarray:
    """What a comparison compares, [trials]."""
    if what == "fitness":
        return view.fitness(row)
    if what == "synapses":
        return view.synapses(row)
    if what.startswith("transfer"):
        return view.after(row, int(what.split()[1]))
    if row == GUESSING:
        return np.full(view.trials, guessed(view, int(what)))
    return view.test(row, "accuracy", int(what))


def accuracy_row(view: View, row: str) -> dict[str, Any]:
    """Tables 5.2 to 5.11 and 6.1 to 6.8: mean accuracies, loss, synapses, and what the thesis reports."""
    cells: dict[str, Any] = {"network": row}
    same = view.as_published(sets_of(row))
    theirs = dict(zip(PUBLISHED, PAPER.get(row, ()) if same else (), strict=False))
    for place, name in enumerate(view.sets):
        cells[name] = lab.mean(view.test(row, "accuracy", place))
        if place < 2:
            cells[f"{name}, sd"] = deviation(view.test(row, "accuracy", place))
        if view.as_published(2) and name in PUBLISHED:
            cells[f"{name}, thesis"] = theirs.get(name)
    cells["loss, first"] = lab.mean(view.test(row, "loss", 0))
    cells["synapses"] = lab.mean(view.synapses(row))
    if view.as_published(2):
        cells["synapses, thesis"] = PAPER_SYNAPSES.get(row) if same else None
    # populations draw synapses by the same keys as "default": what they have lost in common says nothing
    cells["lost in common with default"] = lab.mean(view.common(row)) if row in CONTROLS else None
    by_chance = 1 - view.synapses("default") / view.synapses("network")
    cells["in common by chance"] = lab.mean(by_chance) if row in CONTROLS else None
    if view.as_published(2):
        cells["in common, thesis"] = PAPER_COMMON.get(row)
    return cells


def deviation(values: np.ndarray) -> float | None:
    """The standard deviation over trials; None of one."""
    return lab.rounded(values.std(ddof=1)) if len(values) > 1 else None


def spread_row(view: View, row: str, place: int) -> dict[str, Any]:
    """Tables 5.5 and 5.12."""
    found = view.test(row, "accuracy", place)
    cells: dict[str, Any] = {"network": row, "task": view.sets[place]}
    cells |= {name: lab.rounded(value) for name, value in (("best", found.max()), ("worst", found.min()))}
    interval = mean_interval(found) if len(found) > 1 else None
    ends = None if interval is None else [lab.rounded(interval.low), lab.rounded(interval.high)]
    cells |= {"mean": lab.mean(found), "interval of the mean": ends, "sd": deviation(found)}
    return cells | {"ensemble of values": lab.mean(view.test(row, "ensemble", place))}


def fitness_row(view: View, variant: str) -> dict[str, Any]:
    """The champion's fitness, where it was found, and the shared values that it is judged at."""
    found = view.arrays["found"][view.variants.index(variant)]
    cells = {"population": variant, "fitness": lab.mean(view.fitness(variant)), "generation": lab.mean(found)}
    cells["fitness, sd"] = deviation(view.fitness(variant))
    if view.as_published(2):
        cells["fitness, thesis"] = PAPER_FITNESS.get(variant)
    values = {name: np.unique(view.test(variant, "value", place)) for place, name in enumerate(view.sets)}
    return cells | {f"value, {name}": ", ".join(f"{value:g}" for value in of) for name, of in values.items()}


def transfer_row(view: View, row: str) -> dict[str, Any]:
    """Tables 5.13, 6.4 and 6.6: before and after the output layer was trained again."""
    cells: dict[str, Any] = {"network": row}
    for place, name in enumerate(view.sets):
        cells[name] = lab.mean(view.test(row, "accuracy", place))
        cells[f"{name}, after"] = lab.mean(view.after(row, place))
        if view.as_published(2) and name in PUBLISHED:
            cells[f"{name}, thesis"] = PAPER_TRANSFER[row][PUBLISHED.index(name)]
    return cells
