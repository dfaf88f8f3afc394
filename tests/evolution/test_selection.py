import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evojax_align.evolution import selection


def test_the_best_come_first_and_the_first_of_equals():
    fitness = jnp.array([0.2, 0.9, 0.5, 0.9])
    assert selection.best(fitness, 3).tolist() == [1, 3, 2]


def test_a_failed_evaluation_is_worse_than_any_other():
    fitness = jnp.array([jnp.nan, -5.0, jnp.inf, jnp.nan])
    assert selection.best(fitness, 4).tolist() == [2, 1, 0, 3]


def test_couples_are_two_different_members_and_all_alike_likely(key):
    pool = jnp.array([7, 3, 5])
    couples = np.asarray(selection.couples(key, pool, 6000))
    assert couples.shape == (6000, 2) and (couples[:, 0] != couples[:, 1]).all()
    pairs, counts = np.unique(couples, axis=0, return_counts=True)
    assert len(pairs) == 6 and set(pairs.ravel().tolist()) == {3, 5, 7}
    assert np.abs(counts - 1000).max() < 150


def test_too_small_a_choice_is_refused(key):
    with pytest.raises(ValueError, match="pool: got 1 parents"):
        selection.couples(key, jnp.array([0]), 2)
    with pytest.raises(ValueError, match="count: got 3"):
        selection.best(jnp.zeros(2), 3)
    with pytest.raises(ValueError, match="count: "):
        selection.best(jnp.zeros(2), 0)


def test_selection_is_the_same_under_jit(key):
    fitness = jax.random.normal(key, (9,))
    compiled = jax.jit(lambda f: selection.best(f, 4))(fitness)
    assert compiled.tolist() == selection.best(fitness, 4).tolist()
