"""What is claimed of a run, and its tables, from its merged arrays alone."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from evojax_align import lab
from evojax_align.statistics import mcnemar, mean_interval
from experiments.common import ArmView, above, average, decided, deviation, identifier, mean_of
from experiments.padawann.config import FUTURE
from experiments.padawann.study import PLAIN_CONTROLS, SHARED_CONTROLS

SETS = ("mnist", "emnist_10letters", "emnist_another10", "fashion_mnist")
"""The thesis's data sets."""


class Thesis(NamedTuple):
    """What the thesis reports of a network: mean test accuracies on `SETS` (as far as given), number of synapses,
    fitness, test accuracies after transfer learning, and the share of lost synapses that PADAWANN has lost too."""

    accuracy: tuple[float, ...] = ()
    synapses: int | None = None
    fitness: float | None = None
    transfer: tuple[float, ...] = ()
    common: float | None = None


THESIS = {
    "default": Thesis((0.9367, 0.221, 0.1379, 0.10895), 600460, None, (0.9648, 0.55, 0.6714, 0.6355)),
    "signs discarded": Thesis((0.203, 0.1434), 1016651),
    "weights kept": Thesis((0.8302, 0.1542, 0.129, 0.1072), 560583, None, (0.9507, 0.5444, 0.6417, 0.613)),
    "first task alone": Thesis((0.9795, 0.0607, 0.107, 0.0707), 996093, None, (0.9804, 0.5276, 0.6642, 0.5857)),
    "three tasks": Thesis((0.9099, 0.1944, 0.2435, 0.1379), 627897),
    "from the second task": Thesis((0.17296, 0.8925), 768888),
    "without convolutions": Thesis((0.80314, 0.1266), 34134),
    "ten members": Thesis((0.9346, 0.1973), 658028, 1.33),
    "ten, no elitism": Thesis((0.937, 0.1713), 720954, 1.26),
    "ten, no culling": Thesis((0.94, 0.1944), 676044, 1.33),
    "ten, whole clusters": Thesis((0.9587, 0.1399), 855915, 1.24),
    "ten, no crossover": Thesis((0.9299, 0.2002), 675996, 1.32),
    "ten, uniform crossover": Thesis((0.9289, 0.2009), 681010, 1.33),
    "ten, tournaments of 2": Thesis((0.9397, 0.1872), 676672, 1.31),
    "ten, tournaments of 6": Thesis((0.932, 0.2048), 656885, 1.35),
    "network": Thesis((0.9813, 0.0668, 0.0999, 0.0782), 1199648, None, (0.981, 0.5869, 0.727, 0.67)),
    "network, shared value": Thesis((0.9769, 0.064)),
    "random pruning": Thesis((0.7727, 0.0994), common=0.51),
    "pruning by magnitude": Thesis((0.9812, 0.0674), common=0.53),
    "by magnitude, shared value": Thesis((0.979, 0.0663)),
}
KEYS = {"two": 2, "three": 3, "four": 4}
"""Names for how many of a run's data sets, from the first on, are the thesis's."""
SEEN = ("demo-clean-digits-0", "small-clean-mnist-0")
GUESSING = "guessing"
"""In the place of a network: right as often as one class of all."""
CONTROLS = (*PLAIN_CONTROLS[1:], *SHARED_CONTROLS[1:])
"""Networks of as many synapses as the champions of "default"."""
DESCRIBED = {
    "default": "PADAWANN",
    "network": "the trained network",
    "network, shared value": "the trained network with signs and a shared value, not pruned",
    "random pruning": "the trained network pruned at random to as many synapses, with its weights",
    "random pruning, shared value": "the trained network pruned at random to as many synapses, with a shared value",
    "pruning by magnitude": "the trained network pruned by magnitude to as many synapses, with its weights",
    "by magnitude, shared value": "the trained network pruned by magnitude to as many synapses, with a shared value",
    "mapping alone": "the trained network with a shared value and optimised outputs, not pruned",
    "signs discarded": "PADAWANN without signs",
    "weights kept": "PADAWANN with its trained weights",
    "first task alone": "PADAWANN evolved for the first task alone",
    "three tasks": "PADAWANN evolved for three tasks",
    "from the second task": "PADAWANN of a network trained on the second task",
    "without selection": "the best of as many members that are not selected",
}
ORDINALS = ("first", "second", "third", "fourth")


class View(ArmView):
    """The merged arrays of a run by name.

    Attributes:
        rows: the networks of which anything is known.
        variants: those of them that are champions of populations.
        sets: names of the data sets.
        published: the key of the thesis's numbers that apply, by how many data sets are the thesis's.
    """

    def __init__(self, arrays: lab.Arrays) -> None:
        super().__init__(arrays, "rows")
        self.sets: list[str] = arrays["sets"].tolist()
        self.arms = self.rows = [name for name in self.names if np.isfinite(self.of(name, "synapses")).any()]
        self.variants = [name for name in arrays["variants"].tolist() if name in self.rows]
        self.published = next((key for key, count in reversed(KEYS.items()) if self.as_published(count)), "")

    def as_published(self, count: int) -> bool:
        """Whether the first so many data sets are the thesis's."""
        return self.sets[:count] == list(SETS[:count])

    def test(self, measure: str, row: str, place: int) -> np.ndarray:
        """What was measured on the test images of a data set, [trials]."""
        return self.of(row, measure)[:, place]

    def fitness(self, row: str) -> np.ndarray:
        """That of the champion, [trials]."""
        return np.fmax.reduce(self.of(row, "course_fitness"), axis=1)

    def confusion(self, row: str, place: int) -> np.ndarray:
        """How many test images of each class were taken for which one, over all trials."""
        count = len(self.classes(place))
        return np.nansum(self.test("confusion", row, place), axis=0)[:count, :count]

    def classes(self, place: int) -> list[str]:
        """Names of the classes of a data set."""
        return str(self.arrays["classes"][place]).split(",")

    def guessed(self, place: int) -> float:
        """The accuracy of guessing."""
        return 1 / len(self.classes(place))

    def value(self, row: str, what: str) -> np.ndarray | float | None:
        """What a claim compares, [trials]; None where the run lacks it."""
        measure, place = parts(what)
        if place >= len(self.sets) or row not in (*self.rows, GUESSING):
            return None
        if row == GUESSING:
            return self.guessed(place)
        if measure == "fitness":
            return self.fitness(row)
        return self.of(row, measure) if measure == "synapses" else self.test(measure, row, place)


def parts(what: str) -> tuple[str, int]:
    """The measure and the data set of a comparison such as "accuracy 1"."""
    measure, *place = what.split()
    return measure, int(place[0]) if place else 0


def compared(first: str, second: str, what: str) -> lab.Claim:
    """The claim that one network lies above another in something; its number is the mean difference over trials."""
    measure, place = parts(what)
    numbers = [np.atleast_1d(getattr(THESIS.get(of, Thesis()), measure) or ()) for of in (first, second)]
    paper = {}
    if all(place < len(of) for of in numbers):
        needed = max(2, place + 1, 3 if "three tasks" in (first, second) else 0)
        number = round(float(numbers[0][place] - numbers[1][place]), 5)
        paper = {key: number for key, count in KEYS.items() if count >= needed}
    quantity = {
        "accuracy": f"test accuracy on the {ORDINALS[place]} task",
        "transfer": f"test accuracy on the {ORDINALS[place]} task after transfer learning of the output layer",
        "fitness": "fitness of the champion",
        "synapses": "number of synapses",
    }[measure]
    named = DESCRIBED | {GUESSING: GUESSING}
    sides = [lambda view, of=of: view.value(of, what) for of in (first, second)]
    one, other = (named.get(of, f'PADAWANN, "{of}"') for of in (first, second))
    # The thesis's own standard deviations over trials: mostly .005 to .02 in accuracy, .02 to .04 in fitness.
    settings = {"paper": paper, "margin": 0.04 if measure == "fitness" else 0.02, "unit": "trials"}
    name = identifier(first, second, what)
    return above(name, f"{quantity}: {one} above {other}", *sides, number="x - y", **settings)


FIRST = (
    ("default", "network", "accuracy 1"),
    ("network", "default", "accuracy 0"),
    ("default", "signs discarded", "accuracy 0"),
    ("default", "weights kept", "accuracy 1"),
    ("default", "first task alone", "accuracy 1"),
    ("three tasks", "default", "accuracy 2"),
    ("default", "random pruning", "accuracy 1"),
    ("default", "random pruning, shared value", "accuracy 1"),
    ("network", "default", "transfer 1"),
    ("mapping alone", "default", "accuracy 1"),
)
"""What the primary claims say: that one network lies above another in something."""
OTHERS = (
    ("default", "network", "accuracy 2", "accuracy 3"),
    ("default", GUESSING, "accuracy 1", "accuracy 2", "accuracy 3"),
    ("default", "signs discarded", "accuracy 1"),
    ("default", "weights kept", "accuracy 0", "transfer 1"),
    ("default", "first task alone", "transfer 1"),
    ("first task alone", "default", "accuracy 0"),
    ("network", "first task alone", "accuracy 0"),
    ("default", "three tasks", "accuracy 0"),
    ("default", "network, shared value", "accuracy 1"),
    ("default", "random pruning", "accuracy 0"),
    ("default", "random pruning, shared value", "accuracy 0"),
    ("default", "by magnitude, shared value", "accuracy 0", "accuracy 1"),
    ("pruning by magnitude", "default", "accuracy 0"),
    ("default", "pruning by magnitude", "accuracy 1"),
    ("default", "without convolutions", "accuracy 1"),
    ("mapping optimised", "default", "accuracy 1"),
    ("mapping optimised", "mapping alone", "accuracy 1"),
    ("mapping given", "default", "accuracy 1"),
    ("default", "without selection", "fitness", "accuracy 1"),
    ("default", "no crossover", "fitness"),
    ("real crossover", "default", "fitness"),
    ("ten members", "ten, no elitism", "fitness"),
    ("ten members", "ten, no culling", "fitness"),
    ("ten members", "ten, whole clusters", "fitness"),
    ("ten, uniform crossover", "ten members", "fitness"),
    ("ten, tournaments of 6", "ten members", "fitness"),
    ("ten members", "ten, tournaments of 2", "fitness"),
    ("default", "from the second task", "accuracy 0"),
    ("from the second task", "default", "accuracy 1"),
    ("as printed", "default", "synapses"),
    ("default", "edges count", "synapses"),
    *((name, "default", "accuracy 1") for name in FUTURE if name != "five classes"),  # which are easier
    ("two ancestors, aligned", "two ancestors", "fitness"),
)
"""What all other claims say."""
FURTHER = tuple((first, second, what) for first, second, *measures in OTHERS for what in measures)
EXPLORED = tuple(compared(*pair) for pair in FURTHER)
PRIMARY = (
    *(compared(*pair) for pair in FIRST),
    mean_of(
        "synapses_left",
        "share of the network's synapses that PADAWANN has",
        lambda view: view.of("default", "synapses") / view.of("network", "synapses"),
        dict.fromkeys(KEYS, 0.5005),  # 600 460 of 1 199 648
        0.03,  # the thesis's standard deviation over trials
        unit="trials",
    ),
    mean_of(
        "common_beyond_chance",
        "share of the synapses lost by random pruning that PADAWANN has lost too, minus the share that chance gives",
        lambda view: view.of("random pruning", "common") - by_chance(view),
        dict.fromkeys(KEYS, 0.0105),  # .51 with 49.95 % lost
        0.02,
        arms=("default", "random pruning"),
        unit="trials",
    ),
)


def explore(view: View) -> list[lab.Claim]:
    """The other claims that a run has networks for."""
    return decided(EXPLORED, view)


def tables(view: View) -> dict[str, list[dict[str, Any]]]:
    """Accuracies first, as in the thesis's Tables 5.2 to 5.11 and 6.1 to 6.8."""
    found = {
        "accuracy on test images": [accuracy_row(view, row) for row in view.rows],
        "best, worst and mean": [spread_row(view, row, place) for row in view.rows for place in (0, 1)],
        "fitness and shared values": [fitness_row(view, row) for row in view.variants],
        "McNemar's test, two-sided, of the first trial": list(mcnemar_rows(view)),
    }
    again = [row for row in view.rows if np.isfinite(view.of(row, "transfer")).any()]
    found["transfer learning of the output layer"] = [transfer_row(view, row) for row in again]
    return {name: rows for name, rows in found.items() if rows}


def accuracy_row(view: View, row: str) -> dict[str, Any]:
    """Mean accuracies, loss and synapses, with what the thesis reports."""
    cells: dict[str, Any] = {"network": row}
    applies = view.as_published(3 if row == "three tasks" else 2)
    thesis = THESIS.get(row, Thesis()) if applies else Thesis()
    theirs = dict(zip(SETS, thesis.accuracy, strict=False))
    for place, name in enumerate(view.sets):
        cells[name] = average(view.test("accuracy", row, place))
        if place < 2:
            cells[f"{name}, sd"] = deviation(view.test("accuracy", row, place))
        if view.published and name in SETS:
            cells[f"{name}, thesis"] = theirs.get(name)
    both = np.mean([view.test("loss", row, place) for place in (0, 1)], axis=0)
    cells |= {"loss, mean of both tasks": average(both), "synapses": average(view.of(row, "synapses"))}
    # populations draw synapses by the same keys as "default": what they have lost in common says nothing
    common = {"lost in common with default": view.of(row, "common"), "in common by chance": by_chance(view)}
    cells |= {name: average(values) if row in CONTROLS else None for name, values in common.items()}
    if view.published:
        cells |= {"synapses, thesis": thesis.synapses, "in common, thesis": thesis.common}
    return cells


def by_chance(view: View) -> np.ndarray:
    """The share of any set of lost synapses that "default" has lost too, if it loses them by chance; [trials]."""
    return 1 - view.of("default", "synapses") / view.of("network", "synapses")


def spread_row(view: View, row: str, place: int) -> dict[str, Any]:
    """Tables 5.5 and 5.12."""
    found = view.test("accuracy", row, place)
    known = found[np.isfinite(found)]
    interval = mean_interval(known) if known.size > 1 else None
    ends = None if interval is None else [lab.rounded(interval.low), lab.rounded(interval.high)]
    cells: dict[str, Any] = {"network": row, "task": view.sets[place]}
    cells |= {"best": lab.rounded(known.max()), "worst": lab.rounded(known.min()), "mean": average(known)}
    cells |= {"interval of the mean": ends, "sd": deviation(found)}
    return cells | {"ensemble of values": average(view.test("ensemble", row, place))}


def fitness_row(view: View, row: str) -> dict[str, Any]:
    """The champion's fitness, the generation it is of, and the shared values that it is tested at."""
    fitness = view.fitness(row)
    cells: dict[str, Any] = {"population": row, "fitness": average(fitness), "fitness, sd": deviation(fitness)}
    if view.published:
        cells["fitness, thesis"] = THESIS.get(row, Thesis()).fitness
    cells["generation"] = average(view.of(row, "found"))
    for place, name in enumerate(view.sets):
        values = view.test("value", row, place)
        cells[f"value, {name}"] = ", ".join(f"{value:g}" for value in np.unique(values[np.isfinite(values)]))
    return cells


def mcnemar_rows(view: View) -> Iterator[dict[str, Any]]:
    """The thesis's own test, over the test images of the networks of one trial."""
    for first, second, what in (*FIRST, *FURTHER):
        measure, place = parts(what)
        if measure != "accuracy" or place >= len(view.sets) or not {first, second} <= set(view.rows):
            continue
        one, other = view.names.index(first), view.names.index(second)
        counts = view.arrays["alone"][one, other, place], view.arrays["alone"][other, one, place]
        if np.isfinite(counts).all():
            right = np.repeat([1, 0], [int(count) for count in counts])  # images on which the two differ
            p = mcnemar(right, 1 - right, alternative="two-sided").p if right.size else 1.0
            cells = {"data set": view.sets[place], "first": first, "second": second}
            alone = {"right: first alone": int(counts[0]), "second alone": int(counts[1])}
            yield cells | alone | {"p": lab.rounded(p)}


def transfer_row(view: View, row: str) -> dict[str, Any]:
    """Tables 5.13, 6.4 and 6.6: before and after the output layer was trained."""
    cells: dict[str, Any] = {"network": row}
    for place, name in enumerate(view.sets):
        cells[name] = average(view.test("accuracy", row, place))
        cells[f"{name}, after"] = average(view.test("transfer", row, place))
        if view.published and name in SETS:
            cells[f"{name}, thesis"] = THESIS[row].transfer[SETS.index(name)]
    return cells
