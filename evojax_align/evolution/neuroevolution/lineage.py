"""Lineages: the generation of the last common ancestor of every two members."""

import jax.numpy as jnp

from evojax_align import population
from evojax_align._types import Array, Int


def unrelated(size: int) -> Int[Array, "size size"]:
    """The matrix of ancestors of founders."""
    return jnp.full((size, size), -1, jnp.int32)


def now(ancestors: Int[Array, "size size"], generation: Int[Array, ""]) -> Int[Array, "size size"]:
    """The same matrix for the members that breed now: each member is its own last common ancestor."""
    own = jnp.eye(ancestors.shape[0], dtype=bool)
    return jnp.where(own, generation, ancestors)


def kinship(
    ancestors: Int[Array, "size size"], generation: Int[Array, ""], pairs: Int[Array, "n 2"]
) -> Int[Array, " n"]:
    """Generations since the last common ancestor of two members; 0 for equal members, -1 if there is none."""
    first, second = pairs.T
    last = jnp.where(first == second, generation, ancestors[first, second])
    return jnp.where(last < 0, -1, generation - last)


def inherited(
    ancestors: Int[Array, "size size"], generation: Int[Array, ""], parents: Int[Array, "n 2"]
) -> Int[Array, "n n"]:
    """The matrix of the next population, from the indices of its parents; the diagonal is not used."""

    def row(pair: Array) -> Array:
        of_both = jnp.maximum(ancestors[pair[0]], ancestors[pair[1]]).at[pair].set(generation)
        return jnp.maximum(of_both[parents[:, 0]], of_both[parents[:, 1]])

    return population.map(row, parents)
