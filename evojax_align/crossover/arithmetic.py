"""Arithmetic crossover: a point on the line through two parents (Uriot & Izzo 2020, equations 3 and 4)."""

import jax
import jax.numpy as jnp

from evojax_align import _checks
from evojax_align._types import Array, ArrayLike, PyTree
from evojax_align.population import size


def arithmetic(a: PyTree, b: PyTree, t: ArrayLike) -> PyTree:
    """The child (1 - t) a + t b: naive for any two parents, safe for aligned parents.

    Args:
        a: parameters of the first parent.
        b: parameters of the second.
        t: a number, also below 0 or above 1.

    Returns:
        A tree like the parents. t = 0 gives `a` and t = 1 gives `b`, bit for bit. If the parents are equal, the child
        equals them for every t. Leaves that are not floating-point are taken from the nearer parent, at t = 0.5 from b.

    Raises:
        ValueError: for parents of different structure, or t that is not finite.

    Example:
        >>> import jax.numpy as jnp, evojax_align as ea
        >>> ea.crossover.arithmetic(jnp.zeros(2), jnp.ones(2), 0.25).tolist()
        [0.25, 0.25]
    """
    _checks.same_trees("a", a, "b", b)
    _checks.number("t", t, fix="Use `interpolation.sweep` for many.")
    return jax.tree.map(lambda p, q: lerp(p, q, t), a, b)


def average(population: PyTree) -> PyTree:
    """The mean of all members of a population: the child of many parents, which should be aligned.

    Computed in float32 or better. Leaves that are not floating-point are taken from the first member.

    Example:
        >>> import jax.numpy as jnp, evojax_align as ea
        >>> pop = ea.population.stack([{"w": jnp.array([0.0, 2.0])}, {"w": jnp.array([2.0, 4.0])}])
        >>> ea.crossover.average(pop)["w"].tolist()
        [1.0, 3.0]
    """
    size(population)  # raises an error for anything but a population

    def mean(leaf: ArrayLike) -> Array:
        leaf = jnp.asarray(leaf)
        if not jnp.issubdtype(leaf.dtype, jnp.inexact):
            return leaf[0]
        return jnp.mean(leaf, axis=0, dtype=jnp.promote_types(leaf.dtype, jnp.float32)).astype(leaf.dtype)

    return jax.tree.map(mean, population)


def lerp(p: ArrayLike, q: ArrayLike, t: ArrayLike) -> Array:
    """(1 - t) p + t q, computed from the nearer end in float32 or better; exact at both ends and for p = q.

    The derivatives are those of the formula everywhere: 1 - t for p, t for q, and q - p for t.

    Example:
        >>> import jax.numpy as jnp, evojax_align as ea
        >>> p, q = jnp.array([0.1, 1.0]), jnp.array([0.3, 3.0])
        >>> bool((ea.crossover.lerp(p, q, 1.0) == q).all()), float(ea.crossover.lerp(p, q, 0.25)[1])
        (True, 1.5)
    """
    p, q, t = jnp.asarray(p), jnp.asarray(q), jnp.asarray(t)
    if not jnp.issubdtype(p.dtype, jnp.inexact):
        return jnp.where(t < 0.5, p, q)
    p, q = (leaf.astype(jnp.promote_types(p.dtype, q.dtype)) for leaf in (p, q))
    return _lerp(p, q, t.astype(jnp.promote_types(t.dtype, jnp.finfo(_wide(p)).dtype)))


def _wide(p: Array) -> jnp.dtype:
    """The dtype of the computation."""
    return jnp.promote_types(p.dtype, jnp.float32)


@jax.custom_jvp
def _lerp(p: Array, q: Array, t: Array) -> Array:
    near, wide = jnp.where(t < 0.5, p, q), _wide(p)
    step = jnp.where(t < 0.5, t, t - 1).astype(jnp.finfo(wide).dtype)
    moved = near.astype(wide) + step * (q.astype(wide) - p.astype(wide))
    return jnp.where((step == 0) | (p == q), near, moved.astype(p.dtype))  # neither NaN nor -0 changes the ends


@_lerp.defjvp
def _(primals: tuple[Array, Array, Array], tangents: tuple[Array, Array, Array]) -> tuple[Array, Array]:
    """The derivative of the formula; the selections above would give 0 or 1 at the ends and for p = q."""
    wide = _wide(primals[0])
    (p, q), (of_p, of_q) = ([leaf.astype(wide) for leaf in both[:2]] for both in (primals, tangents))
    t, of_t = (both[2].astype(jnp.finfo(wide).dtype) for both in (primals, tangents))
    moved = (1 - t) * of_p + t * of_q + (q - p) * of_t
    return _lerp(*primals), moved.astype(primals[0].dtype)
