"""Some of the observations of an episode, kept while it runs: how long it will be is not known.

Observations are written into an odd number of rows, the one of step t into row t modulo that number. At first every
step is written. Whenever as many steps as there are rows times the stride have passed, the stride doubles. A step that
is a multiple of the new stride then falls on the row of an odd multiple of the old one, so that all multiples of the
stride are kept and no row has to be moved.
"""

import jax.numpy as jnp
from jaxtyping import Num

from evojax_align._types import Array, Bool, Int


def rows_for(visited: int, *, sequences: bool) -> int:
    """How many observations of each episode to keep, so that `visited` of them can be chosen at the end."""
    return visited if sequences else 2 * visited + 1


def written(
    rows: Num[Array, "rows starts inputs"],
    seen: Num[Array, "starts inputs"],
    step: Int[Array, ""],
    stride: Int[Array, ""],
    alive: Bool[Array, " starts"],
    *,
    sequences: bool,
) -> tuple[Num[Array, "rows starts inputs"], Int[Array, ""]]:
    """The rows with the observations of one more step of the episodes that are alive, and the stride.

    Args:
        rows: what was kept so far.
        seen: observations of this step.
        step: its number, from 0.
        stride: 1 for the first step, and then as it was returned.
        alive: episodes that have not ended.
        sequences: keep the first steps alone.
    """
    count = rows.shape[0]
    if sequences:
        row, kept = jnp.minimum(step, count - 1), step < count
    else:
        stride = jnp.where(step >= count * stride, 2 * stride, stride)
        row, kept = step % count, step % stride == 0
    return rows.at[row].set(jnp.where((alive & kept)[:, None], seen, rows[row])), stride


def chosen(
    rows: Num[Array, "rows starts inputs"], steps: Int[Array, " starts"], visited: int, *, sequences: bool
) -> Num[Array, "starts visited inputs"]:
    """So many observations of each episode: of the first steps, or spread over all.

    Args:
        rows: what was kept.
        steps: how many steps of each episode were seen, at least 1.
        visited: how many observations of each to give.
        sequences: the first ones in their order; after the end of an episode its last one is repeated.
    """
    count = rows.shape[0]
    places, steps = jnp.arange(visited, dtype=jnp.int32)[None], steps[:, None]
    if sequences:
        row = jnp.minimum(places, steps - 1)
    else:
        strides = 2 ** jnp.arange(30 - count.bit_length(), dtype=jnp.int32)[None]
        stride = 2 ** jnp.sum(steps > count * strides, axis=1, keepdims=True)
        kept = -(-steps // stride)
        row = (places * kept // visited * stride) % count
    return jnp.take_along_axis(rows.transpose(1, 0, 2), row[:, :, None], axis=1)
