"""Points on the arc between two parents."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evojax_align import crossover, population


def slerp(a, b, t):
    """The formula on vectors, in 64 bits; t is a number, or one for each entry."""
    a, b, t = (np.asarray(value, np.float64) for value in (a, b, t))
    omega = np.arccos(np.clip(a @ b / np.linalg.norm(a) / np.linalg.norm(b), -1, 1))
    return np.sin((1 - t) * omega) / np.sin(omega) * a + np.sin(t * omega) / np.sin(omega) * b


def parents(seed=0, size=12):
    return np.random.default_rng(seed).normal(size=(2, size)).astype(np.float32)


def test_a_third_of_a_right_angle_is_thirty_degrees():
    child = crossover.spherical(jnp.array([2.0, 0.0]), jnp.array([0.0, 2.0]), 1 / 3)
    np.testing.assert_allclose(child, [np.sqrt(3), 1.0], rtol=1e-6)


@pytest.mark.parametrize("t", [-0.25, 0.0, 0.1, 0.5, 0.9, 1.0, 1.25, 2])
def test_the_angle_is_that_of_all_parameters_together(t):
    a, b = parents()
    trees = [{"w": jnp.asarray(v[:8].reshape(2, 4)), "c": jnp.asarray(v[8:])} for v in (a, b)]
    child = crossover.spherical(*trees, t)
    found = np.concatenate([np.ravel(child["w"]), child["c"]])
    np.testing.assert_allclose(found, slerp(a, b, t), rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("t", [0.2, 0.5, 0.7])
def test_parents_of_one_length_have_a_child_of_this_length(t):
    a, b = (v / np.linalg.norm(v) for v in parents())
    assert np.linalg.norm(crossover.spherical(jnp.asarray(a), jnp.asarray(b), t)) == pytest.approx(1, rel=1e-6)
    assert np.linalg.norm(crossover.arithmetic(jnp.asarray(a), jnp.asarray(b), t)) < 0.99


@pytest.mark.parametrize("split", [0, 1, 5, 12])
def test_behind_the_split_point_the_child_is_at_one_minus_t(split):
    a, b = parents()
    trees = [{"1": jnp.asarray(v[:3]), "2": jnp.asarray(v[3:].reshape(3, 3))} for v in (a, b)]
    child = jax.jit(lambda split: crossover.spherical(*trees, 0.2, split=split))(split)
    expected = slerp(a, b, np.where(np.arange(12) < split, 0.2, 0.8))
    np.testing.assert_allclose(np.concatenate([child["1"], np.ravel(child["2"])]), expected, rtol=2e-5, atol=1e-6)


def test_at_the_ends_of_t_a_split_child_is_part_a_and_part_b():
    a, b = (jnp.asarray(v) for v in parents())
    assert crossover.spherical(a, b, 0.0, split=5).tolist() == [*a[:5].tolist(), *b[5:].tolist()]
    assert crossover.spherical(a, b, 1, split=5).tolist() == [*b[:5].tolist(), *a[5:].tolist()]


@pytest.mark.parametrize("other", [2.0, -1.0, -3.1, 0.0, jnp.nan, jnp.inf, 3e38])
def test_parents_without_an_arc_are_mixed_on_the_line(other):
    a = jnp.asarray(parents(size=3000)[0])
    b = other * a
    np.testing.assert_allclose(crossover.spherical(a, b, 0.3), crossover.lerp(a, b, 0.3), rtol=1e-6)


def test_one_broken_entry_spoils_no_other():
    a, b = (jnp.asarray(v) for v in parents())
    child = crossover.spherical(a, b.at[4].set(jnp.nan), 0.3)
    assert np.flatnonzero(np.isnan(child)).tolist() == [4]


@pytest.mark.parametrize("size", [1e-30, 1e30])
def test_very_small_and_very_large_parents_have_an_arc(size):
    a, b = jnp.array([size, 0.0]), jnp.array([0.0, size])
    np.testing.assert_allclose(crossover.spherical(a, b, 0.5), [np.sqrt(0.5) * size] * 2, rtol=1e-5)


@pytest.mark.parametrize("angle", [1e-5, 1e-4, 1e-3, 3.0, 3.14])
def test_small_and_nearly_straight_angles_are_exact(angle):
    a, b = jnp.array([1.0, 0.0]), jnp.array([np.cos(angle), np.sin(angle)], jnp.float32)
    found = crossover.spherical(a, b, 0.25)
    np.testing.assert_allclose(found, [np.cos(angle / 4), np.sin(angle / 4)], rtol=2e-3 if angle == 3.14 else 2e-5)


@pytest.mark.parametrize("t", [0.0, 0.3, 1.0])
def test_derivatives_are_those_of_the_formula_at_the_ends_too(t):
    a, b = parents(3, 5)
    with jax.enable_x64(True):
        a, b = jnp.asarray(a, float), jnp.asarray(b, float)
        found = jax.jacrev(crossover.spherical, argnums=(0, 1, 2))(a, b, t)
        step = 1e-6
        for n in range(5):
            e = step * np.eye(5)[n]
            by_a, by_b = slerp(a + e, b, t) - slerp(a - e, b, t), slerp(a, b + e, t) - slerp(a, b - e, t)
            np.testing.assert_allclose(found[0][:, n], by_a / 2 / step, atol=1e-7)
            np.testing.assert_allclose(found[1][:, n], by_b / 2 / step, atol=1e-7)
        by_t = slerp(a, b, t + step) - slerp(a, b, t - step)
        np.testing.assert_allclose(found[2], by_t / 2 / step, atol=1e-7)


@pytest.mark.parametrize("factor", [1.0, -1.0, 0.0])
def test_derivatives_are_finite_where_there_is_no_arc(factor):
    a = jnp.asarray(parents()[0])
    for p, q in ((a, factor * a), (factor * a, a)):
        found = jax.grad(lambda p, q: crossover.spherical(p, q, 0.3).sum(), argnums=(0, 1))(p, q)
        assert all(np.isfinite(of).all() for of in found)


def test_low_precision_is_computed_in_float32_and_rounded_once():
    a, b = (jnp.asarray(v, jnp.bfloat16) for v in parents())
    child = crossover.spherical(a, b, 0.3)
    wide = crossover.spherical(a.astype(jnp.float32), b.astype(jnp.float32), 0.3)
    assert child.dtype == jnp.bfloat16
    assert jnp.array_equal(child, wide.astype(jnp.bfloat16))


def test_complex_numbers_are_two_real_ones_each():
    a, b = parents()
    child = crossover.spherical(jnp.asarray(a[:6] + 1j * a[6:]), jnp.asarray(b[:6] + 1j * b[6:]), 0.3)
    np.testing.assert_allclose([*child.real, *child.imag], slerp(a, b, 0.3), rtol=2e-5, atol=1e-6)


def test_what_is_no_floating_point_number_comes_from_the_nearer_parent():
    a = {"key": jax.random.key(1), "n": jnp.array([1, 2]), "w": jnp.ones(1)}
    b = {"key": jax.random.key(2), "n": jnp.array([5, 6]), "w": jnp.zeros(1)}
    child = crossover.spherical(a, b, 0.2, split=2)
    assert jax.random.key_data(child["key"]).tolist() == jax.random.key_data(a["key"]).tolist()
    assert child["n"].tolist() == [1, 6]
    np.testing.assert_allclose(child["w"], [0.2], rtol=1e-6)


def test_drawn_split_points_and_t_are_even():
    a, b = {"w": jnp.ones(9), "z": jnp.ones(1)}, {"w": -2 * jnp.ones(9), "z": -2 * jnp.ones(1)}
    keys = jax.random.split(jax.random.key(0), 4000)
    children = jax.jit(lambda keys: population.map(lambda key: crossover.spherical_split(key, a, b), keys))(keys)
    flat = np.concatenate([children["w"], children["z"]], axis=1)
    behind = np.abs(flat - flat[:, -1:]) < 1e-5
    t = (1 - flat) / 3
    splits = (~behind).sum(axis=1)
    counts = np.bincount(splits, minlength=10)
    assert np.abs(counts - 400).max() < 100  # from 0 to 9 entries before the split point
    assert np.abs(np.histogram(t[:, 0], bins=5, range=(0, 1))[0] - 800).max() < 120
    mixed = splits > 0
    np.testing.assert_allclose(t[mixed, 0] + t[mixed, -1], 1, atol=1e-5)


@pytest.mark.parametrize("split", [-1, 13, 0.5, np.arange(2)])
@pytest.mark.usefixtures("unchecked")
def test_a_split_point_that_cannot_be_is_refused(split):
    a, b = (jnp.asarray(v) for v in parents())
    with pytest.raises(ValueError, match=r"split: got .*one integer from 0 to 12"):
        crossover.spherical(a, b, 0.5, split=split)


@pytest.mark.parametrize("t", [float("nan"), float("inf"), np.ones(3)])
def test_a_t_that_is_not_one_finite_number_is_refused(t):
    with pytest.raises(ValueError, match=r"t: got .*one finite number.*population.map"):
        crossover.spherical(jnp.zeros(2), jnp.ones(2), t)
