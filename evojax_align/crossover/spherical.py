"""Spherical crossover: a point on the arc between two parents, and the crossover of M2N2, which uses two such points.

Abrantes, Lange & Tang (2025), and their code.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from evojax_align import _checks
from evojax_align._tree import floats, positions
from evojax_align._types import Array, ArrayLike, Int, PRNGKey, PyTree
from evojax_align.crossover.arithmetic import lerp

STRAIGHT = 1e-4
"""Below this angle, in radians, arc and line differ by less than single precision."""
OPPOSITE = np.pi - 1e-3
"""Above this angle, rounding errors of the parents would determine the direction of the arc."""


def spherical(a: PyTree, b: PyTree, t: ArrayLike, *, split: Int[ArrayLike, ""] | None = None) -> PyTree:
    """Spherical linear interpolation (slerp): the point at t of the arc from a to b.

    With ω the angle between the parents, each as one vector of all its parameters,

        child = sin((1 - t) ω) / sin(ω) a + sin(t ω) / sin(ω) b

    If the arc is not defined, because the parents are parallel or opposite, or one of them is zero or not finite, the
    child is the point at t of the line (`arithmetic`). With a split point, the angle is still that of the whole
    parents, as in the code of M2N2.

    Args:
        a: parameters of the first parent.
        b: parameters of the second.
        t: a number, also below 0 or above 1.
        split: number of entries, in the order of the leaves, that are taken at t; all later entries are taken at 1 - t.
            All are taken at t by default.

    Returns:
        A tree like the parents. Without a split point, t = 0 gives `a` and t = 1 gives `b`, bit for bit. The child of
        equal parents equals them for every t and split. The child of parents of equal norm has the same norm. Leaves
        that are not floating-point are taken from the nearer parent, at t = 0.5 from b.

    Raises:
        ValueError: for parents of different structure, a t that is not finite, or a split point outside the parents.

    Example:
        >>> import jax.numpy as jnp, evojax_align as ea
        >>> a, b = jnp.array([1.0, 0.0]), jnp.array([0.0, 2.0])
        >>> bool(jnp.allclose(ea.crossover.spherical(a, b, 0.5), jnp.sqrt(0.5) * (a + b)))
        True
        >>> ea.crossover.spherical(a, b, 0.0, split=1).tolist()  # the first entry of a, the second of b
        [1.0, 2.0]

    References:
        Shoemake, K. (1985). Animating rotation with quaternion curves. SIGGRAPH.
        Abrantes, J., Lange, R. T. and Tang, Y. (2025). Competition and attraction improve model fusion. GECCO.
    """
    _checks.same_trees("a", a, "b", b)
    t = jnp.asarray(_checks.number("t", t, fix="Use `population.map` for many."))
    size = positions(a)[1]
    if split is not None:
        is_integer = jnp.shape(split) == () and jnp.issubdtype(jnp.result_type(split), jnp.integer)
        if not is_integer or (_checks.is_concrete(split) and not 0 <= np.asarray(split) <= size):
            fix = "It is the number of entries that are taken at t."
            raise _checks.bad("split", split, f"one integer from 0 to {size}", fix)
    return _points(a, b, t, split)


@jax.jit
def _points(a: PyTree, b: PyTree, t: Array, split: Array | None) -> PyTree:
    """The points of `spherical`."""
    omega = _angle(floats(a)[0], floats(b)[0])
    curved = (omega > STRAIGHT) & (omega < OPPOSITE)
    omega = jnp.where(curved, omega, 1.0)

    def child(p: Array, q: Array, place: Array) -> Array:
        here = t if split is None else jnp.where(place < split, t, 1 - t)
        if not jnp.issubdtype(jnp.result_type(p), jnp.inexact):
            return lerp(p, q, here)
        real = jnp.finfo(jnp.promote_types(jnp.result_type(p), jnp.float32)).dtype
        return jnp.where(curved, _arc(p, q, here.astype(real), omega.astype(real)), lerp(p, q, here))

    return jax.tree.map(child, a, b, positions(a)[0])


def spherical_split(key: PRNGKey, a: PyTree, b: PyTree) -> PyTree:
    """The crossover of M2N2: `spherical` at a random t before a random split point, and at 1 - t after it.

    Both are drawn uniformly, t from [0, 1) and the split point from all entries of the parents.

    Args:
        key: a random key.
        a: parameters of the first parent.
        b: parameters of the second.

    Returns:
        A tree like the parents; the child of equal parents equals them.

    Raises:
        ValueError: for parents of different structure.

    Example:
        >>> import jax, jax.numpy as jnp, evojax_align as ea
        >>> a, b = {"w": jnp.ones(1000)}, {"w": -2 * jnp.ones(1000)}  # opposite, so that the arc is a line
        >>> child = ea.crossover.spherical_split(jax.random.key(0), a, b)["w"]
        >>> len(set(child.tolist())), round(float(child[0] + child[-1]), 4)  # at t and at 1 - t
        (2, -1.0)

    References:
        Abrantes, J., Lange, R. T. and Tang, Y. (2025). Competition and attraction improve model fusion. GECCO.
    """
    key_split, key_t = jax.random.split(_checks.key("key", key))
    _checks.same_trees("a", a, "b", b)
    split = jax.random.randint(key_split, (), 0, max(1, positions(a)[1]))
    return spherical(a, b, jax.random.uniform(key_t), split=split)


def _angle(a: list[Array], b: list[Array]) -> Array:
    """The angle between two vectors from their sum and difference, exact for small angles; 0 if it is not defined."""
    (of_a, a_has), (of_b, b_has) = _unit(a), _unit(b)
    units = list(zip(of_a, of_b, strict=True))
    apart, together = _length([u - v for u, v in units]), _length([u + v for u, v in units])
    known = a_has & b_has & (apart > 0) & (together > 0)
    return jnp.where(known, 2 * jnp.arctan2(jnp.where(known, apart, 1.0), jnp.where(known, together, 1.0)), 0.0)


def _unit(leaves: list[Array]) -> tuple[list[Array], Array]:
    """The unit vector of the same direction, and whether it is defined."""
    wide = [leaf.astype(jnp.promote_types(leaf.dtype, jnp.float32)) for leaf in leaves]
    sizes = [jnp.max(jnp.abs(jax.lax.stop_gradient(leaf)), initial=0.0) for leaf in wide]
    largest = functools.reduce(jnp.maximum, sizes, jnp.zeros(()))
    fine = jnp.isfinite(largest) & (largest > 0)
    scaled = [jnp.where(fine, leaf / jnp.where(fine, largest, 1.0), 0) for leaf in wide]  # squares do not overflow
    length = _length(scaled)
    return [leaf / jnp.where(length > 0, length, 1.0) for leaf in scaled], fine


def _length(leaves: list[Array]) -> Array:
    """The Euclidean norm, with derivative 0 at 0."""
    total = sum((jnp.sum(leaf.real**2 + leaf.imag**2) for leaf in leaves), start=jnp.zeros(()))
    return jnp.where(total > 0, jnp.sqrt(jnp.where(total > 0, total, 1.0)), 0.0)


def _on_arc(p: Array, q: Array, t: Array, omega: Array) -> Array:
    of_p, of_q = jnp.sin((1 - t) * omega) / jnp.sin(omega), jnp.sin(t * omega) / jnp.sin(omega)
    wide = jnp.promote_types(p.dtype, jnp.float32)
    return (of_p * p.astype(wide) + of_q * q.astype(wide)).astype(p.dtype)


@jax.custom_jvp
def _arc(p: Array, q: Array, t: Array, omega: Array) -> Array:
    """The formula, exact at both ends."""
    return jnp.where(t == 0, p, jnp.where(t == 1, q, _on_arc(p, q, t, omega)))


@_arc.defjvp
def _(primals: tuple[Array, ...], tangents: tuple[Array, ...]) -> tuple[Array, Array]:
    """The derivative of the formula; the selections above would give 0 or 1 at the ends."""
    return _arc(*primals), jax.jvp(_on_arc, primals, tangents)[1]
