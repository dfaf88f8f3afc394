"""Figures of the study: the course of the searches and their ends, and the architectures that they found."""

from pathlib import Path

import numpy as np

from evojax_align import plotting
from experiments.common import finished, panels
from experiments.lamarckian.view import View

COSTS = "operations for an image"


def draw(view: View, folder: Path) -> None:
    """The course of the searches (Figures 2 and 4), genomes (Figure 3), and the cost of networks."""
    fig, axes = plotting.figure(1, 2, width=4.6)
    courses = finished({arm: view.best(arm) for arm in view.arms})
    plotting.plot_courses(view.grid, courses, axes[0, 0], x="epochs", y="best validation accuracy", title=view.dataset)
    ends = finished({arm: np.stack([view.test(arm, mark) for mark in view.marks], axis=1) for arm in view.arms})
    y = "test accuracy after final training"
    plotting.plot_trend(np.array(view.marks), ends, axes[0, 1], x="epochs of search", y=y)
    plotting.save(fig, folder / "search.png")

    shown = {"blocks": "blocks of the best network", "filters": "filters of a block, mean", "products": COSTS}
    pictures = []
    for name, label in shown.items():
        costs = name == "products"
        curves = {arm: view.best(arm, name) * (2 if costs else 1) for arm in view.arms}
        pictures.append((view.grid, curves, {"x": "epochs", "y": label, "logarithmic": costs}))
    panels(folder / "genomes.png", plotting.plot_courses, pictures, width=3.8)
