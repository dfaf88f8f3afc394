"""Figures and tables of `mixed_evolution.py`, from the stored arrays of a study alone."""

import sys
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from evojax_align import lab, plotting
from evojax_align.evolution import diversity

sys.path.insert(0, str(Path(__file__).parent))

from mixed_evolution_claims import cross_claims, cure_claims, paper_claims  # pyright: ignore[reportImplicitRelativeImport]
from mixed_evolution_view import TARGETS, View  # pyright: ignore[reportImplicitRelativeImport]

NOTEBOOK = {
    "horizontal": ((91.87, 91.36), (93.89, 92.89), (94.96, 94.15), (95.90, 94.68), (96.58, 95.69), (96.91, 96.19)),
    "vertical": ((91.64, 91.08), (93.84, 92.68), (94.83, 93.71), (95.80, 94.60), (96.38, 95.55), (96.87, 96.29)),
}
"""Best and worst test accuracy per generation in the authors' notebook, in percent; on MNIST, with blocks as genes."""
PUBLISHED = {
    "best member": {"horizontal": 0.0061, "vertical": 0.0063},
    "other members": {"horizontal": 0.031, "vertical": 0.0154},
    "other children": {"horizontal": 0.0970, "vertical": 0.0436},
}
"""Accuracy under attack there; the middle of the range where they give one, the mean of ten children."""


def plot(arrays: lab.Arrays, folder: Path) -> None:
    """Accuracy, similarity, the paper's clouds and histograms, and attacks."""
    view = View(arrays)
    plot_generations(view, folder)
    plot_similarity(view, folder)
    if view.were_attacked:
        plot_attacks(view, folder)
    if str(arrays["study"]) != "paper":
        plot_comparison(view, folder)


def plot_generations(view: View, folder: Path) -> None:
    """Accuracy and diversity of all populations, generation by generation."""
    count = view.arrays["accuracy"].shape[2]
    generations = np.arange(1, count)
    for name, pictures in {
        "accuracy": {
            "test accuracy, mean of the members": lambda arm: view.of(arm, "accuracy")[:, 1:].mean(axis=-1),
            "children before training": lambda arm: view.of(arm, "untrained").mean(axis=-1),
        },
        "diversity": {
            "cosine similarity, mean of the layers": lambda arm: np.stack(
                [view.cosine(arm, g).mean(axis=-1) for g in generations], axis=1
            ),
            "effective founders, mean of the layers": lambda arm: np.stack(
                [view.alleles(arm, g).mean(axis=-1) for g in generations], axis=1
            ),
        },
    }.items():
        fig, axes = plotting.figure(1, 2, width=4.8, height=2.6 + 0.12 * len(view.arms))
        for ax, (title, of) in zip(axes[0], pictures.items(), strict=True):
            curves = {arm: of(arm) for arm in view.arms}
            if title.startswith("test"):
                for number, network in enumerate(view.networks):
                    curves[f"alone, {network}"] = view.arrays["alone_accuracy"][number].mean(axis=-1)
            plotting.plot_trend(generations, curves, ax, x="generation", y=title)
        plotting.save(fig, folder / f"{name}.png")


def plot_similarity(view: View, folder: Path) -> None:
    """How alike the members of the first repeat are, as the paper draws it: by their rows of cosine similarities."""
    last = view.arrays["accuracy"].shape[2] - 1
    shown = sorted({0, view.marks[0] // 2, view.marks[0], last})
    for arm in [arm for arm in ("horizontal", "vertical") if arm in view.arms] or view.arms[:1]:
        layers = view.layers(arm)
        matrices = view.of(arm, "layer_cosine")[0, shown]
        places = np.array(
            [[diversity.principal_components(jnp.asarray(m)) for m in row[: len(layers)]] for row in matrices]
        )
        reach = 1.05 * float(np.abs(places).max())
        fig, axes = plotting.figure(2 * len(shown), len(layers), width=2.3, height=1.7)
        for column, layer in enumerate(sorted(layers, key=lambda name: name == "output")):
            number = layers.index(layer)
            for row, generation in enumerate(shown):
                title = f"generation {generation}, {layer}"
                plotting.plot_points(places[row, number], axes[2 * row, column], reach=reach, title=title)
                pairs = matrices[row, number][np.triu_indices(matrices.shape[-1], 1)]
                plotting.plot_histogram(pairs, axes[2 * row + 1, column], x="cosine", y="pairs", span=(-0.1, 1.0))
        plotting.save(fig, folder / f"similarity-{arm.replace(' ', '-').replace(',', '')}.png")


def plot_attacks(view: View, folder: Path) -> None:
    """Accuracy under attack against its strength, at every mark."""
    arms = view.arms if str(view.arrays["study"]) == "paper" else view.arms[:2]
    count = len(view.arrays["epsilons"])
    fig, axes = plotting.figure(len(view.marks), len(arms), width=3.9, height=2.4)
    for row, mark in enumerate(view.marks):
        for ax, arm in zip(axes[row], arms, strict=True):
            curves = {target: view.of(arm, "attack")[:, row, :count, i] for i, target in enumerate(TARGETS)}
            title = f"{arm}, generation {mark}"
            plotting.plot_trend(view.arrays["epsilons"], curves, ax, x="epsilon", y="accuracy", title=title)
    plotting.save(fig, folder / "attacks.png")


def plot_comparison(view: View, folder: Path) -> None:
    """All populations by what they gain and what they keep."""
    fig, axes = plotting.figure(1, 2, width=4.8, height=2.6 + 0.12 * len(view.arms))
    similar = {arm: view.alike(arm) for arm in view.arms}
    clouds = {arm: (similar[arm], view.accuracy(arm)) for arm in view.arms}
    labels = {"x": "cosine similarity, aligned or not, mean of the layers"}
    plotting.plot_clouds(clouds, axes[0, 0], **labels, y="test accuracy, mean of the members")
    if view.were_attacked:
        clouds = {arm: (similar[arm], view.attacked(arm, "other members")) for arm in view.arms}
        plotting.plot_clouds(clouds, axes[0, 1], **labels, y="accuracy of others, attacked")
    plotting.save(fig, folder / "comparison.png")


def judge(arrays: lab.Arrays) -> tuple[list[dict], dict[str, list[dict]]]:
    """The claims of the paper and of this project, each decided over seeds; and the tables."""
    view, study = View(arrays), str(arrays["study"])
    claims = {"paper": paper_claims, "cross": cross_claims, "cures": cure_claims}[study](view)
    long = study != "paper"  # tables of so many populations are kept, but too long for a page
    tables = {
        "populations": [summary(view, arm) for arm in view.arms],
        "networks that train alone": [row for name in view.networks for row in alone_rows(view, name)],
        "all generations" if long else "by generation": [
            row for arm in view.arms for row in generation_rows(view, arm)
        ],
    }
    if view.were_attacked:
        tables["all attacks" if long else "under attack"] = [row for arm in view.arms for row in attack_rows(view, arm)]
    return lab.decide(claims), tables


def summary(view: View, arm: str) -> dict[str, Any]:
    """One population at the first mark, by all that counts."""
    layers = view.layers(arm)
    row = {
        "population": arm,
        "genes": str(view.arrays["genes"][view.arms.index(arm)]),
        "best": lab.mean(view.accuracy(arm, "best")),
        "mean": lab.mean(view.accuracy(arm)),
        "worst": lab.mean(view.accuracy(arm, "worst")),
        "children untrained": lab.mean(view.untrained(arm)),
        "ensemble": lab.mean(view.of(arm, "together")[:, 0]),
        "cosine": lab.mean(view.cosine(arm)),
        "cosine, aligned or not": lab.mean(view.alike(arm)),
        "founders": lab.mean(view.alleles(arm)),
        "groups, output": lab.mean(view.groups(arm)[:, layers.index("output")]),
    }
    if view.were_attacked:
        row |= {"others, attacked": lab.mean(view.attacked(arm, "other members"))}
        row |= {"children, attacked": lab.mean(view.attacked(arm, "other children"))}
    return row


def alone_rows(view: View, network: str) -> list[dict[str, Any]]:
    """Networks that train alone, at every mark."""
    rows, number = [], view.networks.index(network)
    accuracy, together, attacked = (view.arrays[f"alone_{name}"][number] for name in ("accuracy", "together", "attack"))
    for place, mark in enumerate(view.marks):
        row = {
            "network": network,
            "generation": mark,
            "accuracy": lab.mean(accuracy[:, mark - 1]),
            "ensemble": lab.mean(together[:, place]),
        }
        if view.were_attacked:
            attack = attacked[:, place, view.usual]
            row |= {"attacked itself": lab.mean(attack[:, 0]), "others, attacked": lab.mean(attack[:, 1])}
        rows.append(row)
    return rows


def generation_rows(view: View, arm: str) -> list[dict[str, Any]]:
    """Accuracy and diversity of one population, generation by generation."""
    rows = []
    for generation in range(1, view.arrays["accuracy"].shape[2]):
        known = NOTEBOOK.get(arm, ()) if view.published else ()
        notebook = known[generation - 1] if generation <= len(known) else (None, None)
        row = {"population": arm, "generation": generation}
        for how, theirs in (("best", notebook[0]), ("worst", notebook[1])):
            row[how] = lab.mean(view.accuracy(arm, how, generation))
            if view.published:
                row[f"{how}, notebook"] = None if theirs is None else lab.rounded(theirs / 100)
        row["mean"] = lab.mean(view.accuracy(arm, "mean", generation))
        row["children untrained"] = lab.mean(view.of(arm, "untrained")[:, generation - 1])
        row["cosine of genes"] = lab.rounded(np.nanmean(view.of(arm, "gene_cosine")[:, generation]))
        for what, of in (("cosine", view.cosine), ("founders", view.alleles), ("groups", view.groups)):
            known = dict(zip(view.layers(arm), of(arm, generation).mean(axis=0), strict=True))
            for layer in view.all_layers:
                row[f"{what}, {layer}"] = lab.rounded(known[layer]) if layer in known else None
        rows.append(row)
    return rows


def attack_rows(view: View, arm: str) -> list[dict[str, Any]]:
    """Accuracy of all targets under all attacks, at every mark."""
    rows = []
    for place, mark in enumerate(view.marks):
        children, grown = view.of(arm, "child_accuracy")[:, place].mean(axis=0)
        for number, attack in enumerate(view.attacks):
            row: dict[str, Any] = {"population": arm, "generation": mark, "attack": attack}
            for target in TARGETS:
                row[target] = lab.mean(view.attacked(arm, target, place, number))
                if view.published and target in PUBLISHED:
                    theirs = PUBLISHED[target].get(arm) if (place, number) == (0, view.usual) else None
                    row[f"{target}, notebook"] = theirs
            rows.append(row | {"children, clean": lab.rounded(children), "grown, clean": lab.rounded(grown)})
    return rows
