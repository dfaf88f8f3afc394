"""Gaussian noise: on genes, relative to the size of the weights, or of the same size on every weight."""

import jax
import jax.numpy as jnp
import numpy as np

from evojax_align import _checks
from evojax_align._tree import floats, normals
from evojax_align._types import Array, ArrayLike, Float, PRNGKey, PyTree
from evojax_align.crossover import Genes


def gaussian(
    key: PRNGKey,
    params: PyTree,
    genes: Genes,
    *,
    scale: ArrayLike | Float[ArrayLike, " genes"],
    rate: ArrayLike = 1.0,
) -> PyTree:
    """Add Gaussian noise to some genes of one network.

    Args:
        key: a random key.
        params: the network.
        genes: the units of mutation; weights without a gene are not changed.
        scale: standard deviation of the noise relative to the root mean square of its leaf; one for all genes, or
            one for each.
        rate: the probability that a gene mutates.

    Returns:
        A tree like the parameters; with a scale or a rate of 0, it equals them bit for bit.

    Raises:
        ValueError: for an invalid scale or rate.

    Example:
        >>> import jax, jax.numpy as jnp, evojax_align as ea
        >>> params = {"hidden": {"w": jnp.ones(3)}, "output": {"w": jnp.ones(3)}}
        >>> genes, scale = ea.crossover.layer_genes(params), jnp.array([0.1, 0.0])
        >>> mutant = ea.evolution.mutation.gaussian(jax.random.key(0), params, genes, scale=scale)
        >>> [bool((mutant[layer]["w"] == 1).all()) for layer in ("hidden", "output")]
        [False, True]
    """
    key = _checks.key("key", key)
    if _checks.is_concrete(scale, rate) and not (np.all(np.asarray(scale) >= 0) and 0 <= np.asarray(rate) <= 1):
        raise _checks.bad("scale, rate", (scale, rate), "a scale of at least 0, a rate from 0 to 1", "Correct them.")
    if [jnp.shape(leaf) for leaf in jax.tree.leaves(params)] != [np.shape(i) for i in jax.tree.leaves(genes.index)]:
        raise _checks.bad("genes", "genes of another network", "those of params", "Make them from params.")
    key_genes, key_noise = jax.random.split(key)
    chosen = jax.random.bernoulli(key_genes, rate, (len(genes.names),))
    scales = jnp.append(jnp.where(chosen, scale, 0), 0.0)  # the last entry is for weights without a gene
    leaves, structure = jax.tree.flatten(params)
    keys = jax.random.split(key_noise, max(1, len(leaves)))

    def mutant(key: PRNGKey, leaf: Array, index: ArrayLike) -> Array:
        if not jnp.issubdtype(leaf.dtype, jnp.inexact):
            return leaf
        noise = jax.random.normal(key, leaf.shape, leaf.dtype) * jnp.sqrt(jnp.mean(leaf**2))
        strength = scales[jnp.asarray(index)].astype(leaf.dtype)
        return jnp.where(strength == 0, leaf, leaf + strength * noise)

    indices = jax.tree.leaves(genes.index)
    mutants = [mutant(*of_leaf) for of_leaf in zip(keys, map(jnp.asarray, leaves), indices, strict=False)]
    return jax.tree.unflatten(structure, mutants)


def isotropic(key: PRNGKey, params: PyTree, *, scale: ArrayLike) -> PyTree:
    """Add Gaussian noise of one standard deviation to every weight of a network: params + scale N(0, I).

    Args:
        key: a random key.
        params: the network.
        scale: standard deviation of the noise.

    Returns:
        A tree like the parameters. Leaves that are not floating-point are not changed; with a scale of 0, no leaf is.

    Raises:
        ValueError: for a scale below 0.

    Example:
        >>> import jax, jax.numpy as jnp, evojax_align as ea
        >>> params = {"w": jnp.full(10_000, 5.0), "steps": jnp.array(3)}
        >>> mutant = ea.evolution.mutation.isotropic(jax.random.key(0), params, scale=0.1)
        >>> round(float(mutant["w"].std()), 2), int(mutant["steps"])
        (0.1, 3)
    """
    key = _checks.key("key", key)
    _checks.arrays("params", params)
    _checks.deviation("scale", scale)
    leaves, put = floats(params)
    return put(
        [added(leaf, jnp.asarray(scale) * noise) for leaf, noise in zip(leaves, normals(key, leaves), strict=True)]
    )


def added(leaf: Array, step: Array) -> Array:
    """The sum in the precision of the step, cast to the dtype of the leaf; exactly the leaf where the step is 0."""
    return jnp.where(step == 0, leaf, (leaf + step).astype(leaf.dtype))
