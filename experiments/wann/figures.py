"""Figures of the study: courses of the searches, champions as graphs, accuracy at each weight, and the pole."""

from pathlib import Path

import numpy as np

from evojax_align import plotting
from evojax_align.evolution.wann.graph import ACTIVATIONS
from experiments.common import finished
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
    fig, axes = plotting.figure(1, 3, width=3.8)
    shown = {"judged": "mean reward", "connections": "connections", "hidden": "hidden nodes"}
    for ax, (name, label) in zip(axes[0], shown.items(), strict=True):
        courses = finished({arm: view.of(arm, f"course_{name}") for arm in arms})
        steps = np.arange(next(iter(courses.values())).shape[1])
        plotting.plot_courses(steps, courses, ax, x="generation", y=label)
    plotting.save(fig, folder / "courses.png")


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
    fig, axes = plotting.figure(1, len(view.sets), width=4.6)
    for task, (ax, name) in enumerate(zip(axes[0], view.sets, strict=True)):
        curves = finished({arm: view.of(arm, "accuracy")[:, task] for arm in view.searches})
        plotting.plot_trend(np.array(view.values), curves, ax, x="shared weight", y="test accuracy", title=name)
    plotting.save(fig, folder / "weights.png")


def draw_pole(view: View, folder: Path) -> None:
    """A rollout of the best champion at the weight that suits it best."""
    place, angle, reward = (view.shown(SWING, f"pole_{name}") for name in ("place", "angle", "reward"))
    time = np.arange(len(place)) * float(view.arrays["interval"])
    fig, axes = plotting.figure(2, 1, width=7.0, height=2.6)
    plotting.plot_swing(time, place, angle, axes[0, 0], title="the pole, every tenth of a second")
    plotting.plot_courses(time, {"reward": reward[None]}, axes[1, 0], x="seconds", y="reward of a time step")
    plotting.save(fig, folder / "pole.png")
