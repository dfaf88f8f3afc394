"""Arithmetic crossover: a point on the line through two parents (Uriot & Izzo 2020, equations 3 and 4)."""

import jax
import jax.numpy as jnp
import numpy as np

from evojax_align import _checks
from evojax_align._types import Array, PyTree


def arithmetic(a: PyTree, b: PyTree, t: float | Array) -> PyTree:
    """The child (1 - t) a + t b: naive on any two parents, safe on parents that were aligned before.

    Args:
        a: parameters of the first parent.
        b: parameters of the second.
        t: a number, also below 0 or above 1.

    Returns:
        A tree like the parents. t = 0 gives `a` and t = 1 gives `b`, bit for bit, and equal parents give
        themselves for every t. Leaves that are not of floating point are taken from the nearer parent.

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


def lerp(p: Array, q: Array, t: float | Array) -> Array:
    """(1 - t) p + t q, exact at both ends and between equals."""
    p, q = jnp.asarray(p), jnp.asarray(q)
    if not jnp.issubdtype(p.dtype, jnp.inexact):
        return jnp.where(jnp.asarray(t) < 0.5, p, q)
    t = jnp.asarray(t, p.dtype)
    return jnp.where(t < 0.5, p + t * (q - p), q - (1 - t) * (q - p))
