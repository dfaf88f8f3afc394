"""What loops and conditionals need inside a `shard_map`, whose types tell over which devices a value varies."""

import jax
import jax.numpy as jnp

from evojax_align._types import PyTree


def varying(tree: PyTree, like: PyTree) -> PyTree:
    """The same tree; inside a `shard_map` its leaves vary over the devices that any leaf of `like` varies over.

    What a loop carries has to vary alike before and after a step, and so have both branches of a conditional. The
    selections, of equal values, are compiled to nothing.
    """
    first = [jnp.ravel(leaf)[0] for leaf in jax.tree.leaves(like) if leaf.size]
    same = jnp.all(jnp.stack([value == value for value in first]))
    return jax.tree.map(lambda leaf: jnp.where(same, leaf, leaf), tree)
