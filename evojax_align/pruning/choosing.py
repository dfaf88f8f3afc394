"""Pruning to an exact number of synapses: by magnitude, by chance, or by any score."""

import jax
import jax.numpy as jnp
import numpy as np

from evojax_align import _checks
from evojax_align._tree import with_leaves
from evojax_align._types import Array, ArrayLike, Bool, Float, Int, PRNGKey, PyTree
from evojax_align.pruning.synapses import Synapses, settled


def keep_largest(synapses: Synapses, masks: PyTree, scores: PyTree, count: Int[ArrayLike, ""] | int) -> PyTree:
    """Keep the living synapses of the largest scores, over all layers together.

    Args:
        synapses: which leaves are pruned.
        masks: what lives now; what is dead stays dead.
        scores: a tree like the masks, or the scores of the synapses alone by path. NaN is the lowest score.
        count: how many to keep; may be traced.

    Returns:
        Masks with exactly `count` synapses, or as many as live if those are fewer. Of equal scores the earlier leaf,
        and in it the earlier entry, is kept. Biases of clusters that died are masked too.

    Raises:
        ValueError: for a negative count.
    """
    if _checks.is_concrete(count) and np.asarray(count) < 0:
        raise _checks.bad("count", count, "a number of at least 0", "It is what remains, not what goes.")
    alive = synapses.of(masks)
    known = scores if isinstance(scores, dict) and set(scores) == set(alive) else synapses.of(scores)
    flat = jnp.concatenate([jnp.ravel(known[path]) for path in alive])
    living = jnp.concatenate([jnp.ravel(mask) for mask in alive.values()])
    kept = largest(flat, living, count)
    ends = np.cumsum([mask.size for mask in alive.values()])
    parts = jnp.split(kept, ends[:-1])
    chosen = {path: part.reshape(mask.shape) for (path, mask), part in zip(alive.items(), parts, strict=True)}
    return settled(synapses, with_leaves(masks, chosen))


def largest(
    scores: Float[Array, " n"], alive: Bool[Array, " n"], count: Int[ArrayLike, ""] | Float[ArrayLike, ""] | int
) -> Bool[Array, " n"]:
    """Which of those alive have the `count` largest scores; NaN is the lowest, and of equals the earlier is taken."""
    order = jnp.lexsort((-jnp.where(jnp.isnan(scores), -jnp.inf, scores), ~alive))
    rank = jnp.zeros(scores.size, jnp.int32).at[order].set(jnp.arange(scores.size, dtype=jnp.int32))
    return (rank < count) & alive


def magnitude(synapses: Synapses, masks: PyTree, params: PyTree, count: Int[ArrayLike, ""] | int) -> PyTree:
    """Keep the synapses of largest magnitude (Han et al. 2015): `keep_largest` of |w|."""
    return keep_largest(synapses, masks, {path: jnp.abs(leaf) for path, leaf in synapses.of(params).items()}, count)


def at_random(key: PRNGKey, synapses: Synapses, masks: PyTree, count: Int[ArrayLike, ""] | int) -> PyTree:
    """Keep synapses by chance, all alike likely."""
    return keep_largest(synapses, masks, uniform_scores(key, synapses, masks), count)


def uniform_scores(key: PRNGKey, synapses: Synapses, masks: PyTree) -> dict[str, Float[Array, "..."]]:
    """A random number from 0 to 1 for each synapse, by path."""
    alive = synapses.of(masks)
    keys = jax.random.split(key, len(alive))
    return {path: jax.random.uniform(k, mask.shape) for k, (path, mask) in zip(keys, alive.items(), strict=True)}
