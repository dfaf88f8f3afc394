"""Directional variation: isotropic noise, and noise along the line through two parents."""

import jax
import jax.numpy as jnp

from evojax_align import _checks
from evojax_align._tree import floats, normals
from evojax_align._types import Array, ArrayLike, PRNGKey, PyTree
from evojax_align.crossover.arithmetic import lerp


def line(key: PRNGKey, a: PyTree, b: PyTree, *, iso: ArrayLike = 0.01, along: ArrayLike = 0.2) -> PyTree:
    """The child a + iso N(0, I) + along N(0, 1) (b - a): the operator iso+line, for MAP-Elites and others.

    Args:
        key: a random key.
        a: parameters of the first parent, from which the child is perturbed.
        b: parameters of the second, which gives the direction of the line.
        iso: standard deviation of the noise of every weight.
        along: standard deviation of the step along the line, as a fraction of the distance of the parents.

    Returns:
        A tree like the parents. With iso = 0, the child of equal parents equals them; with iso = 0 and along = 0, it is
        a, bit for bit. Leaves that are not floating-point are taken from the parent that is nearer after the step.

    Raises:
        ValueError: for parents of different structure, or a standard deviation below 0.

    Example:
        >>> import jax, jax.numpy as jnp, evojax_align as ea
        >>> a, b = {"w": jnp.zeros(2)}, {"w": jnp.array([1.0, 3.0])}
        >>> child = ea.crossover.line(jax.random.key(0), a, b, iso=0.0)["w"]
        >>> round(float(child[1] / child[0]), 4)  # on the line
        3.0

    References:
        Vassiliades, V. and Mouret, J.-B. (2018). Discovering the elite hypervolume by leveraging interspecies
        correlation. GECCO.
    """
    key = _checks.key("key", key)
    _checks.same_trees("a", a, "b", b)
    _checks.deviation("iso", iso)
    _checks.deviation("along", along)
    key_iso, key_along = jax.random.split(key)
    step = jnp.asarray(along) * jax.random.normal(key_along)
    on_line = jax.tree.map(lambda p, q: lerp(_widened(p), _widened(q), step), a, b)
    (moved, put), (own, _) = floats(on_line), floats(a)

    def noisy(on_line: Array, noise: Array, p: Array) -> Array:
        return jnp.where(jnp.asarray(iso) == 0, on_line, on_line + iso * noise.astype(on_line.dtype)).astype(p.dtype)

    return put([noisy(*of_leaf) for of_leaf in zip(moved, normals(key_iso, own), own, strict=True)])


def _widened(leaf: ArrayLike) -> Array:
    leaf = jnp.asarray(leaf)
    if not jnp.issubdtype(leaf.dtype, jnp.inexact):
        return leaf
    return leaf.astype(jnp.promote_types(leaf.dtype, jnp.float32))
