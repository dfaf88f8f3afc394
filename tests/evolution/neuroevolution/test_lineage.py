"""Last common ancestors, against a search through the tree."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evojax_align.evolution import Neuroevolution
from evojax_align.evolution.neuroevolution import lineage


def last_common(history, i, j):
    """The generation of the last common ancestor of two members of the last population, by sets of ancestors."""

    def ancestors(member):
        found, now = {}, {member}
        for generation in range(len(history) - 1, -1, -1):
            now = {int(parent) for one in now for parent in history[generation][one]}
            found[generation] = now
        return found

    first, second = ancestors(i), ancestors(j)
    return max((g for g in first if first[g] & second[g]), default=-1)


def test_ancestors_are_those_of_the_tree():
    random, size = np.random.default_rng(0), 6
    history, known = [], lineage.unrelated(size)
    for generation in range(5):
        parents = random.integers(size, size=(size, 2))
        known = lineage.inherited(known, jnp.array(generation), jnp.asarray(parents))
        history.append(parents)
    for i in range(size):
        for j in range(i):
            assert int(known[i, j]) == last_common(history, i, j) == int(known[j, i])


def test_children_of_founders_are_as_related_as_their_parents():
    ga = Neuroevolution(size=4, elites=0, crossover="arithmetic")
    state = ga.init(jax.random.key(0), {"w": jnp.arange(4.0)})
    state, first = ga.step(jax.random.key(1), state, lambda key, params: params["w"])
    assert first.births.kinship.tolist() == [0] * 4
    state, second = ga.step(jax.random.key(2), state, lambda key, params: params["w"])
    assert second.births.kinship.tolist() == [-1] * 4  # founders are not related
    _, third = ga.step(jax.random.key(3), state, lambda key, params: params["w"])
    assert set(third.births.kinship.tolist()) <= {1}  # all descend from the better half, two members


@pytest.mark.parametrize("settings", [{"crossover": "none"}, {"crossover_rate": 0.0}])
def test_a_second_parent_that_gives_nothing_is_no_ancestor(settings):
    ga = Neuroevolution(size=16, elites=0, **settings)
    state, roots = ga.init(jax.random.key(0), {"w": jnp.arange(16.0)}), np.arange(16)
    for number in range(4):
        state, info = ga.step(jax.random.key(number), state, lambda key, params: params["w"])
        assert not info.births.crossed.any()
    related = {tuple(pair) for pair in np.argwhere(np.asarray(state.ancestors) >= 0).tolist()}
    noise = np.asarray(state.members["w"])  # mutation is small, so that the founder is the nearest number
    roots = noise.round()
    same = {(i, j) for i in range(16) for j in range(16) if i != j and roots[i] == roots[j]}
    assert {(i, j) for i, j in related if i != j} == same


def test_lineages_can_be_left_out():
    ga = Neuroevolution(size=4, lineages=False)
    state, info = ga.step(
        jax.random.key(1), ga.init(jax.random.key(0), {"w": jnp.arange(4.0)}), lambda key, params: params["w"]
    )
    state, info = ga.step(jax.random.key(1), state, lambda key, params: params["w"])
    assert state.ancestors is None and info.births.kinship.tolist() == [-1] * 4
