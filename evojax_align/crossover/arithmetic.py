"""Arithmetic crossover: a point on the line through two parents (Uriot & Izzo 2020, equations 3 and 4)."""

import jax
import jax.numpy as jnp
import numpy as np

from evojax_align import _checks
from evojax_align._types import Array, ArrayLike, PyTree


def arithmetic(a: PyTree, b: PyTree, t: ArrayLike) -> PyTree:
    """The child (1 - t) a + t b: naive on any two parents, safe on parents that were aligned before.

    Args:
        a: parameters of the first parent.
        b: parameters of the second.
        t: a number, also below 0 or above 1.

    Returns:
        A tree like the parents. t = 0 gives `a` and t = 1 gives `b`, bit for bit, and equal parents give
        themselves for every t. Leaves that are not of floating point are taken from the nearer parent, at t = 0.5
        from b.

    Raises:
        ValueError: for parents of different structure, or t that is not finite.

    Example:
        >>> import jax.numpy as jnp
        >>> arithmetic(jnp.zeros(2), jnp.ones(2), 0.25).tolist()
        [0.25, 0.25]
    """
    _checks.same_trees("a", a, "b", b)
    if jnp.ndim(t) != 0 or (_checks.is_concrete(t) and not np.isfinite(t)):
        raise _checks.bad("t", t, "one finite number", "Use `interpolation.sweep` for many.")
    return jax.tree.map(lambda p, q: lerp(p, q, t), a, b)


def average(population: PyTree) -> PyTree:
    """The mean of all members of a population, best aligned before: the child of many parents.

    Computed in float32 or better. Leaves that are not of floating point are taken from the first member.
    """

    def mean(leaf: ArrayLike) -> Array:
        leaf = jnp.asarray(leaf)
        if not jnp.issubdtype(leaf.dtype, jnp.inexact):
            return leaf[0]
        return jnp.mean(leaf, axis=0, dtype=jnp.promote_types(leaf.dtype, jnp.float32)).astype(leaf.dtype)

    return jax.tree.map(mean, population)


def lerp(p: ArrayLike, q: ArrayLike, t: ArrayLike) -> Array:
    """(1 - t) p + t q, computed from the nearer end in float32 or better: exact at both ends and between equals."""
    p, q, t = jnp.asarray(p), jnp.asarray(q), jnp.asarray(t)
    near = jnp.where(t < 0.5, p, q)
    if not jnp.issubdtype(p.dtype, jnp.inexact):
        return near
    wide = jnp.promote_types(p.dtype, jnp.float32)
    step = jnp.where(t < 0.5, t, t - 1).astype(jnp.finfo(wide).dtype)
    moved = near.astype(wide) + step * (q.astype(wide) - p.astype(wide))
    return jnp.where((step == 0) | (p == q), near, moved.astype(p.dtype))  # neither NaN nor -0 changes the ends
