"""Weight matching as Ainsworth et al. 2023 (Git Re-Basin) describe it, without this library: a peer.

Algorithm 1 of the paper: visit the groups in random order; with all others held, the best order of one is a linear
assignment whose scores are inner products of the rows that run over it, summed over all its weights; go on until no
group improves. It is here for any network whose axes run over one group each.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

Axes = Mapping[str, Sequence[str | None]]
Leaves = Mapping[str, Any]
Orders = dict[str, np.ndarray]
GAIN = 1e-6
"""A step must raise the group's total by this part, so that rounding does not go round in circles."""


def match(axes: Axes, a: Leaves, b: Leaves, *, starts: int, numbers: Any) -> Orders:
    """The orders of b's neurons that bring its weights nearest to a's.

    Args:
        axes: of each leaf and axis the group that runs along it, or None.
        a: the leaves of the first network.
        b: the leaves of the second.
        starts: descents, the first from b as it is, all others from random orders; the best is kept.
        numbers: `numpy`, or `jax.numpy`, which the leaves are arrays of.
    """
    random = np.random.default_rng(0)
    sizes = {
        group: leaf.shape[axis]
        for path, leaf in a.items()
        for axis, group in enumerate(axes[path])
        if group is not None
    }
    found = []
    for start in range(starts):
        drawn = np.arange if start == 0 else random.permutation
        found.append(_descend(axes, a, b, {group: drawn(size) for group, size in sizes.items()}, random, numbers))
    return found[0] if starts == 1 else max(found, key=lambda orders: total(axes, a, b, orders, numbers))


def _descend(axes: Axes, a: Leaves, b: Leaves, orders: Orders, random: np.random.Generator, numbers: Any) -> Orders:
    touching: dict[str, list[tuple[str, int]]] = {group: [] for group in orders}
    for path in a:
        for axis, group in enumerate(axes[path]):
            if group is not None:
                touching[group].append((path, axis))
    improved = True
    while improved:
        improved = False
        for group in random.permutation(list(orders)):
            size = len(orders[group])
            scores = np.zeros((size, size), np.float32)
            for path, axis in touching[group]:
                sides = a[path], ordered(axes[path], b[path], orders, numbers, skip=axis)
                rows = [numbers.moveaxis(side, axis, 0).reshape(size, -1) for side in sides]
                scores = scores + rows[0] @ rows[1].T
            scores = np.asarray(scores)
            places, new = linear_sum_assignment(scores, maximize=True)
            before, after = scores[places, orders[group]].sum(), scores[places, new].sum()
            if after > before + GAIN * abs(before):
                orders[group], improved = new, True
    return orders


def ordered(axes: Sequence[str | None], leaf: Any, orders: Orders, numbers: Any, skip: int | None = None) -> Any:
    """A leaf with its axes in the orders of their groups, all but one."""
    for axis, group in enumerate(axes):
        if group is not None and axis != skip:
            leaf = numbers.take(leaf, orders[group], axis=axis)
    return leaf


def total(axes: Axes, a: Leaves, b: Leaves, orders: Orders, numbers: Any) -> float:
    """The inner product of a's leaves with those of b in these orders."""
    return float(sum(numbers.vdot(p, ordered(axes[path], b[path], orders, numbers)) for path, p in a.items()))
