"""A fast one-to-one matching: the best pair first, then the best pair of the others.

A greedy search by decreasing score takes all pairs that are each other's best. They are taken at once, so that a few
rounds of row and column maxima suffice. Only the rounds are sequential, which suits batches, accelerators, and
evolution, where parents are matched at every mating.
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
    """Pair the two neurons of largest score, and repeat with the others.

    Its total is at least half of the largest, that of `one_to_one`, for scores of at least 0
    (`experiments/benchmarks/choices.py` measures both).

    Args:
        scores: scores of all pairs; larger is more similar. Infinities and NaN as in `one_to_one`. Ties go to the lower
            index.
        dead_x: mask of dead neurons, as in `one_to_one`.
        dead_y: likewise.

    Returns:
        A `Matching` with `m.x = arange(p)`.

    Raises:
        ValueError: for scores that are empty or not square, masks of another length, and chosen pairs with the score
            NaN. Under a trace, the last raises no error, and `valid` is False.

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
"""From this many neurons on, the rest after some rounds is put into a smaller matrix."""


@jax.jit
def _mutual(scores: Float[Array, "p p"]) -> Int[Array, " p"]:
    size = scores.shape[0]
    free_x, free_y = scores[:, 0] == scores[:, 0], scores[0] == scores[0]  # in `shard_map` they vary as the scores do
    rest = size // 4 if size >= SMALL else 0
    y, free_x, free_y = _rounds(scores, free_x, free_y, rest)
    if rest:  # later rounds find few pairs and need few rows and columns
        rows, columns = (jnp.nonzero(free, size=rest, fill_value=size)[0] for free in (free_x, free_y))
        left = scores.at[rows[:, None], columns[None, :]].get(mode="fill", fill_value=-jnp.inf)
        of_rest, *_ = _rounds(left, rows < size, columns < size, 0)
        y = y.at[rows].set(columns[of_rest].astype(jnp.int32), mode="drop")
    return y


def _rounds(scores: Array, free_x: Array, free_y: Array, rest: int) -> tuple[Array, Array, Array]:
    """The partner of each row, and the free rows and columns, when at most `rest` rows are free."""
    size = scores.shape[0]
    rows = jnp.where(free_x, jnp.arange(size, dtype=jnp.int32), jnp.arange(size, dtype=jnp.int32))

    def take(state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        """Match every row and column that are each other's best; ties go to the lowest, so that there is always one."""
        y, free_x, free_y = state
        left = jnp.where(free_x[:, None] & free_y[None, :], scores, -jnp.inf)
        column = _largest(left, 1)
        found = free_x & (_largest(left, 0)[column] == rows)
        free_y = free_y.at[jnp.where(found, column, size)].set(False, mode="drop")
        return jnp.where(found, column, y), free_x & ~found, free_y

    return jax.lax.while_loop(lambda state: jnp.sum(state[1]) > rest, take, (rows, free_x, free_y))


def _largest(values: Float[Array, "p p"], axis: int) -> Int[Array, " p"]:
    """The first index of the largest value: on a CPU, a maximum and a minimum take a fifth of the time of `argmax`."""
    is_top = values == jnp.max(values, axis=axis, keepdims=True)
    places = jax.lax.broadcasted_iota(jnp.int32, values.shape, axis)
    return jnp.min(jnp.where(is_top, places, values.shape[axis] - 1), axis=axis)
