"""Figures, claims and tables of `safe_crossover.py`, from the stored arrays of a study alone."""

import dataclasses
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from evojax_align import lab, plotting, statistics
from evojax_align.interpolation import Sweep, barrier

METHODS = {
    "naive": "naive crossover",
    "cca": "SC-CCA, all directions",
    "svcca": "SC-CCA, SVCCA",
    "one_to_one": "SC-PwC, one-to-one",
    "semi": "SC-PwC, semi-matching",
    "loadings": "structure loadings",
    "weights": "weight matching",
    "chance": "control, at random",
}
"""Structure loadings are of half of the directions: with all of them they would be the correlations. The last is a
control: dead neurons are paired with each other, all others at random."""
STRONG = 0.7
"""The paper counts pairs of neurons of at least this correlation."""
NEAR = 0.03
"""A child whose loss is no further above the mean of its parents is about as good as they are."""
PAPER_SHARES = {
    "mnist": {2: 0.59, 10: 0.815, 20: 0.815, 30: 0.855, 40: 0.885, 50: 0.92, 100: 0.94, 256: 0.985, 512: 0.925},
    "cifar10": {2: 0.54, 25: 0.99, 50: 1.0, 75: 1.0, 100: 1.0},
}
"""Figure 2: by the number of directions, the share of pairs where SVCCA is below naive at t = .5."""
PAPER_WINS = {
    "mnist": {"svcca": 0.985, "cca": 0.925, "ridge": 0.965},
    "cifar10": {"cca": 1.0, "ridge": 1.0},
}
PAPER_ACCURACY = {"cifar10": {"naive": 0.10, "cca": 0.25}}
PAPER_COUNTS = {"mnist": {"significant_kept": 125, "strong": 203}}


@dataclasses.dataclass(frozen=True)
class View:
    """The stored arrays of one mode."""

    mode: str
    alone: bool
    """Whether the run has no other mode."""
    methods: list[str]
    ts: np.ndarray
    parts: np.ndarray
    loss: np.ndarray
    """[pairs, halves, methods, t]."""
    accuracy: np.ndarray
    rank_loss: np.ndarray
    ridge_loss: np.ndarray
    significant: np.ndarray
    significant_kept: np.ndarray
    strong: np.ndarray

    def line(self, method: str, quantity: str = "loss") -> np.ndarray:
        """Loss or accuracy on all images, [pairs, t]."""
        return np.average(getattr(self, quantity)[:, :, self.methods.index(method)], axis=1, weights=self.parts)

    def at(self, method: str, t: float, quantity: str = "loss") -> np.ndarray:
        """The same at one t, [pairs]."""
        return self.line(method, quantity)[:, int(np.argmin(np.abs(self.ts - t)))]

    def best(self, method: str) -> np.ndarray:
        """The place of the lowest loss strictly between the parents, on each half of the images, [pairs, halves]."""
        start, end = (int(np.argmin(np.abs(self.ts - t))) for t in (0, 1))
        return self.loss[:, :, self.methods.index(method), start + 1 : end].argmin(axis=-1) + start + 1

    def gain(self, method: str) -> np.ndarray:
        """How far the best child between the parents is below the better parent in loss, [pairs].

        Which child and which parent these are is chosen on one half of the images, and judged on the other; the mean
        over both ways.
        """
        start, end = (int(np.argmin(np.abs(self.ts - t))) for t in (0, 1))
        naive, loss = (self.loss[:, :, self.methods.index(name)] for name in ("naive", method))
        parents = naive[..., [start, end]]
        parent = np.take_along_axis(parents, parents.argmin(axis=-1)[:, ::-1, None], axis=-1)[..., 0]
        child = np.take_along_axis(loss, self.best(method)[:, ::-1, None], axis=-1)[..., 0]
        return (parent - child).mean(axis=1)

    def barrier(self, method: str, kind: str) -> np.ndarray:
        """The barrier between the parents as they are: semi-matching changes one of them, [pairs]."""
        lines = {}
        for quantity in ("loss", "accuracy"):
            lines[quantity] = self.line(method, quantity).copy()
            for t in (0, 1):
                lines[quantity][:, int(np.argmin(np.abs(self.ts - t)))] = self.at("naive", t, quantity)
        return np.asarray(barrier(Sweep(jnp.asarray(self.ts), **jax.tree.map(jnp.asarray, lines)), kind))

    @property
    def label(self) -> str:
        """What tells its claims from those of other modes."""
        return "" if self.alone else f"{self.mode}, "

    @property
    def suffix(self) -> str:
        """What tells its figures from those of other modes."""
        return "" if self.alone else f"-{self.mode}"

    @property
    def canonical(self) -> str:
        """The better of the paper's two ways of CCA: of fewer directions where a layer is wide."""
        return "svcca" if "svcca" in self.methods else "cca"


def views(arrays: lab.Arrays) -> list[View]:
    """One view for each mode."""
    modes = arrays["modes"].tolist()
    shared = {"alone": len(modes) == 1, "methods": arrays["methods"].tolist()}
    shared |= {name: arrays[name] for name in ("ts", "parts")}
    own = ("loss", "accuracy", "rank_loss", "ridge_loss", "significant", "significant_kept", "strong")
    return [View(mode, **shared, **{name: arrays[name][i] for name in own}) for i, mode in enumerate(modes)]


def titles_of(arrays: lab.Arrays) -> dict[str, str]:
    """The names of the methods, with the number of directions."""
    return METHODS | {"svcca": f"SC-CCA, SVCCA of {arrays['rank']}"}


def plot(arrays: lab.Arrays, folder: Path) -> None:
    """The paper's Figures 2, 3 and 4, and all methods in one picture, for each mode."""
    for number, view in enumerate(views(arrays)):
        plot_directions(arrays, view, folder)
        plot_lines(arrays, view, folder)
        shown = {name: values[number, 0] for name, values in arrays.items() if name.startswith("correlation_")}
        plot_matrices(arrays, view, shown, folder)


def plot_directions(arrays: lab.Arrays, view: View, folder: Path) -> None:
    """Figure 2."""
    naive = view.at("naive", 0.5)
    shares = [statistics.win_share(loss, naive, alternative="less") for loss in view.rank_loss.T]
    fig, axes = plotting.figure(width=4.6, height=3.0)
    intervals = np.array([[share.low, share.high] for share in shares])
    estimates, label = np.array([share.estimate for share in shares]), str(arrays["dataset"])
    plotting.plot_win_share(arrays["ranks"], estimates, axes[0, 0], intervals=intervals, label=label)
    paper = PAPER_SHARES.get(study_of(arrays), {})
    if paper:
        plotting.plot_win_share(np.array(list(paper)), np.array(list(paper.values())), axes[0, 0], label="the paper")
    plotting.save(fig, folder / f"figure-2-directions{view.suffix}.png")


def plot_lines(arrays: lab.Arrays, view: View, folder: Path) -> None:
    """Figure 3, and all methods in one picture."""
    titles = titles_of(arrays)
    fig, axes = plotting.figure(2, -(-len(view.methods) // 2), width=3.2, height=2.6)
    for ax in axes.flat[len(view.methods) :]:
        ax.set_visible(False)
    highest = 1.25 * view.line("naive").mean(axis=0).max()
    for ax, name in zip(axes.flat, view.methods, strict=False):
        loss, accuracy = (view.line(name, quantity) for quantity in ("loss", "accuracy"))
        right = plotting.plot_sweep(view.ts, loss, accuracy, ax, title=titles[name])
        right.set_ylim(0, highest)
    plotting.save(fig, folder / f"figure-3-sweeps{view.suffix}.png")

    fig, axes = plotting.figure(1, 2, width=5.0, height=3.2)
    for ax, quantity in zip(axes[0], ("loss", "accuracy"), strict=True):
        curves = {titles[name]: view.line(name, quantity) for name in view.methods}
        plotting.plot_sweeps(view.ts, curves, ax, quantity=quantity)
    plotting.save(fig, folder / f"sweeps{view.suffix}.png")


def plot_matrices(arrays: lab.Arrays, view: View, shown: dict[str, np.ndarray], folder: Path) -> None:
    """Figure 4."""
    panels = (
        ("correlation_a", "(a) within a", "a", "a"),
        ("correlation_b", "(b) within b", "b", "b"),
        ("correlation_ab", "(c) between a and b", "a", "b"),
        ("correlation_cca", f"(d) SC-CCA, SVCCA of {len(shown['correlation_cca'])}", "a", "b"),
        ("correlation_one_to_one", "(e) SC-PwC, one-to-one", "a", "b"),
    )
    fig, axes = plotting.figure(2, 3, width=3.0, height=3.0)
    axes[-1, -1].set_visible(False)
    images = [
        plotting.plot_correlations(shown[name], ax, title=title, x=f"neuron of {x}", y=f"neuron of {y}")
        for ax, (name, title, y, x) in zip(axes.flat, panels, strict=False)
    ]
    plotting.color_bar(images[0], axes)
    plotting.save(fig, folder / f"figure-4-correlations{view.suffix}.png")


def judge(arrays: lab.Arrays) -> tuple[list[dict], dict[str, list[dict]]]:
    """The paper's claims, each decided by a paired one-sided Wilcoxon test over pairs, and the tables."""
    found = views(arrays)
    claims = [claim for view in found for claim in claims_of(arrays, view)]
    tables = {"methods": [row for view in found for row in method_rows(arrays, view)]}
    tables["offspring below both parents"] = [row for view in found for row in offspring_rows(arrays, view)]
    tables["directions kept by SVCCA"] = [row for view in found for row in direction_rows(arrays, view)]
    tables["correspondence"] = [row for view in found for row in correspondence_rows(arrays, view)]
    tables["loss of each pair at t=.5"] = [
        {"mode": view.mode, "pair": int(pair)} | {name: lab.rounded(view.at(name, 0.5)[row]) for name in view.methods}
        for view in found
        for row, pair in enumerate(arrays["pairs"])
    ]
    return lab.decide(claims), tables


def claims_of(arrays: lab.Arrays, view: View) -> list[lab.Claim]:
    """What the paper says, in one mode."""
    study = study_of(arrays)
    wins = PAPER_WINS.get(study, {})
    middle = {name: view.at(name, 0.5) for name in view.methods}
    names = titles_of(arrays) | {"one_to_one": "one-to-one", "semi": "semi-matching", "naive": "naive"}
    names |= {"cca": "CCA", "svcca": f"SVCCA of {arrays['rank']}", "chance": "the control"}
    names |= {"loadings": "loadings", "weights": "weight matching"}
    cca = view.canonical

    def less(name: str, statement: str, x: np.ndarray, y: np.ndarray, paper: float | None = None) -> lab.Claim:
        share = statistics.win_share(x, y, alternative="less")
        test = statistics.wilcoxon(x, y, alternative="less")
        return lab.claim(f"{view.mode}_{name}", f"{view.label}{statement}", paper, share, test)

    def below(x: str, y: str, paper: float | None = None) -> lab.Claim:
        return less(f"{x}_beats_{y}", f"t=.5: {names[x]} below {names[y]}", middle[x], middle[y], paper)

    others = ("naive", "loadings", "weights", "chance")
    claims = [below(name, "naive", wins.get(name)) for name in view.methods if name not in others]
    for ridge, loss in zip(arrays["ridges"].tolist(), view.ridge_loss.T, strict=True):
        statement = f"t=.5: CCA with ridge {ridge:g} below naive"
        claims.append(less(f"ridge_{ridge:g}_beats_naive", statement, loss, middle["naive"], wins.get("ridge")))
    if cca == "svcca":
        claims.append(below("svcca", "cca"))
    claims += [below("one_to_one", cca), below("semi", cca)]
    if study == "cifar10":  # there the paper found the other order
        claims += [below(cca, "one_to_one"), below(cca, "semi")]
    claims += [below("chance", "naive"), below(cca, "chance"), below("one_to_one", "chance")]
    claims += [below("loadings", "naive"), below("weights", "naive"), below("loadings", cca)]
    claims += [below("one_to_one", "weights"), below("weights", "one_to_one")]

    ends = view.at("naive", 0), view.at("naive", 1)
    near, lower = np.mean(ends, axis=0) + NEAR, np.minimum(*ends)
    for name in (cca, "one_to_one"):
        wrong = [1 - view.at(each, 0.5, "accuracy") for each in (name, "naive")]
        lost = -view.gain(name)
        claims += [
            less(f"{name}_accuracy", f"t=.5: {names[name]} above naive in accuracy", wrong[0], wrong[1]),
            less(f"{name}_near", f"t=.5: {names[name]} within {NEAR:g} of the parents' mean", middle[name], near),
            less(f"{name}_beats_parents", f"t=.5: {names[name]} below both parents", middle[name], lower),
            less(f"{name}_best", f"best t: {names[name]} below the better parent", lost, np.zeros_like(lost)),
        ]
    return claims


def method_rows(arrays: lab.Arrays, view: View) -> list[dict[str, Any]]:
    """A line for each method."""
    naive = view.at("naive", 0.5)
    accuracies = PAPER_ACCURACY.get(study_of(arrays), {})

    def row(name: str) -> dict[str, Any]:
        accuracy = view.at(name, 0.5, "accuracy")
        interval = statistics.bootstrap_interval(accuracy, seed=0)
        return {
            "mode": view.mode,
            "method": titles_of(arrays)[name],
            "loss at t=0": lab.mean(view.at(name, 0)),
            "loss at t=.5": lab.mean(view.at(name, 0.5)),
            "loss at t=1": lab.mean(view.at(name, 1)),
            "accuracy at t=0": lab.mean(view.at(name, 0, "accuracy")),
            "accuracy at t=.5": lab.rounded(interval.estimate),
            "interval": [lab.rounded(interval.low), lab.rounded(interval.high)],
            "paper": accuracies.get(name),
            "accuracy at t=1": lab.mean(view.at(name, 1, "accuracy")),
            "barrier (chord)": lab.mean(view.barrier(name, "chord")),
            "barrier (accuracy)": lab.mean(view.barrier(name, "accuracy")),
            "below naive": share(view.at(name, 0.5) < naive),
        }

    return [row(name) for name in view.methods]


def offspring_rows(arrays: lab.Arrays, view: View) -> list[dict[str, Any]]:
    """How often a child is better than both parents, and by how much."""
    lower = np.minimum(view.at("naive", 0), view.at("naive", 1))
    higher = np.maximum(view.at("naive", 0, "accuracy"), view.at("naive", 1, "accuracy"))
    beside = [int(np.argmin(np.abs(view.ts - t))) + step for t, step in ((0, 1), (1, -1))]

    def row(name: str) -> dict[str, Any]:
        gain, best = lower - view.at(name, 0.5), view.gain(name)
        interval = statistics.bootstrap_interval(best, seed=0)
        return {
            "mode": view.mode,
            "method": titles_of(arrays)[name],
            "below in loss, t=.5": share(gain > 0),
            "mean gain in loss, t=.5": lab.mean(gain),
            "above in accuracy, t=.5": share(view.at(name, 0.5, "accuracy") > higher),
            "below in loss, best t": share(best > 0),
            "mean gain, best t": lab.rounded(interval.estimate),
            "interval": [lab.rounded(interval.low), lab.rounded(interval.high)],
            "best t next to a parent": lab.mean(np.isin(view.best(name), beside)),
        }

    return [row(name) for name in view.methods]


def direction_rows(arrays: lab.Arrays, view: View) -> list[dict[str, Any]]:
    """Figure 2 in numbers, and the ridges."""
    naive, paper, wins = (
        view.at("naive", 0.5),
        PAPER_SHARES.get(study_of(arrays), {}),
        PAPER_WINS.get(study_of(arrays), {}),
    )

    def row(what: str, loss: np.ndarray, of_paper: float | None) -> dict[str, Any]:
        wins = loss < naive
        return {
            "mode": view.mode,
            "SC-CCA": what,
            "loss at t=.5": lab.mean(loss),
            "below naive": share(wins),
            "share": lab.mean(wins),
            "paper": of_paper,
        }

    ranks = zip(arrays["ranks"].tolist(), view.rank_loss.T, strict=True)
    ridges = zip(arrays["ridges"].tolist(), view.ridge_loss.T, strict=True)
    return [
        *(row(f"{rank} directions", loss, paper.get(rank)) for rank, loss in ranks),
        *(row(f"ridge {ridge:g}", loss, wins.get("ridge")) for ridge, loss in ridges),
    ]


def correspondence_rows(arrays: lab.Arrays, view: View) -> list[dict[str, Any]]:
    """How much of one network is found in the other."""
    paper = PAPER_COUNTS.get(study_of(arrays), {})
    kinds = {
        "significant": "significant canonical correlations, all directions (Bartlett)",
        "significant_kept": f"significant canonical correlations, {arrays['rank']} directions (Bartlett)",
        "strong": f"one-to-one partners of correlation {STRONG} or more",
    }
    return [
        {
            "mode": view.mode,
            "group": str(group),
            "mean over pairs of": what,
            "ours": lab.mean(getattr(view, name)[:, number]),
            "paper": paper.get(name),
        }
        for number, group in enumerate(arrays["groups"])
        for name, what in kinds.items()
    ]


def study_of(arrays: lab.Arrays) -> str:
    """The data set, if the paper has a study with these networks; "" if not."""
    return str(arrays["published"])


def midpoint(ts: np.ndarray) -> int:
    """The place of t = .5."""
    return int(np.argmin(np.abs(ts - 0.5)))


def share(wins: np.ndarray) -> str:
    """Wins out of all."""
    return f"{int(np.sum(wins))}/{len(wins)}"
