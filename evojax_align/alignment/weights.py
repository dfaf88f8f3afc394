"""Matching by weights: no data, many groups at once (Ainsworth et al. 2023, Git Re-Basin, section 3.2).

The total inner product of the first network's parameters with those of the permuted second is maximised by coordinate
ascent over groups: with all other groups fixed, the best order of one group is an exact assignment. A step that does
not raise the total is rejected, and the search ends when no group improves. The local optimum depends on the start, so
that several starts are used and the best result is kept. Heads and their channels are updated in one step.

A step needs only the leaves that have an axis of its group. It is written once, for NumPy and for JAX. On a CPU the
search runs in NumPy, without compilation; on an accelerator and under a trace all searches are one compiled program.
"""

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from evojax_align import _checks, population
from evojax_align._tree import leaves_by_path, nothing
from evojax_align._types import Array, PyTree
from evojax_align.matching import one_to_one
from evojax_align.matching.assignment import solve
from evojax_align.matching.records import cleaned
from evojax_align.symmetry import PermutationSpec
from evojax_align.symmetry.layout import Layout, groups_in
from evojax_align.symmetry.permuting import check_order, composed, drawn_orders, reorder
from evojax_align.symmetry.reading import unfolded

SWEEPS = 100
"""At most this many sweeps over all groups; in practice a search ends within ten."""
GAIN = 1e-6
"""A step must raise the total of the leaves that it changes by this fraction of its size."""
WIDE = 128
"""From this many neurons on, searches run in parallel threads; with fewer, they would wait for the interpreter lock."""

Orders = Mapping[str, Any]
Memory = dict[tuple[str, int, str], tuple[Orders, Any]]
"""For a leaf, an axis and a group: the orders of the leaf's other groups, and the inner products for these orders."""


class _Step(NamedTuple):
    """A family, which is a group and those nested in it, and the leaves with an axis of any of them.

    Attributes:
        group: the outer group.
        inner: the groups nested in it.
        paths: the paths of these leaves.
        names: all groups along the axes of these leaves.
        is_linear: whether every leaf has one axis of the family, so that the total is the sum of partners' scores.
    """

    group: str
    inner: tuple[str, ...]
    paths: tuple[str, ...]
    names: frozenset[str]
    is_linear: bool


class _Pair(NamedTuple):
    """Two networks in float32, as arrays of NumPy or of JAX.

    Attributes:
        axes: the layouts of every leaf, by path.
        parents: the outer group of each inner group.
        sizes: the sizes of all groups.
        a: leaves of the first network.
        b: leaves of the second.
        numbers: `numpy` or `jax.numpy`.
        solve: returns the order of largest total score; for scores with leading axes, one order for each.
    """

    axes: Mapping[str, tuple[Layout, ...]]
    parents: Mapping[str, str]
    sizes: Mapping[str, int]
    a: Mapping[str, Any]
    b: Mapping[str, Any]
    numbers: Any
    solve: Callable[[Any], Any]

    def ordered(self, path: str, orders: Orders) -> Any:
        """A leaf of the second network in these orders."""
        return reorder(self.b[path], self.axes[path], orders, self.parents, self.numbers)


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
    """Find the permutations of b that bring its parameters nearest to those of a.

    Args:
        spec: the symmetry of both.
        a: parameters of the first network, which is not permuted; or a population of first networks.
        b: parameters of the second, likewise.
        start: permutations of b from which the first search starts, such as those matched by activations. The second
            starts from the original order of b, and all others from random orders, the same in every call.
        restarts: number of searches.
        engine: solver of the assignments (see `matching.one_to_one`).
        groups: match only these and the groups nested in them; all others keep the order of `start`.

    Returns:
        For each group an index array.

    Raises:
        ValueError: for a start that is not a permutation. On a CPU and outside a trace, also for parameters along the
            groups to be matched that are not finite; elsewhere the orders are then meaningless.

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
    leading, _ = spec.leading(a, "a"), spec.leading(b, "b")
    if leading:
        one = partial(match_weights, spec, restarts=restarts, engine=engine, groups=groups)
        pairs = a, b, dict(start)
        if not _checks.is_concrete(pairs):
            return population.map(lambda pair: one(*pair), pairs)
        return population.stack([one(*population.take(pairs, i)) for i in range(population.size(a))])
    for group, order in start.items():
        check_order(spec, group, order, "start")
    names = None if groups is None else tuple(sorted(groups))
    if engine != "compiled" and _checks.on_host((a, b, dict(start))):
        with np.errstate(over="ignore", invalid="ignore"):  # products of huge parameters
            orders = _best_on_host(spec, a, b, start, restarts, names)
        return {group: jnp.asarray(order, jnp.int32) for group, order in orders.items()}
    return _best_compiled(spec, a, b, dict(start), restarts, engine, names)


def _pair(spec: PermutationSpec, a: PyTree, b: PyTree, numbers: Any, solve: Callable[[Any], Any]) -> _Pair:
    """All floating-point leaves, in float32; for a complex leaf, its real and imaginary parts."""
    axes: dict[str, tuple[Layout, ...]] = {}
    sides: tuple[dict[str, Any], dict[str, Any]] = {}, {}
    for side, tree in zip(sides, (a, b), strict=True):
        for path, leaf in leaves_by_path(tree).items():
            if not _checks.is_inexact(leaf):
                continue
            leaf, axes[path] = numbers.asarray(leaf), tuple(spec.axes[path])
            if leaf.dtype.kind == "c":
                leaf, axes[path] = numbers.stack([leaf.real, leaf.imag], axis=-1), (*axes[path], None)
            side[path] = leaf.astype(np.float32)
    return _Pair(axes, spec.parents, spec.groups, *sides, numbers, solve)


def _steps(pair: _Pair, groups: Collection[str] | None) -> list[_Step]:
    """The families to be matched, each with the leaves that it changes."""
    runs_over = {path: [name for of in layouts for name in groups_in(of)] for path, layouts in pair.axes.items()}
    steps = []
    for group in pair.sizes:
        inner = tuple(name for name, outer in pair.parents.items() if outer == group)
        family = {group, *inner}
        if group in pair.parents or (groups is not None and not family & set(groups)):
            continue
        touched = {path: names for path, names in runs_over.items() if family & set(names)}
        if not touched:
            continue
        names = frozenset(name for of_leaf in touched.values() for name in of_leaf)
        is_linear = all(
            max(own, within) <= 1 and own + within > 0
            for own, within in ((of_leaf.count(group), sum(map(of_leaf.count, inner))) for of_leaf in touched.values())
        )
        steps.append(_Step(group, inner, tuple(touched), names, is_linear))
    return steps


def _starts(spec: PermutationSpec, start: Orders, steps: Sequence[_Step], count: int) -> list[dict[str, Any]]:
    """The orders that searches start from; groups that no step changes keep the order of `start` or their own."""
    as_it_is = {
        group: np.array(np.broadcast_to(np.arange(size), spec.shape_of(group)), np.int32)
        for group, size in spec.groups.items()
    }
    random = np.random.default_rng(0)
    drawn = [drawn_orders(spec, random) for _ in range(count - 2)]
    moved = {name for step in steps for name in (step.group, *step.inner)}
    first = as_it_is | {group: order.astype(np.int32) for group, order in start.items()}
    held = {group: order for group, order in first.items() if group not in moved}
    return [orders | held for orders in (first, as_it_is, *drawn)][:count]


def _best_on_host(
    spec: PermutationSpec, a: PyTree, b: PyTree, start: Orders, restarts: int, groups: Collection[str] | None
) -> Orders:
    """The best result of all searches, in NumPy."""
    pair = _pair(spec, a, b, np, _solved_on_host)
    steps = _steps(pair, groups)
    touched = {path for step in steps for path in step.paths}
    for name, leaves in (("a", pair.a), ("b", pair.b)):
        _checks.all_finite(name, {path: leaf for path, leaf in leaves.items() if path in touched})
    starts = _starts(spec, {group: np.asarray(order) for group, order in start.items()}, steps, restarts)
    if restarts == 1:
        return _climb(pair, steps, starts[0])
    if max(spec.groups.values()) < WIDE:
        ends = [_climb(pair, steps, start) for start in starts]
    else:
        with ThreadPoolExecutor(min(restarts, os.cpu_count() or 1)) as pool:
            ends = list(pool.map(partial(_climb, pair, steps), starts))
    return max(ends, key=partial(_total, pair, tuple(pair.a)))


def _climb(pair: _Pair, steps: Sequence[_Step], orders: Orders) -> Orders:
    """One search. A family is updated again only after one of its neighbours has changed."""
    memory: Memory = {}
    near = [{n for n, other in enumerate(steps) if {other.group, *other.inner} & step.names} for step in steps]
    stale, random = set(range(len(steps))), np.random.default_rng(0)
    for _ in range(SWEEPS):
        for number in random.permutation(len(steps)):
            if number not in stale:
                continue
            orders, is_better = _stepped(pair, steps[number], orders, memory)
            stale.discard(number)
            if is_better:
                stale |= near[number] - ({number} if steps[number].is_linear else set())
        if not stale:
            break
    return orders


def _solved_on_host(scores: np.ndarray) -> np.ndarray:
    return solve(scores if np.isfinite(scores).all() else cleaned(scores, np))  # huge products overflow


@partial(jax.jit, static_argnames=("spec", "restarts", "engine", "groups"))
def _best_compiled(
    spec: PermutationSpec,
    a: PyTree,
    b: PyTree,
    start: Orders,
    restarts: int,
    engine: str,
    groups: tuple[str, ...] | None,
) -> dict[str, Array]:
    """The same in one compiled program, all searches at once; sweeps over all families until none improves."""
    pair = _pair(spec, a, b, jnp, lambda scores: one_to_one(scores, engine=engine).y)
    steps = _steps(pair, groups)
    starts = population.stack([jax.tree.map(jnp.asarray, s) for s in _starts(spec, start, steps, restarts)])
    in_order = [steps[number] for number in np.random.default_rng(0).permutation(len(steps))]

    def sweep(state: tuple[Orders, Array, Array]) -> tuple[Orders, Array, Array]:
        orders, _, count = state
        gained = jnp.zeros((), bool)
        for step in in_order:
            orders, better = population.map(lambda orders, step=step: _stepped(pair, step, orders, {}), orders)
            gained |= jnp.any(better)
        return orders, gained, count + 1

    zero = nothing((a, b, start))
    state = jax.tree.map(lambda order: order + zero, starts), zero == 0, zero
    with jax.default_matmul_precision("highest"):
        ends, *_ = jax.lax.while_loop(lambda state: state[1] & (state[2] < SWEEPS), sweep, state)
        totals = population.map(partial(_total, pair, tuple(pair.a)), ends)
    return population.take(ends, jnp.argmax(totals))


def _stepped(pair: _Pair, step: _Step, orders: Orders, memory: Memory) -> tuple[dict[str, Any], Any]:
    """The orders with one family in its best order if that raises the total, and whether it does."""
    numbers, family = pair.numbers, (step.group, *step.inner)
    held = {name: order for name, order in orders.items() if name not in family} if step.is_linear else orders
    own, inside = _scores(pair, step, held, memory)
    solved = {name: pair.solve(scores) for name, scores in inside.items()}
    best = own
    for name, order in solved.items():  # scores of pairs of outer neurons, inner ones at their best
        best = best + numbers.take_along_axis(inside[name], order[..., None], axis=-1).sum((-2, -1))
    outer = pair.solve(best)
    places = numbers.arange(outer.shape[0])
    moves = {step.group: outer}
    for name, order in solved.items():
        moves[name] = order[places, outer][numbers.argsort(outer)]
    if step.is_linear:  # the scores give the total of every order
        old, new = orders[step.group], moves
        before = own[places, old].sum()
        for name, scores in inside.items():
            chosen = numbers.take_along_axis(scores[places, old], orders[name][old][..., None], axis=-1)
            before = before + chosen.sum()
        after = best[places, outer].sum()
    else:
        new = composed(orders, moves, pair.parents, numbers)
        before, after = (_total(pair, step.paths, some) for some in (orders, {**orders, **new}))
    better = after > before + GAIN * abs(before)
    return {**orders, **{name: numbers.where(better, new[name], orders[name]) for name in family}}, better


def _scores(pair: _Pair, step: _Step, orders: Orders, memory: Memory) -> tuple[Any, dict[str, Any]]:
    """Inner products of neuron i of a with neuron j of b, in these orders: for the group itself, from leaves without
    inner groups; and for inner groups, for every pair of outer neurons."""
    count, numbers = pair.sizes[step.group], pair.numbers
    found = {step.group: numbers.zeros((count, count), np.float32)}
    for name in step.inner:
        found[name] = numbers.zeros((count, count, pair.sizes[name], pair.sizes[name]), np.float32)
    for path in step.paths:
        for axis, layout in enumerate(pair.axes[path]):
            along = set(groups_in(layout))
            for name in [name for name in found if name in along]:
                found[name] = found[name] + _of_leaf(pair, step, path, axis, name, orders, memory)
    return found.pop(step.group), found


def _of_leaf(pair: _Pair, step: _Step, path: str, axis: int, name: str, orders: Orders, memory: Memory) -> Any:
    """The inner products along one axis of one leaf, updated from remembered ones if possible."""
    of_leaf = [group for layout in pair.axes[path] for group in groups_in(layout)]
    now = {group: orders[group] for group in of_leaf if group in orders}
    before, found = memory.get((path, axis, name), (None, None))
    if before is not None and all(np.array_equal(before[group], now[group]) for group in now):
        return found
    family = {step.group, *step.inner}
    change = None if before is None or family & now.keys() else _change(pair, path, of_leaf, before, now)
    if change is None:
        found = _between(pair, step, path, axis, name, pair.a[path], pair.ordered(path, orders))
    else:
        found = found + _between(pair, step, path, axis, name, *change)
    memory[path, axis, name] = now, found
    return found


def _change(
    pair: _Pair, path: str, of_leaf: Sequence[str], before: Orders, now: Orders
) -> tuple[np.ndarray, np.ndarray] | None:
    """Where the order of the only other group has changed: the values of a, and the new values of b minus the old. None
    if there are several other groups, or if most positions have changed."""
    (group, order), *others = now.items()
    places = np.flatnonzero(before[group] != order)
    if others or of_leaf.count(group) > 1 or group not in pair.axes[path] or 2 * places.size > order.size:
        return None
    axis = pair.axes[path].index(group)
    a, b = pair.a[path], pair.b[path]
    return a.take(places, axis), b.take(order[places], axis) - b.take(before[group][places], axis)


def _between(pair: _Pair, step: _Step, path: str, axis: int, name: str, a: Any, b: Any) -> Any:
    """Inner products along one axis of a leaf of both networks."""
    outer, found = None if name == step.group else step.group, 0
    unfoldings = (unfolded(side, pair.axes[path], axis, name, outer) for side in (a, b))
    for (of_a, kinds, axes), (of_b, *_) in zip(*unfoldings, strict=True):
        if outer is not None or not {g for kind in kinds for g in groups_in(kind)}.intersection(step.inner):
            found = found + _products(of_a, of_b, axes, pair.numbers)
    return found


def _products(a: Any, b: Any, axes: tuple[int, ...], numbers: Any) -> Any:
    """[i, j], or [i, j, k, l] for neuron k in i of the first network and l in j of the second."""
    first = (*axes, *(axis for axis in range(a.ndim) if axis not in axes))
    a, b = (leaf.transpose(first).reshape(*(leaf.shape[axis] for axis in axes), -1) for leaf in (a, b))
    if len(axes) == 1:
        return a @ b.T
    return numbers.moveaxis(numbers.tensordot(a, b, axes=(2, 2)), 2, 1)


def _total(pair: _Pair, paths: Sequence[str], orders: Orders) -> Any:
    """The total inner product of leaves of both networks, the second in these orders."""
    return sum(pair.numbers.vdot(pair.a[path], pair.ordered(path, orders)) for path in paths)
