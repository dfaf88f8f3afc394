"""What a run of the paper's study says: its view, the claims, and the tables, from the stored arrays alone."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from evojax_align import lab, plotting, statistics
from evojax_align.interpolation import Sweep, barrier
from experiments.common import Measure, above, mean_of
from experiments.safe_crossover.config import (
    FIVE_PERCENT,
    METHODS,
    PAPER_ACCURACY,
    PAPER_COUNTS,
    PAPER_PAIRS,
    PAPER_RIDGE,
    PAPER_SHARES,
)
from experiments.safe_crossover.figures import FIGURES
from experiments.safe_crossover.tables import (
    correspondence_rows,
    direction_rows,
    method_rows,
    offspring_rows,
    pair_rows,
)

NEAR = 0.03
"""A child whose loss is no further above the mean of its parents counts as nearly as good as they are."""


class View:
    """The stored arrays of the paper's study, seen in one mode.

    Attributes:
        published: the data set, if the paper has a study with these networks; "" if not.
        modes: all modes of the run.
        mode: the one seen, by default the first: "text", the paper's protocol, where a run has all.
        canonical: the better of the paper's two ways of CCA, which is "svcca" where a layer is wide; "sc_cca" names it.
    """

    def __init__(self, arrays: lab.Arrays, mode: str | None = None) -> None:
        self.arrays = arrays
        self.published, self.dataset = (str(arrays[name]) for name in ("published", "dataset"))
        self.modes, self.methods = arrays["modes"].tolist(), arrays["methods"].tolist()
        self.mode = mode or self.modes[0]
        self.ts, self.rank = arrays["ts"], int(arrays["rank"])
        self.canonical = "svcca" if "svcca" in self.methods else "cca"

    def has(self, *methods: str) -> bool:
        """Whether the run has these methods; without wide layers it has no SVCCA of its own."""
        return {"sc_cca", *self.methods} >= set(methods)

    def only(self, mode: str) -> "View":
        """The same run seen in another mode."""
        return View(self.arrays, mode)

    def of(self, name: str) -> np.ndarray:
        """An array of this mode."""
        return self.arrays[name][self.modes.index(self.mode)]

    def halves(self, method: str, quantity: str = "loss") -> np.ndarray:
        """Loss or accuracy on both halves of the images, [pairs, halves, t]."""
        return self.of(quantity)[:, :, self.methods.index(self.canonical if method == "sc_cca" else method)]

    def line(self, method: str, quantity: str = "loss") -> np.ndarray:
        """The same on all images, [pairs, t]."""
        return np.average(self.halves(method, quantity), axis=1, weights=self.arrays["parts"])

    def place(self, t: float) -> int:
        """The index of a value of t."""
        return int(np.argmin(np.abs(self.ts - t)))

    def at(self, method: str, t: float = 0.5, quantity: str = "loss") -> np.ndarray:
        """Loss or accuracy at one t, [pairs]."""
        return self.line(method, quantity)[:, self.place(t)]

    def parents(self, quantity: str = "loss") -> np.ndarray:
        """Loss or accuracy of both parents, [2, pairs]."""
        return np.stack([self.at("naive", t, quantity) for t in (0, 1)])

    def best(self, method: str) -> np.ndarray:
        """The index of the lowest loss strictly between the parents, on each half of the images, [pairs, halves]."""
        start, end = self.place(0), self.place(1)
        return self.halves(method)[:, :, start + 1 : end].argmin(axis=-1) + start + 1

    def gain(self, method: str) -> np.ndarray:
        """How far the best child between the parents is below the better parent in loss, [pairs].

        Which child and which parent these are is chosen on one half of the images, and judged on the other; the mean
        over both ways.
        """
        parents = self.halves("naive")[..., [self.place(0), self.place(1)]]
        parent = np.take_along_axis(parents, parents.argmin(axis=-1)[:, ::-1, None], axis=-1)[..., 0]
        child = np.take_along_axis(self.halves(method), self.best(method)[:, ::-1, None], axis=-1)[..., 0]
        return (parent - child).mean(axis=1)

    def barrier(self, method: str, kind: str) -> np.ndarray:
        """The barrier between the parents as they are: semi-matching changes one of them, [pairs]."""
        lines = {quantity: self.line(method, quantity).copy() for quantity in ("loss", "accuracy")}
        for t in (0, 1):
            for quantity, line in lines.items():
                line[:, self.place(t)] = self.at("naive", t, quantity)
        return np.asarray(barrier(Sweep(jnp.asarray(self.ts), **jax.tree.map(jnp.asarray, lines)), kind))

    def title(self, method: str) -> str:
        """The name of a method, with its number of directions."""
        return METHODS[method] + (f" of {self.rank}" if method == "svcca" else "")

    def explore(self) -> list[lab.Claim]:
        """All claims but the primary ones: of this mode, and of the other modes with the primary ones."""
        found = further(self)
        for other in (self.only(mode) for mode in self.modes if mode != self.mode):
            found += [in_mode(each, other) for each in (*PRIMARY, *further(other))]
        return found

    def tables(self) -> dict[str, list[dict[str, Any]]]:
        """The tables of all modes; the first one is printed."""
        makers = {
            "methods": method_rows,
            "offspring below both parents": offspring_rows,
            "directions kept by SVCCA": direction_rows,
            "correspondence": correspondence_rows,
            "loss of each pair at t=.5": pair_rows,
        }
        modes = [self.only(mode) for mode in self.modes]
        return {name: [{"mode": of.mode} | row for of in modes for row in rows(of)] for name, rows in makers.items()}

    def draw(self, folder: Path) -> None:
        """The figures of all modes."""
        for mode in self.modes:
            suffix = f"-{mode}" if len(self.modes) > 1 else ""
            for name, figure in FIGURES.items():
                plotting.save(figure(self.only(mode)), folder / f"{name}{suffix}.png")


TITLES = METHODS | {
    "sc_cca": "SC-CCA",
    "cca": "SC-CCA with all directions",
    "svcca": "SC-CCA with fewer directions (SVCCA)",
    "one_to_one": "SC-PwC (one-to-one)",
    "semi": "SC-PwC (semi-matching)",
    "control": "the control (random partners)",
}
"""The names of methods in statements."""


def decides(where: str = "", *methods: str) -> Callable[[Any], bool]:
    """Whether a view is that of a run of the paper's study with some methods; "CIFAR-10" and "not CIFAR-10" restrict
    its data."""

    def known(view: Any) -> bool:
        fits = isinstance(view, View) and where in ("", "CIFAR-10" if view.dataset == "cifar10" else "not CIFAR-10")
        return fits and view.has(*methods)

    return known


def over_pairs(
    name: str, statement: str, x: Measure, y: Measure, *published: Any, where: str = "", **settings: Any
) -> lab.Claim:
    """The claim that x lies above y, which runs of the paper's study decide; with its number and margin."""
    paper, margin = published or (None, None)
    settings = {"known": decides(where)} | settings
    statement = f"{where}: {statement}" if where else statement
    return above(name, statement, x, y, unit="pairs", paper=paper, margin=margin, **settings)


def at(x: str, quantity: str = "loss") -> Callable[[View], np.ndarray]:
    """What a method has at t = .5."""
    return lambda view: view.at(x, quantity=quantity)


def spread(share: float) -> float:
    """The margin of a share: half of the 95 % interval that the paper's own 200 pairs leave it."""
    interval = statistics.proportion_interval(round(share * PAPER_PAIRS), PAPER_PAIRS)
    return lab.rounded((interval.high - interval.low) / 2)


def below(x: str, y: str, *published: Any, where: str = "") -> lab.Claim:
    """The loss of one method at t = .5 against that of another."""
    statement = f"at t = .5 the loss of {TITLES[x]} is below that of {TITLES[y]}"
    known = decides(where, x, y)
    return over_pairs(f"{x}_below_{y}", statement, at(y), at(x), *published, where=where, known=known)


def near_parents(x: str, where: str = "") -> lab.Claim:
    """The loss at t = .5 against the parents' mean."""
    statement = f"at t = .5 the loss of {TITLES[x]} is less than {NEAR:g} above the parents' mean"
    limit = lambda view: view.parents().mean(axis=0) + NEAR  # noqa: E731
    return over_pairs(f"{x}_near_parents", statement, limit, at(x), where=where)


def below_both_parents(x: str) -> lab.Claim:
    """The loss at t = .5 against the better parent's."""
    statement = f"at t = .5 the loss of {TITLES[x]} is below that of both parents"
    return over_pairs(f"{x}_below_both_parents", statement, lambda view: view.parents().min(axis=0), at(x))


def best_below_parent(x: str) -> lab.Claim:
    """The loss of the best child between the parents against the better parent's."""
    statement = f"the best child of {TITLES[x]} strictly between the parents has a lower loss than the better parent"
    return over_pairs(f"{x}_best_below_parent", statement, lambda view: view.gain(x), 0.0)


def accuracy_above_naive(x: str) -> lab.Claim:
    """The accuracy at t = .5 against that of naive crossover."""
    statement = f"at t = .5 the accuracy of {TITLES[x]} is above naive crossover's; the number is its mean"
    sides, published = (at(x, "accuracy"), at("naive", "accuracy")), (PAPER_ACCURACY.get(x), FIVE_PERCENT)
    return over_pairs(f"{x}_accuracy_above_naive", statement, *sides, *published, number="x")


def counted(name: str, statement: str, array: str) -> lab.Claim:
    """A number of relations or partners in all layers of a pair."""
    paper = PAPER_COUNTS.get(array)
    margin = None if paper is None else 0.05 * paper["mnist"]
    total = lambda view: view.of(array).sum(axis=-1)  # noqa: E731
    return mean_of(name, f"number of {statement}", total, paper, margin, unit="pairs", known=decides())


PRIMARY = (
    below("sc_cca", "naive", {"mnist": 0.985, "cifar10": 1.0}, spread(0.985)),
    over_pairs(
        "ridge_below_naive",
        "at t = .5 the loss of SC-CCA with a ridge (mean over the ridges) is below that of naive crossover; the number "
        "is the share of pairs, mean over the ridges",
        *(at("naive"), lambda view: view.of("ridge_loss").mean(axis=1)),
        *(PAPER_RIDGE, spread(0.965)),
        number=lambda view: (view.of("ridge_loss") < view.at("naive")[:, None]).mean(axis=1),
    ),
    below("svcca", "cca"),
    below("one_to_one", "naive"),
    below("one_to_one", "sc_cca", where="not CIFAR-10"),
    below("sc_cca", "one_to_one", where="CIFAR-10"),
    near_parents("one_to_one", where="not CIFAR-10"),
    best_below_parent("one_to_one"),
    best_below_parent("naive"),
    accuracy_above_naive("sc_cca"),
    counted(
        "significant_relations",
        "significant canonical relations of a pair among the directions kept (Bartlett's test)",
        "significant_kept",
    ),
    counted("strong_pairs", "one-to-one partners of a pair whose correlation is .7 or more", "strong"),
)
"""The paper's claims, and beside its claim on the best child that of naive crossover. SC-CCA is SVCCA where a layer is
wider than the directions kept (MNIST: 256 of 512), else CCA with all directions (CIFAR-10). Margins of shares are the
spread that 200 pairs leave the paper's own number; those of counts are 5 percent."""
SEEN = (
    "demo-clean-digits-0",
    "small-clean-mnist-0",
    "small-clean-fashion_mnist-0",
    "paper-all-mnist-0",
    "paper-all-cifar10-0",
    "converged-all-cifar10-0",
    "lenet-clean-mnist-0",
    "vgg-clean-mnist-0",
    "beyond-clean-digits-0",
    "beyond-clean-mnist-0",
    "deep-clean-digits-0",
    "deep-clean-cifar10-0",
)
"""Runs whose results were known when the claims were declared."""


def in_mode(of: lab.Claim, view: View) -> lab.Claim:
    """The same claim in another mode."""
    name, statement = f"{view.mode}_{of.id}", f"mode {view.mode}: {of.statement}"
    return lab.Claim(name, statement, of.unit, lambda _: of.compare(view), of.paper, of.margin)


def further(view: View) -> list[lab.Claim]:
    """The exploratory claims of one mode; the points of Figure 2 are among them."""
    shares, ridge = PAPER_SHARES.get(view.published, {}), PAPER_RIDGE.get(view.published)
    ranks, values = (list(enumerate(view.arrays[name].tolist())) for name in ("ranks", "ridges"))
    widest = max(view.arrays["widths"])
    points = [
        (f"{rank} directions", f"directions_{rank}", view.of("rank_loss")[:, i], shares.get(rank))
        for i, rank in ranks
        if rank not in (view.rank, widest)
    ]
    points += [(f"ridge {value:g}", f"ridge_{value:g}", view.of("ridge_loss")[:, i], ridge) for i, value in values]
    if view.canonical == "svcca":
        points.append(("all directions", "cca", view.at("cca"), shares.get(widest)))
    found = [
        over_pairs(
            f"{name}_below_naive",
            f"at t = .5 the loss of SC-CCA with {title} is below that of naive crossover",
            *(view.at("naive"), loss),
            *(() if share is None else ({view.published: share}, spread(share))),
        )
        for title, name, loss, share in points
    ]
    others = [("semi", "naive"), ("loadings", "naive"), ("weights", "naive"), ("control", "naive")]
    others += [("sc_cca", "control"), ("one_to_one", "control"), ("loadings", "sc_cca"), ("weights", "one_to_one")]
    others.append(("sc_cca", "semi") if view.dataset == "cifar10" else ("semi", "sc_cca"))  # as the paper of SC-PwC
    naive = "accuracy of naive crossover at t = .5"
    ours = {"unit": "pairs", "known": decides()}
    return [
        *found,
        *(below(x, y) for x, y in others),
        *(below_both_parents(x) for x in ("sc_cca", "one_to_one")),
        near_parents("sc_cca"),
        best_below_parent("sc_cca"),
        accuracy_above_naive("one_to_one"),
        mean_of("naive_accuracy", naive, at("naive", "accuracy"), PAPER_ACCURACY["naive"], FIVE_PERCENT, **ours),
        counted(
            "significant_relations_all",
            "significant canonical relations of a pair among all directions (Bartlett's test)",
            "significant",
        ),
    ]
