"""Figures of the study, from the view of a run."""

from pathlib import Path

import numpy as np

from evojax_align import lab, plotting
from experiments.common import finished
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
    fig, axes = plotting.figure(2, 2, width=4.2)
    of = {
        name: view.of(f"course_{name}", variant) for name in ("accuracy", "loss", "synapses", "fitness", "mean_fitness")
    }
    steps = np.arange(of["fitness"].shape[1])
    for ax, name in zip(axes[0], ("accuracy", "loss"), strict=True):
        curves = finished({task: of[name][..., place] for place, task in enumerate(view.sets)})
        logarithmic = name == "loss"
        plotting.plot_courses(
            steps, curves, ax, x="generation", y=f"{name} on training images", logarithmic=logarithmic
        )
    fitness = {"best member": of["fitness"], "mean of members": of["mean_fitness"]}
    for ax, name, curves in (
        (axes[1, 0], "synapses", {"best member": of["synapses"]}),
        (axes[1, 1], "fitness", fitness),
    ):
        plotting.plot_courses(steps, finished(curves), ax, x="generation", y=name)
    plotting.save(fig, folder / f"course-{lab.slug(variant)}.png")


def draw_comparison(view: View, folder: Path) -> None:
    """Training accuracy of all populations on the first two tasks (Figures 6.1 and 6.2)."""
    fig, axes = plotting.figure(1, 2, width=4.4)
    for place, ax in enumerate(axes[0]):
        curves = {name: view.of("course_accuracy", name)[..., place] for name in view.variants}
        curves |= finished(curves)  # populations that are not evolved on this task keep their colours
        steps = np.arange(view.of("course_accuracy", "default").shape[1])
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
