"""How `safe_crossover.py` aligns pairs of parents by every method, and what lies between them."""

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

import evojax_align as ea
from evojax_align import lab, statistics
from evojax_align._types import Apply, Array, PyTree
from evojax_align.alignment import GroupMatch, Relation, Settings, match_groups, match_pairs, relate_pairs
from evojax_align.data import Dataset
from evojax_align.interpolation import sweep_pairs
from evojax_align.similarity import CCA
from evojax_align.symmetry import PermutationSpec

sys.path.insert(0, str(Path(__file__).parent))

from safe_crossover_report import METHODS, STRONG, midpoint  # pyright: ignore[reportImplicitRelativeImport]
from safe_crossover_settings import Config, keys_of  # pyright: ignore[reportImplicitRelativeImport]

SHOWN = 100
"""The first neurons, or pairs of partners, that Figure 4 shows."""

Orders: TypeAlias = tuple[dict[str, Array], dict[str, Array]]
"""For both sides the old index of the neuron at each place, group by group, with a leading axis of pairs."""


def study(
    config: Config, network: Any, spec: PermutationSpec, parents: PyTree, data: Dataset, run: lab.Run
) -> dict[str, np.ndarray]:
    """All pairs in one mode: arrays with a leading axis of pairs."""
    count = config.networks // 2
    inputs = jnp.asarray((data.train.x if config.mode == "clean" else data.test.x)[: config.aligned])

    def step(number: int, found: dict[str, np.ndarray]) -> tuple[dict[str, np.ndarray], dict[str, float]]:
        here = slice(number * config.at_once, min((number + 1) * config.at_once, count))
        a, b = (
            jax.tree.map(lambda leaf, side=side: jnp.asarray(leaf[2 * here.start + side : 2 * here.stop : 2]), parents)
            for side in (0, 1)
        )
        pairs = config.first // 2 + np.arange(count)[here]
        rows = compare(config, network.apply, spec, a, b, inputs, data, pairs, pictured=number == 0)
        for name, values in rows.items():
            found[name][here if len(found[name]) == count else slice(None)] = values
        middle = rows["loss"][..., midpoint(ts_of(config))].mean(axis=(0, 1))
        shown = ("naive", "one_to_one")
        return found, {name: middle[methods_of(config, spec).index(name)] for name in shown}

    total = -(-count // config.at_once)
    return run.loop(f"aligning pairs, {config.mode}", room(config, spec), step, total=total)


def room(config: Config, spec: PermutationSpec) -> dict[str, np.ndarray]:
    """Where the results of all pairs go."""
    pairs, methods = config.networks // 2, len(methods_of(config, spec))
    shapes = {
        "loss": (pairs, 2, methods, config.points),
        "accuracy": (pairs, 2, methods, config.points),
        "rank_loss": (pairs, len(config.ranks)),
        "ridge_loss": (pairs, len(config.ridges)),
        "significant": (pairs, len(spec.groups)),
        "significant_kept": (pairs, len(spec.groups)),
        "strong": (pairs, len(spec.groups)),
    }
    shown = min(SHOWN, next(iter(spec.groups.values())))
    shapes |= {f"correlation_{name}": (1, shown, shown) for name in ("a", "b", "ab", "cca", "one_to_one")}
    return {name: np.full(shape, np.nan, np.float32) for name, shape in shapes.items()}


def compare(
    config: Config,
    apply: Apply,
    spec: PermutationSpec,
    a: PyTree,
    b: PyTree,
    inputs: Array,
    data: Dataset,
    pairs: np.ndarray,
    *,
    pictured: bool,
) -> dict[str, np.ndarray]:
    """The lines between some parents by every method, and halfway by every number of directions and every ridge."""
    relations = relate_pairs(apply, a, b, inputs, spec=spec)
    matches = by_cca(config, relations) | by_correlation(config, relations)
    orders = {name: orders_of(of_method) for name, of_method in matches.items()}
    exact = match_pairs(relations, method="correlation")
    orders["weights"] = by_weights(spec, a, b, {group: m.y for group, m in exact.items()})
    orders["chance"] = by_chance(config, relations, jnp.asarray(pairs))

    def lines(orders: Sequence[Orders], ts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Loss and accuracy on both halves of the images that score, [pairs, halves, orders, t]."""
        sides = [{g: jnp.stack([order[side][g] for order in orders], axis=1) for g in relations} for side in (0, 1)]
        found = [
            sweep_pairs(apply, a, b, x, y, ts=ts, spec=spec, permutations_a=sides[0], permutations_b=sides[1])
            for x, y in halves(config, data)
        ]
        return np.stack([s.loss for s in found], axis=1), np.stack([s.accuracy for s in found], axis=1)

    halfway = [f"rank {rank}" for rank in config.ranks] + [f"ridge {ridge:g}" for ridge in config.ridges]
    loss, accuracy = lines([orders[name] for name in methods_of(config, spec)], ts_of(config))
    middle = over_halves(
        lines([orders[name] for name in halfway], np.array([0.5], np.float32))[0], halves(config, data)
    )[..., 0]
    rows = {
        "loss": loss,
        "accuracy": accuracy,
        "rank_loss": middle[:, : len(config.ranks)],
        "ridge_loss": middle[:, len(config.ranks) :],
    }
    if pictured:
        rows |= {name: matrix[None] for name, matrix in matrices(config, relations, matches).items()}
    return rows | correspondences(config, relations, matches)


def methods_of(config: Config, spec: PermutationSpec) -> list[str]:
    """The methods of a study: without SVCCA where it would be CCA."""
    return [name for name in METHODS if name != "svcca" or config.rank < max(spec.groups.values())]


@partial(jax.jit, static_argnames="config")
def by_cca(config: Config, relations: dict[str, Relation]) -> dict[str, dict[str, GroupMatch]]:
    """The partners of all pairs by every setting of CCA.

    One program, in which what the settings share, the decomposition of each network's covariance, is done once.
    """

    def one(relations: dict[str, Relation]) -> dict[str, dict[str, GroupMatch]]:
        found: dict[str, dict[str, GroupMatch]] = {}
        for group, relation in relations.items():
            for name, settings in settings_of_cca(config, relation).items():
                found[name] = found.get(name, {}) | match_groups({group: relation}, settings)
        return found

    return ea.population.map(one, relations)


def settings_of_cca(config: Config, relation: Relation) -> dict[str, Settings]:
    """Everything that is tried: a layer has no more directions than neurons."""
    code, width = config.mode == "code", relation.moments.mean_x.shape[-1]
    cca = partial(Settings, "cca", mode="code" if code else "text")
    found = {"cca": cca(), "svcca": cca(rank=min(config.rank, width)), "shown": cca(rank=min(SHOWN, width))}
    found |= {f"rank {rank}": cca(rank=min(rank, width)) for rank in config.ranks}
    return found | {
        f"ridge {ridge:g}": cca(ridge=ridge / relation.samples if code else ridge) for ridge in config.ridges
    }


def by_correlation(config: Config, relations: dict[str, Relation]) -> dict[str, dict[str, GroupMatch]]:
    """The partners of all pairs by the methods that need no CCA, and by structure loadings."""
    code = config.mode == "code"
    loadings = {}
    for group, relation in relations.items():
        rank = max(1, relation.moments.mean_x.shape[-1] // 2)  # with all directions they would be the correlations
        loadings |= match_pairs({group: relation}, method="loadings", rank=rank)
    return {
        "naive": match_pairs(relations, method="none"),
        "one_to_one": match_pairs(relations, method="greedy" if code else "correlation"),
        "semi": match_pairs(relations, method="semi", direction="y" if code else "x"),
        "loadings": loadings,
    }


def orders_of(matches: dict[str, GroupMatch]) -> Orders:
    """The partners as index arrays."""
    return {group: m.x for group, m in matches.items()}, {group: m.y for group, m in matches.items()}


def by_weights(spec: PermutationSpec, a: PyTree, b: PyTree, start: dict[str, Array]) -> Orders:
    """Weight matching: one climb from given orders of b, one from b as it is."""
    found = []
    for number in range(ea.population.size(a)):
        pair = ea.population.take((a, b, start), number)
        found.append(ea.alignment.match_weights(spec, *pair, restarts=2))
    orders = ea.population.stack(found)
    as_they_are = {g: jnp.broadcast_to(jnp.arange(order.shape[-1]), order.shape) for g, order in orders.items()}
    return as_they_are, orders


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
def cca_pairs(relation: Relation, rank: int) -> CCA:
    """CCA of every pair, of some directions."""
    return ea.population.map(lambda r: ea.similarity.cca_of(r.moments, rank), relation)


def correspondences(
    config: Config, relations: dict[str, Relation], matches: dict[str, dict[str, GroupMatch]]
) -> dict[str, np.ndarray]:
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


def matrices(
    config: Config, relations: dict[str, Relation], matches: dict[str, dict[str, GroupMatch]]
) -> dict[str, np.ndarray]:
    """Figure 4: the correlations of the first layer's neurons in the first pair, before and after matching."""
    group = next(iter(relations))
    m = ea.population.take(relations[group], 0).moments
    cross = np.asarray(ea.similarity.correlation_of(m))
    found: dict[str, Any] = {"correlation_ab": cross}
    for net, side in (("a", "x"), ("b", "y")):
        found[f"correlation_{net}"] = ea.similarity.within_correlations(m, side)
    for name, method in (("cca", "shown"), ("one_to_one", "one_to_one")):
        match = ea.population.take(matches[method][group], 0)
        first = len(cross) - SHOWN if method == "shown" and config.mode == "code" else 0  # there, pairs come last
        chosen = slice(max(first, 0), None)
        found[f"correlation_{name}"] = cross[np.asarray(match.x)[chosen]][:, np.asarray(match.y)[chosen]]
    return {name: np.asarray(matrix)[:SHOWN, :SHOWN] for name, matrix in found.items()}


def ts_of(config: Config) -> np.ndarray:
    """The paper's range of t."""
    return np.linspace(-0.25, 1.25, config.points, dtype=np.float32)


def halves(config: Config, data: Dataset) -> list[tuple[Array, np.ndarray]]:
    """The images that score, evenly spread, in two parts: what is chosen on one is judged on the other."""
    total = len(data.test.y)
    chosen = np.arange(min(config.scored, total)) * total // min(config.scored, total)
    x, y = np.asarray(data.test.x), np.asarray(data.test.y)
    return [(jnp.asarray(x[part]), y[part]) for part in (chosen[::2], chosen[1::2])]


def over_halves(values: np.ndarray, parts: Sequence[Any]) -> np.ndarray:
    """The means over all images, from those over both parts, which are the second axis."""
    sizes = [len(y) for _, y in parts]
    return np.average(values, axis=1, weights=sizes).astype(values.dtype)
