"""Figures of the study: accuracy, diversity, the paper's clouds and histograms, and attacks."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from evojax_align import plotting
from evojax_align.evolution import diversity
from evojax_align.plotting import _style
from experiments.common import finished, mark_paper
from experiments.mixed_evolution.claims import ATTACKED, NOTEBOOK
from experiments.mixed_evolution.config import EPSILON, KINDS
from experiments.mixed_evolution.study import TARGETS
from experiments.mixed_evolution.told import Told
from experiments.mixed_evolution.view import View

THEMES = {
    "alignment": ("aligned parents", "aligned by CCA"),
    "mutation": ("mutation", "adaptive mutation"),
    "fitness": ("cosine bonus", "hybrid vigour", "fitness sharing", "novelty"),
    "selection and newcomers": ("random selection", "immigrants", "islands"),
}
"""Populations of the study "cures" that are drawn together, beside "horizontal"."""
PALE: dict[str, Any] = {"linewidth": 7, "alpha": 0.3}
LEAST = 1e-3
"""Accuracies under attack are drawn down to this."""
CAPTIONS = {
    "accuracy": "Test accuracy of the members, and of children before training, by generation: mean and standard "
    "deviation of seeds. Pale bars reach from the worst to the best member in the authors' notebook, where the "
    "settings are its own.",
    "diversity": "Mean cosine similarity of two members, and effective number of founders, by generation.",
    "attacks": "Accuracy under FGSM attacks of growing strength, on the network that is attacked and on others, on a "
    "logarithmic axis. Stars are the authors' numbers.",
    "similarity": "The members of the first seed by their rows of cosine similarities (first two principal "
    "components), and how often pairs have which similarity.",
    "comparison": "Each population by how alike its members are, and by its accuracy: a point for each seed, a "
    "large one for their mean.",
}


def draw(view: View, folder: Path) -> None:
    """Draw all figures of a run."""
    draw_means(view, folder)
    draw_similarity(view, folder)
    if view.study != "paper":
        draw_comparison(view, folder)


def draw_told(results: Mapping[str, Any], record: Mapping[str, Any], folder: Path) -> None:
    """Draw what the tables of a stored run suffice for."""
    view = Told(results["tables"], record["configuration"]["study"])
    draw_means(view, folder)
    if view.study != "paper":
        draw_comparison(view, folder)


def draw_means(view: "View | Told", folder: Path) -> None:
    """Draw the figures for which the means over seeds suffice."""
    all_of, some = view.arms, view.populations
    every = {
        "accuracy": {"test accuracy": ("accuracy", all_of), "accuracy before training": ("untrained", some)},
        "diversity": {"cosine similarity": ("cosine", some), "effective founders": ("alleles", some)},
    }
    for name, shown in every.items():
        draw_generations(view, shown, folder / f"{name}.png")
    if view.were_attacked:
        draw_attacks(view, folder)


def grouped(study: str, arms: list[str]) -> dict[str, dict[str, str]]:
    """The arms of each panel by what a legend calls them; networks that train without recombination are in all."""
    controls = {arm: arm for arm in arms if arm.startswith("alone")}
    if study == "cross":
        found = {
            kind: {arm.removeprefix(f"{kind}, "): arm for arm in arms if arm.startswith(kind)}
            for kind in KINDS.values()
        }
    elif study == "cures":
        found = {theme: {arm: arm for arm in ("horizontal", *of) if arm in arms} for theme, of in THEMES.items()}
    else:
        found = {"": {arm: arm for arm in arms if arm not in controls}}
    return {title: group | controls for title, group in found.items() if group}


def draw_generations(view: "View | Told", shown: dict[str, tuple[str, list[str]]], path: Path) -> None:
    """Two measures of all populations, generation by generation: a row for each, a column for each group."""
    groups = grouped(view.study, view.arms)
    order = list(dict.fromkeys(label for group in groups.values() for label in group))
    wide = len(groups) > 1
    fig, axes = plotting.figure(*((2, len(groups)) if wide else (1, 2)), width=2.3 if wide else 3.5, height=2.5)
    axes = axes if wide else axes.T
    for row, (title, (measure, arms)) in enumerate(shown.items()):
        for column, (theme, group) in enumerate(groups.items()):
            ax, known = axes[row, column], view.curves(measure, [arm for arm in group.values() if arm in arms])
            curves = finished({label: known[arm] for label, arm in group.items() if arm in known})
            steps = np.arange(1, next(iter(known.values())).shape[1] + 1)
            labels: dict[str, Any] = {"x": "generation", "y": "" if column else title, "title": "" if row else theme}
            if curves:
                plotting.plot_trend(steps, curves, ax, among=order, **labels)
            if view.published and measure == "accuracy":
                for arm, of in NOTEBOOK.items():
                    best, worst = np.array(of).T / 100
                    ax.vlines(np.arange(len(of)), worst, best, color=_style.line(order.index(arm))["color"], **PALE)
    plotting.shared_legend(fig, axes, order=order)
    plotting.save(fig, path)


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
        fig, axes = plotting.figure(2 * len(shown), len(layers), width=1.7, height=1.3)
        for column, layer in enumerate([*layers[1:], layers[0]]):
            number = layers.index(layer)
            for row, generation in enumerate(shown):
                title = f"generation {generation}, {layer}"
                plotting.plot_points(places[row, number], axes[2 * row, column], reach=reach, title=title)
                pairs = matrices[row, number][np.triu_indices(matrices.shape[-1], 1)]
                plotting.plot_histogram(pairs, axes[2 * row + 1, column], x="cosine", y="pairs", span=(-0.1, 1.0))
        plotting.save(fig, folder / f"similarity-{arm.replace(' ', '-').replace(',', '')}.png")


def draw_attacks(view: "View | Told", folder: Path) -> None:
    """Accuracy under attack against its strength, a row for each mark."""
    arms = view.populations if view.study == "paper" else view.populations[:2]
    epsilons, size = view.arrays["epsilons"], (len(view.marks), len(arms))
    fig, axes = plotting.figure(*size, width=2.3, height=2.1)
    for row, mark in enumerate(view.marks):
        for column, arm in enumerate(arms):
            ax, attacked = axes[row, column], view.of(arm, "attack")[:, row, : len(epsilons)]
            curves = finished({target: attacked[..., number] for number, target in enumerate(TARGETS)})
            labels: dict[str, Any] = {
                "x": "epsilon" if row + 1 == len(view.marks) else "",
                "y": "" if column else f"accuracy, generation {mark}",
            }
            if curves:
                settings = {"among": TARGETS, "title": "" if row else arm, "logarithmic": True}
                plotting.plot_trend(epsilons, {k: of + 1e-6 for k, of in curves.items()}, ax, **labels, **settings)
            for number, target in enumerate(TARGETS):
                paper = ATTACKED.get(target, {})
                if view.published and not row and arm in paper:
                    mark_paper(ax, [epsilons.tolist().index(EPSILON)], [paper[arm]], number, "the authors")
            ax.set_ylim(LEAST, 1.2)
            ax.set_yticks([0.001, 0.01, 0.1, 1.0])
    plotting.shared_legend(fig, axes, order=TARGETS)
    plotting.save(fig, folder / "attacks.png")


def draw_comparison(view: "View | Told", folder: Path) -> None:
    """All populations by what they gain and what they keep."""
    groups = grouped(view.study, view.populations)
    order = list(dict.fromkeys(label for group in groups.values() for label in group))
    measures = {"test accuracy": lambda arm: view.accuracy(arm)}
    if view.were_attacked:
        measures["accuracy of others, attacked"] = lambda arm: view.attacked(arm, "other members")
    fig, axes = plotting.figure(len(measures), len(groups), width=2.3, height=2.4)
    for row, (title, of) in enumerate(measures.items()):
        for column, (theme, group) in enumerate(groups.items()):
            clouds = finished({label: (view.alike(arm), of(arm)) for label, arm in group.items()})
            labels: dict[str, Any] = {
                "x": "cosine similarity",
                "y": "" if column else title,
                "title": "" if row else theme,
            }
            if clouds:
                plotting.plot_clouds(clouds, axes[row, column], among=order, **labels)
                axes[row, column].margins(0.15)
    plotting.shared_legend(fig, axes, order=order)
    plotting.save(fig, folder / "comparison.png")
