import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evojax_align import models, pruning

PARAMS = {
    "a": {"kernel": jnp.array([[1.0, -2.0], [0.5, 2.0]]), "bias": jnp.array([9.0, 9.0])},
    "b": {"kernel": jnp.array([[-2.0], [0.1]]), "bias": jnp.array([9.0])},
}
SYNAPSES = pruning.find(PARAMS)
FULL = pruning.full_masks(PARAMS)


@pytest.mark.slow
def test_the_largest_weights_of_all_layers_stay_and_ties_fall_to_the_earlier_ones():
    kept = pruning.magnitude(SYNAPSES, FULL, PARAMS, 2)
    assert kept["a"]["kernel"].tolist() == [[False, True], [False, True]]
    assert kept["b"]["kernel"].tolist() == [[False], [False]]
    assert kept["a"]["bias"].tolist() == [False, True] and kept["b"]["bias"].tolist() == [False]
    assert pruning.magnitude(SYNAPSES, FULL, PARAMS, 3)["b"]["kernel"].tolist() == [[True], [False]]


@pytest.mark.parametrize("count", range(8))
def test_counts_are_exact_under_ties(count):
    same = jax.tree.map(jnp.ones_like, PARAMS)
    kept = pruning.magnitude(SYNAPSES, FULL, same, count)
    assert int(pruning.total(SYNAPSES, kept)) == min(count, 6)
    drawn = pruning.at_random(jax.random.key(count), SYNAPSES, FULL, count)
    assert int(pruning.total(SYNAPSES, drawn)) == min(count, 6)


def test_what_is_dead_stays_dead_even_if_nothing_else_is_left_to_keep():
    few = pruning.magnitude(SYNAPSES, FULL, PARAMS, 2)
    again = pruning.keep_largest(SYNAPSES, few, jax.tree.map(lambda leaf: -leaf, PARAMS), 5)
    for p, q in zip(jax.tree.leaves(few), jax.tree.leaves(again), strict=True):
        np.testing.assert_array_equal(p, q)


def test_nan_is_the_lowest_score_but_still_alive():
    scores = {"a": {"kernel": jnp.full((2, 2), jnp.nan)}, "b": {"kernel": jnp.array([[1.0], [-jnp.inf]])}}
    few = pruning.at_random(jax.random.key(0), SYNAPSES, FULL, 6)
    kept = pruning.keep_largest(SYNAPSES, few, scores, 1)
    assert kept["b"]["kernel"].tolist() == [[True], [False]]
    assert int(pruning.total(SYNAPSES, pruning.keep_largest(SYNAPSES, few, scores, 4))) == 4


@pytest.mark.slow
def test_the_count_may_be_traced_and_pruning_lifts_over_a_population():
    jitted = jax.jit(chex.assert_max_traces(lambda p, n: pruning.magnitude(SYNAPSES, FULL, p, n), n=1))
    for count in (1, 3, 5):
        assert int(pruning.total(SYNAPSES, jitted(PARAMS, count))) == count
    pop = jax.tree.map(lambda leaf: jnp.stack([leaf, -leaf]), PARAMS)
    masks = jax.vmap(lambda p, n: pruning.magnitude(SYNAPSES, FULL, p, n))(pop, jnp.array([2, 4]))
    assert jax.vmap(functools.partial(pruning.total, SYNAPSES))(masks).tolist() == [2, 4]


@pytest.mark.slow
def test_chance_is_fair():
    masks = jax.vmap(lambda k: pruning.at_random(k, SYNAPSES, FULL, 2))(jax.random.split(jax.random.key(0), 3000))
    shares = np.concatenate([np.asarray(m).mean(axis=0).ravel() for m in SYNAPSES.of(masks).values()])
    assert np.abs(shares - 1 / 3).max() < 0.04


def test_a_negative_count_is_refused():
    with pytest.raises(ValueError, match="count: got -1"):
        pruning.magnitude(SYNAPSES, FULL, PARAMS, -1)


@pytest.mark.slow
@pytest.mark.parametrize("numbers", [(0, 1, 9), pytest.param(range(2, 30, 3), marks=pytest.mark.slow)])
def test_the_largest_are_those_of_a_sort_whatever_stands_among_them(numbers):
    draws = jax.random.split(jax.random.key(3), 30)
    for number, key in ((number, draws[number]) for number in numbers):
        scores = jnp.round(2 * jax.random.normal(key, (1 + 7 * number,))) / 2 * jnp.where(number % 2, 1.0, -0.0)
        scores = jnp.where(jax.random.bernoulli(key, 0.1, scores.shape), jnp.nan, scores)
        alive = jax.random.bernoulli(draws[0], 0.7, scores.shape)
        order = np.lexsort((-np.where(np.isnan(scores), -np.inf, scores), ~np.asarray(alive)))
        for count in (0, 1, scores.size // 2, 2.5, 2 * scores.size):
            expected = np.zeros(scores.size, bool)
            expected[order[: int(np.ceil(count))]] = True
            np.testing.assert_array_equal(pruning.largest(scores, alive, count), expected & np.asarray(alive))
    half = pruning.largest(jnp.array([1.0, -2.0, 3.0], jnp.bfloat16), jnp.ones(3, bool), 1)
    assert half.tolist() == [False, False, True]


def shares_lost(masks, **settings):
    keys = jax.random.split(jax.random.key(5), 6)
    counts = []
    for key in keys:
        counts.append(int(pruning.total(WIDE, masks)))
        masks = pruning.lose(key, WIDE, masks, 0.1, **settings)
    return [*counts, int(pruning.total(WIDE, masks))], masks


LAYERS = {"a": {"kernel": jnp.ones((10, 20)), "bias": jnp.ones(20)}, "b": {"kernel": jnp.ones((20, 5))}}
WIDE = pruning.find(LAYERS)
ALL = pruning.full_masks(LAYERS)


def test_a_step_of_pruning_takes_exactly_its_share_of_the_living():
    counts, masks = shares_lost(ALL, among="living")
    expected = [300]
    for _ in range(6):
        expected.append(expected[-1] - round(0.1 * expected[-1]))
    assert counts == expected
    assert masks["a"]["bias"].all()


def test_among_all_a_step_draws_its_share_of_all_and_the_dead_are_drawn_again():
    counts, _ = shares_lost(ALL)
    assert counts[1] == 270
    assert counts == sorted(counts, reverse=True) and counts[-1] > 300 - 6 * 30
    drawn = [int(pruning.total(WIDE, pruning.lose(jax.random.key(i), WIDE, ALL, 0.1))) for i in range(5)]
    assert drawn == [270] * 5


@pytest.mark.slow
def test_whole_clusters_die_in_every_layer_by_its_own_rounded_share():
    once = pruning.lose(jax.random.key(0), WIDE, ALL, 0.1, whole_clusters=True)
    census = pruning.census(WIDE, once)
    assert census.clusters.tolist() == [18, 5] and census.synapses.tolist() == [180, 100]
    assert once["a"]["bias"].all()
    twice = pruning.lose(jax.random.key(1), WIDE, once, 0.1, whole_clusters=True, among="living")
    assert pruning.census(WIDE, twice).clusters.tolist() == [16, 5]


def test_whole_clusters_of_one_layer_that_is_drawn():
    lost = []
    for seed in range(40):
        once = pruning.lose(jax.random.key(seed), WIDE, ALL, 0.2, whole_clusters=True, layers="one")
        lost.append(tuple((np.array([20, 5]) - np.asarray(pruning.census(WIDE, once).clusters)).tolist()))
    assert set(lost) == {(4, 0), (0, 1)}
    assert 10 <= lost.count((4, 0)) <= 30


@pytest.mark.slow
def test_the_programs_rule_for_whole_clusters_leaves_as_many_synapses_as_the_thesis_has():
    """51 steps without selection: the thesis has 855 915 synapses; if every layer loses clusters, far fewer remain."""
    shapes = jax.eval_shape(models.MnistNet().init, jax.random.key(0), jnp.zeros((1, 28, 28, 1)))
    synapses, masks = pruning.find(shapes), pruning.full_masks(shapes)

    def left(layers, key):
        rule = {"whole_clusters": True, "layers": layers}
        lose = lambda number, m: pruning.lose(jax.random.fold_in(key, number), synapses, m, 0.025, **rule)
        return pruning.total(synapses, jax.lax.fori_loop(0, 51, lose, masks))

    mean = {
        layers: np.mean([int(jax.jit(functools.partial(left, layers))(jax.random.key(seed))) for seed in range(8)])
        for layers in ("every", "one")
    }
    assert 300_000 < mean["every"] < 420_000
    assert 830_000 < mean["one"] < 950_000


def test_a_single_layer_is_drawn_with_whole_clusters_only(unchecked):
    for layers, complaint in (("one", "whole_clusters=True"), ("two", "'every'")):
        with pytest.raises(ValueError, match=complaint):
            pruning.lose(jax.random.key(0), WIDE, ALL, 0.1, layers=layers)


@pytest.mark.slow
def test_a_share_of_nothing_and_of_everything():
    assert int(pruning.total(WIDE, pruning.lose(jax.random.key(0), WIDE, ALL, 0.0))) == 300
    assert int(pruning.total(WIDE, pruning.lose(jax.random.key(0), WIDE, ALL, 1.0))) == 0
    with pytest.raises(ValueError, match="share: got 2"):
        pruning.lose(jax.random.key(0), WIDE, ALL, 2.0)
    with pytest.raises(ValueError, match="among: got 'dead'"):
        pruning.lose(jax.random.key(0), WIDE, ALL, 0.1, among="dead")
