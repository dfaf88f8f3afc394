"""Selection of parents and of survivors."""

import jax
import jax.numpy as jnp

from evojax_align import _checks
from evojax_align._types import Array, ArrayLike, Bool, Float, Int, PRNGKey

__all__ = [
    "attraction",
    "best",
    "by_dominance",
    "competition",
    "couples",
    "crowding",
    "failed_last",
    "fronts",
    "proportional",
    "survivors",
    "tournaments",
]

Scores = Float[Array, "n samples"] | Int[Array, "n samples"] | Bool[Array, "n samples"]


def failed_last(fitness: Float[Array, "..."]) -> Float[Array, "..."]:
    """The fitness with NaN, a failed evaluation, replaced by -inf.

    Example:
        >>> import jax.numpy as jnp, evojax_align as ea
        >>> ea.evolution.selection.failed_last(jnp.array([0.5, jnp.nan])).tolist()
        [0.5, -inf]
    """
    return jnp.where(jnp.isnan(fitness), -jnp.inf, fitness)


def best(fitness: Float[Array, " n"], count: int) -> Int[Array, " count"]:
    """The indices of the fittest, best first; equal members keep their order.

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
    """Draw two different members of the pool for each child, all pairs with equal probability.

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
    """The winners of tournaments among members drawn with replacement; among equals, the one drawn first wins.
    If all drawn members have failed (NaN), the fittest member of all wins instead.

    Args:
        key: a random key.
        fitness: fitness of the members that may be drawn.
        tournament: number of members in a tournament; 1 is uniform selection.
        count: number of tournaments.

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


def proportional(key: PRNGKey, fitness: Float[Array, " n"], count: int) -> Int[Array, " count"]:
    """Draw members with replacement, with probabilities proportional to their fitness, which is at least 0.

    A failed member (NaN) is never drawn unless all failed. If no fitness is above 0, all members that did not fail are
    equally likely.

    Args:
        key: a random key.
        fitness: fitness of the members that may be drawn, such as from `competition`.
        count: number of members to draw.

    Example:
        >>> import jax, jax.numpy as jnp, evojax_align as ea
        >>> fitness = jnp.array([1.0, 0.0, 4.0, jnp.nan])
        >>> drawn = ea.evolution.selection.proportional(jax.random.key(0), fitness, 1000)
        >>> [round(float(share), 1) for share in jnp.bincount(drawn, length=4) / 1000]
        [0.2, 0.0, 0.8, 0.0]
    """
    key = _checks.key("key", key)
    _checks.positive("count", count)
    if _checks.is_concrete(fitness) and bool(jnp.any(fitness < 0)):
        fix = "Subtract the smallest, or choose by `tournaments`."
        raise _checks.bad("fitness", f"{float(jnp.nanmin(fitness))}", "at least 0", fix)
    failed, endless = jnp.isnan(fitness), fitness == jnp.inf
    known = jnp.where(failed, 0, jnp.maximum(fitness, 0)).astype(jnp.promote_types(fitness.dtype, jnp.float32))
    known = jnp.where(jnp.any(endless), endless, known)
    shares = _shares(known, ~failed)
    return jax.random.choice(key, fitness.shape[0], (count,), p=shares).astype(jnp.int32)


def fronts(objectives: Float[Array, "n k"]) -> Int[Array, " n"]:
    """Non-dominated sorting: 0 for members that no other dominates, 1 for those after removing these, and so on.

    A member dominates another if it is nowhere worse and somewhere better. Objectives are maximised; NaN is the worst.

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
    """Crowding distance of every member: the sum over objectives of the distance between its two neighbours in its
    front, divided by the range of the front; infinite at the ends. NaN counts as the smallest value.

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
    """All indices, best first: by front, and in each front the least crowded first (NSGA-II, Deb et al. 2002).

    Example:
        >>> import jax.numpy as jnp, evojax_align as ea
        >>> objectives = jnp.array([[0.0, 0.0], [0.0, 4.0], [1.0, 3.0], [4.0, 0.0]])
        >>> ea.evolution.selection.by_dominance(objectives).tolist()
        [1, 3, 2, 0]
    """
    front = fronts(objectives)
    return jnp.lexsort((-crowding(objectives, front), front))


def survivors(objectives: Float[Array, "n k"], count: int) -> Int[Array, " count"]:
    """The indices of the survivors by NSGA-II, best first: whole fronts, and the least crowded of the last front.

    Members with an objective that is NaN have failed and are last.

    Args:
        objectives: objectives of parents and children together; all are maximised.
        count: number of survivors.

    Example:
        >>> import jax.numpy as jnp, evojax_align as ea
        >>> objectives = jnp.array([[0.0, 0.0], [0.0, 4.0], [1.0, 3.0], [4.0, 0.0], [9.0, jnp.nan]])
        >>> ea.evolution.selection.survivors(objectives, 3).tolist()
        [1, 3, 2]

    References:
        Deb, K., Pratap, A., Agarwal, S. and Meyarivan, T. (2002). A fast and elitist multiobjective genetic algorithm:
        NSGA-II. IEEE Transactions on Evolutionary Computation 6.
    """
    total = objectives.shape[0]
    if _checks.positive("count", count) > total:
        raise _checks.bad("count", count, f"at most {total}", "Choose among more.")
    failed = jnp.any(jnp.isnan(objectives), axis=1)
    known = jnp.where(failed[:, None], jnp.nan, objectives)
    front = fronts(known)
    return jnp.lexsort((-crowding(known, front), front, failed))[:count]


def competition(
    scores: Scores,
    *,
    alpha: ArrayLike = 1.0,
    capacity: Float[Array, " samples"] | None = None,
) -> Float[Array, " n"]:
    """The fitness of members that compete for a limited resource of each sample (M2N2).

    With the score s_ij of member i on sample j, and the capacity c_j of the sample,

        fitness_i = sum over j of s_ij c_j / (sum over k of s_kj)^alpha

    so that a sample that few members solve contributes more to each of them. A sample without scores contributes 0.

    Args:
        scores: the score of each member on each sample, at least 0, such as whether its predicted class is right. NaN
            counts as 0 in the sum over members.
        alpha: the strength of the competition. With 0 there is none; fitness is the sum of scores that are 0 or 1.
        capacity: the capacity of each sample; by default the largest score on it, which is 1 for scores of 0 and 1.

    Returns:
        The fitness, NaN for a member with a score that is NaN. With alpha = 1, its sum over members is the total
        capacity of the samples on which any member scores.

    Raises:
        ValueError: for scores below 0, or an alpha that is not one finite number of at least 0.

    Example:
        >>> import jax.numpy as jnp, evojax_align as ea
        >>> solved = jnp.array([[True, True, False], [True, True, False], [False, False, True]])
        >>> ea.evolution.selection.competition(solved).tolist()
        [1.0, 1.0, 1.0]
        >>> ea.evolution.selection.competition(solved, alpha=0).tolist()
        [2.0, 2.0, 1.0]

    References:
        Abrantes, J., Lange, R. T. and Tang, Y. (2025). Competition and attraction improve model fusion. GECCO.
    """
    known, failed, worth = _resources(scores, alpha, capacity)
    return jnp.where(failed, jnp.nan, jnp.sum(known * worth[None], axis=1))


def attraction(
    scores: Scores,
    first: Int[ArrayLike, ""],
    *,
    alpha: ArrayLike = 1.0,
    capacity: Float[Array, " samples"] | None = None,
) -> Float[Array, " n"]:
    """The probability of each member to become the second parent, by its scores above the first parent's (M2N2).

    It is proportional to the attraction, with the terms of `competition`,

        attraction_b = sum over j of c_j / (sum over k of s_kj)^alpha max(s_bj - s_first,j, 0)

    Args:
        scores: as in `competition`.
        first: the index of the first parent.
        alpha: the strength of the competition.
        capacity: the capacity of each sample.

    Returns:
        Probabilities, which sum to 1. They are 0 for the first parent and for members with a score that is NaN. If no
        member scores above the first, all others are equally likely; if there are no others, the first parent is its
        own mate. Draw one by `jax.random.choice(key, n, p=probabilities)`.

    Raises:
        ValueError: for scores below 0, or an alpha that is not one finite number of at least 0.

    Example:
        >>> import jax.numpy as jnp, evojax_align as ea
        >>> solved = jnp.array([[True, True, False, False], [True, False, True, False], [False, False, True, True]])
        >>> ea.evolution.selection.attraction(solved, 0).round(2).tolist()  # 0, 1/2 and 1/2 + 1
        [0.0, 0.25, 0.75]

    References:
        Abrantes, J., Lange, R. T. and Tang, Y. (2025). Competition and attraction improve model fusion. GECCO.
    """
    known, failed, worth = _resources(scores, alpha, capacity)
    is_first = jnp.arange(known.shape[0]) == jnp.asarray(first)
    others = ~failed & ~is_first
    more = jnp.sum(jnp.maximum(known - known[first][None], 0) * worth[None], axis=1)
    return jnp.where(jnp.any(others), _shares(jnp.where(others, more, 0), others), is_first)


def _resources(scores: Array, alpha: ArrayLike, capacity: Array | None) -> tuple[Array, Array, Array]:
    """Scores without NaN, the members with NaN, and the fitness for a score of 1 on each sample."""
    _checks.deviation("alpha", alpha)
    if _checks.is_concrete(scores) and bool(jnp.any(scores < 0)):
        fix = "Subtract the smallest score on each sample."
        raise _checks.bad("scores", "scores below 0", "at least 0", fix)
    wide = scores.astype(jnp.promote_types(scores.dtype, jnp.float32))
    lost = jnp.isnan(wide)
    known = jnp.where(lost, 0, wide)
    if capacity is None:
        capacity = jnp.max(known, axis=0, initial=0)
    total = jnp.sum(known, axis=0)
    used = total > 0
    worth = jnp.where(used, capacity / jnp.where(used, total, 1) ** alpha, 0)
    return known, jnp.any(lost, axis=1), worth


def _shares(amounts: Array, able: Array) -> Array:
    """Amounts divided by their sum; if it is 0, equal fractions for the members in `able`."""
    total = jnp.sum(amounts)
    equal = able / jnp.maximum(jnp.sum(able), 1)
    return jnp.where(total > 0, amounts / jnp.where(total > 0, total, 1), equal)
