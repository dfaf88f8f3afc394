"""Support for loops and conditionals inside `shard_map`, where types record over which devices a value varies."""

import jax
import jax.numpy as jnp

from evojax_align._types import PyTree


def varying(tree: PyTree, like: PyTree) -> PyTree:
    """The same tree; inside `shard_map`, its leaves vary over all devices that any leaf of `like` varies over.

    The carry of a loop must vary over the same devices before and after a step, and so must both branches of a
    conditional. The selections are between equal values, and the compiler removes them.
    """
    first = [jnp.ravel(leaf)[0] for leaf in jax.tree.leaves(like) if leaf.size]
    same = jnp.all(jnp.stack([value == value for value in first]))
    return jax.tree.map(lambda leaf: jnp.where(same, leaf, leaf), tree)
