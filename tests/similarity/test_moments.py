from functools import reduce

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evojax_align import similarity
from evojax_align.similarity import correlation, correlation_of, pool
from evojax_align.similarity.moments import finite

moments = jax.jit(similarity.moments, static_argnames="within")
merge = jax.jit(similarity.merge)


def draw(seed, samples, x=5, y=4, offset=0.0):
    rng = np.random.default_rng(seed)
    base = rng.normal(size=(samples, max(x, y)))
    of_x = base[:, :x] + rng.normal(size=(samples, x))
    return jnp.asarray(of_x + offset, jnp.float32), jnp.asarray(base[:, :y] + offset, jnp.float32)


def assert_close(a, b, atol=1e-3):
    for p, q in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_allclose(p, q, rtol=1e-5, atol=atol)


def test_they_are_the_sums_of_numpy():
    x, y = draw(0, 30)
    m = moments(x, y)
    both = 30 * np.cov(np.asarray(x, np.float64), np.asarray(y, np.float64), rowvar=False, bias=True)
    assert_close((m.within_x, m.cross, m.within_y), (both[:5, :5], both[:5, 5:], both[5:, 5:]), atol=1e-5)
    assert_close((m.square_x, m.square_y), (np.diag(both)[:5], np.diag(both)[5:]), atol=1e-5)
    assert_close((m.mean_x, m.mean_y), (np.mean(x, 0), np.mean(y, 0)), atol=1e-6)


@pytest.mark.parametrize("cuts", [[15], [1], [29], list(range(1, 30))])
@pytest.mark.parametrize("within", [True, False])
def test_merging_any_chunks_gives_the_moments_of_the_whole(cuts, within):
    x, y = draw(0, 30, offset=7.0)
    parts = [moments(p, q, within=within) for p, q in zip(np.split(x, cuts), np.split(y, cuts), strict=True)]
    assert_close(reduce(merge, parts), moments(x, y, within=within))


def test_the_order_of_merging_does_not_matter():
    first, second, third = (moments(*draw(seed, 10 + seed, offset=seed)) for seed in range(3))
    assert_close(merge(merge(first, second), third), merge(first, merge(third, second)))


def test_nothing_is_the_neutral_element():
    m = moments(*draw(0, 30))
    nothing = jax.tree.map(jnp.zeros_like, m)
    chex.assert_trees_all_equal(merge(nothing, m), m)


def test_a_constant_neuron_is_dead_however_it_is_streamed():
    for constant in (0.0, 0.1, 3.3e4):
        x, y = draw(0, 5000)
        x = x.at[:, 2].set(constant)
        parts = [moments(x[i : i + 100], y[i : i + 100]) for i in range(0, 5000, 100)]
        for m in (moments(x, y), reduce(merge, parts)):
            assert np.asarray(m.dead_x).tolist() == [False, False, True, False, False]
            assert not m.dead_y.any()


def test_a_neuron_that_is_alive_in_one_chunk_only_is_alive():
    x, y = draw(0, 20)
    x = x.at[:10, 0].set(2.0)
    m = merge(moments(x[:10], y[:10]), moments(x[10:], y[10:]))
    assert not m.dead_x.any()
    np.testing.assert_allclose(correlation_of(m), correlation(x, y), atol=1e-6)


def test_pooling_is_the_correlation_over_standardised_places_laid_end_to_end():
    places = [draw(0, 30), draw(1, 20, offset=5.0), draw(2, 40)]
    places[1] = (places[1][0] * 100, places[1][1])
    ends = [
        np.concatenate([(v - v.mean(axis=0)) / v.std(axis=0) for v in (np.asarray(place[side]) for place in places)])
        for side in (0, 1)
    ]
    expected = np.corrcoef(*ends, rowvar=False)[:5, 5:]
    pooled = pool([moments(x, y) for x, y in places])
    np.testing.assert_allclose(correlation_of(pooled), expected, atol=1e-5)
    whole = moments(*(jnp.asarray(side, jnp.float32) for side in ends))
    assert_close(pooled, whole)


def test_a_neuron_that_is_dead_at_one_place_is_known_by_the_others():
    (x, y), (more_x, more_y) = draw(0, 30), draw(1, 30)
    pooled = pool([moments(x.at[:, 1].set(0.0), y), moments(more_x, more_y)])
    assert not pooled.dead_x.any() and finite(pooled)
    sums = np.concatenate([np.zeros(30), (more_x[:, 1] - more_x[:, 1].mean()) / more_x[:, 1].std()])
    other = np.concatenate([(v - v.mean()) / v.std() for v in (y[:, 1], more_y[:, 1])])
    expected = sums @ other / np.sqrt(sums @ sums * (other @ other))
    np.testing.assert_allclose(correlation_of(pooled)[1, 1], expected, atol=1e-5)
    assert pool([moments(x.at[:, 1].set(0.0), y)] * 2).dead_x[1]


def test_a_value_that_is_not_finite_is_seen_after_pooling():
    x, y = draw(0, 30)
    broken, sound = moments(x.at[3, 1].set(np.nan), y), moments(x, y)
    for places in ([broken], [broken, sound], [sound, broken, sound]):
        pooled = pool(places)
        assert not finite(pooled)
        assert np.isfinite(correlation_of(pooled)).all()
    assert not finite(merge(broken, sound)) and finite(pool([sound, sound]))


def test_the_dead_of_many_pairs_are_those_of_each():
    x, y = draw(0, 30)
    first, second = moments(x.at[:, 1].set(4.0), y), moments(x, y.at[:, 0].set(0.0))
    many = jax.tree.map(lambda *leaves: jnp.stack(leaves), first, second)
    np.testing.assert_array_equal(many.dead_x, jnp.stack([first.dead_x, second.dead_x]))
    np.testing.assert_array_equal(many.dead_y, jnp.stack([first.dead_y, second.dead_y]))
