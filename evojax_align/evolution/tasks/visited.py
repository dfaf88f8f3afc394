"""A sample of the observations of an episode, stored while it runs, as its length is not known in advance.

Observations are written into an odd number of rows: step t into row t modulo that number. At first, every step is
written. Whenever the number of steps reaches the number of rows times the stride, the stride doubles. A step that is a
multiple of the new stride then overwrites the row of an odd multiple of the old one. So all multiples of the stride are
kept, and no row is moved.
"""

import jax.numpy as jnp
from jaxtyping import Num

from evojax_align._types import Array, Bool, Int


def rows_for(visited: int, *, sequences: bool) -> int:
    """The number of observations of each episode to store, so that `visited` of them can be chosen at the end."""
    return visited if sequences else 2 * visited + 1


def written(
    rows: Num[Array, "rows starts inputs"],
    seen: Num[Array, "steps starts inputs"],
    step: Int[Array, " steps"],
    alive: Bool[Array, "steps starts"],
    *,
    sequences: bool,
) -> Num[Array, "rows starts inputs"]:
    """Write the observations of further steps into the rows, for the episodes that are alive.

    Args:
        rows: the observations stored so far.
        seen: observations of consecutive steps, no more than the number of rows.
        step: their numbers, from 0.
        alive: episodes that have not ended.
        sequences: whether to keep only the first steps.
    """
    count = rows.shape[0]
    if sequences:
        row, kept = step, step < count
    else:
        row, kept = step % count, step % _stride(step + 1, count) == 0
    row = jnp.where(kept, row, count)
    old = rows.at[row].get(mode="clip")
    return rows.at[row].set(jnp.where(alive[:, :, None], seen, old), mode="drop", unique_indices=False)


def _stride(steps: Int[Array, "..."], count: int) -> Int[Array, "..."]:
    """The stride after a number of steps: the smallest power of two at which they fit into the rows."""
    strides = 2 ** jnp.arange(30 - count.bit_length(), dtype=jnp.int32)
    strides = strides.reshape(*(1,) * steps.ndim, -1)
    return 2 ** jnp.sum(steps[..., None] > count * strides, axis=-1)


def chosen(
    rows: Num[Array, "rows starts inputs"], steps: Int[Array, " starts"], visited: int, *, sequences: bool
) -> Num[Array, "starts visited inputs"]:
    """Choose `visited` observations of each episode: of the first steps, or spread over all.

    Args:
        rows: the stored observations.
        steps: number of observed steps of each episode, at least 1.
        visited: number of observations of each episode to return.
        sequences: whether to return the first ones in order; after the end of an episode, its last one is repeated.
    """
    count = rows.shape[0]
    places, steps = jnp.arange(visited, dtype=jnp.int32)[None], steps[:, None]
    if sequences:
        row = jnp.minimum(places, steps - 1)
    else:
        stride = _stride(steps, count)
        kept = -(-steps // stride)
        row = (places * kept // visited * stride) % count
    return jnp.take_along_axis(rows.transpose(1, 0, 2), row[:, :, None], axis=1)
