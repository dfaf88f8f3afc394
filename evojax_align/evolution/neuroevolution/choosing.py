"""Selection operators: which members survive and which have children. Your own inherits from `Selection`."""

import dataclasses
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Shaped

from evojax_align import _checks
from evojax_align._types import Array, Float, Int, PRNGKey
from evojax_align.evolution.selection import (
    attraction,
    best,
    by_dominance,
    competition,
    failed_last,
    proportional,
    tournaments,
)


class Selection:
    """The ranking of members and the choice of parents. Instances must be hashable, as frozen dataclasses are.

    Attributes:
        uses_scores: whether fitness functions must return `Evaluation.scores`.

    Example:
        >>> import dataclasses, jax, jax.numpy as jnp, evojax_align as ea
        >>> @dataclasses.dataclass(frozen=True)
        ... class Anyone(ea.evolution.Selection):
        ...     def parents(self, key, values, scores, count):
        ...         return jax.random.randint(key, (count, 2), 0, values.shape[0])
        >>> ga = ea.evolution.Neuroevolution(size=4, selection=Anyone())
        >>> state = ga.init(jax.random.key(0), {"w": jnp.arange(4.0)})
        >>> state, info = ga.step(jax.random.key(1), state, lambda key, params: params["w"])
        >>> state.fitness.tolist()
        [3.0, 2.0, 1.0, 0.0]
    """

    uses_scores: ClassVar[bool] = False

    def values(self, fitness: Float[Array, " n"], scores: Any) -> Float[Array, " n"]:
        """The values by which members are ranked, larger is better; -inf for failed members."""
        return failed_last(fitness)

    def parents(self, key: PRNGKey, values: Float[Array, " n"], scores: Any, count: int) -> Int[Array, "count 2"]:
        """The indices of both parents of each child."""
        raise NotImplementedError(f"{type(self).__name__} does not define `parents`")


@dataclasses.dataclass(frozen=True)
class Truncation(Selection):
    """Truncation selection: two different parents for each child, drawn uniformly from the best members.

    Attributes:
        share: fraction of the members that may be parents; at least two are.

    Example:
        >>> import jax, jax.numpy as jnp, evojax_align as ea
        >>> values = jnp.array([0.1, 0.4, 0.3, 0.2])
        >>> pairs = ea.evolution.Truncation(0.5).parents(jax.random.key(0), values, None, 100)
        >>> sorted({tuple(pair) for pair in pairs.tolist()})
        [(1, 2), (2, 1)]
    """

    share: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise _checks.bad("share", self.share, "a fraction above 0, at most 1", "Pass 0.5 for the better half.")

    def parents(self, key: PRNGKey, values: Float[Array, " n"], scores: Any, count: int) -> Int[Array, "count 2"]:
        """See the class."""
        pool = best(values, min(values.shape[0], max(2, round(self.share * values.shape[0]))))
        known = jnp.clip(jnp.sum(values > -jnp.inf), 1, pool.shape[0])  # failed members are last
        key_first, key_other = jax.random.split(key)
        first = jax.random.randint(key_first, (count,), 0, known)
        other = (first + jax.random.randint(key_other, (count,), 1, jnp.maximum(known, 2))) % known
        return pool[jnp.stack([first, other], axis=1)]


@dataclasses.dataclass(frozen=True)
class Tournament(Selection):
    """Tournament selection: each parent is the best of a few members drawn with replacement.

    Attributes:
        size: number of members in a tournament; 1 is uniform selection.

    Example:
        >>> import jax, jax.numpy as jnp, evojax_align as ea
        >>> values = jnp.array([0.1, 0.4, 0.3, 0.2])
        >>> pairs = ea.evolution.Tournament(4).parents(jax.random.key(0), values, None, 1000)
        >>> jnp.bincount(pairs.ravel(), length=4).argsort().tolist()  # the better ones more often
        [0, 3, 2, 1]
    """

    size: int = 2

    def __post_init__(self) -> None:
        _checks.positive("size", self.size)

    def parents(self, key: PRNGKey, values: Float[Array, " n"], scores: Any, count: int) -> Int[Array, "count 2"]:
        """See the class."""
        known = jnp.where(values > -jnp.inf, values, jnp.nan)
        return tournaments(key, known, self.size, 2 * count).reshape(count, 2)


@dataclasses.dataclass(frozen=True)
class Fronts(Selection):
    """NSGA-II, for several objectives (Deb et al. 2002): survival by fronts and crowding, tournaments of two.

    `Evaluation.scores` are the objectives, all to be maximised.

    Example:
        >>> import jax.numpy as jnp, evojax_align as ea
        >>> scores = jnp.array([[0.0, 0.0], [0.0, 4.0], [1.0, 3.0], [4.0, 0.0]])
        >>> ea.evolution.Fronts().values(scores.mean(axis=1), scores).argsort()[::-1].tolist()
        [1, 3, 2, 0]
    """

    uses_scores: ClassVar[bool] = True

    def values(self, fitness: Float[Array, " n"], scores: Float[Array, "n objectives"]) -> Float[Array, " n"]:
        """Minus the rank in the order of fronts and crowding."""
        order = by_dominance(jnp.where(jnp.isnan(fitness)[:, None], jnp.nan, scores))
        places = jnp.zeros_like(fitness).at[order].set(-jnp.arange(fitness.shape[0], dtype=fitness.dtype))
        return jnp.where(jnp.isnan(fitness), -jnp.inf, places)

    def parents(self, key: PRNGKey, values: Float[Array, " n"], scores: Any, count: int) -> Int[Array, "count 2"]:
        """See the class."""
        return Tournament(2).parents(key, values, scores, count)


@dataclasses.dataclass(frozen=True)
class Niches(Selection):
    """Competition for samples, and mates that solve other samples than the first parent (M2N2, GECCO 2025).

    `Evaluation.scores` has one number for each sample, such as whether its predicted class is right. If a sample has
    scores below 0, such as minus a loss, its lowest score is subtracted from all of them.

    Attributes:
        alpha: the strength of the competition (see `selection.competition`).
        attraction: whether the second parent is drawn by `selection.attraction` to the first, or like the first.

    Example:
        >>> import jax.numpy as jnp, evojax_align as ea
        >>> solved = jnp.array([[True, True, False], [True, True, False], [False, False, True]])
        >>> ea.evolution.Niches().values(solved.mean(axis=1), solved).tolist()
        [1.0, 1.0, 1.0]

    References:
        Abrantes, J., Lange, R. T. and Tang, Y. (2025). Competition and attraction improve model fusion. GECCO.
    """

    uses_scores: ClassVar[bool] = True
    alpha: float = 1.0
    attraction: bool = True

    def __post_init__(self) -> None:
        if not self.alpha >= 0:
            raise _checks.bad("alpha", self.alpha, "a number of at least 0", "Pass 1 for the competition of M2N2.")

    def values(self, fitness: Float[Array, " n"], scores: Shaped[Array, "n samples"]) -> Float[Array, " n"]:
        """The fitness of each member under competition."""
        shared = competition(_known(fitness, scores), alpha=self.alpha)
        return failed_last(jnp.where(jnp.isnan(fitness), jnp.nan, shared))

    def parents(self, key: PRNGKey, values: Float[Array, " n"], scores: Any, count: int) -> Int[Array, "count 2"]:
        """See the class."""
        key_first, key_other = jax.random.split(key)
        known = jnp.where(values > -jnp.inf, values, jnp.nan)
        first = proportional(key_first, known, count)
        if not self.attraction:
            return jnp.stack([first, proportional(key_other, known, count)], axis=1)
        scores = _known(known, scores)

        def mate(key: PRNGKey, first: Array) -> Array:
            return jax.random.choice(key, values.shape[0], p=attraction(scores, first, alpha=self.alpha))

        other = jax.lax.map(lambda of: mate(*of), (jax.random.split(key_other, count), first))
        return jnp.stack([first, other], axis=1)


def _known(fitness: Array, scores: Array) -> Array:
    """Floating-point scores, NaN for failed members."""
    scores = jnp.asarray(scores, jnp.promote_types(jnp.result_type(scores), jnp.float32))
    scores = scores - jnp.minimum(jnp.nanmin(scores, axis=0, keepdims=True), 0)  # shifted if negative
    return jnp.where(jnp.isnan(fitness)[:, None], jnp.nan, scores)
