"""A fast one-to-one matching: the best pair first, then the best of what is left.

Pairs that are each other's best are those that a search by falling score takes, and all of them are taken at once, so
that a few rounds of row and column maxima do. Nothing in it depends on the one before but the rounds: it is made for
batches, on accelerators, and for evolution, where parents are matched at every mating.
"""

import jax
import jax.numpy as jnp

from evojax_align._types import Array, Bool, Float, Int
from evojax_align.matching.assignment import prepare
from evojax_align.matching.records import Matching, check_dead, check_scores, checked, numbers_chosen


def mutual(
    scores: Float[Array, "p p"],
    *,
    dead_x: Bool[Array, " p"] | None = None,
    dead_y: Bool[Array, " p"] | None = None,
) -> Matching:
    """Pair the two neurons of largest score, and go on with those that are left.

    Its total is at least half of the largest, that of `one_to_one`, for scores of at least 0
    (`experiments/benchmarks/choices.py` measures both).

    Args:
        scores: larger is more alike; infinities and NaN as in `one_to_one`. Ties go to the lower index.
        dead_x: neurons that are not alive; as many as both sides have pair among themselves, in index order, so
            that none takes a live neuron's partner.
        dead_y: likewise.

    Returns:
        A `Matching` with `m.x = arange(p)`.

    Raises:
        ValueError: for scores that are not square or empty, masks of another length, and pairs that have NaN for a
            score. Under a trace the last cannot be seen, and `valid` is False.

    Example:
        >>> import jax.numpy as jnp, evojax_align as ea
        >>> m = ea.matching.mutual(jnp.array([[0.9, 0.8], [0.8, 0.1]]))  # its total is 1, that of `one_to_one` is 1.6
        >>> m.x.tolist(), m.y.tolist()
        ([0, 1], [0, 1])
    """
    check_scores(jnp.shape(scores), square=True)
    size = jnp.shape(scores)[0]
    check_dead("dead_x", dead_x, size)
    check_dead("dead_y", dead_y, size)
    x, y = jnp.arange(size, dtype=jnp.int32), _mutual(prepare(scores, dead_x, dead_y))
    return checked(x, y, numbers_chosen(scores, x, y, dead_x, dead_y))


SMALL = 64
"""With fewer neurons, what is left after some rounds is not put into a smaller matrix."""


@jax.jit
def _mutual(scores: Float[Array, "p p"]) -> Int[Array, " p"]:
    size = scores.shape[0]
    free_x, free_y = scores[:, 0] == scores[:, 0], scores[0] == scores[0]  # under `shard_map` they vary as scores do
    rest = size // 4 if size >= SMALL else 0
    y, free_x, free_y = _rounds(scores, free_x, free_y, rest)
    if rest:  # the later rounds find few pairs each, and need few rows and columns
        rows, columns = (jnp.nonzero(free, size=rest, fill_value=size)[0] for free in (free_x, free_y))
        left = scores.at[rows[:, None], columns[None, :]].get(mode="fill", fill_value=-jnp.inf)
        of_rest, *_ = _rounds(left, rows < size, columns < size, 0)
        y = y.at[rows].set(columns[of_rest].astype(jnp.int32), mode="drop")
    return y


def _rounds(scores: Array, free_x: Array, free_y: Array, rest: int) -> tuple[Array, Array, Array]:
    """The partner of each row, and who is free, once at most so many rows are left."""
    size = scores.shape[0]
    rows = jnp.where(free_x, jnp.arange(size, dtype=jnp.int32), jnp.arange(size, dtype=jnp.int32))

    def take(state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        """Every row and column that are each other's best; of equal ones the lowest, so that there is always one."""
        y, free_x, free_y = state
        left = jnp.where(free_x[:, None] & free_y[None, :], scores, -jnp.inf)
        column = _largest(left, 1)
        found = free_x & (_largest(left, 0)[column] == rows)
        free_y = free_y.at[jnp.where(found, column, size)].set(False, mode="drop")
        return jnp.where(found, column, y), free_x & ~found, free_y

    return jax.lax.while_loop(lambda state: jnp.sum(state[1]) > rest, take, (rows, free_x, free_y))


def _largest(values: Float[Array, "p p"], axis: int) -> Int[Array, " p"]:
    """The first place of the largest value: on a CPU a maximum and a minimum take a fifth of the time of `argmax`."""
    is_top = values == jnp.max(values, axis=axis, keepdims=True)
    places = jax.lax.broadcasted_iota(jnp.int32, values.shape, axis)
    return jnp.min(jnp.where(is_top, places, values.shape[axis] - 1), axis=axis)
