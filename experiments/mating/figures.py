"""Figures of the study: the paper's 4 and 5, and accuracy against efficiency."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from evojax_align import plotting
from experiments.common import finished, mark_paper
from experiments.mating.claims import PAPER
from experiments.mating.told import Told
from experiments.mating.view import FIRST, View

THEMES = {
    "which synapses a child may have": ("support: mean", "support: union", "asexual"),
    "how they are drawn": ("exact numbers", "the likeliest", "clusters die", "one budget for all layers"),
    "what counts of a weight": ("all synapses count", "signed strengths", "saliency", "environment ever harder"),
    "who mates": ("the fitter parent favoured", "a pool of six", "three parents", "siblings realigned"),
    "what children begin with": (
        "weights inherited",
        "weights not scaled",
        "weights of the ancestor",
        "weights drawn apart",
    ),
    "ancestors": (
        "two ancestors",
        "two ancestors, aligned",
        "two ancestors, inherited",
        "two ancestors, aligned, inherited",
    ),
}
"""Populations of the study "choices" that are drawn together, beside the one of the paper."""
EFFICIENCIES = {"synapses": "synaptic efficiency", "kernels": "cluster efficiency"}


ORDER = ("asexual", "sexual", "sexual, mean", "sexual, union")
"""Populations in the order of the colours; the controls follow."""
CAPTIONS = {
    "generations": "Accuracy and both efficiencies by generation (the paper's Figure 4): mean and standard deviation "
    "of seeds. Stars are the paper's, of one run each, where the loss of accuracy is its own.",
    "controls": "Accuracy of the first child of each generation and of its controls against efficiency: each seed "
    "(thin) and their mean. Stars are the paper's.",
    "choices": "Accuracy against synaptic efficiency of what the paper leaves open or proposes, beside its own sexual "
    "population.",
}


def draw(view: View, folder: Path) -> None:
    """Draw all figures of a run."""
    if view.study == "paper":
        draw_generations(view, folder)
        draw_controls(view, folder)
    else:
        draw_choices(view, folder)


def draw_told(results: Mapping[str, Any], record: Mapping[str, Any], folder: Path) -> None:
    """Draw what the tables of a stored run suffice for."""
    view = Told(results["tables"], record["configuration"]["dataset"])
    draw_generations(view, folder)
    draw_controls(view, folder)


def draw_generations(view: "View | Told", folder: Path) -> None:
    """Accuracy, synaptic and cluster efficiency of all populations (the paper's Figure 4)."""
    longest = max(len(view.generations(arm)) for arm in view.arms)
    among, steps = tuple(dict.fromkeys((*ORDER, *view.arms))), np.arange(1, longest + 1)
    fig, axes = plotting.figure(1, 3, width=2.8, height=2.6)
    for place, (ax, what) in enumerate(zip(axes[0], ("accuracy", *EFFICIENCIES), strict=True)):
        log = what in EFFICIENCIES
        found = {arm: view.efficiency(arm, what) if log else view.of(arm, what) for arm in view.arms}
        curves = {
            arm: np.pad(of, [(0, 0), (0, longest - of.shape[1])], constant_values=np.nan) for arm, of in found.items()
        }
        labels = {"x": "generation", "y": EFFICIENCIES.get(what, "test accuracy"), "logarithmic": log}
        if curves := finished(curves):
            plotting.plot_trend(steps, curves, ax, among=among, **labels)
        for arm, runs in PAPER.get(view.published, {}).items():
            known = [run for run in runs if run[0] <= longest]
            mark_paper(ax, [run[0] - 1 for run in known], [run[1 + place] for run in known], among.index(arm))
    plotting.shared_legend(fig, axes, order=among)
    plotting.save(fig, folder / "generations.png")


def draw_controls(view: "View | Told", folder: Path) -> None:
    """Accuracy of the first child of each generation and of its controls against efficiency."""
    names = list(dict.fromkeys(name for arm in view.controlled for name in view.rows(arm)[1:]))
    fig, axes = plotting.figure(2, len(view.controlled), width=3.5, height=2.5)
    for column, arm in enumerate(view.controlled):
        for row, (what, label) in enumerate(EFFICIENCIES.items()):
            curves = {
                titled(arm, name): (view.efficiency(arm, what, name), view.of(arm, "accuracy", name))
                for name in view.rows(arm)
            }
            among = [*(titled(of, FIRST) for of in ORDER), *names]
            ax, labels = axes[row, column], {"x": label, "y": "" if column else "test accuracy"}
            if curves := finished(curves):
                plotting.plot_exchange(curves, ax, among=among, title="" if row else f"{arm} synthesis", **labels)
            for run in PAPER.get(view.published, {}).get(arm, ()):
                mark_paper(ax, [run[2 + row]], [run[1]], ORDER.index(arm))
    plotting.shared_legend(fig, axes, order=[titled(arm, FIRST) for arm in view.controlled])
    plotting.save(fig, folder / "controls.png")


def titled(arm: str, name: str) -> str:
    """What a legend calls the first child of an arm, or one of its controls."""
    return f"{arm}, first child" if name == FIRST else name


def draw_choices(view: View, folder: Path) -> None:
    """Accuracy against efficiency of what the paper leaves open, beside the population of the paper."""
    fig, axes = plotting.figure(3, 2, width=4.8)
    for ax, (title, arms) in zip(axes.ravel(), THEMES.items(), strict=True):
        curves = finished({arm: (view.efficiency(arm), view.of(arm, "accuracy")) for arm in ("sexual", *arms)})
        if curves:
            plotting.plot_exchange(curves, ax, x="synaptic efficiency", y="test accuracy", among=ORDER[:2], title=title)
    plotting.save(fig, folder / "choices.png")
