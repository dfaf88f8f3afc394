"""Matching by mutual best pairs: it is the search by falling score, in a few rounds."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import evojax_align as ea
from evojax_align.matching import mutual, one_to_one


def by_falling_score(scores):
    """The oracle: all pairs in falling order of score, each taken if both neurons are free."""
    size = len(scores)
    partner, free_x, free_y = np.zeros(size, int), set(range(size)), set(range(size))
    for pair in np.argsort(-scores, axis=None, kind="stable"):
        i, j = divmod(int(pair), size)
        if i in free_x and j in free_y:
            partner[i] = j
            free_x.remove(i)
            free_y.remove(j)
    return partner.tolist()


@pytest.mark.parametrize("size", [1, 2, 5, 30])
@pytest.mark.parametrize("seed", range(3))
def test_it_takes_pairs_in_falling_order_of_score(size, seed):
    scores = np.random.default_rng(seed).normal(size=(size, size)).astype(np.float32)
    m = mutual(jnp.asarray(scores))
    assert m.valid and m.x.tolist() == list(range(size)) and m.y.tolist() == by_falling_score(scores)


def test_of_equal_scores_the_lower_index_wins_and_it_ends():
    assert mutual(jnp.zeros((6, 6))).y.tolist() == list(range(6))
    scores = jnp.asarray(np.random.default_rng(0).integers(0, 3, (9, 9)), jnp.float32)
    m = mutual(scores)
    assert m.valid and sorted(m.y.tolist()) == list(range(9))


def test_its_total_is_at_least_half_of_the_largest_and_mostly_near():
    shares = []
    for seed in range(10):
        scores = jnp.asarray(np.random.default_rng(seed).random((20, 20)), jnp.float32)
        totals = [float(jnp.sum(scores[m.x, m.y])) for m in (mutual(scores), one_to_one(scores))]
        assert 0.5 * totals[1] <= totals[0] <= totals[1] + 1e-4
        shares.append(totals[0] / totals[1])
    assert np.median(shares) > 0.9


def test_dead_neurons_pair_among_themselves_in_index_order():
    scores = jnp.asarray(np.random.default_rng(1).random((5, 5)), jnp.float32)
    dead_x, dead_y = jnp.array([0, 1, 0, 1, 0], bool), jnp.array([1, 0, 0, 0, 1], bool)
    m = mutual(scores, dead_x=dead_x, dead_y=dead_y)
    assert m.y[1] == 0 and m.y[3] == 4 and m.valid


def test_under_jit_and_vmap_it_is_the_same():
    scores = jnp.asarray(np.random.default_rng(2).normal(size=(4, 7, 7)), jnp.float32)
    alone = [mutual(of_one).y.tolist() for of_one in scores]
    assert jax.jit(jax.vmap(lambda s: mutual(s).y))(scores).tolist() == alone
    assert ea.population.map(lambda s: mutual(s).y, scores).tolist() == alone


def test_nan_is_refused_and_bad_shapes_too():
    with pytest.raises(ValueError, match="scores: got NaN as the score of partners"):
        mutual(jnp.full((2, 2), jnp.nan))
    assert not jax.jit(lambda s: mutual(s).valid)(jnp.full((2, 2), jnp.nan))
    with pytest.raises((ValueError, TypeError), match=r"scores: got shape|annotation"):
        mutual(jnp.zeros((2, 3)))
    with pytest.raises((ValueError, TypeError), match=r"dead_x: got shape|annotation"):
        mutual(jnp.eye(3), dead_x=jnp.zeros(2, bool))
