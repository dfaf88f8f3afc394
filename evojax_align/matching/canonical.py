"""Matching of neurons by canonical weights: Algorithm 1 of Uriot & Izzo 2020."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp

from evojax_align import _checks
from evojax_align._types import Array, Bool, Float
from evojax_align.matching.records import Matching, check_dead, checked, ordered

MODES = ("text", "code")


def canonical(
    weights_x: Float[Array, "p k"],
    weights_y: Float[Array, "p k"],
    *,
    dead_x: Bool[Array, " p"] | None = None,
    dead_y: Bool[Array, " p"] | None = None,
    mode: str = "text",
) -> Matching:
    """Pair the neurons of extreme weights in the same canonical direction, one pair per direction, strongest first.

    * "text": among the neurons not used by earlier directions, the pair is (argmax, argmax) of both weight vectors if
      |max + max| > |min + min|, and (argmin, argmin) otherwise; ties go to the lower index. Neurons without a pair
      follow at the end, by index.
    * "code": as in the authors' code. Both weight vectors are sorted, and the r-th smallest weights are paired. Of the
      pairs with both neurons free, the one of largest |x| + |y| is chosen (of equal ones, that of smallest r). A
      direction without such a pair is skipped. Neurons without a pair come first, by index.

    Directions whose weights are all zero form no pair. Dead neurons are never chosen; those of both sides are paired
    with each other last.

    Args:
        weights_x: canonical weights from `similarity.cca`, by decreasing correlation; a value that is not finite
            counts as zero.
        weights_y: likewise.
        dead_x: mask of dead neurons; by default those whose weights are all zero.
        dead_y: likewise.
        mode: "text" or "code".

    Returns:
        A `Matching`, pairs in the order of their directions.

    Raises:
        ValueError: for weights that are empty, of different shapes or NaN, masks of another length, an unknown mode.
            Under a trace, NaN raises no error, and `valid` is False.

    Example:
        >>> import jax.numpy as jnp, evojax_align as ea
        >>> m = ea.matching.canonical(jnp.eye(3), jnp.eye(3)[jnp.array([1, 2, 0])])
        >>> m.x.tolist(), m.y.tolist()
        ([0, 1, 2], [2, 0, 1])
    """
    _checks.one_of("mode", mode, MODES)
    shape = jnp.shape(weights_x)
    if len(shape) != 2 or 0 in shape or jnp.shape(weights_y) != shape:
        came = f"shapes {shape} and {jnp.shape(weights_y)}"
        raise _checks.bad("weights_x, weights_y", came, "[p, k] twice", "Pass both weights of one `similarity.cca`.")
    check_dead("dead_x", dead_x, shape[0])
    check_dead("dead_y", dead_y, shape[0])
    known = ~(jnp.isnan(weights_x).any() | jnp.isnan(weights_y).any())
    x, y = _canonical(weights_x, weights_y, dead_x, dead_y, mode)
    return checked(x, y, known, "weights_x, weights_y")


@partial(jax.jit, static_argnames="mode")
def _canonical(
    weights_x: Array, weights_y: Array, dead_x: Array | None, dead_y: Array | None, mode: str
) -> tuple[Array, Array]:
    x, y = (jnp.where(jnp.isfinite(weights), weights, 0).T for weights in (weights_x, weights_y))  # by direction
    dead_x, dead_y = (jnp.all(w == 0, axis=0) if dead is None else dead for w, dead in ((x, dead_x), (y, dead_y)))
    used = jnp.any(x != 0, axis=1) & jnp.any(y != 0, axis=1)
    choose: Callable[..., tuple[Array, Array, Array]] = _strongest if mode == "text" else _strongest_of_sorted
    directions = (x, y) if mode == "text" else _sorted(x, y)
    count, size = x.shape

    def step(free: tuple[Array, Array], direction: tuple[Array, tuple[Array, ...]]) -> tuple[tuple, tuple]:
        used, weights = direction
        free_x, free_y = free
        i, j, found = choose(*weights, free_x, free_y)
        found &= used
        free = free_x.at[i].set(free_x[i] & ~found), free_y.at[j].set(free_y[j] & ~found)
        return free, (jnp.where(found, i, size), jnp.where(found, j, size))

    _, pairs = jax.lax.scan(step, (~dead_x, ~dead_y), (used, directions))
    rank_x, rank_y = (jnp.full(size, -1).at[chosen].set(jnp.arange(count), mode="drop") for chosen in pairs)
    both_dead = jnp.minimum(jnp.sum(dead_x), jnp.sum(dead_y))
    first = mode == "code"
    return ordered(rank_x, dead_x, both_dead, first=first), ordered(rank_y, dead_y, both_dead, first=first)


def _strongest(x: Array, y: Array, free_x: Array, free_y: Array) -> tuple[Array, Array, Array]:
    high_x, high_y = jnp.where(free_x, x, -jnp.inf), jnp.where(free_y, y, -jnp.inf)
    low_x, low_y = jnp.where(free_x, x, jnp.inf), jnp.where(free_y, y, jnp.inf)
    positive = jnp.abs(jnp.max(high_x) + jnp.max(high_y)) > jnp.abs(jnp.min(low_x) + jnp.min(low_y))
    i = jnp.where(positive, jnp.argmax(high_x), jnp.argmin(low_x))
    j = jnp.where(positive, jnp.argmax(high_y), jnp.argmin(low_y))
    return i, j, jnp.any(free_x) & jnp.any(free_y)


def _sorted(x: Array, y: Array) -> tuple[Array, Array, Array]:
    """The neurons of every direction by increasing weight, and the strengths of pairs of equal rank."""
    order_x, order_y = jnp.argsort(x, axis=1), jnp.argsort(y, axis=1)
    strength = jnp.abs(jnp.take_along_axis(x, order_x, 1)) + jnp.abs(jnp.take_along_axis(y, order_y, 1))
    return order_x, order_y, strength


def _strongest_of_sorted(
    order_x: Array, order_y: Array, strength: Array, free_x: Array, free_y: Array
) -> tuple[Array, Array, Array]:
    free = free_x[order_x] & free_y[order_y]
    best = jnp.argmax(jnp.where(free, strength, -1.0))
    return order_x[best], order_y[best], jnp.any(free)
