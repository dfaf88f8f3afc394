"""Islands: subpopulations in which parents and survivors are selected separately."""

import jax
import jax.numpy as jnp

from evojax_align import population
from evojax_align._types import Array, Int, PyTree
from evojax_align.evolution.recombination.records import RecombinationState
from evojax_align.evolution.selection import best


def places(islands: int, count: int) -> Int[Array, "islands candidates"]:
    """The candidates of every island: its children, then its immigrants."""
    return jnp.arange(count).reshape(islands, -1)


def joined(islands: int, children: PyTree, immigrants: PyTree) -> PyTree:
    """Concatenate both on each island, island by island."""

    def join(p: Array, q: Array) -> Array:
        parts = [leaf.reshape(islands, -1, *leaf.shape[1:]) for leaf in (p, q)]
        return jnp.concatenate(parts, axis=1).reshape(-1, *p.shape[1:])

    return jax.tree.map(join, children, immigrants)


def survivors(islands: int, score: Array, each: int) -> Int[Array, " n"]:
    """The indices of the candidates that survive, `each` on every island, best first."""
    return jax.vmap(lambda own: own[best(score[own], each)])(places(islands, score.shape[0])).reshape(-1)


def migrated(islands: int, migration: int, state: RecombinationState) -> RecombinationState:
    """The population after a possible migration: the best of each island replaces the last of the next island."""
    if islands == 1:
        return state
    own = places(islands, state.score.shape[0])
    moved = own.at[:, -1].set(jnp.roll(own[:, 0], 1))
    due = (state.generation > 0) & (state.generation % migration == 0)
    order = jnp.where(due, moved, own).reshape(-1)
    members = population.take((state.population, state.fitness, state.score, state.ancestors), order)
    return RecombinationState(*members, generation=state.generation, founders=state.founders)
