import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evojax_align.matching import Matching, SemiMatching, greedy_index, one_to_one, semi


def first_free(scores, dead_x, dead_y):
    """As the authors' code: neurons of y in index order take the best free x; then the left over; then the dead."""
    size = len(scores)
    taken, pairs = set(np.flatnonzero(dead_x)), []
    for j in range(size):
        free = [i for i in range(size) if i not in taken]
        if free and not dead_y[j]:
            pairs.append((max(free, key=lambda i: scores[i, j]), j))
            taken.add(pairs[-1][0])
    both = min(dead_x.sum(), dead_y.sum())
    sides = []
    for formed, dead in zip(zip(*pairs, strict=True) if pairs else ((), ()), (dead_x, dead_y), strict=True):
        last = list(np.flatnonzero(dead)[:both])
        sides.append([*formed, *(i for i in range(size) if i not in formed and i not in last), *last])
    return sides


def draw(seed, p=7, q=7):
    return np.random.default_rng(seed).uniform(-1, 1, (p, q)).astype(np.float32)


@pytest.mark.parametrize("share_dead", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("tied", [False, True])
def test_greedy_is_the_authors_loop_written_out(share_dead, tied):
    for seed in range(20):
        scores = np.round(draw(seed)) if tied else draw(seed)
        dead_x, dead_y = np.random.default_rng(seed).random((2, 7)) < share_dead
        m = greedy_index(jnp.asarray(scores), dead_x=jnp.asarray(dead_x), dead_y=jnp.asarray(dead_y))
        assert [m.x.tolist(), m.y.tolist()] == first_free(scores, dead_x, dead_y)
        assert isinstance(m, Matching) and m.valid


def test_greedy_never_beats_the_exact_matching():
    for seed in range(10):
        scores = jnp.asarray(draw(seed))
        greedy, exact = greedy_index(scores), one_to_one(scores)
        assert scores[greedy.x, greedy.y].sum() <= scores[exact.x, exact.y].sum() + 1e-6


def test_greedy_pairs_nan_last():
    scores = jnp.array([[jnp.nan, 0.5], [-0.9, 0.2]])
    assert greedy_index(scores).x.tolist() == [1, 0]


def test_every_neuron_of_x_takes_its_best_of_y_which_may_repeat():
    scores = jnp.array([[0.1, 0.9, 0.2, 0.0], [0.3, 0.8, 0.8, 0.1], [-0.9, -0.2, -0.4, -0.3]])
    m = semi(scores)
    assert isinstance(m, SemiMatching) and m.x.tolist() == [0, 1, 2] and m.y.tolist() == [1, 1, 1]


def test_in_the_other_direction_every_neuron_of_y_takes_its_best_of_x():
    scores = jnp.array([[0.1, 0.9, 0.2, 0.0], [0.3, 0.8, 0.8, 0.1], [-0.9, -0.2, -0.4, -0.3]])
    m = semi(scores, direction="y")
    assert m.y.tolist() == [0, 1, 2, 3] and m.x.tolist() == [1, 0, 1, 1]
    for seed in range(5):
        scores = jnp.asarray(draw(seed, 5, 8))
        here, there = semi(scores, direction="y"), semi(scores.T)
        assert here.x.tolist() == there.y.tolist() and here.y.tolist() == there.x.tolist()


def test_a_neuron_does_not_match_its_negative():
    assert semi(jnp.array([[-1.0, 0.1], [0.1, -1.0]])).y.tolist() == [1, 0]


def test_semi_ties_go_to_the_lower_index_and_nan_is_never_best():
    assert semi(jnp.array([[0.5, 0.5], [jnp.nan, -jnp.inf], [jnp.nan, 0.0]])).y.tolist() == [0, 1, 1]
    with pytest.raises(ValueError, match="scores: got NaN as the score of partners"):
        semi(jnp.array([[0.5, 0.5], [jnp.nan, jnp.nan]]))
    assert semi(jnp.array([[0.5, jnp.inf], [0.5, 0.5]])).y.tolist() == [0, 0]


def test_dead_takes_dead_and_the_living_are_as_before():
    scores = draw(0, 4, 5)
    scores[2], scores[:, 3] = 0.0, 0.0
    scores, dead_x, dead_y = (jnp.asarray(v) for v in (scores, np.arange(4) == 2, np.arange(5) == 3))
    plain, told = semi(scores), semi(scores, dead_x=dead_x, dead_y=dead_y)
    assert told.y.tolist() == [*plain.y[:2].tolist(), 3, *plain.y[3:].tolist()] and plain.y[2] == 0
    other = semi(scores, dead_x=dead_x, dead_y=dead_y, direction="y")
    assert other.x[3] == 2 and other.y.tolist() == [0, 1, 2, 3, 4]
    none_there = semi(scores, dead_x=dead_x, dead_y=jnp.zeros(5, bool))
    assert none_there.y.tolist() == plain.y.tolist() == semi(scores, dead_x=dead_x).y.tolist()


def test_they_run_under_jit_and_vmap_and_in_bfloat16():
    scores = jnp.stack([jnp.asarray(draw(seed)) for seed in range(3)])

    @jax.jit
    @jax.vmap
    def lifted(scores):
        greedy = greedy_index(scores)
        return greedy.x, greedy.y, semi(scores).y, semi(scores, direction="y").x

    none = np.zeros(7, bool)
    for of_type in (scores, scores.astype(jnp.bfloat16)):
        for one, *found in zip(*map(np.asarray, (of_type, *lifted(of_type))), strict=True):
            expected = *first_free(one, none, none), one.argmax(axis=1).tolist(), one.argmax(axis=0).tolist()
            assert [v.tolist() for v in found] == list(expected)


def test_a_second_matching_of_the_same_size_compiles_nothing(caplog):
    scores = jnp.asarray(draw(0))
    greedy_index(scores), semi(scores)
    with jax.log_compiles():
        greedy_index(2 * scores), semi(2 * scores)
    assert "_greedy" not in caplog.text and "_best" not in caplog.text


def test_bad_scores_and_settings_are_refused():
    with pytest.raises((ValueError, TypeError), match=r"scores: got shape \(0, 2\)|annotation"):
        semi(jnp.ones((0, 2)))
    with pytest.raises((ValueError, TypeError), match=r"expected \[p, p\]|annotation"):
        greedy_index(jnp.ones((2, 3)))
    with pytest.raises(ValueError, match=r"direction: got 'a'; expected one of 'x', 'y'"):
        semi(jnp.ones((2, 3)), direction="a")
    with pytest.raises((ValueError, TypeError), match=r"dead_y: got shape \(2,\); expected \(3,\)|annotation"):
        semi(jnp.ones((2, 3)), dead_y=jnp.zeros(2, bool))
