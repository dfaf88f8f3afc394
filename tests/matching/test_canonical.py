import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evojax_align.matching import Matching, SemiMatching, canonical, one_to_one
from evojax_align.similarity import cca, correlation


def in_order(size, pairs, dead, *, first):
    """Both sides' lists of neurons: formed pairs, the left over by index (first or last), dead with dead at the end."""
    both = min(dead[0].sum(), dead[1].sum())
    sides = []
    for formed, of_side in zip(zip(*pairs, strict=True) if pairs else ((), ()), dead, strict=True):
        last = list(np.flatnonzero(of_side)[:both])
        rest = [i for i in range(size) if i not in formed and i not in last]
        sides.append([*(rest if first else ()), *formed, *(() if first else rest), *last])
    return sides


def algorithm_1(w_a, w_b, dead):
    """The paper's Algorithm 1, line by line, over the neurons that no earlier pair holds."""
    size, pairs = len(w_a), []
    free_a, free_b = (set(np.flatnonzero(~of_side)) for of_side in dead)
    for k in range(w_a.shape[1]):
        a, b = w_a[:, k], w_b[:, k]
        if not (free_a and free_b and a.any() and b.any()):
            continue
        by_index = lambda free: sorted(free)
        high_a, high_b = max(by_index(free_a), key=lambda i: a[i]), max(by_index(free_b), key=lambda j: b[j])
        low_a, low_b = min(by_index(free_a), key=lambda i: a[i]), min(by_index(free_b), key=lambda j: b[j])
        s_minus, s_plus = abs(a[low_a] + b[low_b]), abs(a[high_a] + b[high_b])
        pairs.append((high_a, high_b) if s_plus > s_minus else (low_a, low_b))
        free_a.remove(pairs[-1][0])
        free_b.remove(pairs[-1][1])
    return in_order(size, pairs, dead, first=False)


def authors_code(w_a, w_b, dead):
    """As the authors' program: sorted weights, equal positions, the strongest pair of which neither is used."""
    size, pairs = len(w_a), []
    used_a, used_b = (set(np.flatnonzero(of_side)) for of_side in dead)
    for k in range(w_a.shape[1]):
        a, b = w_a[:, k], w_b[:, k]
        if not (a.any() and b.any()):
            continue
        candidates = zip(sorted(range(size), key=lambda i: a[i]), sorted(range(size), key=lambda j: b[j]), strict=True)
        for i, j in sorted(candidates, key=lambda pair: -(abs(a[pair[0]]) + abs(b[pair[1]]))):
            if i not in used_a and j not in used_b:
                pairs.append((i, j))
                used_a.add(i)
                used_b.add(j)
                break
    return in_order(size, pairs, dead, first=True)


ORACLES = {"text": algorithm_1, "code": authors_code}


def weights(kind, rng, size, count):
    x, y = rng.normal(size=(2, size, count)).astype(np.float32)
    if kind == "tied":
        x, y = np.round(x), np.round(y)
    if kind == "duplicates":
        x[size // 2 :], y[: size // 2] = x[: size - size // 2], y[size - size // 2 :]
    if kind == "one sign":
        x, y = np.abs(x), -np.abs(y)
    if kind == "empty directions":
        x[:, count // 2 :] = 0
    dead = [rng.random(size) < (0.3 if kind == "dead" else 0) for _ in "xy"]
    x[dead[0]], y[dead[1]] = 0, 0
    return x, y, dead


@pytest.mark.parametrize("mode", ["text", "code"])
@pytest.mark.parametrize("kind", ["plain", "tied", "duplicates", "one sign", "empty directions", "dead"])
def test_it_is_the_papers_procedure_written_out(kind, mode):
    rng = np.random.default_rng(0)
    for size, count in [(1, 1), (7, 7), (7, 3)]:
        for _ in range(12):
            x, y, dead = weights(kind, rng, size, count)
            dead_x, dead_y = map(jnp.asarray, dead)
            m = canonical(jnp.asarray(x), jnp.asarray(y), dead_x=dead_x, dead_y=dead_y, mode=mode)
            expected_x, expected_y = ORACLES[mode](x, y, dead)
            assert (m.x.tolist(), m.y.tolist()) == (expected_x, expected_y)
            assert sorted(m.x.tolist()) == sorted(m.y.tolist()) == list(range(size)) and m.valid


@pytest.mark.parametrize("mode", ["text", "code"])
def test_neurons_without_weight_are_dead_unless_told_otherwise(mode):
    x, y, dead = weights("dead", np.random.default_rng(2), 7, 7)
    assert dead[0].any() and dead[1].any()
    told = canonical(
        jnp.asarray(x), jnp.asarray(y), dead_x=jnp.asarray(dead[0]), dead_y=jnp.asarray(dead[1]), mode=mode
    )
    found = canonical(jnp.asarray(x), jnp.asarray(y), mode=mode)
    assert found.x.tolist() == told.x.tolist() and found.y.tolist() == told.y.tolist()


def test_without_earlier_pairs_a_direction_takes_the_strongest_pair_of_equal_sign():
    rng = np.random.default_rng(0)
    for _ in range(20):
        x, y = rng.normal(size=(2, 6, 1)).astype(np.float32)
        m = canonical(jnp.asarray(x), jnp.asarray(y))
        strength = np.where(x * y.T > 0, np.abs(x + y.T), -1)
        if strength.max() > 0 and min(x.max(), -x.min(), y.max(), -y.min()) > 0:
            assert (m.x[0], m.y[0]) == np.unravel_index(strength.argmax(), strength.shape)


def test_left_over_neurons_come_last_in_text_and_first_in_code():
    x, y = (jnp.asarray(np.eye(7, dtype=np.float32)[:, chosen]) for chosen in ([3, 1, 6], [0, 4, 2]))
    alive = jnp.zeros(7, bool)
    text = canonical(x, y, dead_x=alive, dead_y=alive)
    assert text.x.tolist() == [3, 1, 6, 0, 2, 4, 5] and text.y.tolist() == [0, 4, 2, 1, 3, 5, 6]
    code = canonical(x, y, dead_x=alive, dead_y=alive, mode="code")
    assert code.x.tolist() == [0, 2, 4, 5, 3, 1, 6] and code.y.tolist() == [1, 3, 5, 6, 0, 4, 2]


def test_dead_pair_with_dead_and_what_is_too_many_with_the_left_over():
    x, y = np.ones((2, 7, 7), np.float32)
    x[[0, 2, 3]], y[5] = 0.0, 0.0
    for mode in ("text", "code"):
        m = canonical(jnp.asarray(x), jnp.asarray(y), mode=mode)
        assert (m.x[-1], m.y[-1]) == (0, 5)


def toy():
    """The paper's Figure 1: both networks learned the features A, B and C, at the places A B C and C A B."""
    features = np.maximum(np.random.default_rng(0).normal(size=(200, 3)), 0).astype(np.float32)
    return jnp.asarray(features), jnp.asarray(features[:, [2, 0, 1]])


@pytest.mark.parametrize("mode", ["text", "code"])
def test_figure_1_pairs_1_with_2_and_3_with_1_and_2_with_3(mode):
    x, y = toy()
    result = cca(x, y)
    for m in (canonical(result.weights_x, result.weights_y, mode=mode), one_to_one(correlation(x, y))):
        pairs = {(i + 1, j + 1) for i, j in zip(m.x.tolist(), m.y.tolist(), strict=True)}
        assert pairs == {(1, 2), (3, 1), (2, 3)}
        np.testing.assert_array_equal(np.asarray(x)[:, m.x], np.asarray(y)[:, m.y])


@pytest.mark.parametrize("mode", ["text", pytest.param("code", marks=pytest.mark.slow)])
def test_it_runs_under_jit_and_vmap_and_in_bfloat16(mode):
    rng = np.random.default_rng(0)
    x, y = (jnp.asarray(w) for w in rng.normal(size=(2, 3, 6, 4)).astype(np.float32))

    @jax.jit
    @jax.vmap
    def lifted(x, y):
        m = canonical(x, y, mode=mode)
        return m.x, m.y, m.valid

    for low in (False, True):
        if low:
            x, y = x.astype(jnp.bfloat16), y.astype(jnp.bfloat16)
        for of_x, of_y, valid, one_x, one_y in zip(*map(np.asarray, (*lifted(x, y), x, y)), strict=True):
            expected = ORACLES[mode](one_x, one_y, [np.zeros(6, bool)] * 2)
            assert valid and [of_x.tolist(), of_y.tolist()] == expected


def test_infinite_weights_count_as_zero_and_nan_is_refused():
    y = jnp.asarray(np.random.default_rng(0).normal(size=(7, 7)).astype(np.float32))
    x = np.array(y)
    x[0, 0] = 0.0
    clean = canonical(jnp.asarray(x), y)
    for x[0, 0] in (np.inf, -np.inf):
        m = canonical(jnp.asarray(x), y)
        assert m.x.tolist() == clean.x.tolist() and m.y.tolist() == clean.y.tolist()
    x[0, 0] = np.nan
    with pytest.raises(ValueError, match="weights_x, weights_y: got NaN as the score of partners"):
        canonical(jnp.asarray(x), y)
    assert not jax.jit(canonical)(jnp.asarray(x), y).valid


def test_a_second_pair_of_the_same_shape_compiles_nothing(caplog):
    x, y = (jnp.asarray(w) for w in np.random.default_rng(0).normal(size=(2, 7, 7)).astype(np.float32))
    canonical(x, y)
    with jax.log_compiles():
        canonical(y, x)
    assert "canonical" not in caplog.text


def test_bad_weights_are_refused():
    x = jnp.ones((4, 3))
    with pytest.raises((ValueError, TypeError), match=r"shapes \(4, 3\) and \(4, 2\)|annotation"):
        canonical(x, x[:, :2])
    with pytest.raises(ValueError, match="weights_x, weights_y"):
        canonical(x[:, :0], x[:, :0])
    with pytest.raises(ValueError, match=r"mode: got 'txt'.*Did you mean 'text'"):
        canonical(x, x, mode="txt")
    with pytest.raises((ValueError, TypeError), match=r"dead_y: got shape \(3,\); expected \(4,\)|annotation"):
        canonical(x, x, dead_y=jnp.zeros(3, bool))


def test_a_bijection_and_a_many_to_one_match_are_different_types():
    assert not issubclass(SemiMatching, Matching) and not issubclass(Matching, SemiMatching)
    assert isinstance(canonical(jnp.eye(3), jnp.eye(3)), Matching)
    assert not hasattr(SemiMatching(x=jnp.arange(2), y=jnp.zeros(2, int)), "valid")
