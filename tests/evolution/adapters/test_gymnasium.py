"""`ask` and `tell` with an evaluator outside JAX, as the docstring of `evolution.adapters` shows it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import evojax_align as ea
from evojax_align.evolution import Evaluation, Neuroevolution

gymnasium = pytest.importorskip("gymnasium", reason="Gymnasium (extra `gymnax`) is not installed")


def episode(environment, act, params, seed):
    """The reward of one episode, and what was seen."""
    seen, _ = environment.reset(seed=seed)
    total, ended, observations = 0.0, False, []
    while not ended:
        observations.append(seen)
        seen, reward, terminated, truncated, _ = environment.step(int(np.argmax(act(params, seen[None]))))
        total, ended = total + float(reward), terminated or truncated
    return total, np.stack(observations)


def test_two_generations_of_gymnasium_align_parents_on_what_they_saw(key):
    network = ea.models.MLP(hidden=(8,), classes=2)
    environment, act = gymnasium.make("CartPole-v1", max_episode_steps=60), jax.jit(network.apply)
    ga = Neuroevolution(
        network.apply, size=6, crossover="neurons", alignment="mutual", probe="visited", mutation=0.5, elites=2
    )
    state = ga.init(key, lambda key: network.init(key, jnp.zeros((1, 4))))
    best = []
    for generation in range(2):
        key_ask, key_tell = jax.random.split(jax.random.key(generation))
        members, state = ga.ask(key_ask, state)
        found = []
        for params in ea.population.unstack(members):
            reward, seen = episode(environment, act, params, seed=0)
            found.append(Evaluation(reward, states=jnp.asarray(np.resize(seen, (16, 4)), jnp.float32)))
        state, info = ga.tell(key_tell, members, found, state)
        best.append(float(state.champion_fitness))
    assert int(state.generation) == 2 and best[1] >= best[0] >= 8
    assert int(info.births.aligned.sum()) == 6
    assert episode(environment, act, state.champion, seed=0)[0] == best[1]
