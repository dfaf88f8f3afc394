import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from evojax_align.matching import Matching, assignment, one_to_one

ENGINES = ["host", "compiled"]


def best_total(scores):
    """The largest total, by trying every permutation."""
    size = len(scores)
    return max(sum(scores[i, order[i]] for i in range(size)) for order in itertools.permutations(range(size)))


def total(m, scores):
    return np.asarray(scores, np.float64)[np.asarray(m.x), np.asarray(m.y)].sum()


def is_bijection(m):
    size = m.x.size
    return m.x.tolist() == list(range(size)) and sorted(m.y.tolist()) == list(range(size)) and bool(m.valid)


def draw(kind, size, seed=0):
    rng = np.random.default_rng(seed)
    scores = rng.uniform(-1, 1, (size, size))
    if kind == "ties":
        scores = np.round(scores)
    if kind == "equal":
        scores[:] = 0.3
    if kind == "negative":
        scores -= 5
    if kind == "large":
        scores *= 1e4
    if kind == "permuted copy":
        scores = np.eye(size)[rng.permutation(size)] + 0.5 * scores
    return scores.astype(np.float32)


KINDS = ["plain", "ties", "equal", "negative", "large", "permuted copy"]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("kind", KINDS)
def test_no_permutation_has_a_larger_total(kind, engine):
    for size in (1, 3, 6):
        for seed in range(3):
            scores = draw(kind, size, seed)
            m = one_to_one(jnp.asarray(scores), engine=engine)
            assert isinstance(m, Matching) and is_bijection(m)
            np.testing.assert_allclose(total(m, scores), best_total(scores), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("kind", KINDS)
def test_it_reaches_scipys_optimum(kind, engine):
    scores = draw(kind, 40)
    m = one_to_one(jnp.asarray(scores), engine=engine)
    assert is_bijection(m)
    rows, columns = linear_sum_assignment(scores, maximize=True)
    np.testing.assert_allclose(total(m, scores), scores[rows, columns].astype(np.float64).sum(), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("engine", [*ENGINES, "auto"])
def test_a_planted_permutation_is_found(engine):
    order = np.random.default_rng(1).permutation(40)
    assert one_to_one(jnp.eye(40)[order], engine=engine).y.tolist() == order.tolist()


@pytest.mark.parametrize("engine", ENGINES)
def test_ties_are_broken_alike_each_time(engine):
    scores = jnp.asarray(draw("ties", 12))
    first = one_to_one(scores, engine=engine)
    assert all(one_to_one(scores, engine=engine).y.tolist() == first.y.tolist() for _ in range(3))


@pytest.mark.parametrize("engine", ENGINES)
def test_nan_is_taken_only_where_it_must_be_and_then_told(engine):
    nan, traced = np.nan, jax.jit(partial(one_to_one, engine=engine))
    found = one_to_one(jnp.array([[nan, -1.0], [-1.0, 1.0]]), engine=engine)
    assert found.y.tolist() == [1, 0] and found.valid
    unknown = jnp.array([[nan, nan], [1.0, 2.0]])
    assert traced(unknown).y.tolist() == [0, 1] and not traced(unknown).valid
    with pytest.raises(ValueError, match="scores: got NaN as the score of partners"):
        one_to_one(unknown, engine=engine)
    dead = jnp.array([True, False])
    assert one_to_one(unknown, dead_x=dead, dead_y=dead, engine=engine).valid
    assert sorted(traced(jnp.full((6, 6), nan)).y.tolist()) == list(range(6))
    rng = np.random.default_rng(0)
    for _ in range(5):
        scores = rng.uniform(-1, 1, (6, 6)).astype(np.float32)
        scores[rng.random((6, 6)) < 0.3] = nan
        m = traced(jnp.asarray(scores))
        chosen = np.isnan(scores[np.asarray(m.x), np.asarray(m.y)])
        fewest = min(sum(np.isnan(scores[i, order[i]]) for i in range(6)) for order in itertools.permutations(range(6)))
        assert chosen.sum() == fewest or fewest > 0
        assert bool(m.valid) == (not chosen.any())


@pytest.mark.parametrize("engine", ENGINES)
def test_infinities_count_as_the_extreme_scores(engine):
    scores = np.array([[np.inf, 0.9], [0.85, 0.1]], np.float32)
    assert one_to_one(jnp.asarray(scores), engine=engine).y.tolist() == [1, 0]
    scores = draw("plain", 6)
    scores[0, 1], scores[2, 2] = np.inf, -np.inf
    clipped = np.clip(scores, scores[np.isfinite(scores)].min(), scores[np.isfinite(scores)].max())
    m = one_to_one(jnp.asarray(scores), engine=engine)
    np.testing.assert_allclose(total(m, clipped), best_total(clipped), atol=1e-5)
    assert is_bijection(one_to_one(jnp.full((3, 3), np.inf), engine=engine))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("offset", [0.0, -3.0])
def test_dead_pair_with_dead_by_index_and_the_living_as_if_these_were_not_there(engine, offset):
    rng = np.random.default_rng(0)
    for kind in ("plain", "plain", "ties", "equal", "equal", "equal"):
        scores = draw(kind, 8, rng.integers(100)) + np.float32(offset)
        dead_x, dead_y = rng.random((2, 8)) < 0.4
        m = one_to_one(jnp.asarray(scores), dead_x=jnp.asarray(dead_x), dead_y=jnp.asarray(dead_y), engine=engine)
        assert is_bijection(m)
        both = min(dead_x.sum(), dead_y.sum())
        settled_x, settled_y = np.flatnonzero(dead_x)[:both], np.flatnonzero(dead_y)[:both]
        assert m.y[settled_x].tolist() == settled_y.tolist()
        rest_x, rest_y = np.setdiff1d(range(8), settled_x), np.setdiff1d(range(8), settled_y)
        found = scores[rest_x, m.y[rest_x]].sum()
        np.testing.assert_allclose(found, best_total(scores[np.ix_(rest_x, rest_y)]), atol=1e-4)


def test_dead_neurons_on_one_side_only_change_nothing():
    scores = jnp.asarray(draw("plain", 6))
    dead = jnp.array([True, False, True, False, False, False])
    for masks in ((dead, None), (None, dead), (dead, jnp.zeros(6, bool))):
        assert one_to_one(scores, *masks).y.tolist() == one_to_one(scores).y.tolist()
    assert one_to_one(scores, jnp.ones(6, bool), jnp.ones(6, bool)).y.tolist() == list(range(6))


@pytest.mark.parametrize(("engine", "size"), [("host", 6), ("auto", 6), ("auto", 20)])
def test_it_runs_under_jit_and_vmap(engine, size):
    scores = jnp.asarray(np.stack([draw("plain", size, seed) for seed in range(5)]))
    dead = jnp.asarray(np.arange(size) < np.arange(5)[:, None] // 2)

    def one(scores, dead):
        m = one_to_one(scores, dead_x=dead, dead_y=dead[::-1], engine=engine)
        return m.x, m.y, m.valid

    expected = [
        one_to_one(s, dead_x=d, dead_y=d[::-1], engine="host").y.tolist() for s, d in zip(scores, dead, strict=True)
    ]
    x, y, valid = jax.jit(jax.vmap(one))(scores, dead)
    assert y.tolist() == expected and valid.all() and (np.asarray(x) == np.arange(size)).all()
    if engine == "host":
        nested = jax.jit(jax.vmap(jax.vmap(one)))
        assert nested(scores[None], dead[None])[1][0].tolist() == expected


def test_a_batch_is_matched_member_by_member():
    scores = jnp.asarray(np.stack([draw("plain", 8, seed) for seed in range(4)]))
    dead_x, dead_y = jnp.asarray(np.random.default_rng(0).random((2, 4, 8)) < 0.3)
    for masks in ({}, {"dead_x": dead_x, "dead_y": dead_y}):
        m = one_to_one(scores, **masks)
        assert m.x.shape == m.y.shape == (4, 8) and m.valid.shape == (4,) and m.valid.all()
        for number in range(4):
            alone = one_to_one(scores[number], **{name: mask[number] for name, mask in masks.items()})
            assert m.y[number].tolist() == alone.y.tolist()
    assert one_to_one(scores[:1]).y.tolist() == [one_to_one(scores[0]).y.tolist()]


def test_many_calls_to_the_host_from_running_programs_end():
    scores = jnp.asarray(np.stack([draw("plain", 64, seed) for seed in range(8)]))
    program = jax.jit(lambda s: jax.lax.map(lambda one: one_to_one(one, engine="host").y, s))
    found = [program(scores + i) for i in range(10)]
    assert all(one.tolist() == found[0].tolist() for one in found)


def test_bfloat16_and_float64_scores(x64):
    scores = draw("plain", 6)
    low = jnp.asarray(scores, jnp.bfloat16)
    for engine in ENGINES:
        np.testing.assert_allclose(total(one_to_one(low, engine=engine), low), best_total(np.asarray(low, float)))
        fine = jnp.asarray(1.0 + 1e-12 * scores.astype(np.float64))
        assert one_to_one(fine, engine="host").y.tolist() == one_to_one(jnp.asarray(scores), engine="host").y.tolist()
    assert one_to_one(low).y.dtype == jnp.int32


@pytest.mark.parametrize(("engine", "size"), [("host", 6), ("compiled", 6), ("auto", 20)])
def test_gradients_pass_through_what_was_matched_and_not_through_the_choice(engine, size):
    scores = jnp.asarray(draw("plain", size))

    def total(scores):
        m = one_to_one(scores, engine=engine)
        return jnp.sum(scores[m.x, m.y])

    chosen = np.asarray(jax.jit(jax.grad(total))(scores))
    assert set(np.unique(chosen)) == {0.0, 1.0}
    assert chosen.argmax(axis=1).tolist() == one_to_one(scores).y.tolist()


def test_a_second_matching_of_the_same_size_compiles_nothing(caplog):
    scores = jnp.asarray(draw("plain", 11))
    one_to_one(scores)
    with jax.log_compiles():
        one_to_one(2 * scores)
    assert "prepare" not in caplog.text and "_are_permutations" not in caplog.text


@pytest.mark.parametrize("shape", [(2, 3), (3, 2), (0, 0), (3,)])
def test_scores_that_are_not_square_are_refused(shape):
    with pytest.raises((ValueError, TypeError), match=r"scores: got shape .*expected \[p, p\]|annotation"):
        one_to_one(jnp.ones(shape))
    if len(shape) == 2:
        with pytest.raises((ValueError, TypeError), match=r"scores: got shape .*expected \[p, p\]|annotation"):
            one_to_one(jnp.ones((2, *shape)))


def test_an_unknown_engine_is_refused_with_the_nearest_name():
    with pytest.raises(ValueError, match=r"engine: got 'hosts'.*Did you mean 'host'"):
        one_to_one(jnp.eye(3), engine="hosts")


def test_a_mask_of_another_length_is_refused():
    wrong = jnp.zeros(4, bool)
    with pytest.raises((ValueError, TypeError), match=r"dead_x: got shape \(4,\); expected \(3,\)|annotation"):
        one_to_one(jnp.eye(3), wrong)
    with pytest.raises((ValueError, TypeError), match=r"dead_y: got shape \(4,\); expected \(3,\)|annotation"):
        one_to_one(jnp.eye(3), None, wrong)
    with pytest.raises((ValueError, TypeError), match=r"dead_y: got shape|annotation"):
        one_to_one(jnp.eye(3)[None], dead_y=jnp.zeros((2, 3), bool))


def large(kind):
    random = np.random.default_rng(5)
    draw = lambda *shape: random.normal(size=shape).astype(np.float32)
    count = assignment.LARGE
    return {
        "products": draw(count, 40) @ draw(40, count),
        "equal": np.zeros((count, count), np.float32),
        "whole numbers": random.integers(0, 3, (count, count)).astype(np.float32),
        "an outlier": np.where(np.eye(count)[3], 1e30, draw(count, count)).astype(np.float32),
    }[kind]


@pytest.mark.parametrize("kind", ["products", "equal", "whole numbers", "an outlier"])
def test_prices_change_no_total_of_large_matchings(kind):
    scores = large(kind)
    found = one_to_one(jnp.asarray(scores))
    rows, columns = linear_sum_assignment(scores.astype(np.float64), maximize=True)
    best, ours = (scores.astype(np.float64)[rows, order].sum() for order in (columns, np.asarray(found.y)))
    np.testing.assert_allclose(ours, best, rtol=1e-12)
    assert sorted(found.y.tolist()) == list(range(len(scores)))


def test_an_auction_settles_most_rows_and_gives_up_where_scores_are_equal():
    scores = large("products")
    priced = scores - assignment._prices(scores)
    alone = lambda of: len(set(of.argmax(axis=1).tolist())) / len(of)
    assert alone(priced) > alone(scores) + 0.1
    assert not assignment._prices(large("equal")).any()
