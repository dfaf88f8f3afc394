"""The tables of the paper's study, from a view of its arrays."""

from typing import TYPE_CHECKING, Any

import numpy as np

from evojax_align import lab, statistics
from experiments.safe_crossover.config import PAPER_ACCURACY, PAPER_COUNTS, PAPER_RIDGE, PAPER_SHARES

if TYPE_CHECKING:
    from experiments.safe_crossover.claims import View


def method_rows(view: "View") -> list[dict[str, Any]]:
    """A row for each method."""
    naive = view.at("naive")

    def row(name: str) -> dict[str, Any]:
        of_paper = PAPER_ACCURACY.get("sc_cca" if name == view.canonical else name, {})
        estimate, interval = estimated(view.at(name, quantity="accuracy"))
        return {
            "method": view.title(name),
            "loss at t=0": lab.mean(view.at(name, 0)),
            "loss at t=.5": lab.mean(view.at(name)),
            "loss at t=1": lab.mean(view.at(name, 1)),
            "accuracy at t=0": lab.mean(view.at(name, 0, "accuracy")),
            "accuracy at t=.5": estimate,
            "interval": interval,
            "paper": of_paper.get(view.published),
            "accuracy at t=1": lab.mean(view.at(name, 1, "accuracy")),
            "barrier (chord)": lab.mean(view.barrier(name, "chord")),
            "barrier (accuracy)": lab.mean(view.barrier(name, "accuracy")),
            "below naive": share(view.at(name) < naive),
        }

    return [row(name) for name in view.methods]


def offspring_rows(view: "View") -> list[dict[str, Any]]:
    """How often a child is better than both parents, and by how much; the first row is naive crossover's."""
    lower, higher = view.parents().min(axis=0), view.parents("accuracy").max(axis=0)
    beside = (view.place(0) + 1, view.place(1) - 1)

    def row(name: str) -> dict[str, Any]:
        gain, best = lower - view.at(name), view.gain(name)
        estimate, interval = estimated(best)
        return {
            "method": view.title(name),
            "below in loss, t=.5": share(gain > 0),
            "mean gain in loss, t=.5": lab.mean(gain),
            "above in accuracy, t=.5": share(view.at(name, quantity="accuracy") > higher),
            "below in loss, best t": share(best > 0),
            "mean gain, best t": estimate,
            "interval": interval,
            "best t next to a parent": lab.mean(np.isin(view.best(name), beside)),
        }

    return [row(name) for name in view.methods]


def direction_rows(view: "View") -> list[dict[str, Any]]:
    """Figure 2 in numbers, and the ridges."""
    naive, shares = view.at("naive"), PAPER_SHARES.get(view.published, {})
    settings = [
        *((f"{rank} directions", shares.get(rank)) for rank in view.arrays["ranks"].tolist()),
        *((f"ridge {ridge:g}", PAPER_RIDGE.get(view.published)) for ridge in view.arrays["ridges"].tolist()),
    ]
    losses = np.concatenate([view.of("rank_loss"), view.of("ridge_loss")], axis=1).T
    return [
        {
            "SC-CCA": title,
            "loss at t=.5": lab.mean(loss),
            "below naive": share(loss < naive),
            "share": lab.mean(loss < naive),
            "paper": of_paper,
        }
        for (title, of_paper), loss in zip(settings, losses, strict=True)
    ]


def correspondence_rows(view: "View") -> list[dict[str, Any]]:
    """How much of one network is found in the other."""
    kinds = {
        "significant": "significant canonical correlations, all directions (Bartlett)",
        "significant_kept": f"significant canonical correlations, {view.rank} directions (Bartlett)",
        "strong": "one-to-one partners of correlation 0.7 or more",
    }
    return [
        {
            "group": group,
            "mean over pairs of": title,
            "ours": lab.mean(view.of(name)[:, number]),
            "paper": PAPER_COUNTS.get(name, {}).get(view.published),
        }
        for number, group in enumerate(view.arrays["groups"].tolist())
        for name, title in kinds.items()
    ]


def pair_rows(view: "View") -> list[dict[str, Any]]:
    """The loss of every method in each pair."""
    losses = {name: view.at(name) for name in view.methods}
    return [
        {"pair": int(pair)} | {name: lab.rounded(loss[row]) for name, loss in losses.items()}
        for row, pair in enumerate(view.arrays["pairs"])
    ]


def estimated(values: np.ndarray) -> tuple[float, list[float]]:
    """The mean and its bootstrap interval, for a table."""
    found = statistics.bootstrap_interval(values, seed=0)
    return lab.rounded(found.estimate), [lab.rounded(found.low), lab.rounded(found.high)]


def share(wins: np.ndarray) -> str:
    """Wins out of all."""
    return f"{int(np.sum(wins))}/{len(wins)}"
