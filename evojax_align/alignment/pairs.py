"""Many pairs in few calls: each stage is one compiled program, and the host's cores solve the assignments between."""

from collections.abc import Callable, Mapping
from functools import partial

import jax
import jax.numpy as jnp

from evojax_align import _checks, population
from evojax_align._compiling import watch
from evojax_align._types import Apply, Array, PyTree
from evojax_align.alignment.families import Partners
from evojax_align.alignment.health import Health, examine, refuse
from evojax_align.alignment.records import GroupMatch, Relation
from evojax_align.alignment.stages import Settings, assignment_scores, each_block, match_groups, relate
from evojax_align.matching import one_to_one_batch
from evojax_align.symmetry import PermutationSpec, infer
from evojax_align.symmetry.checking import check_spec, ensure_symmetry


def relate_pairs(
    apply: Apply,
    a: PyTree,
    b: PyTree,
    x: PyTree,
    *,
    spec: PermutationSpec | None = None,
    covariances: bool = True,
    chunk: int | None = None,
    positions: int | None = None,
    verify: bool = True,
) -> dict[str, Relation]:
    """The statistics of many pairs, in one compiled program, for `match_pairs` by any number of methods.

    Args:
        apply: the network.
        a: the population of first networks.
        b: the population of second networks, of the same size.
        x: inputs, shared by all.
        spec: the symmetry, if it is known already.
        covariances: also those inside each network, which the methods "cca" and "loadings" need.
        chunk: samples at a time (see `alignment.relate`).
        positions: of each sample, use at most this many places of a map, evenly spread.
        verify: try the symmetry on random parameters first, once for each network and shapes.

    Returns:
        For each group a `Relation` with a leading axis of pairs.

    Raises:
        ValueError: as `align`.
    """
    _checks.same_trees("a", a, "b", b)
    return related(apply, a, b, x, spec, covariances, chunk, positions, verify, many=True)


def match_pairs(
    relations: Mapping[str, Relation],
    *,
    method: str = "correlation",
    rank: int | None = None,
    ridge: float | Array = 0.0,
    mode: str = "text",
    direction: str = "x",
    engine: str = "auto",
) -> dict[str, GroupMatch]:
    """Match all pairs by one method, from statistics that `relate_pairs` computed once.

    Args:
        relations: from `relate_pairs`.
        method: any but "weights", which needs the parameters; this and all further arguments as in `align`.

    Returns:
        For each group a `GroupMatch` with a leading axis of pairs.

    Raises:
        ValueError: for the method "weights", and as `align`.
    """
    return match_all(relations, Settings(method, rank, ridge, mode, direction, engine), many=True)


def lift(many: bool, fn: Callable[..., PyTree], *trees: PyTree) -> PyTree:
    """Apply a function of one pair, to one or to many; any argument may be a tree without leaves."""
    return population.map(lambda args: fn(*args), trees) if many else fn(*trees)


def related(
    apply: Apply,
    a: PyTree,
    b: PyTree,
    x: PyTree,
    spec: PermutationSpec | None,
    covariances: bool,
    chunk: int | None,
    positions: int | None,
    verify: bool,
    *,
    many: bool,
) -> dict[str, Relation]:
    """The first stage: an error for what cannot be aligned, where values are known."""
    check_call(apply, a, b, x, spec)
    x = jax.tree.map(jnp.asarray, x)
    watch("align", (a, x), apply=apply)
    relations, healths = _related(apply, a, b, x, spec, covariances, chunk, positions, many)
    if verify:
        ensure_symmetry(spec, apply, member_shapes(a) if many else a, x)
    if _checks.is_concrete(healths):
        refuse(healths, a, b, x)
    return relations


def check_call(apply: Apply, a: PyTree, b: PyTree, x: PyTree, spec: PermutationSpec | None) -> None:
    """Refuse what is no network, no parameters, no inputs or no specification, each by its name."""
    _checks.network(apply)
    check_spec(spec)
    for name, tree in (("a", a), ("b", b)):
        _checks.arrays(name, tree)
    _checks.inputs("x", x)


def member_shapes(networks: PyTree) -> PyTree:
    """The shapes of one network of a population."""
    population.size(networks)
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), networks)


def match_all(relations: Mapping[str, Relation], settings: Settings, *, many: bool) -> dict[str, GroupMatch]:
    """The second stage: the host solves assignments between two programs; all else is one program."""
    if not relations:
        return {}
    if not (settings.on_host and _checks.is_concrete(relations, settings.ridge)):
        return _matched(dict(relations), *settings.parts(), many)
    questions = _questions(dict(relations), *settings.parts(), many)
    found = {group: _solved(*question) for group, question in questions.items()}
    return _answered(dict(relations), found, settings.parts()[0], many)


def _solved(scores: Array, dead_x: Array, dead_y: Array) -> Partners:
    """The partners for any number of leading axes, on the host."""
    batch = scores.shape[:-2]
    flat, dead_x, dead_y = [v.reshape(-1, *v.shape[len(batch) :]) for v in (scores, dead_x, dead_y)]
    m = one_to_one_batch(flat, dead_x=dead_x, dead_y=dead_y)
    return m.x.reshape(*batch, -1), m.y.reshape(*batch, -1), m.valid.reshape(batch)


@partial(jax.jit, static_argnames=("apply", "spec", "covariances", "chunk", "positions", "many"))
def _related(
    apply: Apply,
    a: PyTree,
    b: PyTree,
    x: PyTree,
    spec: PermutationSpec | None,
    covariances: bool,
    chunk: int | None,
    positions: int | None,
    many: bool,
) -> tuple[dict[str, Relation], tuple[Health, Health]]:
    def one(a: PyTree, b: PyTree) -> tuple[dict[str, Relation], tuple[Health, Health]]:
        known = spec or infer(apply, a, x)
        relations = relate(known, apply, a, b, x, covariances=covariances, chunk=chunk, positions=positions)
        return relations, examine(a, b, relations)

    return lift(many, one, a, b)


@partial(jax.jit, static_argnames=("settings", "many"))
def _matched(
    relations: dict[str, Relation], settings: Settings, ridge: float | Array | None, many: bool
) -> dict[str, GroupMatch]:
    return lift(many, partial(match_groups, settings=settings.with_ridge(ridge)), relations)


@partial(jax.jit, static_argnames=("settings", "many"))
def _questions(
    relations: dict[str, Relation], settings: Settings, ridge: float | Array | None, many: bool
) -> dict[str, tuple]:
    settings = settings.with_ridge(ridge)

    def one(relation: Relation) -> tuple[Array, Array, Array]:
        return assignment_scores(relation, settings), relation.moments.dead_x, relation.moments.dead_y

    return {group: lift(many, partial(each_block, one), relation) for group, relation in relations.items()}


@partial(jax.jit, static_argnames=("settings", "many"))
def _answered(
    relations: dict[str, Relation], found: dict[str, Partners], settings: Settings, many: bool
) -> dict[str, GroupMatch]:
    return lift(many, lambda r, known: match_groups(r, settings, known), relations, found)
