import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evojax_align.matching import Injection, injective, one_to_one

SHAPES = [(1, 1), (1, 4), (4, 1), (3, 5), (5, 3), (4, 4), (2, 6), (6, 2)]


def draw(kind, shape, seed=0):
    scores = np.random.default_rng(seed).uniform(-1, 1, shape)
    if kind == "ties":
        scores = np.round(scores)
    if kind == "equal":
        scores[:] = 0.3
    if kind == "negative":
        scores -= 5
    return scores.astype(np.float32)


def best_total(scores):
    """The largest total, by trying every way to give each of the narrower side a partner of its own."""
    scores = scores if scores.shape[0] <= scores.shape[1] else scores.T
    p, q = scores.shape
    return max(sum(scores[i, order[i]] for i in range(p)) for order in itertools.permutations(range(q), p))


def partners(m, shape):
    """Both sides of a matching, of which each neuron of the narrower appears in order, and no other twice."""
    assert isinstance(m, Injection)
    x, y = np.asarray(m.x), np.asarray(m.y)
    narrow, wide = (x, y) if shape[0] <= shape[1] else (y, x)
    assert narrow.tolist() == list(range(min(shape))) and len(set(wide.tolist())) == min(shape)
    assert wide.min() >= 0 and wide.max() < max(shape)
    return x, y


@pytest.mark.parametrize("kind", ["plain", "ties", "equal", "negative"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_no_other_choice_of_partners_has_a_larger_total(shape, kind):
    for seed in range(3):
        scores = draw(kind, shape, seed)
        chosen = scores[partners(injective(jnp.asarray(scores)), shape)]
        np.testing.assert_allclose(chosen.sum(), best_total(scores), atol=1e-5)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_dead_pair_with_dead_by_index_and_the_rest_as_if_these_were_not_there(shape):
    rng = np.random.default_rng(0)
    for kind in ("plain", "ties", "equal", "negative", "plain", "negative"):
        scores = draw(kind, shape, rng.integers(100))
        dead_x, dead_y = (rng.random(size) < 0.5 for size in shape)
        x, y = partners(injective(jnp.asarray(scores), dead_x=jnp.asarray(dead_x), dead_y=jnp.asarray(dead_y)), shape)
        both = min(dead_x.sum(), dead_y.sum())
        settled_x, settled_y = np.flatnonzero(dead_x)[:both], np.flatnonzero(dead_y)[:both]
        partner = dict(zip(x.tolist(), y.tolist(), strict=True))
        assert [partner.get(i) for i in settled_x.tolist()] == settled_y.tolist()
        rest = scores[np.ix_(np.setdiff1d(range(shape[0]), settled_x), np.setdiff1d(range(shape[1]), settled_y))]
        live = ~np.isin(x, settled_x)
        np.testing.assert_allclose(scores[x[live], y[live]].sum(), best_total(rest) if rest.size else 0, atol=1e-5)


def test_a_dead_neuron_leaves_a_live_one_its_partner():
    scores = jnp.array([[0.0, 0.0, 0.0], [-0.2, 0.9, 0.0]])
    dead_x, dead_y = jnp.array([True, False]), jnp.array([False, False, True])
    assert injective(scores, dead_x=dead_x, dead_y=dead_y).y.tolist() == [2, 1]
    assert injective(scores.T, dead_x=dead_y, dead_y=dead_x).x.tolist() == [2, 1]


def test_sides_of_equal_width_are_matched_one_to_one():
    scores = jnp.asarray(draw("plain", (7, 7)))
    dead = jnp.arange(7) < 2
    for masks in ({}, {"dead_x": dead, "dead_y": dead[::-1]}):
        assert injective(scores, **masks).y.tolist() == one_to_one(scores, **masks).y.tolist()


def test_nan_is_taken_only_where_it_must_be():
    nan = jnp.nan
    assert injective(jnp.array([[nan, nan, -1.0], [1.0, nan, -1.0]])).y.tolist() == [2, 0]
    with pytest.raises(ValueError, match="scores: got NaN as the score of partners"):
        injective(jnp.full((2, 3), nan))
    partners(jax.jit(injective)(jnp.full((2, 3), nan)), (2, 3))


@pytest.mark.parametrize("shape", [(3, 5), (5, 3)], ids=str)
def test_it_runs_under_jit_and_vmap_and_in_bfloat16(shape):
    scores = jnp.asarray(np.stack([draw("plain", shape, seed) for seed in range(3)]))
    dead_x, dead_y = (jnp.arange(size) == 1 for size in shape)
    one = lambda scores: injective(scores, dead_x=dead_x, dead_y=dead_y)
    expected = [one(member) for member in scores]
    for found in (jax.jit(jax.vmap(one))(scores), jax.lax.map(one, scores)):
        assert found.x.tolist() == [m.x.tolist() for m in expected]
        assert found.y.tolist() == [m.y.tolist() for m in expected]
    low = scores[0].astype(jnp.bfloat16)
    chosen = np.asarray(low, np.float32)[partners(injective(low), shape)]
    np.testing.assert_allclose(chosen.sum(), best_total(np.asarray(low, np.float32)), atol=1e-5)


def test_scores_without_neurons_and_masks_of_another_length_are_refused(unchecked):
    for shape in ((0, 3), (3, 0), (3,)):
        with pytest.raises(ValueError, match=r"scores: got shape .*expected \[p, q\], neither 0"):
            injective(jnp.ones(shape))
    with pytest.raises(ValueError, match=r"dead_x: got shape \(3,\); expected \(2,\)"):
        injective(jnp.ones((2, 3)), dead_x=jnp.zeros(3, bool))
    with pytest.raises(ValueError, match=r"dead_y: got shape \(2,\); expected \(3,\)"):
        injective(jnp.ones((2, 3)), dead_y=jnp.zeros(2, bool))
