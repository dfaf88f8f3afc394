"""Matching by weights alone: no data, many groups at once (Ainsworth et al. 2023, Git Re-Basin, section 3.2).

The total inner product of the first network's parameters with those of the permuted second is raised group by group:
with all other groups held, the best order of one is an exact assignment. Each step that does not raise the total is
taken back, and the climb ends when no group gains. Where it ends depends on where it starts, so that several starts
climb together and the highest is kept. Heads and their channels take one step together.
"""

import functools
from collections.abc import Collection, Iterator, Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from evojax_align import _checks, population
from evojax_align._tree import nothing
from evojax_align._types import Array, Bool, Float, PyTree
from evojax_align.matching import one_to_one, one_to_one_batch
from evojax_align.symmetry import PermutationSpec, compose, identity, permute, random_permutations
from evojax_align.symmetry.layout import Layout, groups_in
from evojax_align.symmetry.reading import unfolded

SWEEPS = 100
"""At most this often every group is looked at; in practice a climb ends within ten."""
GAIN = 1e-6
"""A step must raise the total by this part of its size."""

Orders = Mapping[str, Array]


def match_weights(
    spec: PermutationSpec,
    a: PyTree,
    b: PyTree,
    start: Orders,
    *,
    restarts: int,
    engine: str = "auto",
    groups: Collection[str] | None = None,
) -> dict[str, Array]:
    """The permutations of b that bring its parameters nearest to those of a.

    Args:
        spec: the symmetry of both.
        a: parameters of the first network, which stays as it is.
        b: parameters of the second.
        start: permutations of b from which the first climb starts, such as those matched by activations; the second
            starts from b as it is, and all others from random orders, the same in every call.
        restarts: number of climbs.
        engine: what solves the assignments (see `matching.one_to_one`).
        groups: match these only, with those that live inside them; all others stay in the order of `start`.

    Returns:
        For each group an index array.
    """
    _checks.positive("restarts", restarts)
    if not spec.groups:
        return {}
    start = {group: jnp.asarray(order, jnp.int32) for group, order in start.items()}
    keys = jax.random.split(jax.random.key(0), max(restarts - 2, 1))
    starts = [identity(spec) | dict(start), identity(spec), *(random_permutations(spec, key) for key in keys)]
    families = [(group, *(g for g, p in spec.parents.items() if p == group)) for group in spec.groups]
    families = [family for family in families if family[0] not in spec.parents]
    if groups is not None:
        families = [family for family in families if set(family) & set(groups)]
        held = {group: order for group, order in starts[0].items() if not any(group in family for family in families)}
        starts = [orders | held for orders in starts]
    orders = population.stack(starts[:restarts])
    random = np.random.default_rng(0)
    on_host = engine != "compiled" and _checks.is_concrete(a, b, orders)
    if on_host:
        for _ in range(SWEEPS):
            gained = False
            for number in random.permutation(len(families)):
                orders, better = _step(spec, families[number], a, b, orders, engine="host")
                gained |= bool(better.any())
            if not gained:
                break
    else:
        in_order = [families[number] for number in random.permutation(len(families))]

        def sweep(state: tuple[Orders, Array, Array]) -> tuple[Orders, Array, Array]:
            orders, _, count = state
            gained = jnp.zeros((), bool)
            for family in in_order:
                orders, better = _step(spec, family, a, b, orders, engine=engine)
                gained |= jnp.any(better)
            return orders, gained, count + 1

        zero = nothing((a, b, orders))
        state = jax.tree.map(lambda order: order + zero, orders), zero == 0, zero
        orders, *_ = jax.lax.while_loop(lambda state: state[1] & (state[2] < SWEEPS), sweep, state)
    return population.take(orders, jnp.argmax(_totals(spec, a, b, orders)))


def _step(
    spec: PermutationSpec, family: tuple[str, ...], a: PyTree, b: PyTree, orders: Orders, *, engine: str
) -> tuple[Orders, Bool[Array, " restarts"]]:
    """The best order of one group, and of those inside it, for every climb; and which climbs it helped."""
    own, inner = _scores(spec, family, a, b, orders)
    inside, best = {}, own
    for group, scores in inner.items():
        inside[group], totals = _solved(scores, engine)
        best = best + totals
    outer, _ = _solved(best, engine)
    return _moved(spec, family, a, b, orders, outer, inside)


def _solved(scores: Float[Array, "*batch p p"], engine: str) -> tuple[Array, Array]:
    """Assignments for any number of leading axes, and their totals."""
    flat = scores.reshape(-1, *scores.shape[-2:])
    if engine == "host":
        y = one_to_one_batch(flat).y
    else:
        y = population.map(lambda s: one_to_one(s, engine=engine).y, flat).astype(jnp.int32)
    totals = jnp.sum(jnp.take_along_axis(flat, y[..., None], axis=-1), axis=(-2, -1))
    return y.reshape(scores.shape[:-1]), totals.reshape(scores.shape[:-2])


@functools.partial(jax.jit, static_argnames=("spec", "family"))
def _scores(
    spec: PermutationSpec, family: tuple[str, ...], a: PyTree, b: PyTree, orders: Orders
) -> tuple[Array, dict[str, Array]]:
    """Inner products of neuron i of a with neuron j of b as it is ordered so far: those of the group itself, from
    leaves without inner groups; and those of inner groups, for every pair of outer neurons."""
    group, *inner = family

    def one(orders: Orders) -> tuple[Array, dict[str, Array]]:
        size = spec.groups[group]
        own = jnp.zeros((size, size))
        inside = {g: jnp.zeros((size, size, spec.groups[g], spec.groups[g])) for g in inner}
        leaves = zip(jax.tree_util.tree_leaves_with_path(a), jax.tree.leaves(permute(spec, b, orders)), strict=True)
        for (path, p), q in leaves:
            layouts = spec.axes[_checks.path_string(path)]
            if not jnp.issubdtype(jnp.result_type(p), jnp.inexact):
                continue
            for axis, name in _appearances(layouts, family):
                outer = None if name == group else group
                sides = (unfolded(jnp.asarray(v, jnp.float32), layouts, axis, name, outer) for v in (p, q))
                for (x, kinds, axes), (y, *_) in zip(*sides, strict=True):
                    if outer is not None:
                        inside[name] += _products(x, y, axes)
                    elif not {g for kind in kinds for g in groups_in(kind)}.intersection(inner):
                        own += _products(x, y, axes)
        return own, inside

    return population.map(one, orders)


def _appearances(layouts: Sequence[Layout], family: Sequence[str]) -> Iterator[tuple[int, str]]:
    """The axes of a leaf, and the groups of a family along each."""
    for axis, layout in enumerate(layouts):
        for name in dict.fromkeys(groups_in(layout)):
            if name in family:
                yield axis, name


def _products(x: Array, y: Array, axes: tuple[int, ...]) -> Array:
    """[i, j], or [i, j, k, l] for neuron k in i of x and l in j of y."""
    x, y = (jnp.moveaxis(leaf, axes, range(len(axes))) for leaf in (x, y))
    shape = x.shape[: len(axes)]
    x, y = (leaf.reshape(*shape, -1) for leaf in (x, y))
    formula = "ir,jr->ij" if len(axes) == 1 else "ikr,jlr->ijkl"
    return jnp.einsum(formula, x, y, precision=jax.lax.Precision.HIGHEST)


@functools.partial(jax.jit, static_argnames=("spec", "family"))
def _moved(
    spec: PermutationSpec,
    family: tuple[str, ...],
    a: PyTree,
    b: PyTree,
    orders: Orders,
    outer: Array,
    inside: Mapping[str, Array],
) -> tuple[Orders, Array]:
    """Put the group into its new order where that raises the total."""
    group = family[0]

    def one(args: tuple[Orders, Array, Mapping[str, Array]]) -> tuple[Orders, Array]:
        old, outer, inside = args
        places = jnp.arange(outer.size)
        step = {group: outer}
        for name, order in inside.items():  # [i, j, n]: for the pair of outer neurons (i, outer[i])
            chosen = order[places, outer]
            step[name] = jnp.zeros_like(chosen).at[outer].set(chosen)
        new = compose(spec, old, step)
        before, after = _total(spec, a, b, old), _total(spec, a, b, new)
        better = after > before + GAIN * jnp.abs(before)
        return jax.tree.map(lambda p, q: jnp.where(better, q, p), dict(old), new), better

    return population.map(one, (orders, outer, inside))


@functools.partial(jax.jit, static_argnames="spec")
def _totals(spec: PermutationSpec, a: PyTree, b: PyTree, orders: Orders) -> Float[Array, " restarts"]:
    return population.map(lambda order: _total(spec, a, b, order), orders)


def _total(spec: PermutationSpec, a: PyTree, b: PyTree, orders: Orders) -> Float[Array, ""]:
    leaves = zip(*(jax.tree.leaves(tree) for tree in (a, permute(spec, b, orders))), strict=True)
    real = [(p, q) for p, q in leaves if jnp.issubdtype(jnp.result_type(p), jnp.inexact)]
    return jnp.sum(
        jnp.array([jnp.vdot(p, q, precision=jax.lax.Precision.HIGHEST).astype(jnp.float32) for p, q in real])
    )
