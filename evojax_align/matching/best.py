"""Matching of each neuron with the most similar one: many-to-one, and greedily one-to-one."""

import jax
import jax.numpy as jnp

from evojax_align import _checks
from evojax_align._types import Array, Bool, Float
from evojax_align.matching.records import (
    Matching,
    SemiMatching,
    check_dead,
    check_scores,
    checked,
    cleaned,
    numbers_chosen,
    ordered,
    refuse_unknown,
)

DIRECTIONS = ("x", "y")


def semi(
    scores: Float[Array, "p q"],
    *,
    dead_x: Bool[Array, " p"] | None = None,
    dead_y: Bool[Array, " q"] | None = None,
    direction: str = "x",
) -> SemiMatching:
    """Give every neuron of one side its best partner on the other (Uriot & Izzo 2020, section 4.2).

    Args:
        scores: scores of all pairs; larger is more similar. NaN is below every number; ties go to the lower index.
        dead_x: mask of dead neurons; a dead neuron gets the first dead one of the other side, if there is one.
        dead_y: likewise.
        direction: "x" gives every neuron of x a partner, as in the paper's text; "y" every neuron of y, as in the
            authors' code.

    Returns:
        With "x", `m.x` is `arange(p)`, and `m.y` may repeat neurons and miss others; with "y" the reverse.

    Raises:
        ValueError: for empty scores, masks of another length, an unknown direction, and neurons whose best partner has
            the score NaN.

    Example:
        >>> import jax.numpy as jnp, evojax_align as ea
        >>> ea.matching.semi(jnp.array([[0.9, 0.8], [0.8, 0.1]])).y.tolist()
        [0, 0]
    """
    check_scores(jnp.shape(scores), square=False)
    _checks.one_of("direction", direction, DIRECTIONS)
    check_dead("dead_x", dead_x, jnp.shape(scores)[0])
    check_dead("dead_y", dead_y, jnp.shape(scores)[1])
    x_to_y = direction == "x"
    best = _best(scores, dead_x, dead_y) if x_to_y else _best(scores.T, dead_y, dead_x)
    best, all_of_them = best.astype(jnp.int32), jnp.arange(best.size, dtype=jnp.int32)
    x, y = (all_of_them, best) if x_to_y else (best, all_of_them)
    refuse_unknown(numbers_chosen(scores, x, y, dead_x, dead_y), "scores")
    return SemiMatching(x=x, y=y)


@jax.jit
def _best(scores: Array, dead_rows: Array | None, dead_columns: Array | None) -> Array:
    scores = cleaned(scores)
    if dead_rows is not None and dead_columns is not None:
        scores = jnp.where(dead_rows[:, None] & dead_columns[None, :], jnp.inf, scores)
    return jnp.argmax(scores, axis=1)


def greedy_index(
    scores: Float[Array, "p p"],
    *,
    dead_x: Bool[Array, " p"] | None = None,
    dead_y: Bool[Array, " p"] | None = None,
) -> Matching:
    """Assign to the neurons of y, in index order, the best neuron of x that is still free, as in the authors' code.

    Provided for comparison with published results: the result depends on the order, and the total is below that of
    `one_to_one`. Live neurons without a partner follow by index; dead neurons of both sides are paired last.

    Args:
        scores: scores of all pairs; larger is more similar. NaN is below every number; ties go to the lower index.
        dead_x: mask of dead neurons, which are not assigned.
        dead_y: mask of dead neurons, to which none is assigned.

    Returns:
        A `Matching`, pairs in the order of y.

    Raises:
        ValueError: for scores that are empty or not square, and masks of another length.

    Example:
        >>> import jax.numpy as jnp, evojax_align as ea
        >>> scores = jnp.array([[0.9, 0.8], [0.8, 0.1]])
        >>> m = ea.matching.greedy_index(scores)  # its total is 1, that of `one_to_one` is 1.6
        >>> m.x.tolist(), m.y.tolist()
        ([0, 1], [0, 1])
    """
    check_scores(jnp.shape(scores), square=True)
    check_dead("dead_x", dead_x, jnp.shape(scores)[0])
    check_dead("dead_y", dead_y, jnp.shape(scores)[0])
    x, y = _greedy(scores, dead_x, dead_y)
    return checked(x, y, numbers_chosen(scores, x, y, dead_x, dead_y))


@jax.jit
def _greedy(scores: Array, dead_x: Array | None, dead_y: Array | None) -> tuple[Array, Array]:
    scores = cleaned(scores)
    size = scores.shape[0]
    none = scores[0] != scores[0]  # all False; computed from the scores, so that it varies as they do in `shard_map`
    dead_x, dead_y = (none if dead is None else dead for dead in (dead_x, dead_y))

    def step(free: Array, column: tuple[Array, Array]) -> tuple[Array, Array]:
        of_column, dead = column
        i = jnp.argmax(jnp.where(free, of_column, -jnp.inf))
        found = jnp.any(free) & ~dead
        return free.at[i].set(free[i] & ~found), jnp.where(found, i, size)

    _, taken = jax.lax.scan(step, ~dead_x, (scores.T, dead_y))
    index = jnp.arange(size)
    rank_x = jnp.full(size, -1).at[taken].set(index, mode="drop")
    rank_y = jnp.where(taken < size, index, -1)
    both_dead = jnp.minimum(jnp.sum(dead_x), jnp.sum(dead_y))
    return ordered(rank_x, dead_x, both_dead, first=False), ordered(rank_y, dead_y, both_dead, first=False)
