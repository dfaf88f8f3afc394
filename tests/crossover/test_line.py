"""Noise in all directions, and along the line through two parents."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evojax_align import crossover, population

A, B = {"v": jnp.zeros(4), "w": jnp.zeros((2, 3))}, {"v": jnp.full(4, 2.0), "w": jnp.ones((2, 3))}
APART = np.concatenate([np.full(4, 2.0), np.ones(6)])


def children(**settings):
    keys = jax.random.split(jax.random.key(0), 4000)
    found = jax.jit(lambda keys: population.map(lambda key: crossover.line(key, A, B, **settings), keys))(keys)
    return np.concatenate([leaf.reshape(4000, -1) for leaf in jax.tree.leaves(found)], axis=1)


def test_without_noise_children_are_on_the_line_a_normal_step_away():
    steps = children(iso=0.0, along=0.5) / APART
    assert np.ptp(steps, axis=1).max() < 1e-5
    assert steps.mean() == pytest.approx(0, abs=0.03) and steps.std() == pytest.approx(0.5, rel=0.05)


def test_without_a_step_every_weight_has_noise_of_its_own():
    noise = children(iso=0.3, along=0.0)
    np.testing.assert_allclose(np.cov(noise.T), 0.09 * np.eye(10), atol=0.01)


def test_together_the_covariance_is_the_sum():
    found = np.cov(children(iso=0.1, along=0.3).T)
    np.testing.assert_allclose(found, 0.01 * np.eye(10) + 0.09 * np.outer(APART, APART), atol=0.03)


def test_with_neither_the_child_is_the_first_parent_whatever_the_second_is(key):
    first = {"v": -jnp.zeros(4), "w": A["w"]}
    broken = jax.tree.map(lambda leaf: jnp.full_like(leaf, jnp.nan), B)
    child = crossover.line(key, first, broken, iso=0.0, along=0.0)
    assert np.signbit(child["v"]).all() and (child["w"] == 0).all()


def test_low_precision_is_rounded_once(key):
    low = [jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), parent) for parent in (A, B)]
    child, wide = crossover.line(key, *low), crossover.line(key, A, B)
    assert child["w"].dtype == jnp.bfloat16
    assert jnp.array_equal(child["w"], wide["w"].astype(jnp.bfloat16))


def test_complex_weights_have_noise_of_the_same_variance(key):
    a = jnp.zeros(4000, jnp.complex64)
    child = crossover.line(key, a, a, iso=1.0)
    assert np.std(child) == pytest.approx(1, rel=0.05)
    assert np.std(child.real) == pytest.approx(np.sqrt(0.5), rel=0.05)


@pytest.mark.parametrize("settings", [{"iso": -0.1}, {"along": float("nan")}, {"along": np.ones(2)}])
def test_what_is_no_standard_deviation_is_refused(settings, key):
    with pytest.raises(ValueError, match=rf"{next(iter(settings))}: got .*at least 0"):
        crossover.line(key, A, B, **settings)
