import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evojax_align.similarity import correlation, moments, within_correlations


@pytest.fixture
def x():
    return np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)


@pytest.fixture
def y(x):
    noise = np.random.default_rng(1).normal(size=(50, 3)).astype(np.float32)
    return x[:, :3] - 2 * noise


def corrcoef(x, y):
    both = np.corrcoef(np.asarray(x, np.float64), np.asarray(y, np.float64), rowvar=False)
    return both[: x.shape[1], x.shape[1] :]


def test_it_is_numpys_correlation_for_sides_of_any_width(x, y):
    found = correlation(jnp.asarray(x), jnp.asarray(y))
    assert found.shape == (4, 3)
    np.testing.assert_allclose(found, corrcoef(x, y), atol=1e-6)
    np.testing.assert_allclose(correlation(jnp.asarray(y), jnp.asarray(x)), found.T, atol=1e-6)


def test_it_is_numpys_correlation_on_real_activations(trained):
    x, y = trained
    live_x, live_y = x.std(axis=0) > 0, y.std(axis=0) > 0
    found = np.asarray(correlation(jnp.asarray(x), jnp.asarray(y)))
    np.testing.assert_allclose(found[live_x][:, live_y], corrcoef(x[:, live_x], y[:, live_y]), atol=1e-5)
    assert not live_x.all() and (found[~live_x] == 0).all() and (found[:, ~live_y] == 0).all()


def test_a_neuron_that_is_constant_correlates_with_nothing(x, y):
    for constant in (0.0, 1.0, 0.1, -1e6):
        still = jnp.asarray(x).at[:, 1].set(constant)
        found = np.asarray(correlation(still, jnp.asarray(y)))
        assert (found[1] == 0).all()
        np.testing.assert_allclose(found[[0, 2, 3]], corrcoef(x, y)[[0, 2, 3]], atol=1e-6)


def test_scale_and_offset_of_a_neuron_change_nothing(x, y):
    moved = jnp.asarray(x * np.array([1e-6, 1e6, 3, -3], np.float32) + np.array([0, 0, 1000, 0], np.float32))
    np.testing.assert_allclose(
        correlation(moved, jnp.asarray(y)), corrcoef(x, y) * np.array([[1], [1], [1], [-1]]), atol=1e-4
    )


def test_a_neuron_and_its_negative_are_opposite(x):
    found = np.asarray(correlation(jnp.asarray(x), -jnp.asarray(x)))
    np.testing.assert_allclose(np.diag(found), -1, atol=1e-6)
    assert found.min() >= -1 and found.max() <= 1


def test_bfloat16_is_computed_in_float32(x, y):
    low_x, low_y = jnp.asarray(x, jnp.bfloat16), jnp.asarray(y, jnp.bfloat16)
    found = correlation(low_x, low_y)
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, corrcoef(low_x, low_y), atol=1e-6)


def test_float64_stays_float64(x64, x, y):
    found = correlation(jnp.asarray(x, jnp.float64), jnp.asarray(y, jnp.float64))
    assert found.dtype == jnp.float64
    np.testing.assert_allclose(found, corrcoef(x, y), atol=1e-14)


def test_it_runs_under_jit_and_vmap(x, y):
    batch_x, batch_y = jnp.stack([x, -x, 2 * x[::-1]]), jnp.stack([y, y, y])
    found = jax.jit(jax.vmap(correlation))(batch_x, batch_y)
    for one, of_x, of_y in zip(found, batch_x, batch_y, strict=True):
        np.testing.assert_allclose(one, correlation(of_x, of_y), atol=1e-6)


def test_values_that_are_not_finite_name_the_argument_and_the_neuron(x, y):
    for bad in (np.nan, np.inf):
        broken = jnp.asarray(x).at[7, 2].set(bad)
        with pytest.raises(ValueError, match="x: got NaN or infinite activations of neuron 2"):
            correlation(broken, jnp.asarray(y))
        with pytest.raises(ValueError, match="y: got NaN or infinite"):
            correlation(jnp.asarray(y), broken)


def test_under_a_trace_a_broken_neuron_counts_as_dead(x, y):
    broken = jnp.asarray(x).at[7, 2].set(np.nan)
    found = np.asarray(jax.jit(correlation)(broken, jnp.asarray(y)))
    assert np.isfinite(found).all() and (found[2] == 0).all()


def test_a_side_without_live_neurons_is_refused(x):
    with pytest.raises(ValueError, match="y: got 3 neurons that are all dead"):
        correlation(jnp.asarray(x), jnp.ones((50, 3)))
    with pytest.raises(ValueError, match="all dead"):  # one sample says nothing about correlation
        correlation(jnp.asarray(x[:1]), jnp.asarray(x[:1]))


@pytest.mark.parametrize("shape", [(0, 4), (50, 0), (50,), (50, 2, 2)])
def test_matrices_without_samples_or_neurons_are_refused(x, shape):
    for under_jit in (False, True):
        with pytest.raises((ValueError, TypeError), match=r"x: got shape|annotation"):
            (jax.jit(correlation) if under_jit else correlation)(jnp.ones(shape), jnp.asarray(x))


def test_other_samples_on_the_other_side_are_refused(x, y):
    with pytest.raises((ValueError, TypeError), match=r"50 and 49 samples|annotation"):
        correlation(jnp.asarray(x), jnp.asarray(y[:49]))


def test_the_correlations_inside_one_network(x, y):
    m = moments(jnp.asarray(x), jnp.asarray(y))
    np.testing.assert_allclose(within_correlations(m, "x"), corrcoef(x, x), atol=1e-6)
    np.testing.assert_allclose(within_correlations(m, "y"), corrcoef(y, y), atol=1e-6)
    with pytest.raises(ValueError, match=r"side: got 'a'.*one of 'x', 'y'"):
        within_correlations(m, "a")
    with pytest.raises(ValueError, match="within=True"):
        within_correlations(moments(jnp.asarray(x), jnp.asarray(y), within=False), "x")
