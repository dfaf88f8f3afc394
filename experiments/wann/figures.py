"""Figures of the study: courses of the searches, champions as graphs, accuracy at each weight, and the pole."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from evojax_align import plotting
from evojax_align.evolution.wann.graph import ACTIVATIONS
from experiments.common import finished, mark_paper, panels
from experiments.wann.claims import PAPER
from experiments.wann.config import ARMS, SWING
from experiments.wann.view import View

WEIGHTS = "test accuracy at each shared weight"
ORDER = (*ARMS, SWING)
"""Arms in the order of the colours."""
CAPTIONS = {
    "courses": "The fittest member of each generation: reward, connections and hidden nodes of each seed (thin) and "
    "their mean.",
    "graphs": "The champion of each arm's best seed. Squares are pixels, dark where they are used; the point below "
    "them is the bias. A line has the colour of the node that it leaves. All weights are one shared number, without a "
    "sign.",
    "weights": "Test accuracy at each shared weight: mean and standard deviation of seeds. Stars are the thesis's, of "
    "one network each, where the data are its own.",
    "pole": "A rollout of the best champion at its best shared weight: the pole every tenth of a second, and the "
    "reward.",
}


def draw(view: View, folder: Path) -> None:
    """Draw all figures of a run."""
    grown = [arm for arm in ORDER if arm in view.arms]
    if grown:
        draw_courses(view, grown, folder)
        draw_graphs(view, grown, folder)
    if view.searches:
        draw_weights(view, folder)
    if SWING in view.arms:
        draw_pole(view, folder)


def draw_courses(view: View, arms: list[str], folder: Path) -> None:
    """Reward and size of the fittest member of each generation."""
    shown = {"judged": "mean reward", "connections": "connections", "hidden": "hidden nodes"}
    pictures = []
    for name, label in shown.items():
        courses = {arm: view.of(arm, f"course_{name}") for arm in arms}
        settings = {"x": "generation", "y": label, "among": ORDER}
        pictures.append((np.arange(courses[arms[0]].shape[1]), courses, settings))
    panels(folder / "courses.png", plotting.plot_courses, pictures, width=2.8)


def draw_graphs(view: View, arms: list[str], folder: Path) -> None:
    """The champion of each arm's best seed."""
    columns = min(2, len(arms))
    fig, axes = plotting.figure(-(-len(arms) // columns), columns, width=4.2, height=3.4)
    for ax in axes.flat[len(arms) :]:
        ax.set_axis_off()
    for ax, arm in zip(axes.flat, arms, strict=False):
        layer, edges, kinds = (view.shown(arm, f"graph_{name}") for name in ("layer", "edges", "kinds"))
        inputs = int((layer == 0).sum()) - 1  # the last one is the bias
        side = math.isqrt(inputs)
        image = (side, side) if arm in ARMS and side * side == inputs else None
        outputs = np.flatnonzero(layer == layer.max())
        labels = dict(zip(outputs.tolist(), map(str, range(len(outputs))), strict=True)) if image else {}
        settings = {"among": tuple(ACTIVATIONS), "image": image, "labels": labels}
        plotting.plot_graph(layer, edges, kinds.tolist(), ax, title=f"{arm}: {len(edges)} connections", **settings)
    plotting.shared_legend(fig, axes, order=tuple(ACTIVATIONS))
    plotting.save(fig, folder / "graphs.png", dpi=110)


def draw_weights(view: View, folder: Path) -> None:
    """Test accuracy at each shared weight (Tables 4.1 and 4.2)."""
    curves = [finished({arm: view.of(arm, "accuracy")[:, task] for arm in view.searches}) for task in (0, 1)]
    plot_weights(view.values, dict(zip(view.sets, curves, strict=True)), bool(view.published), folder)


def draw_told(results: Mapping[str, Any], record: Mapping[str, Any], folder: Path) -> None:
    """Draw what the tables of a stored run suffice for: means at each shared weight."""
    rows = [row for row in results["tables"].get(WEIGHTS, []) if row["accuracy of"] == "ours"]
    if rows:
        values = [float(name) for name in rows[0] if name not in ("search", "images", "accuracy of")]
        sets = {name: {} for name in dict.fromkeys(row["images"] for row in rows)}
        for row in rows:
            sets[row["images"]][row["search"]] = np.array([[row[f"{value:g}"] for value in values]], float)
        published = any(row["accuracy of"] == "thesis" for row in results["tables"][WEIGHTS])
        plot_weights(values, sets, published, folder)


def plot_weights(
    values: Sequence[float], sets: Mapping[str, Mapping[str, np.ndarray]], published: bool, folder: Path
) -> None:
    """A panel for each data set: accuracies [seeds, values] by arm, and the thesis's where they are published."""
    fig, axes = plotting.figure(1, len(sets), width=3.5, height=2.8)
    for task, (ax, (name, curves)) in enumerate(zip(axes[0], sets.items(), strict=True)):
        labels: dict[str, Any] = {"x": "shared weight", "y": "" if task else "test accuracy", "title": name}
        plotting.plot_trend(np.array(values), curves, ax, among=ORDER, **labels)
        for (arm, other), percent in PAPER.items():
            if published and other == task and arm in curves:
                mark_paper(ax, np.arange(len(percent)), np.array(percent) / 100, ORDER.index(arm), "the thesis")
        ax.set_ylim(0, 1)
    plotting.shared_legend(fig, axes, order=ORDER)
    plotting.save(fig, folder / "weights.png")


def draw_pole(view: View, folder: Path) -> None:
    """A rollout of the best champion at the weight that suits it best."""
    place, angle, reward = (view.shown(SWING, f"pole_{name}") for name in ("place", "angle", "reward"))
    time = np.arange(len(place)) * float(view.arrays["interval"])
    fig, axes = plotting.figure(2, 1, width=7.0, height=2.6)
    plotting.plot_swing(time, place, angle, axes[0, 0], title="the pole, every tenth of a second")
    plotting.plot_courses(time, {"reward": reward[None]}, axes[1, 0], x="seconds", y="reward of a time step")
    axes[1, 0].get_legend().remove()
    plotting.save(fig, folder / "pole.png")
