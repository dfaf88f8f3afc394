"""The paper's Figures 2, 3 and 4, and all methods in one picture, of one mode."""

from typing import TYPE_CHECKING, Any

import numpy as np

from evojax_align import plotting, statistics
from experiments.safe_crossover.config import PAPER_SHARES

if TYPE_CHECKING:
    from experiments.safe_crossover.claims import View


def directions(view: "View") -> Any:
    """Figure 2."""
    naive = view.at("naive")
    shares = [statistics.win_share(loss, naive, alternative="less") for loss in view.of("rank_loss").T]
    fig, axes = plotting.figure(width=4.6, height=3.0)
    intervals = np.array([[share.low, share.high] for share in shares])
    estimates = np.array([share.estimate for share in shares])
    plotting.plot_win_share(
        view.arrays["ranks"], estimates, axes[0, 0], intervals=intervals, label=f"ours, {view.dataset}"
    )
    paper = PAPER_SHARES.get(view.published, {})
    if paper:
        plotting.plot_win_share(np.array(list(paper)), np.array(list(paper.values())), axes[0, 0], label="the paper")
    return fig


def sweeps(view: "View") -> Any:
    """Figure 3."""
    fig, axes = plotting.figure(2, -(-len(view.methods) // 2), width=3.2, height=2.6)
    for ax in axes.flat[len(view.methods) :]:
        ax.set_visible(False)
    highest = 1.25 * view.line("naive").mean(axis=0).max()
    for ax, name in zip(axes.flat, view.methods, strict=False):
        loss, accuracy = (view.line(name, quantity) for quantity in ("loss", "accuracy"))
        right = plotting.plot_sweep(view.ts, loss, accuracy, ax, title=view.title(name))
        right.set_ylim(0, highest)
    return fig


def together(view: "View") -> Any:
    """All methods in one picture."""
    fig, axes = plotting.figure(1, 2, width=5.0, height=3.2)
    for ax, quantity in zip(axes[0], ("loss", "accuracy"), strict=True):
        curves = {view.title(name): view.line(name, quantity) for name in view.methods}
        plotting.plot_sweeps(view.ts, curves, ax, quantity=quantity)
    return fig


def correlations(view: "View") -> Any:
    """Figure 4."""
    kept = len(view.of("correlation_cca"))
    panels = (
        ("a", "(a) within a", "a", "a"),
        ("b", "(b) within b", "b", "b"),
        ("ab", "(c) between a and b", "a", "b"),
        ("cca", f"(d) SC-CCA, SVCCA of {kept}", "a", "b"),
        ("one_to_one", "(e) SC-PwC, one-to-one", "a", "b"),
    )
    fig, axes = plotting.figure(2, 3, width=3.0, height=3.0)
    axes[-1, -1].set_visible(False)
    images = [
        plotting.plot_correlations(
            view.of(f"correlation_{name}"), ax, title=title, x=f"neuron of {x}", y=f"neuron of {y}"
        )
        for ax, (name, title, y, x) in zip(axes.flat, panels, strict=False)
    ]
    plotting.color_bar(images[0], axes)
    return fig


FIGURES = {
    "figure-2-directions": directions,
    "figure-3-sweeps": sweeps,
    "figure-4-correlations": correlations,
    "sweeps": together,
}
