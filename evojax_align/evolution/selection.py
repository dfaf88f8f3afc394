"""Who becomes a parent, and who stays."""

import jax
import jax.numpy as jnp

from evojax_align import _checks
from evojax_align._types import Array, Float, Int, PRNGKey

__all__ = [
    "best",
    "by_dominance",
    "couples",
    "crowding",
    "failed_last",
    "fronts",
    "tournaments",
]


def failed_last(fitness: Float[Array, "..."]) -> Float[Array, "..."]:
    """The fitness, where a failed evaluation (NaN) is worse than any other.

    Example:
        >>> import jax.numpy as jnp, evojax_align as ea
        >>> ea.evolution.selection.failed_last(jnp.array([0.5, jnp.nan])).tolist()
        [0.5, -inf]
    """
    return jnp.where(jnp.isnan(fitness), -jnp.inf, fitness)


def best(fitness: Float[Array, " n"], count: int) -> Int[Array, " count"]:
    """The indices of the fittest, best first; of equals the first one goes first.

    Example:
        >>> import jax.numpy as jnp, evojax_align as ea
        >>> ea.evolution.selection.best(jnp.array([0.2, jnp.nan, 0.9, 0.5]), 2).tolist()
        [2, 3]
    """
    total = fitness.shape[0]
    if not 0 < _checks.positive("count", count) <= total:
        raise _checks.bad("count", count, f"at most {total}", "Choose among more.")
    return jnp.argsort(-failed_last(fitness), stable=True)[:count]


def couples(key: PRNGKey, pool: Int[Array, " n"], count: int) -> Int[Array, "count 2"]:
    """For each child two different members of the pool, all pairs alike likely.

    Args:
        key: a random key.
        pool: at least two indices.
        count: number of children.

    Example:
        >>> import jax, jax.numpy as jnp, evojax_align as ea
        >>> found = ea.evolution.selection.couples(jax.random.key(0), jnp.array([3, 5, 8]), 100)
        >>> bool((found[:, 0] != found[:, 1]).all()), sorted(set(found.ravel().tolist()))
        (True, [3, 5, 8])
    """
    key = _checks.key("key", key)
    size = pool.shape[0]
    if size < 2:
        raise _checks.bad("pool", f"{size} parents", "at least 2", "Let more of the population be parents.")
    key_first, key_other = jax.random.split(key)
    first = jax.random.randint(key_first, (count,), 0, size)
    other = (first + jax.random.randint(key_other, (count,), 1, size)) % size
    return pool[jnp.stack([first, other], axis=1)]


def tournaments(key: PRNGKey, fitness: Float[Array, " n"], tournament: int, count: int) -> Int[Array, " count"]:
    """The winners of so many tournaments, each among members drawn with replacement; of equals the first drawn wins.
    Where all who were drawn have failed (NaN), the fittest of all wins instead.

    Args:
        key: a random key.
        fitness: of those who may be drawn.
        tournament: how many meet in a tournament; 1 is pure chance.
        count: tournaments.

    Example:
        >>> import jax, jax.numpy as jnp, evojax_align as ea
        >>> fitness = jnp.array([0.1, 0.2, 0.3, 0.4])
        >>> winners = ea.evolution.selection.tournaments(jax.random.key(0), fitness, 2, 1000)
        >>> jnp.bincount(winners, length=4).argsort().tolist()  # the fitter win more often
        [0, 1, 2, 3]
    """
    key = _checks.key("key", key)
    _checks.positive("tournament", tournament)
    drawn = jax.random.randint(key, (count, tournament), 0, fitness.shape[0])
    known = failed_last(fitness)
    winners = jnp.take_along_axis(drawn, jnp.argmax(known[drawn], axis=1)[:, None], axis=1)[:, 0]
    return jnp.where(jnp.isnan(fitness[winners]), jnp.argmax(known), winners)


def fronts(objectives: Float[Array, "n k"]) -> Int[Array, " n"]:
    """How many layers of others lie above: 0 for those that nobody dominates, 1 once these are gone, and so on.

    One dominates another by being nowhere worse and somewhere better. All objectives are to be large; NaN is the worst.

    Example:
        >>> import jax.numpy as jnp, evojax_align as ea
        >>> ea.evolution.selection.fronts(jnp.array([[1.0, 3.0], [2.0, 2.0], [1.0, 1.0], [0.0, 2.0]])).tolist()
        [0, 0, 1, 1]
    """
    known = failed_last(objectives)
    ahead, behind = known[:, None], known[None]
    dominates = (jnp.all(ahead >= behind, axis=2) & jnp.any(ahead > behind, axis=2)).astype(jnp.float32)

    def peel(state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        front, above, number = state
        now = (above < 0.5) & (front < 0)
        return jnp.where(now, number, front), above - now.astype(jnp.float32) @ dominates, number + 1

    above = jnp.sum(dominates, axis=0)
    start = jnp.full_like(above, -1, dtype=jnp.int32), above, jnp.array(0, jnp.int32)
    return jax.lax.while_loop(lambda state: jnp.any(state[0] < 0), peel, start)[0]


def crowding(objectives: Float[Array, "n k"], front: Int[Array, " n"]) -> Float[Array, " n"]:
    """How far from the neighbours in its front each is: over all objectives the sum of the distance of the one before
    from the one behind, by the range of the front; infinite at the ends. NaN is as small as the smallest.

    Example:
        >>> import jax.numpy as jnp, evojax_align as ea
        >>> objectives = jnp.array([[0.0, 4.0], [1.0, 3.0], [4.0, 0.0]])
        >>> ea.evolution.selection.crowding(objectives, jnp.zeros(3, int)).tolist()
        [inf, 2.0, inf]
    """

    def along(values: Array) -> Array:
        order = jnp.lexsort((values, front))
        of, sorted_values = front[order], values[order]
        first = jnp.append(True, of[1:] != of[:-1])
        end = jnp.append(of[1:] != of[:-1], True)
        smallest = jax.ops.segment_min(values, front, num_segments=values.shape[0])
        largest = jax.ops.segment_max(values, front, num_segments=values.shape[0])
        width = (largest - smallest)[of]
        gap = jnp.roll(sorted_values, -1) - jnp.roll(sorted_values, 1)
        gap = jnp.where(first | end, jnp.inf, jnp.where(width > 0, gap / jnp.where(width > 0, width, 1.0), 0.0))
        return jnp.zeros_like(values).at[order].set(gap)

    known = jnp.where(jnp.isnan(objectives), jnp.nanmin(objectives, axis=0), objectives)
    return jnp.sum(jax.vmap(along, in_axes=1)(known), axis=0)


def by_dominance(objectives: Float[Array, "n k"]) -> Int[Array, " n"]:
    """All indices, best first: front after front, in each the least crowded first (NSGA-II, Deb et al. 2002).

    Example:
        >>> import jax.numpy as jnp, evojax_align as ea
        >>> objectives = jnp.array([[0.0, 0.0], [0.0, 4.0], [1.0, 3.0], [4.0, 0.0]])
        >>> ea.evolution.selection.by_dominance(objectives).tolist()
        [1, 3, 2, 0]
    """
    front = fronts(objectives)
    return jnp.lexsort((-crowding(objectives, front), front))
