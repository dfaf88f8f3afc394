"""The three stages of an alignment: relate the neurons, match them, rearrange the networks.

`align` runs them in a row. They are separate so that the expensive part, the statistics of activations, is computed
once and serves any number of methods.
"""

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp

from evojax_align import _checks, population
from evojax_align._types import Apply, Array, Float, PyTree
from evojax_align.alignment.families import Partners, blocks, resolve
from evojax_align.alignment.records import GroupMatch, Relation
from evojax_align.matching import canonical, greedy_index, one_to_one, semi
from evojax_align.matching.assignment import ENGINES
from evojax_align.matching.best import DIRECTIONS
from evojax_align.matching.canonical import MODES
from evojax_align.similarity import (
    CCA,
    Moments,
    cca_of,
    correlation_of,
    deflated,
    merge,
    moments,
    pool,
    structure_scores,
)
from evojax_align.similarity.canonical import check_rank, check_ridge, check_samples
from evojax_align.symmetry import PermutationSpec, permute, select
from evojax_align.symmetry.reading import places_of

STREAM_ABOVE = 1 << 26
"""Activations of more numbers than this (256 MiB in float32) are streamed in chunks of a quarter of it."""


@dataclasses.dataclass(frozen=True)
class Method:
    """How one method turns statistics into a matching, and what settings it takes.

    Attributes:
        by_assignment: whether exact assignment of scores makes the matching, which the host can do faster for a whole
            batch.
    """

    needs_covariances: bool
    by_assignment: bool
    takes: tuple[str, ...]
    bijective: bool = True


METHODS = {
    "none": Method(False, False, ()),
    "correlation": Method(False, True, ("engine",)),
    "greedy": Method(False, False, ()),
    "semi": Method(False, False, ("direction",), bijective=False),
    "cca": Method(True, False, ("rank", "ridge", "mode")),
    "loadings": Method(True, True, ("rank", "ridge", "engine")),
    "weights": Method(False, False, ("restarts", "engine")),
}


@dataclasses.dataclass(frozen=True)
class Settings:
    """A method and its settings, checked."""

    method: str = "correlation"
    rank: int | None = None
    ridge: float | Array = 0.0
    mode: str = "text"
    direction: str = "x"
    engine: str = "auto"
    restarts: int = 8

    def __post_init__(self) -> None:
        _checks.one_of("method", self.method, METHODS)
        _checks.one_of("mode", self.mode, MODES)
        _checks.one_of("direction", self.direction, DIRECTIONS)
        _checks.one_of("engine", self.engine, ENGINES)
        if _checks.is_concrete(self.ridge):
            object.__setattr__(self, "ridge", check_ridge(self.ridge))
        _checks.positive("restarts", self.restarts)
        takes = METHODS[self.method].takes
        for field in dataclasses.fields(self)[1:]:
            value = getattr(self, field.name)
            if field.name not in takes and not (_checks.is_concrete(value) and value == field.default):
                who = [name for name, method in METHODS.items() if field.name in method.takes]
                raise _checks.bad(
                    field.name,
                    f"{value!r} with method={self.method!r}",
                    f"{field.default!r}",
                    f"Leave it out, or use method={' or '.join(map(repr, who))}.",
                )

    @property
    def on_host(self) -> bool:
        """Whether, outside a trace, the host makes the matching."""
        return METHODS[self.method].by_assignment and self.engine != "compiled"

    def parts(self) -> tuple["Settings", float | Array | None]:
        """What a program is compiled for, and its one argument: the ridge, or None where there is none."""
        if _checks.is_concrete(self.ridge) and self.ridge == 0:
            return self, None
        return dataclasses.replace(self, ridge=0.0), self.ridge

    def with_ridge(self, ridge: float | Array | None) -> "Settings":
        """The inverse of `parts`."""
        return self if ridge is None else dataclasses.replace(self, ridge=ridge)


def relate(
    spec: PermutationSpec,
    apply: Apply,
    a: PyTree,
    b: PyTree,
    x: PyTree,
    *,
    covariances: bool = True,
    chunk: int | None = None,
    positions: int | None = None,
) -> dict[str, Relation]:
    """Statistics of both networks' activations on the same inputs, group by group.

    Args:
        spec: the symmetry of the network.
        apply: the network.
        a: parameters of the first.
        b: parameters of the second.
        x: inputs, samples along the leading axis of every leaf.
        covariances: also those inside each network, which the methods "cca" and "loadings" need.
        chunk: samples at a time; by default all, unless their activations would take more than 256 MiB.
        positions: of each sample, take at most this many places of a map, evenly spread; all by default.

    Returns:
        A `Relation` for every group that data reach. It does not depend on `chunk`, but for rounding.
    """
    sides = (spec, apply, a), (spec, apply, b)
    return relate_networks(*sides, x, covariances=covariances, chunk=chunk, positions=positions)


Network: TypeAlias = tuple[PermutationSpec, Apply, PyTree]
"""A symmetry, a function, and its parameters."""


def relate_networks(
    a: Network, b: Network, x: PyTree, *, covariances: bool, chunk: int | None, positions: int | None
) -> dict[str, Relation]:
    """As `relate`, of two networks that may differ, but have groups of the same names."""
    count = _count(x)
    if chunk is not None:
        _checks.positive("chunk", chunk)

    def read(network: Network, part: PyTree) -> dict[str, list[Array]]:
        return places_of(*network, part, positions=positions)

    def of_chunk(part: PyTree) -> dict[str, list[Moments]]:
        of_a, of_b = read(a, part), read(b, part)
        found = {}
        for group, places in of_a.items():
            both = zip(places, of_b[group], strict=True)
            found[group] = [moments(_flat(p), _flat(q), within=covariances) for p, q in both]
        return found

    (spec, apply, params), (other_spec, other, others) = a, b
    shapes = jax.eval_shape(lambda p, part: read((spec, apply, p), part), params, x)
    shapes_b = jax.eval_shape(lambda p, part: read((other_spec, other, p), part), others, x)
    numbers = sum(place.size for found in (shapes, shapes_b) for places in found.values() for place in places)
    totals = _stream(of_chunk, x, count, min(chunk or _chunk_size(count, numbers), count))
    samples = {group: sum(place.shape[0] for place in places) for group, places in shapes.items()}
    parents = {group: spec.parents.get(group) for group in totals}
    return {
        group: Relation(pool(places), samples[group], parent, None if parent is None else spec.groups[parent])
        for (group, places), parent in zip(totals.items(), parents.values(), strict=True)
    }


def _flat(places: Array) -> Array:
    """[samples, neurons], the neurons of all outer ones end to end."""
    return places.reshape(places.shape[0], -1)


def partners(relation: Relation, settings: Settings) -> Partners:
    """Both sides of the match of one group."""
    m = relation.moments
    dead = {"dead_x": m.dead_x, "dead_y": m.dead_y}
    if settings.method == "none":
        as_it_is = jnp.arange(m.mean_x.size, dtype=jnp.int32)
        return as_it_is, as_it_is, jnp.array(True)
    if settings.method == "semi":
        best = semi(correlation_of(m), **dead, direction=settings.direction)
        return best.x, best.y, jnp.array(True)
    if settings.method == "cca":
        result = _cca(relation, settings)
        weights = result.weights_x, result.weights_y
        if settings.mode == "code":
            dead = {side: jnp.zeros_like(flags) for side, flags in dead.items()}
            if _checks.is_concrete(settings.ridge) and settings.ridge == 0:
                weights = map(deflated, weights)  # with a ridge the authors used another program, without deflation
        found = canonical(*weights, **dead, mode=settings.mode)
    elif settings.method == "greedy":
        found = greedy_index(correlation_of(m), **dead)
    else:
        found = one_to_one(assignment_scores(relation, settings), **dead, engine=settings.engine)
    return found.x, found.y, found.valid


def match_groups(
    relations: Mapping[str, Relation], settings: Settings, known: Mapping[str, Partners] | None = None
) -> dict[str, GroupMatch]:
    """Match all groups of one pair by one method.

    Args:
        relations: from `relate`.
        settings: the method, any but "weights".
        known: the partners, where they have been found already, so that only what follows is put together.

    Raises:
        ValueError: for the method "weights", which statistics of activations do not suffice for.
    """
    if settings.method == "weights":
        fix = "It needs the parameters: use `align`, `align_pairs` or `match_weights`."
        raise _checks.bad("method", "'weights'", "a method that compares activations", fix)
    if known is None:
        known = {group: each_block(partial(partners, settings=settings), r) for group, r in relations.items()}
    return resolve(relations, known, keep=settings.method == "none", engine=settings.engine)


def each_block(fn: Callable[[Relation], Any], relation: Relation) -> Any:
    """Apply a function to a relation, or, of a group inside another, to that of every pair of outer neurons."""
    return fn(relation) if relation.parent is None else population.map(fn, blocks(relation))


def assignment_scores(relation: Relation, settings: Settings) -> Float[Array, "p q"]:
    """The scores of which a method by assignment maximises the total."""
    if settings.method == "loadings":
        return structure_scores(_cca(relation, settings))
    return correlation_of(relation.moments)


def rearrange(
    spec: PermutationSpec, a: PyTree, b: PyTree, matches: Mapping[str, GroupMatch], *, bijective: bool = True
) -> tuple[PyTree, PyTree]:
    """Put both networks' neurons into the order of the matches (Algorithm 2 of Uriot & Izzo 2020)."""
    move = permute if bijective else select
    of_a = {group: m.x for group, m in matches.items()}
    of_b = {group: m.y for group, m in matches.items()}
    return move(spec, a, of_a), move(spec, b, of_b)


def _cca(relation: Relation, settings: Settings) -> CCA:
    m = relation.moments
    check_rank(settings.rank, m.mean_x.size, m.mean_y.size)
    check_samples(relation.samples, max(m.mean_x.size, m.mean_y.size), settings.rank, settings.ridge)
    return cca_of(m, settings.rank, settings.ridge)


def _count(x: PyTree) -> int:
    _checks.inputs("x", x)
    return jax.tree.leaves(x)[0].shape[0]


def _chunk_size(count: int, numbers: int) -> int:
    return count if numbers <= STREAM_ABOVE else max(1, count * (STREAM_ABOVE // 4) // numbers)


def _stream(
    of_chunk: Callable[[PyTree], dict[str, list[Moments]]], x: PyTree, count: int, chunk: int
) -> dict[str, list[Moments]]:
    """The moments of all samples; only one chunk's activations exist at a time."""
    whole, rest = divmod(count, chunk)

    def part(start: int, stop: int) -> PyTree:
        return jax.tree.map(lambda leaf: leaf[start:stop], x)

    def add(totals: PyTree, part: PyTree) -> tuple[PyTree, None]:
        return jax.tree.map(merge, totals, of_chunk(part), is_leaf=lambda leaf: isinstance(leaf, Moments)), None

    totals = of_chunk(part(0, chunk))
    if whole > 1:
        chunks = jax.tree.map(lambda leaf: leaf.reshape(-1, chunk, *leaf.shape[1:]), part(chunk, whole * chunk))
        totals, _ = jax.lax.scan(add, totals, chunks)
    return add(totals, part(whole * chunk, count))[0] if rest else totals
