"""Figures of the study, from the view of a run."""

from pathlib import Path

import numpy as np

from evojax_align import lab, plotting
from experiments.common import finished, panels
from experiments.padawann.claims import View

SHOWN = (
    *("network", "default", "signs discarded", "three tasks", "mapping optimised"),
    *("random pruning", "pruning by magnitude"),
)
"""Networks whose confusion matrices are drawn."""


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
    steps = np.arange(of["fitness"].shape[1])
    pictures = []
    for name in ("accuracy", "loss"):
        curves = {task: of[name][..., place] for place, task in enumerate(view.sets)}
        settings = {"x": "generation", "y": f"{name} on training images", "logarithmic": name == "loss"}
        pictures.append((steps, curves, settings))
    best = {name: {"best member": of[name]} for name in ("synapses", "fitness")}
    best["fitness"]["mean of members"] = of["mean_fitness"]
    pictures += [(steps, curves, {"x": "generation", "y": name}) for name, curves in best.items()]
    path = folder / f"course-{lab.slug(variant)}.png"
    panels(path, plotting.plot_courses, pictures, columns=2, width=4.2)


def draw_comparison(view: View, folder: Path) -> None:
    """Training accuracy of all populations on the first two tasks (Figures 6.1 and 6.2)."""
    fig, axes = plotting.figure(1, 2, width=4.4)
    for place, ax in enumerate(axes[0]):
        curves = {name: view.of(name, "course_accuracy")[..., place] for name in view.variants}
        curves |= finished(curves)  # populations that are not evolved on this task keep their colours
        steps = np.arange(view.of("default", "course_accuracy").shape[1])
        y, title = "accuracy on training images", view.sets[place]
        plotting.plot_courses(steps, curves, ax, x="generation", y=y, title=title)
    plotting.save(fig, folder / "comparison.png")


def draw_confusion(view: View, row: str, folder: Path) -> None:
    """What test images of every data set are taken for (Figures 5.2, 5.4 to 5.7 and 6.3)."""
    fig, axes = plotting.figure(1, len(view.sets), width=3.0)
    for place, ax in enumerate(axes[0]):
        names = [name[:8] for name in view.classes(place)]
        numbers = [str(number) for number in range(len(names))]
        counts, title = view.confusion(row, place), f"{view.sets[place]}: {row}"
        plotting.plot_confusion(counts, ax, names=names, answers=numbers, title=title)
    plotting.save(fig, folder / f"confusion-{lab.slug(row)}.png")
