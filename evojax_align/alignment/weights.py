"""Matching by weights alone: no data, many groups at once (Ainsworth et al. 2023, Git Re-Basin, section 3.2).

The total inner product of the first network's parameters with those of the permuted second is raised group by group:
with all other groups held, the best order of one is an exact assignment. Each step that does not raise the total is
taken back, and the climb ends when no group gains. Where it ends depends on where it starts, so that several starts
climb together and the highest is kept. Heads and their channels take one step together.

A step needs the leaves that run over its group, and nothing else. Its program is compiled for their shapes and layouts,
without names, so that equal layers share one.
"""

from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from evojax_align import _checks, population
from evojax_align._tree import leaves_by_path, nothing
from evojax_align._types import Array, Bool, Float, PyTree
from evojax_align.matching import one_to_one
from evojax_align.symmetry import PermutationSpec, compose, identity, permute, random_permutations
from evojax_align.symmetry.layout import Layout, groups_in
from evojax_align.symmetry.reading import unfolded

SWEEPS = 100
"""At most this often every group is looked at; in practice a climb ends within ten."""
GAIN = 1e-6
"""A step must raise the total of the leaves that it touches by this part of its size."""

Orders = Mapping[str, Array]


class _Step(NamedTuple):
    """A family, that is a group and those that live inside it, and the leaves that run over any of them.

    Attributes:
        spec: the symmetry of these leaves, its groups named by numbers: the family first, and then all others.
        size: number of groups in the family.
        paths: of the leaves.
        names: the group that each number stands for.
    """

    spec: PermutationSpec
    size: int
    paths: tuple[str, ...]
    names: tuple[str, ...]

    def numbered(self, orders: Orders) -> dict[str, Array]:
        """The orders of these groups by number."""
        return {str(number): orders[name] for number, name in enumerate(self.names)}


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
        a: parameters of the first network, which stays as it is; or a population of first networks.
        b: parameters of the second, likewise.
        start: permutations of b from which the first climb starts, such as those matched by activations; the second
            starts from b as it is, and all others from random orders, the same in every call.
        restarts: number of climbs.
        engine: what solves the assignments (see `matching.one_to_one`).
        groups: match these only, with those that live inside them; all others stay in the order of `start`.

    Returns:
        For each group an index array.

    Example:
        >>> import jax, evojax_align as ea
        >>> network, x = ea.models.MLP(hidden=(4, 4), classes=2), jax.random.normal(jax.random.key(0), (20, 3))
        >>> a = network.init(jax.random.key(1), x)
        >>> spec = ea.symmetry.infer(network.apply, a, x)
        >>> b = ea.symmetry.permute(spec, a, ea.symmetry.random_permutations(spec, jax.random.key(2)))
        >>> orders = ea.alignment.match_weights(spec, a, b, {}, restarts=4)
        >>> restored = ea.symmetry.permute(spec, b, orders)
        >>> bool((restored["params"]["hidden_0"]["kernel"] == a["params"]["hidden_0"]["kernel"]).all())
        True
    """
    _checks.positive("restarts", restarts)
    if not spec.groups:
        return {}
    if spec.leading(a, "a"):
        one = partial(match_weights, spec, restarts=restarts, engine=engine, groups=groups)
        pairs = a, b, dict(start)
        if not _checks.is_concrete(pairs):
            return population.map(lambda pair: one(*pair), pairs)
        return population.stack([one(*population.take(pairs, i)) for i in range(population.size(a))])
    leaves_a, leaves_b = (leaves_by_path(jax.tree.map(jnp.asarray, tree)) for tree in (a, b))
    steps = _steps(spec, leaves_a, groups)
    orders = _starts(spec, start, steps, restarts)
    random = np.random.default_rng(0)

    def climb(step: _Step, orders: Orders, engine: str) -> tuple[Orders, Bool[Array, " restarts"]]:
        of_a, of_b = (tuple(leaves[path] for path in step.paths) for leaves in (leaves_a, leaves_b))
        return _climb(step, of_a, of_b, orders, engine)

    if engine != "compiled" and _checks.is_concrete(a, b, orders):
        touching = [{n for n, other in enumerate(steps) if set(other.names) & set(s.names[: s.size])} for s in steps]
        stale = set(range(len(steps)))  # what the others' new orders may have changed
        for _ in range(SWEEPS):
            for number in random.permutation(len(steps)):
                if number not in stale:
                    continue
                orders, better = climb(steps[number], orders, "host")
                stale.discard(number)
                if np.asarray(better).any():
                    stale |= touching[number] - ({number} if _is_linear(*steps[number][:2]) else set())
            if not stale:
                break
    else:
        in_order = [steps[number] for number in random.permutation(len(steps))]

        def sweep(state: tuple[Orders, Array, Array]) -> tuple[Orders, Array, Array]:
            orders, _, count = state
            gained = jnp.zeros((), bool)
            for step in in_order:
                orders, better = climb(step, orders, engine)
                gained |= jnp.any(better)
            return orders, gained, count + 1

        zero = nothing((a, b, orders))
        state = jax.tree.map(lambda order: order + zero, orders), zero == 0, zero
        orders, *_ = jax.lax.while_loop(lambda state: state[1] & (state[2] < SWEEPS), sweep, state)
    best = jnp.argmax(_totals(spec, a, b, orders)) if restarts > 1 else 0
    return population.take(orders, best)


def _steps(spec: PermutationSpec, leaves: Mapping[str, Array], groups: Collection[str] | None) -> list[_Step]:
    """The families to be matched, each with what its program needs to know."""
    steps = []
    for group in spec.groups:
        family = (group, *(inner for inner, outer in spec.parents.items() if outer == group))
        if group in spec.parents or (groups is not None and not set(family) & set(groups)):
            continue
        axes = {
            path: spec.axes[path]
            for path, leaf in leaves.items()
            if jnp.issubdtype(jnp.result_type(leaf), jnp.inexact)
            and any(set(family) & set(groups_in(layout)) for layout in spec.axes[path])
        }
        others = (name for layouts in axes.values() for layout in layouts for name in groups_in(layout))
        names = tuple(dict.fromkeys((*family, *others)))
        number = {name: str(place) for place, name in enumerate(names)}
        part = PermutationSpec(
            groups={number[name]: spec.groups[name] for name in names},
            axes={f"{i}": tuple(_renamed(of, number) for of in layouts) for i, layouts in enumerate(axes.values())},
            parents={number[name]: number[spec.parents[name]] for name in names if name in spec.parents},
        )
        steps.append(_Step(part, len(family), tuple(axes), names))
    return [step for step in steps if step.paths]


def _renamed(layout: Layout, names: Mapping[str, str]) -> Layout:
    if layout is None or isinstance(layout, str):
        return None if layout is None else names[layout]
    return type(layout)(tuple((_renamed(part, names), size) for part, size in layout.parts))


def _starts(spec: PermutationSpec, start: Orders, steps: Sequence[_Step], count: int) -> dict[str, Array]:
    """The orders that all climbs start from, with a leading axis; groups that no step moves stay as in `start`."""
    first = identity(spec) | {group: jnp.asarray(order, jnp.int32) for group, order in start.items()}
    keys = jax.random.split(jax.random.key(0), max(count - 2, 1))
    starts = [first, identity(spec), *(random_permutations(spec, key) for key in keys)][:count]
    moved = {name for step in steps for name in step.names[: step.size]}
    held = {group: order for group, order in first.items() if group not in moved}
    return population.stack([orders | held for orders in starts])


def _climb(
    step: _Step, p: tuple[Array, ...], q: tuple[Array, ...], orders: Orders, engine: str
) -> tuple[dict[str, Array], Bool[Array, " restarts"]]:
    """The best order of one family, for every climb; and which climbs it helped."""
    numbered = step.numbered(orders)
    own, inside = _scores(step.spec, step.size, p, q, numbered)
    solved = {name: _solved(scores, engine) for name, scores in inside.items()}
    best = own + sum(totals for _, totals in solved.values())
    outer, _ = _solved(best, engine)
    inner = {name: order for name, (order, _) in solved.items()}
    new, better = _moved(step.spec, step.size, p, q, numbered, own, inside, best, outer, inner)
    return dict(orders) | {step.names[int(number)]: order for number, order in new.items()}, better


def _solved(scores: Float[Array, "*batch p p"], engine: str) -> tuple[Array, Array]:
    """Assignments for any number of leading axes, and their totals."""
    y = one_to_one(scores, engine=engine).y
    return y, jnp.sum(jnp.take_along_axis(scores, y[..., None], axis=-1), axis=(-2, -1))


@partial(jax.jit, static_argnames=("spec", "size"))
def _scores(
    spec: PermutationSpec, size: int, p: tuple[Array, ...], q: tuple[Array, ...], orders: Orders
) -> tuple[Array, dict[str, Array]]:
    """Inner products of neuron i of a with neuron j of b as it is ordered so far: those of the group itself, from
    leaves without inner groups; and those of inner groups, for every pair of outer neurons."""
    group, *inner = tuple(spec.groups)[:size]

    def one(orders: Orders) -> tuple[Array, dict[str, Array]]:
        n = spec.groups[group]
        own = jnp.zeros((n, n))
        inside = {name: jnp.zeros((n, n, spec.groups[name], spec.groups[name])) for name in inner}
        for layouts, x, y in zip(spec.axes.values(), p, permute(spec, q, orders), strict=True):
            for axis, layout in enumerate(layouts):
                for name in dict.fromkeys(groups_in(layout)):
                    if name != group and name not in inner:
                        continue
                    outer = None if name == group else group
                    sides = (unfolded(jnp.asarray(v, jnp.float32), layouts, axis, name, outer) for v in (x, y))
                    for (of_x, kinds, axes), (of_y, *_) in zip(*sides, strict=True):
                        if outer is not None:
                            inside[name] += _products(of_x, of_y, axes)
                        elif not {g for kind in kinds for g in groups_in(kind)}.intersection(inner):
                            own += _products(of_x, of_y, axes)
        return own, inside

    return population.map(one, orders)


def _products(x: Array, y: Array, axes: tuple[int, ...]) -> Array:
    """[i, j], or [i, j, k, l] for neuron k in i of x and l in j of y."""
    x, y = (jnp.moveaxis(leaf, axes, range(len(axes))) for leaf in (x, y))
    shape = x.shape[: len(axes)]
    x, y = (leaf.reshape(*shape, -1) for leaf in (x, y))
    formula = "ir,jr->ij" if len(axes) == 1 else "ikr,jlr->ijkl"
    return jnp.einsum(formula, x, y, precision=jax.lax.Precision.HIGHEST)


@partial(jax.jit, static_argnames=("spec", "size"))
def _moved(
    spec: PermutationSpec,
    size: int,
    p: tuple[Array, ...],
    q: tuple[Array, ...],
    orders: Orders,
    own: Array,
    inside: dict[str, Array],
    best: Array,
    outer: Array,
    inner: dict[str, Array],
) -> tuple[dict[str, Array], Array]:
    """Put the family into its new order where that raises the total."""
    family = tuple(spec.groups)[:size]

    def one(args: tuple) -> tuple[dict[str, Array], Array]:
        old, own, inside, best, outer, inner = args
        places = jnp.arange(outer.size)
        step = {family[0]: outer}
        for name, order in inner.items():  # [i, j, n]: for the pair of outer neurons (i, outer[i])
            chosen = order[places, outer]
            step[name] = jnp.zeros_like(chosen).at[outer].set(chosen)
        new = compose(spec, old, step)
        if _is_linear(spec, size):  # the scores say what every order is worth
            before = jnp.trace(own) + sum(jnp.einsum("iikk->", scores) for scores in inside.values())
            after = jnp.sum(best[places, outer])
        else:
            before, after = _total(spec, p, q, old), _total(spec, p, q, new)
        better = after > before + GAIN * jnp.abs(before)
        return {name: jnp.where(better, new[name], old[name]) for name in family}, better

    return population.map(one, (dict(orders), own, inside, best, outer, inner))


def _is_linear(spec: PermutationSpec, size: int) -> bool:
    """Whether every leaf runs over the family once, so that the total is the sum of the scores of partners."""
    group, *inner = tuple(spec.groups)[:size]
    for layouts in spec.axes.values():
        named = [name for layout in layouts for name in groups_in(layout)]
        within = sum(named.count(name) for name in inner)
        if within > 1 or named.count(group) > 1 or within + named.count(group) == 0:
            return False
    return True


@partial(jax.jit, static_argnames="spec")
def _totals(spec: PermutationSpec, a: PyTree, b: PyTree, orders: Orders) -> Float[Array, " restarts"]:
    return population.map(lambda order: _total(spec, a, b, order), orders)


def _total(spec: PermutationSpec, a: PyTree, b: PyTree, orders: Orders) -> Float[Array, ""]:
    leaves = zip(*(jax.tree.leaves(tree) for tree in (a, permute(spec, b, orders))), strict=True)
    real = [(p, q) for p, q in leaves if jnp.issubdtype(jnp.result_type(p), jnp.inexact)]
    return jnp.sum(
        jnp.array([jnp.vdot(p, q, precision=jax.lax.Precision.HIGHEST).astype(jnp.float32) for p, q in real])
    )
