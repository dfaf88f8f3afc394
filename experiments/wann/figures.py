"""Figures of the study: courses of the searches, champions as graphs, accuracy at each weight, and the pole."""

from pathlib import Path

import numpy as np

from evojax_align import plotting
from evojax_align.evolution.wann.graph import ACTIVATIONS
from experiments.common import panels
from experiments.wann.config import ARMS, SWING
from experiments.wann.view import View


def draw(view: View, folder: Path) -> None:
    """Draw all figures of a run."""
    grown = [arm for arm in view.arms if arm in (*ARMS, SWING)]
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
        pictures.append((np.arange(courses[arms[0]].shape[1]), courses, {"x": "generation", "y": label}))
    panels(folder / "courses.png", plotting.plot_courses, pictures, width=3.8)


def draw_graphs(view: View, arms: list[str], folder: Path) -> None:
    """The champion of each arm's best seed."""
    fig, axes = plotting.figure(1, len(arms), width=5.2, height=4.2)
    for ax, arm in zip(axes[0], arms, strict=True):
        layer, edges, kinds = (view.shown(arm, f"graph_{name}") for name in ("layer", "edges", "kinds"))
        title = f"{arm}: {len(edges)} connections"
        plotting.plot_graph(layer, edges, kinds.tolist(), ax, among=tuple(ACTIVATIONS), title=title)
    plotting.save(fig, folder / "graphs.png")


def draw_weights(view: View, folder: Path) -> None:
    """Test accuracy at each shared weight."""
    pictures = []
    for task, name in enumerate(view.sets):
        curves = {arm: view.of(arm, "accuracy")[:, task] for arm in view.searches}
        pictures.append((view.values, curves, {"x": "shared weight", "y": "test accuracy", "title": name}))
    panels(folder / "weights.png", plotting.plot_trend, pictures, width=4.6)


def draw_pole(view: View, folder: Path) -> None:
    """A rollout of the best champion at the weight that suits it best."""
    place, angle, reward = (view.shown(SWING, f"pole_{name}") for name in ("place", "angle", "reward"))
    time = np.arange(len(place)) * float(view.arrays["interval"])
    fig, axes = plotting.figure(2, 1, width=7.0, height=2.6)
    plotting.plot_swing(time, place, angle, axes[0, 0], title="the pole, every tenth of a second")
    plotting.plot_courses(time, {"reward": reward[None]}, axes[1, 0], x="seconds", y="reward of a time step")
    plotting.save(fig, folder / "pole.png")
