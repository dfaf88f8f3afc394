"""Figures, claims and tables of `wann.py`, made of its stored arrays alone."""

import sys
from pathlib import Path
from typing import Any

import numpy as np

from evojax_align import lab, plotting
from evojax_align.evolution.graph import ACTIVATIONS

sys.path.insert(0, str(Path(__file__).parent))

from wann_search import VALUES  # pyright: ignore[reportImplicitRelativeImport]

PAPER = {
    ("WANN", 0): (90, 91, 81, 82, 89, 88),
    ("WANN", 1): (6, 7, 6, 8, 7, 9),
    ("JointWANN", 0): (9, 10, 11, 7, 6, 9),
    ("JointWANN", 1): (62, 66, 51, 33, 57, 57),
}
"""Tables 4.1 and 4.2 of the thesis: test accuracy in percent at weights of -2, -1, -.5, .5, 1 and 2."""
CELLS = {"WANN": 762_129, "JointWANN": 290_521}
"""What its Table 5.7 calls edges: the squares of 873 and 539, the numbers of nodes."""
CONNECTIONS = {"WANN": 1849, "PADAWANN": 600_460}
"""What there are: of the authors' champion as it is published; of PADAWANN as the thesis says."""
AHEAD = 0.2
"""How much more accurate on one task than on the other a network is that favours it."""
NEAR = 0.05
"""How far above chance an accuracy may be, where nothing was learnt."""


class View:
    """What a run's arrays say."""

    def __init__(self, arrays: lab.Arrays) -> None:
        self.arrays = arrays
        self.arms: list[str] = arrays["arms"].tolist()
        self.values: list[float] = arrays["values"].tolist()
        self.swings = self.arms == ["swing-up"]
        self.sets: list[str] = [] if self.swings else arrays["sets"].tolist()
        self.published = self.sets == ["mnist", "emnist_10letters"] and tuple(self.values) == VALUES
        self.pruned = "padawann_accuracy" in arrays

    def of(self, arm: str, name: str) -> np.ndarray:
        """What was measured of the champions, [seeds, ...]."""
        return self.arrays[name][self.arms.index(arm)]

    def course(self, arm: str, name: str) -> np.ndarray:
        """Of each generation's fittest, [seeds, generations]."""
        return self.arrays[f"course_{name}"][self.arms.index(arm)]

    def best(self, arm: str, task: int) -> np.ndarray:
        """Test accuracy at the shared weight that was chosen for the task, [seeds]."""
        chosen = self.of(arm, "chosen")[:, task]
        return self.of(arm, "accuracy")[np.arange(len(chosen)), task, chosen]

    def padawann(self, task: int) -> np.ndarray:
        """Test accuracy of the pruned networks, [seeds]."""
        return self.arrays["padawann_accuracy"][:, task]


def plot(arrays: lab.Arrays, folder: Path) -> None:
    """The courses of the searches, what champions answer at each weight, and the champions as graphs."""
    view = View(arrays)
    generations = np.arange(arrays["course_mean"].shape[2])
    fig, axes = plotting.figure(1, 3, width=3.8)
    shown = (("judged", "mean reward"), ("connections", "connections"), ("hidden", "hidden nodes"))
    for ax, (name, label) in zip(axes[0], shown, strict=True):
        courses = {arm: view.course(arm, name) for arm in view.arms}
        plotting.plot_courses(generations, courses, ax, x="generation", y=label)
    plotting.save(fig, folder / "courses.png")

    fig, axes = plotting.figure(1, len(view.arms), width=5.2, height=4.2)
    for ax, arm in zip(axes[0], view.arms, strict=True):
        layer, edges, kinds = (arrays[f"graph_{arm}_{name}"] for name in ("layer", "edges", "kinds"))
        title = f"{arm}: {len(edges)} connections"
        plotting.plot_graph(layer, edges, kinds.tolist(), ax, among=tuple(ACTIVATIONS), title=title)
    plotting.save(fig, folder / "graphs.png")
    if view.swings:
        plot_pole(view, folder)
    else:
        fig, axes = plotting.figure(1, len(view.sets), width=4.6)
        for task, (ax, name) in enumerate(zip(axes[0], view.sets, strict=True)):
            curves = {arm: view.of(arm, "accuracy")[:, task] for arm in view.arms}
            plotting.plot_trend(np.array(view.values), curves, ax, x="shared weight", y="test accuracy", title=name)
        plotting.save(fig, folder / "weights.png")


def plot_pole(view: View, folder: Path) -> None:
    """A rollout of the best champion at the weight that suits it best."""
    place, angle, reward = (view.arrays[f"pole_{name}"] for name in ("place", "angle", "reward"))
    time = np.arange(len(place)) * float(view.arrays["interval"])
    fig, axes = plotting.figure(2, 1, width=7.0, height=2.6)
    plotting.plot_swing(time, place, angle, axes[0, 0], title="the pole, every tenth of a second")
    plotting.plot_courses(time, {"reward": reward[None]}, axes[1, 0], x="seconds", y="reward of a time step")
    plotting.save(fig, folder / "pole.png")


def judge(arrays: lab.Arrays) -> tuple[list[dict], dict[str, list[dict]]]:
    """The findings of the thesis's fourth chapter, and what goes beyond it; and the tables."""
    view = View(arrays)
    if view.swings:
        return lab.decide(swing_claims(view)), {"rewards of a rollout, at most 1000": swing_rows(view)}
    tables = {
        "test accuracy at each shared weight": [row for arm in view.arms for row in weight_rows(view, arm)],
        "champions": [row for arm in view.arms for row in champion_rows(view, arm)],
    }
    tables["accuracy and size"] = [size_row(view, arm) for arm in (*view.arms, *(["PADAWANN"] if view.pruned else []))]
    return lab.decide(image_claims(view)), tables


def image_claims(view: View) -> list[lab.Claim]:
    """By the champions at the weight that was chosen, one of each seed."""
    claims, first, second = [], view.sets[0], view.sets[1]
    if "WANN" in view.arms:
        own, other = view.best("WANN", 0), view.best("WANN", 1)
        claims.append(lab.above("own_task", f"WANN: more accurate on {first} than on {second}", own, other, paper=1.0))
        chance = 1 / int(view.arrays["classes"])
        statement = f"WANN: less than {chance + NEAR:g} on {second}, where guessing has {chance:g}"
        claims.append(lab.below("no_second", statement, other, chance + NEAR, paper=1.0))
        statement = "WANN: trained weights are better than the best shared one"
        claims.append(lab.above("trained", statement, view.of("WANN", "trained")[:, 0], own))
        statement = "WANN: all shared weights together are better than the best one"
        claims.append(lab.above("ensemble", statement, view.of("WANN", "ensemble")[:, 0], own))
        statement = "WANN: one weight drawn for all is better than one drawn for each"
        drawn = [view.of("WANN", f"{name}_drawn")[:, 0] for name in ("one", "each")]
        claims.append(lab.above("drawn", statement, *drawn))
    for arm in ("JointWANN", "JointWANN, relative"):
        if arm in view.arms:
            claims += joint_claims(view, arm)
    if {"JointWANN", "JointWANN, relative"} <= set(view.arms):
        gaps = [np.abs(view.best(arm, 0) - view.best(arm, 1)) for arm in ("JointWANN", "JointWANN, relative")]
        statement = "JointWANN: logarithms of losses bring both tasks nearer to each other than their sum does"
        claims.append(lab.above("scale", statement, *gaps))
    for arm in [arm for arm in ("WANN", "JointWANN") if view.pruned and arm in view.arms]:
        for task, name in enumerate(view.sets):
            statement = f"PADAWANN: more accurate on {name} than {arm}"
            ours = view.padawann(task), view.best(arm, task)
            claims.append(lab.above(f"padawann_{arm}_{task}", statement, *ours, paper=1.0 if arm == "WANN" else None))
    if view.pruned and "WANN" in view.arms:
        statement = "PADAWANN: fewer connections than WANN (the thesis counts cells of a matrix)"
        sizes = view.arrays["padawann_synapses"].astype(float), view.of("WANN", "connections").astype(float)
        claims.append(lab.below("padawann_size", statement, *sizes, paper=1.0))
    return claims


def joint_claims(view: View, arm: str) -> list[lab.Claim]:
    """Whether judging on both tasks at once serves both."""
    first, second = (view.best(arm, task) for task in (0, 1))
    name, paper = ("relative", None) if arm != "JointWANN" else ("joint", 1.0)
    claims = [
        lab.above(
            f"{name}_favours", f"{arm}: favours one task by {AHEAD} or more", np.abs(first - second), AHEAD, paper=paper
        ),
        lab.above(
            f"{name}_second",
            f"{arm}: more accurate on {view.sets[1]} than on {view.sets[0]}",
            second,
            first,
            paper=paper,
        ),
    ]
    if "WANN" in view.arms:
        alone = view.best("WANN", 0), view.best("WANN", 1)
        statement = f"{arm}: less accurate on {view.sets[0]} than WANN"
        claims.append(lab.below(f"{name}_costs", statement, first, alone[0], paper=paper))
        statement = f"{arm}: more accurate on {view.sets[1]} than WANN"
        claims.append(lab.above(f"{name}_gains", statement, second, alone[1], paper=paper))
    if "WANN, letters" in view.arms:
        statement = f"{arm}: less accurate on {view.sets[1]} than a WANN of these alone"
        claims.append(lab.below(f"{name}_costs_second", statement, second, view.best("WANN, letters", 1)))
    return claims


def weight_rows(view: View, arm: str) -> list[dict[str, Any]]:
    """Tables 4.1 and 4.2: ours, and where they are of the same data, the thesis's."""
    rows, columns = [], [f"{value:g}" for value in view.values]
    for task, name in enumerate(view.sets):
        told = {"ours": [lab.mean(of) for of in view.of(arm, "accuracy")[:, task].T]}
        if view.published and (arm, task) in PAPER:
            told["thesis"] = [percent / 100 for percent in PAPER[arm, task]]
        rows += [
            {"search": arm, "images": name, "of": whose} | dict(zip(columns, numbers, strict=True))
            for whose, numbers in told.items()
        ]
    return rows


def champion_rows(view: View, arm: str) -> list[dict[str, Any]]:
    """What champions do with other weights than those that they were evolved at."""
    columns = {
        "ensemble": "all together",
        "one_drawn": "one drawn for all",
        "each_drawn": "each drawn",
        "trained": "trained",
    }
    return [
        {"search": arm, "images": name, "best shared weight": lab.mean(view.best(arm, task))}
        | {title: lab.mean(view.of(arm, column)[:, task]) for column, title in columns.items()}
        for task, name in enumerate(view.sets)
    ]


def size_row(view: View, arm: str) -> dict[str, Any]:
    """Table 5.7, with connections counted as connections."""
    pruned = arm == "PADAWANN"
    row: dict[str, Any] = {"search": arm}
    for task, name in enumerate(view.sets):
        row[name] = lab.mean(view.padawann(task) if pruned else view.best(arm, task))
    row["connections"] = lab.mean(view.arrays["padawann_synapses"] if pruned else view.of(arm, "connections"))
    row |= {title: None if pruned else lab.mean(view.of(arm, title)) for title in ("hidden", "layers")}
    return row | {"thesis's count": CELLS.get(arm, CONNECTIONS.get(arm)), "its connections": CONNECTIONS.get(arm)}


def swing_claims(view: View) -> list[lab.Claim]:
    """Whether the pole is swung up, and whether it stays there, at the weight that did best on other rollouts."""
    whole, stands = view.arrays["rewards"] / float(view.arrays["limit"]), view.arrays["stands"]
    own = np.arange(len(whole)), view.arrays["chosen"]
    among = ", ".join(f"{value:g}" for value in view.values)
    statement = f"swing-up: more than half of all reward at the worst weight of {among}"
    end = "swing-up: upright through the last two seconds of more than half of all rollouts, at the weight chosen"
    return [
        lab.above("up", "swing-up: more than half of all reward at the weight chosen", whole[own], 0.5),
        lab.above("up_all", statement, whole.min(axis=1), 0.5),
        lab.above("stands", end, stands[own], 0.5),
    ]


def swing_rows(view: View) -> list[dict[str, Any]]:
    """Of each seed's champion."""
    rows = []
    for seed, (rewards, stands) in enumerate(zip(view.arrays["rewards"], view.arrays["stands"], strict=True)):
        columns = [f"{value:g}" for value in view.values]
        row = {"seed": seed} | dict(zip(columns, map(lab.rounded, rewards), strict=True))
        row["weight chosen"] = columns[view.arrays["chosen"][seed]]
        rows.append(row | {"stands at the end": lab.rounded(stands[view.arrays["chosen"][seed]])})
    return rows
