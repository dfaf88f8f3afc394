import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evojax_align.evolution import Wann, tasks


def squares(outputs, targets):
    return jnp.sum((outputs - targets) ** 2, axis=1)


@pytest.mark.slow
def test_with_a_loss_the_reward_is_minus_its_mean_at_each_shared_weight(key):
    x = jnp.arange(8.0).reshape(8, 1)
    values = jnp.array([1.0, 3.0, jnp.nan])[:, None, None]
    rewards = tasks.Classification(loss=squares)(key, lambda x: x * values, (x, 2 * x))
    mean = float(jnp.mean(x**2))
    np.testing.assert_allclose(rewards, [-mean, -mean, jnp.nan], rtol=1e-6)
    both = tasks.Classification(loss=squares, scale="relative")(key, lambda x: x * values, [(x, 2 * x), (x, x / 2)])
    expected = -np.log(mean) * 2 - 2 * np.log([0.5, 2.5])
    np.testing.assert_allclose(both[:2], expected, rtol=1e-5)


@pytest.mark.slow
def test_graphs_are_searched_for_by_a_regression(key):
    x = jax.random.normal(jax.random.key(1), (30, 2))
    data = x, x[:, :1] - x[:, 1:]
    wann = Wann(2, 1, tasks.Classification(loss=squares), size=6, hidden=3, enabled=1.0, tournament=2)
    state, _ = wann.step(jax.random.key(2), wann.init(key, data), data)
    graph = state.fittest
    outputs = wann.forward(graph)(x[None])
    expected = -jnp.mean(jnp.sum((outputs - data[1][None]) ** 2, axis=2), axis=1)
    np.testing.assert_allclose(state.rewards[int(jnp.argmax(state.mean))], expected, rtol=1e-4)


def test_a_loss_that_is_no_function_is_refused(unchecked):
    with pytest.raises(ValueError, match=r"^loss: got 'mse'; expected a function"):
        tasks.Classification(loss="mse")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: tasks.Classification(batch=0), "batch: got 0"),
        (lambda: tasks.Classification(scale="mean"), "one of 'sum', 'relative'"),
    ],
)
def test_bad_settings_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
