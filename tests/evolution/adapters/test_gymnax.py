"""Environments of gymnax as tasks, against loops by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import evojax_align as ea
from evojax_align.evolution import Neuroevolution
from evojax_align.evolution.adapters import Gymnax

gymnax = pytest.importorskip("gymnax", reason="gymnax (extra `gymnax`) is not installed")


def policy(task, seed=1):
    network = ea.models.MLP(hidden=(8,), classes=task.OUTPUTS)
    return network, network.init(jax.random.key(seed), jnp.zeros((1, len(task.INPUTS))))


def by_hand(task, network, params, key):
    """Rewards and observations of each episode, up to the step that ends it, by gymnax's own `step`."""
    environment, settings = gymnax.make(task.environment)
    step, found = jax.jit(environment.step), []
    discrete = isinstance(environment.action_space(settings), gymnax.environments.spaces.Discrete)
    for key_start in jax.random.split(key, task.starts):
        key_reset, key_steps = jax.random.split(key_start)
        seen, state = environment.reset(key_reset, settings)
        rewards, observations = [], []
        for number in range(task.limit):
            flat = jnp.asarray(seen, jnp.float32).reshape(1, -1)
            observations.append(flat[0])
            outputs = network.apply(params, flat)[0]
            if discrete:
                action = jnp.argmax(outputs)
            else:
                space = environment.action_space(settings)
                action = jnp.clip(outputs, space.low, space.high)
            seen, state, reward, terminated, truncated, _ = step(
                jax.random.fold_in(key_steps, number), state, action, settings
            )
            rewards.append(float(reward))
            if terminated or truncated:
                break
        found.append((sum(rewards), jnp.stack(observations)))
    return found


@pytest.mark.parametrize("name", ["CartPole-v1", pytest.param("Pendulum-v1", marks=pytest.mark.slow), "Catch-bsuite"])
def test_an_evaluation_is_that_of_a_loop_by_hand_which_stops_where_an_episode_ends(key, name):
    task = Gymnax(name, starts=3, limit=40)
    network, params = policy(task)
    found = task.fitness(network.apply, visited=4)(key, params)
    expected = by_hand(task, network, params, key)
    np.testing.assert_allclose(found.fitness, np.mean([total for total, _ in expected]), rtol=1e-5)
    assert found.states.shape == (12, len(task.INPUTS))
    for states, (_, observations) in zip(found.states.reshape(3, 4, -1), expected, strict=True):
        for row in states:  # each of them was seen before the end
            assert float(jnp.min(jnp.max(jnp.abs(observations - row[None]), axis=1))) < 1e-4


def test_nothing_counts_after_the_end_of_an_episode(key):
    task = Gymnax("CartPole-v1", starts=4, limit=60)
    states, rewards = task.fitness(lambda params, seen: jnp.zeros((len(seen), 2))).trace(key, None)
    lengths = rewards.sum(axis=0).astype(int)
    assert bool((lengths < 30).all())
    for episode, length in enumerate(lengths.tolist()):
        assert rewards[:, episode].tolist() == [1.0] * length + [0.0] * (60 - length)
        last = states.state.theta[length - 1 :, episode]
        assert bool((last == last[0]).all()) and abs(float(last[0])) > 0.2  # it fell, and no new episode began


def test_a_wrapped_environment_is_stepped_by_its_wrapper(key):
    wrappers = pytest.importorskip("gymnax.wrappers.purerl")
    wrapped = wrappers.FlattenObservationWrapper(gymnax.make("CartPole-v1")[0])
    plain, task = Gymnax("CartPole-v1", starts=3, limit=40), Gymnax(wrapped, starts=3, limit=40)
    network, params = policy(plain)
    found, expected = (of.fitness(network.apply, visited=4)(key, params) for of in (task, plain))
    assert float(found.fitness) == float(expected.fitness)
    np.testing.assert_allclose(found.states, expected.states, atol=1e-6)
    rewards = task.fitness(network.apply).trace(key, params)[1]
    assert float(rewards.sum()) == pytest.approx(3 * float(expected.fitness))


def test_equal_tasks_are_equal_and_have_the_limits_of_the_environment():
    assert Gymnax("CartPole-v1") == Gymnax("CartPole-v1", limit=500)
    assert hash(Gymnax("CartPole-v1")) == hash(Gymnax("CartPole-v1"))
    shorter = gymnax.make("CartPole-v1")[1].replace(max_steps_in_episode=7)
    assert Gymnax("CartPole-v1", params=shorter).limit == 7
    assert (len(Gymnax("Breakout-MinAtar").INPUTS), Gymnax("Breakout-MinAtar").OUTPUTS) == (400, 3)


def test_a_recurrent_policy_gives_sequences(key):
    task = Gymnax("CartPole-v1", starts=2, limit=30)
    network = ea.models.Recurrent(hidden=3, outputs=task.OUTPUTS)
    params = network.init(key, jnp.zeros((1, 1, 4)))
    found = task.fitness(network, visited=5)(key, params)
    assert found.states.shape == (2, 5, 4) and bool(found.fitness >= 5)


def test_cart_pole_is_learnt_in_a_few_generations(key):
    task = Gymnax("CartPole-v1", starts=4, limit=200)
    network, _ = policy(task)
    ga, fitness = Neuroevolution(size=16, mutation=0.5), task.fitness(network.apply)
    state = ga.init(key, lambda key: network.init(key, jnp.zeros((1, 4))))
    for key_step in jax.random.split(jax.random.key(1), 6):
        state, _ = ga.step(key_step, state, fitness)
    assert float(state.champion_fitness) > 100


def test_continuous_actions_are_clipped(key):
    task = Gymnax("Pendulum-v1", starts=2, limit=10)
    strong = task.fitness(lambda params, seen: jnp.full((len(seen), 1), params))
    at_bound, beyond = (float(strong(key, torque).fitness) for torque in (2.0, 50.0))
    assert at_bound == beyond != float(strong(key, 0.0).fitness)


def test_an_output_that_is_nan_makes_the_fitness_nan(key):
    task = Gymnax("CartPole-v1", starts=2)
    assert jnp.isnan(task.fitness(lambda params, seen: jnp.full((len(seen), 2), jnp.nan))(key, None).fitness)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"environment": "CartPole-v2"}, "environment: got 'CartPole-v2'.*Did you mean 'CartPole-v1'"),
        ({"environment": 3}, "environment: got 3"),
        ({"environment": "CartPole-v1", "starts": 0}, "starts: got 0"),
        ({"environment": "CartPole-v1", "limit": 0}, "limit: got 0"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Gymnax(**settings)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_every_environment_of_gymnax_runs(key):
    for name in gymnax.registered_envs:
        if "MNIST" in name:  # has to read a data set
            continue
        task = Gymnax(name, starts=2, limit=5)
        network, params = policy(task)
        assert jnp.isfinite(task.fitness(network.apply, visited=2)(key, params).fitness), name
