"""The front door: two networks in, the same two networks out, with corresponding neurons at the same places."""

from collections.abc import Mapping
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from evojax_align import _checks, population
from evojax_align._types import Apply, Array, Bool, Float, Int, PyTree
from evojax_align.alignment.stages import (
    METHODS,
    GroupMatch,
    Relation,
    Settings,
    assignment_scores,
    match,
    matched,
    rearrange,
    relate,
)
from evojax_align.matching import one_to_one_batch
from evojax_align.symmetry import PermutationSpec, infer


@struct.dataclass
class Alignment:
    """Two networks in a common order of neurons; of a population of pairs, with a leading axis everywhere."""

    a: PyTree
    b: PyTree
    permutations_a: Mapping[str, Int[Array, "..."]]
    """For each group, the old index of the neuron that is now at each place."""
    permutations_b: Mapping[str, Int[Array, "..."]]
    """With method "semi" it may repeat and leave neurons out."""
    scores: Mapping[str, Float[Array, "..."]]
    """Correlation of the two neurons that share a place."""
    dead_a: Mapping[str, Int[Array, "..."]]
    """Number of neurons that were constant over the samples."""
    dead_b: Mapping[str, Int[Array, "..."]]
    valid: Bool[Array, "..."]
    """Whether every matching that should be a bijection is one; outside a trace anything else is an error."""
    all_finite: Bool[Array, "..."]
    """Whether all activations were finite; outside a trace anything else is an error."""
    bijective: bool = struct.field(pytree_node=False, default=True)
    """Whether the method keeps both functions; "semi" does not."""


def align(
    apply: Apply,
    a: PyTree,
    b: PyTree,
    x: PyTree,
    *,
    method: str = "correlation",
    rank: int | None = None,
    ridge: float | Array = 0.0,
    mode: str = "text",
    direction: str = "x",
    engine: str = "auto",
    spec: PermutationSpec | None = None,
    chunk: int | None = None,
) -> Alignment:
    """Bring the neurons of two networks into a common order, so that they can be recombined place by place.

    The permutable groups are read from the network's trace. Both networks answer to the same inputs, the answers are
    compared, the neurons matched, and the parameters permuted. Written for one pair: `align_pairs` does many in one
    call, and under `jit`, or lifted by `population.map`, it is one pure program that compiles once.

    Main arguments:
        apply: `apply(params, x)`, traceable by JAX. Give the same function each time, so that nothing is compiled
            again: a module's method will do, a new lambda in a loop will not.
        a: parameters of the first network.
        b: parameters of the second, of the same structure.
        x: inputs on which the neurons are compared, not those on which offspring are scored.
        method: "correlation" matches one to one by largest total correlation (SC-PwC); "semi" gives each neuron of
            one side its best partner (SC-PwC, semi-matching); "cca" is Algorithm 1 on canonical weights (SC-CCA);
            "loadings" matches one to one by what neurons share in canonical space; "greedy" lets the second
            network's neurons choose in index order, as the paper's authors did.

    Other arguments:
        rank: with "cca" and "loadings", number of main directions kept first (SVCCA).
        ridge: with "cca" and "loadings", what is added to the diagonal of the correlation matrices.
        mode: with "cca", "text" or "code" (see `matching.canonical`).
        direction: with "semi", the side of which every neuron is kept: "x" the first network, "y" the second.
        engine: with "correlation" and "loadings", what solves the assignment (see `matching.one_to_one`).
        spec: the symmetry, if it is known already.
        chunk: samples at a time (see `alignment.relate`).

    Returns:
        An `Alignment`. With a bijective method `apply(out.a, x)` equals `apply(a, x)`, and likewise for b, up to
        the rounding of sums in another order.

    Raises:
        ValueError: for parents of different structure, shape or dtype (the leaf is named), an unknown method, a
            setting that the method does not take, too few samples for CCA, values that are not finite, and a group
            in which all neurons are dead.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> apply = lambda p, x: jnp.tanh(x @ p["in"]) @ p["out"]
        >>> a = {"in": jnp.array([[1.0, 2.0], [0.0, 1.0]]), "out": jnp.array([[1.0], [2.0]])}
        >>> b = {"in": a["in"][:, ::-1], "out": a["out"][::-1]}
        >>> out = align(apply, a, b, jax.random.normal(jax.random.key(0), (8, 2)))
        >>> bool((out.a["in"] == out.b["in"]).all())
        True
    """
    settings = Settings(method, rank, ridge, mode, direction, engine)
    _checks.same_trees("a", a, "b", b)
    if not _checks.is_concrete(a, b, x):
        spec = spec or infer(apply, a, x)
        relations = relate(spec, apply, a, b, x, covariances=METHODS[method].needs_covariances, chunk=chunk)
        matches = {group: match(relation, settings) for group, relation in relations.items()}
        return _assemble(spec, a, b, matches, settings)
    a, b = (jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], tree) for tree in (a, b))
    out = _staged(apply, a, b, x, settings, spec, chunk)
    return jax.tree.map(lambda leaf: leaf[0], out)


def align_pairs(
    apply: Apply,
    a: PyTree,
    b: PyTree,
    x: PyTree,
    *,
    method: str = "correlation",
    rank: int | None = None,
    ridge: float | Array = 0.0,
    mode: str = "text",
    direction: str = "x",
    spec: PermutationSpec | None = None,
    chunk: int | None = None,
) -> Alignment:
    """Align many pairs in one call: two compiled programs, and between them exact assignments on the host's cores.

    Args:
        apply: the network.
        a: the population of first networks.
        b: the population of second networks, of the same size.
        x: inputs, shared by all.
        method: and all further arguments as in `align`.

    Returns:
        An `Alignment` with a leading axis; its member `i` is `align(apply, a_i, b_i, x, ...)`.
    """
    settings = Settings(method, rank, ridge, mode, direction)
    _checks.same_trees("a", a, "b", b)
    population.size(a)
    return _staged(apply, a, b, x, settings, spec, chunk)


def relate_pairs(
    apply: Apply,
    a: PyTree,
    b: PyTree,
    x: PyTree,
    *,
    spec: PermutationSpec | None = None,
    covariances: bool = True,
    chunk: int | None = None,
) -> dict[str, Relation]:
    """The statistics of many pairs, in one compiled program, for `match_pairs` by any number of methods."""
    _check_hashable(apply)
    for name, tree in (("a", a), ("b", b)):
        _checks.all_finite(name, tree)
    relations = _relate_program(apply, a, b, x, spec, covariances, chunk)
    for group, relation in relations.items():
        _check_group(group, relation)
    return relations


def match_pairs(
    relations: Mapping[str, Relation],
    *,
    method: str = "correlation",
    rank: int | None = None,
    ridge: float | Array = 0.0,
    mode: str = "text",
    direction: str = "x",
) -> dict[str, GroupMatch]:
    """Match all pairs by one method, from statistics that `relate_pairs` computed once."""
    return _match_staged(relations, Settings(method, rank, ridge, mode, direction))


def _staged(
    apply: Apply, a: PyTree, b: PyTree, x: PyTree, settings: Settings, spec: PermutationSpec | None, chunk: int | None
) -> Alignment:
    covariances = METHODS[settings.method].needs_covariances
    relations = relate_pairs(apply, a, b, x, spec=spec, covariances=covariances, chunk=chunk)
    matches = _match_staged(relations, settings)
    return _rearrange_program(apply, a, b, x, matches, settings, spec)


def _match_staged(relations: Mapping[str, Relation], settings: Settings) -> dict[str, GroupMatch]:
    on_host = METHODS[settings.method].by_assignment and settings.engine != "compiled"
    if not on_host:
        return _match_program(dict(relations), settings)
    matches = {}
    for group, relation in relations.items():
        scores, dead_x, dead_y = _scores_program(relation, settings)
        found = one_to_one_batch(scores, dead_x, dead_y)
        matches[group] = _matched_program(relation, found.x, found.y, found.valid)
    return matches


@partial(jax.jit, static_argnames=("apply", "spec", "covariances", "chunk"))
def _relate_program(
    apply: Apply,
    a: PyTree,
    b: PyTree,
    x: PyTree,
    spec: PermutationSpec | None,
    covariances: bool,
    chunk: int | None,
) -> dict[str, Relation]:
    known = spec or infer(apply, population.take(a, 0), x)
    return population.map(
        lambda p, q: relate(known, apply, p, q, x, covariances=covariances, chunk=chunk), a, b
    )


@partial(jax.jit, static_argnames="settings")
def _match_program(relations: dict[str, Relation], settings: Settings) -> dict[str, GroupMatch]:
    return {group: population.map(lambda r: match(r, settings), of) for group, of in relations.items()}


@partial(jax.jit, static_argnames="settings")
def _scores_program(relation: Relation, settings: Settings) -> tuple[Array, Array, Array]:
    def one(r: Relation) -> tuple[Array, Array, Array]:
        return assignment_scores(r, settings), r.moments.dead_x, r.moments.dead_y

    return population.map(one, relation)


@jax.jit
def _matched_program(relation: Relation, x: Array, y: Array, valid: Array) -> GroupMatch:
    return population.map(lambda r, i, j, ok: matched(r.moments, i, j, ok), relation, x, y, valid)


@partial(jax.jit, static_argnames=("apply", "settings", "spec"))
def _rearrange_program(
    apply: Apply,
    a: PyTree,
    b: PyTree,
    x: PyTree,
    matches: dict[str, GroupMatch],
    settings: Settings,
    spec: PermutationSpec | None,
) -> Alignment:
    known = spec or infer(apply, population.take(a, 0), x)
    return population.map(lambda p, q, m: _assemble(known, p, q, m, settings), a, b, matches)


def _assemble(
    spec: PermutationSpec, a: PyTree, b: PyTree, matches: Mapping[str, GroupMatch], settings: Settings
) -> Alignment:
    bijective = METHODS[settings.method].bijective
    new_a, new_b = rearrange(spec, a, b, matches, bijective=bijective)
    true = jnp.array(True)
    return Alignment(
        a=new_a,
        b=new_b,
        permutations_a={group: m.x for group, m in matches.items()},
        permutations_b={group: m.y for group, m in matches.items()},
        scores={group: m.score for group, m in matches.items()},
        dead_a={group: m.dead_x for group, m in matches.items()},
        dead_b={group: m.dead_y for group, m in matches.items()},
        valid=jnp.all(jnp.stack([true, *(m.valid for m in matches.values())])),
        all_finite=jnp.all(jnp.stack([true, *(m.all_finite for m in matches.values())])),
        bijective=bijective,
    )


def _check_group(group: str, relation: Relation) -> None:
    m = relation.moments
    for name, mean, square in (("a", m.mean_x, m.square_x), ("b", m.mean_y, m.square_y)):
        if not np.isfinite(np.asarray(square)).all():
            mend = "Drop this network, or train it again with a smaller learning rate."
            raise _checks.bad(name, f"NaN or infinite activations in group {group!r}", "finite values", mend)
        square, mean = np.asarray(square), np.asarray(mean)
        dead = jax.vmap(lambda r: r.dead_x if name == "a" else r.dead_y)(m)
        all_dead = np.flatnonzero(np.asarray(dead).all(axis=1))
        if all_dead.size:
            raise _checks.bad(
                name,
                f"{square.shape[1]} dead neurons out of {square.shape[1]} in group {group!r} of pair {all_dead[0]}",
                "at least one neuron that answers differently to different samples",
                "Use more samples, or drop this network: a layer without live neurons has nothing to align.",
            )


def _check_hashable(apply: Apply) -> None:
    try:
        hash(apply)
    except TypeError as error:
        mend = "Wrap it once: def apply(params, x): ..."
        raise _checks.bad("apply", f"an object without a hash ({error})", "a function", mend) from error
