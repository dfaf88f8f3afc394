"""Figures of the study: the paper's 4 and 5, and accuracy against efficiency."""

from pathlib import Path

import numpy as np

from evojax_align import plotting
from experiments.common import finished, panels
from experiments.mating.view import View

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


def draw(view: View, folder: Path) -> None:
    """Draw all figures of a run."""
    if view.study == "paper":
        draw_generations(view, folder)
        draw_controls(view, folder)
    else:
        draw_choices(view, folder)


def draw_generations(view: View, folder: Path) -> None:
    """Accuracy and both efficiencies, generation by generation (Figures 4 and 5)."""
    longest = max(len(view.generations(arm)) for arm in view.arms)
    steps, pictures = np.arange(1, longest + 1), []
    for what, title in {"accuracy": "test accuracy", **EFFICIENCIES}.items():
        log = what in EFFICIENCIES
        found = {arm: view.efficiency(arm, what) if log else view.of(arm, what) for arm in view.arms}
        curves = {
            arm: np.pad(of, [(0, 0), (0, longest - of.shape[1])], constant_values=np.nan) for arm, of in found.items()
        }
        pictures.append((steps, curves, {"x": "generation", "y": title, "logarithmic": log}))
    panels(folder / "generations.png", plotting.plot_trend, pictures, width=4.0)


def draw_controls(view: View, folder: Path) -> None:
    """Accuracy of the first child of each generation and of its controls against efficiency."""
    fig, axes = plotting.figure(2, len(view.controlled), width=4.6)
    for column, arm in enumerate(view.controlled):
        for row, (what, label) in enumerate(EFFICIENCIES.items()):
            curves = {
                name: (view.efficiency(arm, what, name), view.of(arm, "accuracy", name)) for name in view.rows(arm)
            }
            if curves := finished(curves):
                plotting.plot_exchange(curves, axes[row, column], x=label, y="test accuracy", title=arm)
    plotting.save(fig, folder / "controls.png")


def draw_choices(view: View, folder: Path) -> None:
    """Accuracy against efficiency of what the paper leaves open, beside the population of the paper."""
    fig, axes = plotting.figure(3, 2, width=4.8)
    for ax, (title, arms) in zip(axes.ravel(), THEMES.items(), strict=True):
        curves = finished({arm: (view.efficiency(arm), view.of(arm, "accuracy")) for arm in ("sexual", *arms)})
        if curves:
            plotting.plot_exchange(curves, ax, x="synaptic efficiency", y="test accuracy", title=title)
    plotting.save(fig, folder / "choices.png")
