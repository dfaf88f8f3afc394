"""Figures of the study: the course of the searches and their ends, and the architectures that they found."""

from pathlib import Path
from typing import Any

import numpy as np

from evojax_align import plotting
from experiments.common import finished, mark_paper, panels
from experiments.lamarckian.claims import PAPER
from experiments.lamarckian.config import ARMS
from experiments.lamarckian.view import View

COSTS = "operations for an image"
ORDER = tuple(ARMS)
"""Searches in the order of the colours."""
FEW = 3
"""Of more searches the seeds are not drawn."""
CAPTIONS = {
    "search": "Left: validation accuracy of the best network so far, mean of seeds; of up to three searches each seed "
    "too (thin). Right: test accuracy after final training, mean and standard deviation, and the paper's means where "
    "the settings are its own.",
    "genomes": "The best network so far: its blocks (the paper's Figure 3), the filters of a block, and its cost; "
    "means of seeds, of up to three searches each seed too (thin).",
}


def draw(view: View, folder: Path) -> None:
    """The course of the searches (Figures 2 and 4), genomes (Figure 3), and the cost of networks."""
    fig, axes = plotting.figure(1, 2, width=3.6, height=2.8)
    courses = shown({arm: view.best(arm) for arm in view.arms})
    labels: dict[str, Any] = {"x": "epochs", "y": "best validation accuracy", "title": view.dataset}
    plotting.plot_courses(view.grid, courses, axes[0, 0], among=ORDER, **labels)
    ends = finished({arm: np.stack([view.test(arm, mark) for mark in view.marks], axis=1) for arm in view.arms})
    y = "test accuracy after final training"
    plotting.plot_trend(np.array(view.marks), ends, axes[0, 1], x="epochs of search", y=y, among=ORDER)
    for arm in ends:
        if (view.published, arm) in PAPER:
            means = [numbers[1] / 100 for numbers in PAPER[view.published, arm]]
            mark_paper(axes[0, 1], [0, len(view.marks) - 1], means, ORDER.index(arm))
    plotting.shared_legend(fig, axes, order=ORDER)
    plotting.save(fig, folder / "search.png")

    measures = {"blocks": "blocks of the best network", "filters": "filters of a block, mean", "products": COSTS}
    pictures = []
    for name, label in measures.items():
        costs = name == "products"
        curves = shown({arm: view.best(arm, name) * (2 if costs else 1) for arm in view.arms})
        pictures.append((view.grid, curves, {"x": "epochs", "y": label, "logarithmic": costs, "among": ORDER}))
    panels(folder / "genomes.png", plotting.plot_courses, pictures, width=2.8)


def shown(curves: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Curves of finished seeds; of many searches the means alone."""
    known = finished(curves)
    return known if len(known) <= FEW else {arm: of.mean(axis=0, keepdims=True) for arm, of in known.items()}
