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


@jax.jit
def _mutual(scores: Float[Array, "p p"]) -> Int[Array, " p"]:
    size = scores.shape[0]
    rows = jnp.arange(size, dtype=jnp.int32)

    def take(state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        """Every row and column that are each other's best; of equal ones the lowest, so that there is always one."""
        y, free_x, free_y = state
        left = jnp.where(free_x[:, None] & free_y[None, :], scores, -jnp.inf)
        column = jnp.argmax(left, axis=1).astype(jnp.int32)
        found = free_x & (jnp.argmax(left, axis=0)[column] == rows)
        free_y = free_y.at[jnp.where(found, column, size)].set(False, mode="drop")
        return jnp.where(found, column, y), free_x & ~found, free_y

    free_x, free_y = (
        (scores[:, 0] == scores[:, 0]),
        (scores[0] == scores[0]),
    )  # under `shard_map` they vary as scores do
    start = jnp.where(free_x, rows, 0), free_x, free_y
    return jax.lax.while_loop(lambda state: state[1].any(), take, start)[0]
