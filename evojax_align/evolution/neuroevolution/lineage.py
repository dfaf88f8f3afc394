"""Lineages: when the last common ancestor of two members lived."""

import jax.numpy as jnp

from evojax_align._types import Array, Int


def unrelated(size: int) -> Int[Array, "size size"]:
    """Of founders."""
    return jnp.full((size, size), -1, jnp.int32)


def now(ancestors: Int[Array, "size size"], generation: Int[Array, ""]) -> Int[Array, "size size"]:
    """The same for those who have children now: each member is its own last ancestor."""
    own = jnp.eye(ancestors.shape[0], dtype=bool)
    return jnp.where(own, generation, ancestors)


def kinship(
    ancestors: Int[Array, "size size"], generation: Int[Array, ""], pairs: Int[Array, "n 2"]
) -> Int[Array, " n"]:
    """Generations since the last common ancestor of two members; 0 of one with itself, -1 if there is none."""
    last = now(ancestors, generation)[pairs[:, 0], pairs[:, 1]]
    return jnp.where(last < 0, -1, generation - last)


def inherited(
    ancestors: Int[Array, "size size"], generation: Int[Array, ""], parents: Int[Array, "n 2"]
) -> Int[Array, "n n"]:
    """Of each pair of the next population, by the places of their parents in this one; the diagonal means nothing."""
    known = now(ancestors, generation)
    rows = jnp.maximum(known[parents[:, 0]], known[parents[:, 1]])
    return jnp.maximum(rows[:, parents[:, 0]], rows[:, parents[:, 1]])
