"""Figures of the study. An arm has one colour and one line style in all of them."""

from pathlib import Path
from typing import Any

import numpy as np

from evojax_align import plotting
from evojax_align.plotting import _style
from evojax_align.statistics import performance_profile
from experiments.common import plot_rows
from experiments.neuroevolution.arms import ALIGNED, ARMS, NAIVE, factors
from experiments.neuroevolution.config import KINDS
from experiments.neuroevolution.tasks import TASKS
from experiments.neuroevolution.view import View, band

COLOURS = dict(zip(ARMS, (7, 1, 0, 2, 3, 5, 4, 6), strict=True))
"""By arm: its place in the palette."""
DASHES = dict(zip(ARMS, (1, 0, 0, 2, 3, 2, 1, 3), strict=True))
METHOD_COLOURS: dict[str, int] = dict(
    zip(
        (
            "naive",
            "aligned on visited states",
            "aligned on random states",
            "aligned by weights",
            "random order",
            "dead only",
        ),
        (1, 0, 5, 2, 3, 7),
        strict=True,
    )
)
LABELS = {"halfway": "arithmetic, t = 0.5", "neurons": "exchange of neurons"}
CAPTIONS = {
    "transfer": "Part 1: a child's score as a share of its parents' mean. A point is a pair of champions of separate "
    "runs, a bar the mean over pairs. The dashed line is the parents.",
    "speed": "Part 2: the score of the fittest network on test data. A line is the interquartile mean over seeds, a "
    "band reaches from the first to the third quartile. The dotted line is the threshold.",
    "profiles": "The share of runs whose last score is above a threshold, over all tasks: the higher, the better.",
    "factors": "One factor in each panel, beside the naive and the aligned population.",
}


def draw(view: View, folder: Path) -> None:
    """Draw all figures of a run."""
    if view.crossed:
        draw_transfer(view, folder)
    if view.tasks:
        draw_speed(view, folder)
        draw_profiles(view, folder)
    for task in view.tasks:
        if any(name not in ARMS for name in view.within(task)):
            draw_factors(view, task, folder)


def look(name: str) -> dict[str, Any]:
    """Colour and line style of an arm."""
    return {"color": _style.PALETTE[COLOURS[name]], "linestyle": _style.DASHES[DASHES[name]]}


def draw_transfer(view: View, folder: Path) -> None:
    """What children keep of their parents' score: a point for each pair, a bar for their mean."""
    fig, axes = plotting.figure(len(view.crossed), len(KINDS), width=3.3, height=1.5 + 0.3 / len(view.crossed))
    for row, task in enumerate(view.crossed):
        for column, kind in enumerate(KINDS):
            ax, last = axes[row, column], row == len(view.crossed) - 1
            kept = {method: view.kept(task, method, kind) for method in view.methods}
            title = "" if column else TASKS[task].title
            label = f"share of the parents' score\n{LABELS[kind]}" if last else ""
            plot_rows(kept, ax, x=label, title=title, colours=METHOD_COLOURS, named=not column)
            ax.axvline(1.0, color=_style.INK, linewidth=0.6, linestyle=(0, (3, 2)))
            low, high = ax.get_xlim()
            ax.set_xlim(min(low, -0.05), max(high, 1.05))
    plotting.save(fig, folder / "transfer.png")


def draw_speed(view: View, folder: Path) -> None:
    """Scores by evaluations: the interquartile mean and the quartiles of seeds, a panel for each task."""
    tasks = view.tasks
    columns = min(3, len(tasks))
    rows = -(-len(tasks) // columns)
    fig, axes = plotting.figure(rows, columns, width=3.4 if len(tasks) > 1 else 5.0, height=2.7)
    for number, ax in enumerate(axes.flat):
        if number >= len(tasks):
            ax.set_axis_off()
            continue
        task = tasks[number]
        names = [name for name in ARMS if name in view.within(task)]
        for name in names:
            curve(view, f"{task}: {name}", ax, name, **look(name))
        some = f"{task}: {names[0]}"
        ax.axhline(view.number(some, "threshold"), color=_style.INK, linewidth=0.6, linestyle=(0, (1, 2)))
        left = number % columns == 0
        _style.dress(ax, x="evaluations", y="score of the fittest" if left else "", title=TASKS[task].title)
    plotting.shared_legend(fig, axes, order=[*ARMS])
    plotting.save(fig, folder / "speed.png")


def curve(view: View, arm: str, ax: Any, label: str, *, with_band: bool = True, **line: Any) -> None:
    """One learning curve with its band."""
    middle, low, high = band(view.curve(arm))
    steps = view.evaluations(arm)
    if with_band:
        ax.fill_between(steps, low, high, color=line["color"], alpha=0.12, linewidth=0)
    ax.plot(steps, middle, linewidth=1.4, label=label, **line)


def draw_profiles(view: View, folder: Path) -> None:
    """The share of runs whose last score is above a threshold, over all tasks."""
    fig, axes = plotting.figure(width=5.0, height=3.0)
    levels, ax = np.linspace(0, 1, 101), axes[0, 0]
    for name in ARMS:
        arms = [f"{task}: {name}" for task in view.tasks if f"{task}: {name}" in view]
        if len(arms) == len(view.tasks):
            whole = [view.scaled(arm) for arm in arms]
            ax.plot(levels, performance_profile(np.stack(whole), levels), linewidth=1.4, label=name, **look(name))
    _style.dress(ax, x="last score, from 0 (floor) to 1 (best possible)", y="share of runs above it")
    ax.set_ylim(-0.03, 1.03)
    plotting.shared_legend(fig, axes, order=[*ARMS])
    plotting.save(fig, folder / "profiles.png")


def draw_factors(view: View, task: str, folder: Path) -> None:
    """One panel for each factor, with the arms "naive" and "aligned" in each of them; only these two have bands."""
    known = factors(TASKS[task].width, TASKS[task].children)
    groups = {title: [name for name in group if name in view.within(task)] for title, group in known.items()}
    groups = {title: names for title, names in groups.items() if names}
    fig, axes = plotting.figure(-(-len(groups) // 3), min(3, len(groups)), width=3.6, height=3.3)
    for ax in axes.flat[len(groups) :]:
        ax.set_axis_off()
    for number, (ax, (title, names)) in enumerate(zip(axes.flat, groups.items(), strict=False)):
        for name in (NAIVE, ALIGNED):
            if name in view.within(task):
                curve(view, f"{task}: {name}", ax, name, **look(name))
        pairs = list(dict.fromkeys(name.split(", ", 1)[-1] for name in names))
        for name in names:
            base = ALIGNED if name.startswith(ALIGNED) else NAIVE if name.startswith(NAIVE) else ""
            own = name.split(", ", 1)[-1]
            both = {f"{side}, {own}" for side in (NAIVE, ALIGNED)} <= set(names)
            place = COLOURS[base] if both else (2, 3, 5, 7)[pairs.index(own) % 4]
            dashes = _style.DASHES[1 + pairs.index(own) % 3]
            line = {"color": _style.PALETTE[place], "linestyle": dashes}
            curve(view, f"{task}: {name}", ax, name, with_band=False, **line)
        left = number % 3 == 0
        _style.dress(ax, x="evaluations", y="score of the fittest" if left else "", title=title)
        small = _style.LEGEND | {"fontsize": _style.TEXT - 1.5}
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2, **small)
    plotting.save(fig, folder / f"factors-{task.replace(' ', '-').replace(',', '')}.png")
