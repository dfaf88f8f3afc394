"""Figures of the study, from the view of a run."""

from pathlib import Path

import numpy as np

from evojax_align import lab, plotting
from experiments.common import panels, plot_rows
from experiments.padawann.claims import SETS, THESIS, View

SHOWN = (
    *("network", "default", "signs discarded", "three tasks", "mapping optimised"),
    *("random pruning", "pruning by magnitude"),
)
"""Networks whose confusion matrices are drawn."""
BEST, MEAN = "best member", "mean of members"
CAPTIONS = {
    "course": "The best member by generation: accuracy and loss on training images, which it is selected by, synapses "
    "and fitness; each trial (thin) and their mean.",
    "comparison": "Accuracy on the test images of each data set: a point for each trial, a bar for their mean, and a "
    "star for the thesis's mean where the data are its own. Blue: champions of populations. Grey: controls.",
    "confusion": "Which class test images of each class (down) are taken for, in percent of the class.",
}


def draw(view: View, folder: Path) -> None:
    """The course of every population, all of them together, and confusion matrices."""
    for variant in view.variants:
        draw_course(view, variant, folder)
    draw_comparison(view, folder)
    for row in SHOWN:
        if row in view.rows:
            draw_confusion(view, row, folder)


def draw_course(view: View, variant: str, folder: Path) -> None:
    """Accuracy, loss, synapses and fitness of the best member by generation (Figures 5.3, 5.8 and B)."""
    of = {
        name: view.of(variant, f"course_{name}") for name in ("accuracy", "loss", "synapses", "fitness", "mean_fitness")
    }
    steps, among = np.arange(of["fitness"].shape[1]), (*view.sets, BEST, MEAN)
    pictures = []
    for name in ("accuracy", "loss"):
        curves = {task: of[name][..., place] for place, task in enumerate(view.sets)}
        settings = {"y": f"{name} on training images", "logarithmic": name == "loss"}
        pictures.append((steps, curves, settings))
    best = {name: {BEST: of[name]} for name in ("synapses", "fitness")}
    best["fitness"][MEAN] = of["mean_fitness"]
    pictures += [(steps, curves, {"y": name}) for name, curves in best.items()]
    pictures = [(steps, curves, settings | {"x": "generation", "among": among}) for steps, curves, settings in pictures]
    path = folder / f"course-{lab.slug(variant)}.png"
    panels(path, plotting.plot_courses, pictures, columns=2, width=3.4, height=2.4)


def draw_comparison(view: View, folder: Path) -> None:
    """Accuracy of all networks on the test images of all data sets (Tables 5.1 to 5.11, 6.3 to 6.8)."""
    size = {"width": 2.2, "height": 0.9 + 0.22 * len(view.rows)}
    fig, axes = plotting.figure(1, len(view.sets), **size)
    for place, (ax, name) in enumerate(zip(axes[0], view.sets, strict=True)):
        rows = {row: view.test("accuracy", row, place) for row in view.rows}
        colours = {row: 0 if row in view.variants else 7 for row in rows}
        known = {row: told.accuracy for row, told in THESIS.items() if row in rows} if view.published else {}
        where = SETS.index(name) if name in SETS else len(SETS)
        paper = {row: of[where] for row, of in known.items() if where < len(of)}
        settings = {"colours": colours, "paper": paper, "source": "the thesis", "named": not place}
        plot_rows(rows, ax, x="test accuracy", title=name, **settings)
        ax.set_xlim(-0.03, 1.03)
        ax.set_xticks([0, 0.5, 1], ["0", ".5", "1"])
    plotting.shared_legend(fig, axes)
    plotting.save(fig, folder / "comparison.png")


def draw_confusion(view: View, row: str, folder: Path) -> None:
    """What test images of every data set are taken for (Figures 5.2, 5.4 to 5.7 and 6.3)."""
    columns = min(2, len(view.sets))
    fig, axes = plotting.figure(-(-len(view.sets) // columns), columns, width=3.4, height=3.0)
    for ax in axes.flat[len(view.sets) :]:
        ax.set_axis_off()
    for place, (ax, name) in enumerate(zip(axes.flat, view.sets, strict=False)):
        names = view.classes(place)
        numbers = [str(number) for number in range(len(names))]
        title = name if place else f"{row}: {name}"
        plotting.plot_confusion(view.confusion(row, place), ax, names=names, answers=numbers, title=title)
    plotting.save(fig, folder / f"confusion-{lab.slug(row)}.png")
