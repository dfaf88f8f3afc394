"""Figures of the study: accuracy, diversity, the paper's clouds and histograms, and attacks."""

from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from evojax_align import plotting
from evojax_align.evolution import diversity
from experiments.common import finished, panels
from experiments.mixed_evolution.study import TARGETS
from experiments.mixed_evolution.view import View


def draw(view: View, folder: Path) -> None:
    """Draw all figures of a run."""
    draw_generations(view, folder)
    draw_similarity(view, folder)
    if view.were_attacked:
        draw_attacks(view, folder)
    if view.study != "paper":
        draw_comparison(view, folder)


def draw_generations(view: View, folder: Path) -> None:
    """Accuracy and diversity of all populations, generation by generation."""
    every = {
        "accuracy": {
            "test accuracy, mean of the members": ("accuracy", view.arms),
            "accuracy of children before training": ("untrained", view.populations),
        },
        "diversity": {
            "cosine similarity, mean of the layers": ("cosine", view.populations),
            "effective founders, mean of the layers": ("alleles", view.populations),
        },
    }
    steps = np.arange(1, view.arrays["accuracy"].shape[2])
    size: dict[str, Any] = {"width": 4.8, "height": 2.6 + 0.12 * len(view.arms)}
    for name, shown in every.items():
        pictures = [(steps, view.curves(*of), {"x": "generation", "y": title}) for title, of in shown.items()]
        panels(folder / f"{name}.png", plotting.plot_trend, pictures, **size)


def draw_similarity(view: View, folder: Path) -> None:
    """How alike the members of the first seed are, as the paper draws it: by their rows of cosine similarities."""
    shown = view.arrays["shown"].tolist()
    for arm in [arm for arm in ("horizontal", "vertical") if arm in view] or view.populations[:1]:
        layers = view.layers(arm)
        matrices = view.of(arm, "similarity")[:, : len(layers)]
        if not np.isfinite(matrices).any():
            continue
        places = np.array([[diversity.principal_components(jnp.asarray(m)) for m in row] for row in matrices])
        reach = 1.05 * float(np.abs(places).max())
        fig, axes = plotting.figure(2 * len(shown), len(layers), width=2.3, height=1.7)
        for column, layer in enumerate([*layers[1:], layers[0]]):
            number = layers.index(layer)
            for row, generation in enumerate(shown):
                title = f"generation {generation}, {layer}"
                plotting.plot_points(places[row, number], axes[2 * row, column], reach=reach, title=title)
                pairs = matrices[row, number][np.triu_indices(matrices.shape[-1], 1)]
                plotting.plot_histogram(pairs, axes[2 * row + 1, column], x="cosine", y="pairs", span=(-0.1, 1.0))
        plotting.save(fig, folder / f"similarity-{arm.replace(' ', '-').replace(',', '')}.png")


def draw_attacks(view: View, folder: Path) -> None:
    """Accuracy under attack against its strength, at every mark."""
    arms = view.populations if view.study == "paper" else view.populations[:2]
    epsilons = view.arrays["epsilons"]
    pictures = []
    for place, mark in enumerate(view.marks):
        for arm in arms:
            attacked = view.of(arm, "attack")[:, place, : len(epsilons)]
            curves = {target: attacked[..., number] for number, target in enumerate(TARGETS)}
            pictures.append((epsilons, curves, {"x": "epsilon", "y": "accuracy", "title": f"{arm}, generation {mark}"}))
    panels(folder / "attacks.png", plotting.plot_trend, pictures, columns=len(arms), width=3.9, height=2.4)


def draw_comparison(view: View, folder: Path) -> None:
    """All populations by what they gain and what they keep."""
    measures = {"test accuracy, mean of the members": lambda arm: view.accuracy(arm)}
    if view.were_attacked:
        measures["accuracy of others, attacked"] = lambda arm: view.attacked(arm, "other members")
    fig, axes = plotting.figure(1, 2, width=4.8, height=2.6 + 0.12 * len(view.arms))
    for ax, (title, of) in zip(axes[0], measures.items(), strict=False):
        clouds = finished({arm: (view.alike(arm), of(arm)) for arm in view.populations})
        plotting.plot_clouds(clouds, ax, x="cosine similarity, aligned or not, mean of the layers", y=title)
    plotting.save(fig, folder / "comparison.png")
