"""Who becomes a parent, and who stays."""

import jax
import jax.numpy as jnp

from evojax_align import _checks
from evojax_align._types import Array, Float, Int, PRNGKey


def failed_last(fitness: Float[Array, "..."]) -> Float[Array, "..."]:
    """The fitness, where a failed evaluation (NaN) is worse than any other."""
    return jnp.where(jnp.isnan(fitness), -jnp.inf, fitness)


def best(fitness: Float[Array, " n"], count: int) -> Int[Array, " count"]:
    """The indices of the fittest, best first; of equals the first one goes first."""
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
    """
    size = pool.shape[0]
    if size < 2:
        raise _checks.bad("pool", f"{size} parents", "at least 2", "Let more of the population be parents.")
    key_first, key_other = jax.random.split(key)
    first = jax.random.randint(key_first, (count,), 0, size)
    other = (first + jax.random.randint(key_other, (count,), 1, size)) % size
    return pool[jnp.stack([first, other], axis=1)]


def tournaments(key: PRNGKey, fitness: Float[Array, " n"], rivals: int, count: int) -> Int[Array, " count"]:
    """The winners of so many tournaments, each among rivals drawn with replacement; of equals the first drawn wins.

    Args:
        key: a random key.
        fitness: of those who may be drawn.
        rivals: how many meet in a tournament; 1 is pure chance.
        count: tournaments.
    """
    _checks.positive("rivals", rivals)
    drawn = jax.random.randint(key, (count, rivals), 0, fitness.shape[0])
    winners = jnp.argmax(failed_last(fitness)[drawn], axis=1)
    return jnp.take_along_axis(drawn, winners[:, None], axis=1)[:, 0]
