"""The paper's study: parents are trained and paired, every pair is aligned by every method, and the lines are scored.

A cell is a block of pairs. Every network depends on the seed and on its own number alone.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
import optax

import evojax_align as ea
from evojax_align import alignment, lab, statistics
from evojax_align._types import Array, PyTree
from evojax_align.alignment import GroupMatch, Loadings, Relation, Semi, match, relate
from evojax_align.data import Dataset
from evojax_align.interpolation import sweep_pairs
from evojax_align.similarity import CanonicalDirections
from evojax_align.symmetry import PermutationSpec
from experiments.safe_crossover.config import CIFAR, METHODS, MNIST, Config

ROWS = ("loss", "accuracy", "rank_loss", "ridge_loss", "significant", "significant_kept", "strong")
"""Arrays [modes, pairs, ...] of a cell."""
CONSTANTS = (
    "groups",
    "widths",
    "methods",
    "parts",
    *(f"correlation_{n}" for n in ("a", "b", "ab", "cca", "one_to_one")),
)
"""Arrays of which the first cell's are kept; the last ones are Figure 4, of one pair."""
SHOWN = 100
"""Figure 4 shows this many neurons, or pairs of partners."""
STRONG = 0.7
"""The paper counts pairs of neurons of at least this correlation."""

Orders: TypeAlias = tuple[dict[str, Array], dict[str, Array]]
"""For both sides the old index of the neuron at each place, group by group, with a leading axis of pairs."""
Matches: TypeAlias = dict[str, dict[str, GroupMatch]]
"""By method and group, with a leading axis of pairs."""


def cells(config: Config) -> list[lab.Cell]:
    """One cell for every `at_once` pairs."""
    return [lab.Cell("pairs", block) for block in range(-(-config.networks // (2 * config.at_once)))]


class Problem:
    """What all cells share: the network, its symmetry, and the data on the device."""

    def __init__(self, config: Config, data: Dataset) -> None:
        self.config = config
        self.modes = ("text", "code", "clean") if config.mode == "all" else (config.mode,)
        self.network = build(config, data.num_classes)
        self.optimizer = optax.adam(config.learning_rate)
        self.train, self.validation = (jax.tree.map(jnp.asarray, tuple(p)) for p in (data.train, data.validation))
        images = {mode: data.train.x if mode == "clean" else data.test.x for mode in self.modes}
        self.inputs = {mode: jnp.asarray(x[: config.aligned]) for mode, x in images.items()}
        self.halves = halves(config, data)
        sample = self.train[0][:1]
        self.spec = ea.symmetry.infer(self.network.apply, self.network.init(jax.random.key(0), sample), sample)
        self.methods = [name for name in METHODS if name != "svcca" or config.rank < max(self.spec.groups.values())]

    def run(self, cell: lab.Cell, run: lab.Run) -> dict[str, np.ndarray]:
        """Train the parents of a block of pairs, align them in every mode, and score the lines between them."""
        size = 2 * self.config.at_once
        numbers = np.arange(cell.seed * size, min((cell.seed + 1) * size, self.config.networks))
        members = self.trained(numbers, run)
        a, b = ea.population.pairs(members.best_params)
        middle = int(np.argmin(np.abs(ts_of(self.config) - 0.5)))

        def step(number: int, found: dict[str, Any]) -> tuple[dict[str, Any], dict[str, float]]:
            mode = self.modes[number]
            rows = self.compare(mode, a, b, numbers[::2] // 2)
            shown = {n: rows["loss"][:, :, self.methods.index(n), middle].mean() for n in ("naive", "one_to_one")}
            return found | {mode: rows}, shown

        found = run.loop("aligning", {}, step, total=len(self.modes), build=dict)
        rows = {name: np.stack([found[mode][name] for mode in self.modes]) for name in found[self.modes[0]]}
        training = {f"training_{name}": np.asarray(values) for name, values in members.history.items()}
        constants = {
            "groups": list(self.spec.groups),
            "widths": list(self.spec.groups.values()),
            "methods": self.methods,
            "parts": [len(y) for _, y in self.halves],
            "pairs": numbers[::2] // 2,
            "best_epoch": members.best_epoch,
        }
        return rows | training | {name: np.asarray(values) for name, values in constants.items()}

    def trained(self, numbers: np.ndarray, run: lab.Run) -> ea.training.Member:
        """The networks of these numbers after training, with the parameters of their best epochs."""
        config = self.config
        key_init, key_fit, _ = keys_of(config)
        keys_init, keys_fit = (jax.vmap(partial(jax.random.fold_in, key))(numbers) for key in (key_init, key_fit))
        start = ea.population.map(lambda key: self.network.init(key, self.train[0][:1]), keys_init)
        settings = {"epochs": config.epochs, "key": keys_fit, "validated": True, "keep_best": True}

        def step(number: int, members: ea.training.Member) -> tuple[ea.training.Member, dict[str, float]]:
            members = ea.training.step_epoch(
                self.network.apply,
                members,
                self.train,
                self.optimizer,
                batch_size=config.batch_size,
                validation=self.validation,
                patience=config.patience,
            )
            best = np.asarray(members.best_loss)
            return members, {"best": float(best.min()), "mean": float(best.mean())}

        return run.loop(
            "training",
            ea.training.init(start, self.optimizer, **settings),
            step,
            total=config.epochs,
            done=lambda members: not np.asarray(members.active).any(),
        )

    def compare(self, mode: str, a: PyTree, b: PyTree, pairs: np.ndarray) -> dict[str, np.ndarray]:
        """The lines between parents by every method, and halfway by every number of directions and every ridge."""
        config = dataclasses.replace(self.config, mode=mode)
        relations = relate(self.spec, self.network.apply, a, b, self.inputs[mode])
        with ea.similarity.one_blas_thread():
            of_cca = jax.block_until_ready(by_cca(config, relations))
        matches = of_cca | by_correlation(config, relations)
        orders = {name: orders_of(of_method) for name, of_method in matches.items()}
        exact = match(relations)
        orders["weights"] = by_weights(self.spec, a, b, {group: m.y for group, m in exact.items()})
        orders["control"] = by_chance(config, relations, jnp.asarray(pairs))
        halfway = [f"rank {rank}" for rank in config.ranks] + [f"ridge {ridge:g}" for ridge in config.ridges]
        loss, accuracy = self.lines(a, b, [orders[name] for name in self.methods], ts_of(config))
        middle, _ = self.lines(a, b, [orders[name] for name in halfway], np.array([0.5], np.float32))
        middle = np.average(middle[..., 0], axis=1, weights=[len(y) for _, y in self.halves])
        rows = {
            "loss": loss,
            "accuracy": accuracy,
            "rank_loss": middle[:, : len(config.ranks)],
            "ridge_loss": middle[:, len(config.ranks) :],
        }
        rows |= correspondences(config, relations, matches) | matrices(config, relations, matches)
        return {name: np.asarray(values, np.float32) for name, values in rows.items()}

    def lines(self, a: PyTree, b: PyTree, orders: Sequence[Orders], ts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Loss and accuracy on both halves of the images that score, [pairs, halves, orders, t]."""
        of_a, of_b = ({g: jnp.stack([o[side][g] for o in orders], axis=1) for g in orders[0][0]} for side in (0, 1))
        chosen = {"ts": ts, "spec": self.spec, "permutations_a": of_a, "permutations_b": of_b}
        found = [sweep_pairs(self.network.apply, a, b, x, y, **chosen) for x, y in self.halves]
        return np.stack([s.loss for s in found], axis=1), np.stack([s.accuracy for s in found], axis=1)


def merge(config: Config, found: Mapping[lab.Cell, lab.Arrays]) -> dict[str, np.ndarray]:
    """The pairs of all finished cells, one after the other; [modes, pairs, ...]."""
    blocks = [found[cell] for cell in sorted(found)]
    first = blocks[0]
    arrays = {name: np.concatenate([block[name] for block in blocks], axis=1) for name in ROWS}
    flat = ["pairs", "best_epoch", *(name for name in first if name.startswith("training_"))]
    arrays |= {name: np.concatenate([block[name] for block in blocks]) for name in flat}
    arrays |= {name: first[name] for name in CONSTANTS}
    settings = {name: getattr(config, name) for name in ("dataset", "ranks", "ridges", "rank")}
    settings |= {"modes": ("text", "code", "clean") if config.mode == "all" else (config.mode,), "ts": ts_of(config)}
    settings |= {"part": "pairs", "published": config.dataset if published(config) else ""}
    return arrays | {name: np.asarray(value) for name, value in settings.items()}


def published(config: Config) -> bool:
    """Whether the paper has a study of these networks, trained this long, and these directions."""
    of_paper = {one.dataset: one for one in (MNIST, CIFAR)}.get(config.dataset)
    names = ("model", "hidden", "epochs", "patience", "batch_size", "learning_rate", "rank")
    return of_paper is not None and all(getattr(config, name) == getattr(of_paper, name) for name in names)


def build(config: Config, classes: int) -> Any:
    """The network of a study."""
    if config.model == "mlp":
        return ea.models.MLP(hidden=config.hidden, classes=classes)
    if config.model == "lenet":
        return ea.models.LeNet5(widths=config.hidden, classes=classes)
    return ea.models.VGG(stages=tuple((width,) for width in config.hidden), classes=classes, batch_norm=False)


def keys_of(config: Config) -> Array:
    """Keys of the networks' initial parameters, of the order of their batches, and of the control."""
    return jax.random.split(jax.random.key(config.seed), 3)


def ts_of(config: Config) -> np.ndarray:
    """The paper's range of t."""
    return np.linspace(-0.25, 1.25, config.points, dtype=np.float32)


def halves(config: Config, data: Dataset) -> list[tuple[Array, np.ndarray]]:
    """The images that score, evenly spread, in two parts: what is chosen on one is judged on the other."""
    total = len(data.test.y)
    chosen = np.arange(min(config.scored, total)) * total // min(config.scored, total)
    x, y = np.asarray(data.test.x), np.asarray(data.test.y)
    return [(jnp.asarray(x[part]), y[part]) for part in (chosen[::2], chosen[1::2])]


@partial(jax.jit, static_argnames="config")
def by_cca(config: Config, relations: dict[str, Relation]) -> Matches:
    """The partners of all pairs by every setting of CCA.

    One program, so that what the settings share, the decomposition of each network's covariance, is done once.
    """

    def one(relations: dict[str, Relation]) -> Matches:
        found: Matches = {}
        for group, relation in relations.items():
            for name, method in methods_of_cca(config, relation).items():
                found[name] = found.get(name, {}) | match({group: relation}, method)
        return found

    return ea.population.map(one, relations)


def methods_of_cca(config: Config, relation: Relation) -> dict[str, alignment.CCA]:
    """All settings that are tried; a layer has no more directions than neurons."""
    code, width = config.mode == "code", relation.moments.mean_x.shape[-1]
    cca = partial(alignment.CCA, mode="code" if code else "text")
    found = {"cca": cca(), "svcca": cca(rank=min(config.rank, width)), "shown": cca(rank=min(SHOWN, width))}
    found |= {f"rank {rank}": cca(rank=min(rank, width)) for rank in config.ranks}
    return found | {
        f"ridge {ridge:g}": cca(ridge=ridge / relation.samples if code else ridge) for ridge in config.ridges
    }


def by_correlation(config: Config, relations: dict[str, Relation]) -> Matches:
    """The partners of all pairs by the methods that need no CCA, and by structure loadings."""
    code = config.mode == "code"
    loadings = {}
    for group, relation in relations.items():
        rank = max(1, relation.moments.mean_x.shape[-1] // 2)  # with all directions they would be the correlations
        loadings |= match({group: relation}, Loadings(rank=rank))
    return {
        "naive": match(relations, "none"),
        "one_to_one": match(relations, "greedy" if code else "correlation"),
        "semi": match(relations, Semi(direction="y" if code else "x")),
        "loadings": loadings,
    }


def orders_of(matches: dict[str, GroupMatch]) -> Orders:
    """The partners as index arrays."""
    return {group: m.x for group, m in matches.items()}, {group: m.y for group, m in matches.items()}


def by_weights(spec: PermutationSpec, a: PyTree, b: PyTree, start: dict[str, Array]) -> Orders:
    """Weight matching: one search from given orders of b, one from b as it is."""
    found = []
    for number in range(ea.population.size(a)):
        pair = ea.population.take((a, b, start), number)
        found.append(ea.alignment.match_weights(spec, *pair, restarts=2))
    orders = ea.population.stack(found)
    unchanged = {g: jnp.broadcast_to(jnp.arange(order.shape[-1]), order.shape) for g, order in orders.items()}
    return unchanged, orders


@partial(jax.jit, static_argnames="config")
def by_chance(config: Config, relations: dict[str, Relation], pairs: Array) -> Orders:
    """The control: dead neurons are paired with each other, all others at random, each pair by its number."""

    def one(relations: dict[str, Relation], pair: Array) -> Orders:
        keys = jax.random.split(jax.random.fold_in(keys_of(config)[2], pair), len(relations))
        found = {}
        for (group, relation), key in zip(relations.items(), keys, strict=True):
            m = relation.moments
            scores = jax.random.uniform(key, m.cross.shape)
            found[group] = ea.matching.greedy_index(scores, dead_x=m.dead_x, dead_y=m.dead_y)
        return {group: m.x for group, m in found.items()}, {group: m.y for group, m in found.items()}

    return ea.population.map(one, relations, pairs)


@partial(jax.jit, static_argnames="rank")
def cca_pairs(relation: Relation, rank: int) -> CanonicalDirections:
    """CCA of every pair, of some directions."""
    return ea.population.map(lambda r: ea.similarity.cca_of(r.moments, rank), relation)


def correspondences(config: Config, relations: dict[str, Relation], matches: Matches) -> dict[str, np.ndarray]:
    """Numbers of significant canonical relations and of strongly correlated partners, [pairs, groups]."""
    counts: dict[str, list[list[int]]] = {"significant": [], "significant_kept": []}
    strong = []
    for group, relation in relations.items():
        width = relation.moments.mean_x.shape[-1]
        for name, rank in (("significant", width), ("significant_kept", min(config.rank, width))):
            result = cca_pairs(relation, rank)
            ranks = zip(np.asarray(result.rank_x).tolist(), np.asarray(result.rank_y).tolist(), strict=True)
            tests = [
                statistics.bartlett(rho[: min(p, q)], relation.samples, p, q)
                for rho, (p, q) in zip(np.asarray(result.correlations), ranks, strict=True)
            ]
            counts[name].append([test.count for test in tests])
        strong.append(np.sum(np.asarray(matches["one_to_one"][group].score) >= STRONG, axis=1))
    return {name: np.array(of_name).T for name, of_name in counts.items()} | {"strong": np.array(strong).T}


def matrices(config: Config, relations: dict[str, Relation], matches: Matches) -> dict[str, np.ndarray]:
    """Figure 4: the correlations of the first layer's neurons in the first pair, before and after matching."""
    group = next(iter(relations))
    m = ea.population.take(relations[group], 0).moments
    cross = np.asarray(ea.similarity.correlation_of(m))
    found: dict[str, Any] = {"ab": cross}
    found |= {net: ea.similarity.within_correlations(m, side) for net, side in (("a", "x"), ("b", "y"))}
    for name, method in (("cca", "shown"), ("one_to_one", "one_to_one")):
        match = ea.population.take(matches[method][group], 0)
        first = len(cross) - SHOWN if method == "shown" and config.mode == "code" else 0  # there, pairs come last
        chosen = slice(max(first, 0), None)
        found[name] = cross[np.asarray(match.x)[chosen]][:, np.asarray(match.y)[chosen]]
    return {f"correlation_{name}": np.asarray(matrix)[:SHOWN, :SHOWN] for name, matrix in found.items()}
