"""The paper's Figures 2, 3 and 4, and all methods in one picture, of one mode."""

from typing import TYPE_CHECKING, Any

import numpy as np

from evojax_align import plotting, statistics
from experiments.safe_crossover.config import METHODS, PAPER_SHARES

if TYPE_CHECKING:
    from experiments.safe_crossover.claims import View


GROUPS = {
    "one neuron for one": ("naive", "one_to_one", "loadings", "weights"),
    "CCA, semi-matching and the control": ("naive", "cca", "svcca", "semi", "control"),
}
"""Methods that are drawn together, with naive crossover in each panel."""
OPEN = "semi"
"""A method that damages a parent: it does not set the range of an axis."""
CAPTIONS = {
    "figure-2-directions": "The paper's Figure 2: share of pairs in which SC-CCA is below naive crossover at t = .5, "
    "by the number of directions that SVCCA keeps, with 95 % intervals, and the paper's shares where it has them.",
    "figure-3-sweeps": "The paper's Figure 3: loss (blue) and accuracy (green) on the line between two parents, mean "
    "and standard deviation over pairs. A loss that is higher than the axis is cut off.",
    "figure-4-correlations": "The paper's Figure 4: correlations of the neurons of one pair, before and after "
    "alignment.",
    "sweeps": "Loss and accuracy on the line between two parents (t = 0 and t = 1), mean and standard deviation over "
    "pairs. Naive crossover stands in both columns. Semi-matching may leave the axis.",
    "steps": "Barriers against the number of training steps that both parents have in common.",
    "widths": "Barriers against the width of the hidden layer.",
    "averages": "The average of several parents, aligned or not, beside single networks and the ensemble.",
    "paths": "Loss and accuracy on straight and on curved paths between two parents.",
    "exploration": "Each child by how far its predictions are from the nearer parent's, and by the accuracy it lost.",
    "accuracy": "Accuracy on the line between two deep networks: children as they are, with statistics of batch "
    "normalisation estimated again, and after REPAIR.",
    "loss": "Loss on the line between two deep networks: children as they are, with statistics of batch normalisation "
    "estimated again, and after REPAIR.",
}


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
    columns = -(-len(view.methods) // 2)
    fig, axes = plotting.figure(2, columns, width=2.3, height=2.1)
    for ax in axes.flat[len(view.methods) :]:
        ax.set_axis_off()
    highest = 1.25 * view.line("naive").mean(axis=0).max()
    for number, (ax, name) in enumerate(zip(axes.flat, view.methods, strict=False)):
        loss, accuracy = (view.line(name, quantity) for quantity in ("loss", "accuracy"))
        right = plotting.plot_sweep(view.ts, loss, accuracy, ax, title=view.title(name))
        right.set_ylim(0, highest)
        if number % columns:  # what stands at the edges of the figure is not said again
            ax.set_ylabel("")
        if number % columns < columns - 1 and number < len(view.methods) - 1:
            right.set_ylabel("")
        if number + columns < len(view.methods):
            ax.set_xlabel("")
    return fig


def together(view: "View") -> Any:
    """All methods in one picture: loss above accuracy, a column for each group of methods."""
    fig, axes = plotting.figure(2, len(GROUPS), width=3.4, height=2.5)
    titles = {name: view.title(name) for name in METHODS}
    between = (view.ts >= 0) & (view.ts <= 1)
    for row, quantity in zip(axes, ("loss", "accuracy"), strict=True):
        shown = [view.line(name, quantity)[:, between] for name in view.methods if name != OPEN]
        low = min(np.nanmin(of.mean(axis=0) - of.std(axis=0)) for of in shown)
        high = max(np.nanmax(of.mean(axis=0) + of.std(axis=0)) for of in shown)
        for column, (ax, (group, names)) in enumerate(zip(row, GROUPS.items(), strict=True)):
            curves = {titles[name]: view.line(name, quantity) for name in names if name in view.methods}
            title = group if quantity == "loss" else None
            plotting.plot_sweeps(view.ts, curves, ax, quantity=quantity, among=tuple(titles.values()), title=title)
            margin = 0.06 * (high - low)
            ax.set_ylim(0 if quantity == "loss" else low - margin, high + margin)
            if column:
                ax.set_ylabel("")
            if quantity == "loss":
                ax.set_xlabel("")
    plotting.shared_legend(fig, axes, order=tuple(titles.values()))
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
