"""Matching each neuron with the one that it is most alike: many-to-one, and greedily one-to-one."""

import jax
import jax.numpy as jnp

from evojax_align import _checks
from evojax_align._types import Array, Bool, Float
from evojax_align.matching.records import (
    Matching,
    SemiMatching,
    check_scores,
    checked,
    cleaned,
    dead_or_none,
    ordered,
)

DIRECTIONS = ("x", "y")


def semi(scores: Float[Array, "p q"], *, direction: str = "x") -> SemiMatching:
    """Give every neuron of one side its best partner on the other (Uriot & Izzo 2020, section 4.2).

    Args:
        scores: larger is more alike. NaN lies below every number; ties go to the lower index.
        direction: "x" gives every neuron of x a partner, as the paper's text; "y" every neuron of y, as the
            authors' code.

    Returns:
        With "x", `m.x` is `arange(p)` and `m.y` may repeat and leave neurons out; with "y" the other way round.
    """
    check_scores(scores, square=False)
    _checks.one_of("direction", direction, DIRECTIONS)
    scores = cleaned(scores)
    if direction == "x":
        return SemiMatching(x=jnp.arange(scores.shape[0]), y=jnp.argmax(scores, axis=1))
    return SemiMatching(x=jnp.argmax(scores, axis=0), y=jnp.arange(scores.shape[1]))


def greedy_index(
    scores: Float[Array, "p p"],
    *,
    dead_x: Bool[Array, " p"] | None = None,
    dead_y: Bool[Array, " p"] | None = None,
) -> Matching:
    """Let the neurons of y, in index order, take the best neuron of x that is still free, as the authors' code does.

    Kept for parity with published results: the order decides, so that the total is below that of `one_to_one`. Dead
    neurons and those without a partner follow by index, dead paired with dead. NaN and ties as in `semi`.
    """
    check_scores(scores, square=True)
    size = scores.shape[0]
    scores = cleaned(scores)
    dead_x, dead_y = dead_or_none("dead_x", dead_x, size), dead_or_none("dead_y", dead_y, size)

    def step(j: Array, state: tuple[Array, Array]) -> tuple[Array, Array]:
        rank_x, rank_y = state
        free = (rank_x < 0) & ~dead_x
        i = jnp.argmax(jnp.where(free, scores[:, j], -1.0))
        found = jnp.any(free) & ~dead_y[j]
        return rank_x.at[i].set(jnp.where(found, j, rank_x[i])), rank_y.at[j].set(jnp.where(found, j, -1))

    start = jnp.full(size, -1)
    rank_x, rank_y = jax.lax.fori_loop(0, size, step, (start, start))
    both_dead = jnp.minimum(jnp.sum(dead_x), jnp.sum(dead_y))
    return checked(
        ordered(rank_x, dead_x, both_dead, first=False), ordered(rank_y, dead_y, both_dead, first=False)
    )
