"""Matching neurons by canonical weights: Algorithm 1 of Uriot & Izzo 2020."""

from functools import partial

import jax
import jax.numpy as jnp

from evojax_align import _checks
from evojax_align._types import Array, Bool, Float
from evojax_align.matching.records import Matching, checked, dead_or_none, ordered

MODES = ("text", "code")


def canonical(
    weights_x: Float[Array, "p k"],
    weights_y: Float[Array, "p k"],
    *,
    dead_x: Bool[Array, " p"] | None = None,
    dead_y: Bool[Array, " p"] | None = None,
    mode: str = "text",
) -> Matching:
    """Pair the neurons that stand out in the same canonical direction, one pair a direction, strongest direction first.

    In a direction k the pair is (argmax, argmax) of the two weight vectors if |max + max| > |min + min|, and
    (argmin, argmin) otherwise. Ties go to the lower index.

    * "text": neurons used by an earlier direction stand aside, so that each direction forms the strongest pair that
      is still free. Neurons without a pair follow at the end, by index.
    * "code": as the authors' program. Both weight vectors are sorted, the r-th smallest is paired with the r-th
      smallest, and of these pairs the one of largest |x| + |y| with both neurons free is taken; a direction without
      one forms none. Neurons without a pair come first, by index.

    Directions whose weights are all zero form no pair. Dead neurons are never chosen; dead pair with dead, last.

    Args:
        weights_x: canonical weights, as `similarity.cca` gives them, by falling correlation.
        weights_y: likewise.
        dead_x: which neurons are dead; by default those whose weights are all zero.
        dead_y: likewise.
        mode: "text" or "code".

    Returns:
        A `Matching`.
    """
    _checks.one_of("mode", mode, MODES)
    shape = jnp.shape(weights_x)
    if len(shape) != 2 or 0 in shape or jnp.shape(weights_y) != shape:
        came = f"shapes {shape} and {jnp.shape(weights_y)}"
        raise _checks.bad("weights_x, weights_y", came, "[p, k] twice", "Pass both weights of one `similarity.cca`.")
    weights_x, weights_y = (jnp.nan_to_num(jnp.asarray(w), posinf=0.0, neginf=0.0) for w in (weights_x, weights_y))
    dead_x = dead_or_none("dead_x", jnp.all(weights_x == 0, axis=1) if dead_x is None else dead_x, shape[0])
    dead_y = dead_or_none("dead_y", jnp.all(weights_y == 0, axis=1) if dead_y is None else dead_y, shape[0])
    return checked(*_canonical(weights_x, weights_y, dead_x, dead_y, mode))


@partial(jax.jit, static_argnames="mode")
def _canonical(weights_x: Array, weights_y: Array, dead_x: Array, dead_y: Array, mode: str) -> tuple[Array, Array]:
    size, count = weights_x.shape
    choose = {"text": _strongest_free, "code": _strongest_sorted}[mode]

    def step(k: Array, state: tuple[Array, Array]) -> tuple[Array, Array]:
        rank_x, rank_y = state
        x, y = weights_x[:, k], weights_y[:, k]
        free_x, free_y = (rank_x < 0) & ~dead_x, (rank_y < 0) & ~dead_y
        i, j, found = choose(x, y, free_x, free_y)
        found &= jnp.any(x != 0) & jnp.any(y != 0)
        return rank_x.at[i].set(jnp.where(found, k, rank_x[i])), rank_y.at[j].set(jnp.where(found, k, rank_y[j]))

    start = jnp.full(size, -1)
    rank_x, rank_y = jax.lax.fori_loop(0, count, step, (start, start))
    both_dead = jnp.minimum(jnp.sum(dead_x), jnp.sum(dead_y))
    first = mode == "code"
    return ordered(rank_x, dead_x, both_dead, first), ordered(rank_y, dead_y, both_dead, first)


def _strongest_free(x: Array, y: Array, free_x: Array, free_y: Array) -> tuple[Array, Array, Array]:
    high_x, high_y = jnp.where(free_x, x, -jnp.inf), jnp.where(free_y, y, -jnp.inf)
    low_x, low_y = jnp.where(free_x, x, jnp.inf), jnp.where(free_y, y, jnp.inf)
    positive = jnp.abs(jnp.max(high_x) + jnp.max(high_y)) > jnp.abs(jnp.min(low_x) + jnp.min(low_y))
    i = jnp.where(positive, jnp.argmax(high_x), jnp.argmin(low_x))
    j = jnp.where(positive, jnp.argmax(high_y), jnp.argmin(low_y))
    return i, j, jnp.any(free_x) & jnp.any(free_y)


def _strongest_sorted(x: Array, y: Array, free_x: Array, free_y: Array) -> tuple[Array, Array, Array]:
    order_x, order_y = jnp.argsort(x), jnp.argsort(y)
    free = free_x[order_x] & free_y[order_y]
    strength = jnp.where(free, jnp.abs(x[order_x]) + jnp.abs(y[order_y]), -1.0)
    best = jnp.argmax(strength)
    return order_x[best], order_y[best], jnp.any(free)
