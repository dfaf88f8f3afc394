"""Uniform crossover: every weight comes from one of two parents."""

import jax
import jax.numpy as jnp
import numpy as np

from evojax_align import _checks
from evojax_align._tree import leaves_by_path, uniforms
from evojax_align._types import Array, ArrayLike, PRNGKey, PyTree


def uniform(key: PRNGKey, a: PyTree, b: PyTree, *, rate: ArrayLike = 0.5) -> PyTree:
    """Take every weight independently from one of the parents.

    Args:
        key: a random key.
        a: parameters of the first parent.
        b: parameters of the second.
        rate: the probability that a weight is taken from b.

    Returns:
        A tree like the parents; each entry is the entry of a or of b at the same position.

    Raises:
        ValueError: for parents of different structure, or a rate outside [0, 1].

    Example:
        >>> import jax, jax.numpy as jnp, evojax_align as ea
        >>> a, b = {"w": jnp.zeros(1000)}, {"w": jnp.ones(1000)}
        >>> child = ea.crossover.uniform(jax.random.key(0), a, b, rate=0.25)["w"]
        >>> sorted(set(child.tolist())), 200 < int(child.sum()) < 300
        ([0.0, 1.0], True)
    """
    key = _checks.key("key", key)
    _checks.same_trees("a", a, "b", b)
    rate = chance(rate)
    lots = uniforms(key, {path: jnp.asarray(leaf) for path, leaf in leaves_by_path(a).items()})

    def child(path: tuple, p: Array, q: Array) -> Array:
        return jnp.where(lots[_checks.path_string(path)] < rate, q, p)

    return jax.tree_util.tree_map_with_path(child, a, b)


def chance(rate: ArrayLike) -> Array:
    """Return the rate if it is a probability."""
    if jnp.ndim(rate) != 0 or (_checks.is_concrete(rate) and not 0 <= np.asarray(rate) <= 1):
        raise _checks.bad("rate", rate, "one number from 0 to 1", "It is the probability to come from b.")
    return jnp.asarray(rate, float)
