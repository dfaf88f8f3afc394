"""Aligns, recombines and evolves with what is installed: a test of the wheel in an environment without extras."""

import importlib.util

import jax
import jax.numpy as jnp

import evojax_align as ea

for name in ("experiments", "tests", "matplotlib", "sklearn", "tqdm"):
    assert importlib.util.find_spec(name) is None, f"{name} is installed: the environment is not bare"

x = jax.random.normal(jax.random.key(0), (64, 4))
network = ea.models.MLP(hidden=(16,), classes=2)
a, b = (network.init(jax.random.key(seed), x) for seed in (1, 2))
out = ea.align(network.apply, a, b, x)
assert jnp.allclose(network.apply(out.b, x), network.apply(b, x), atol=1e-5)
child = ea.crossover.arithmetic(out.a, out.b, 0.5)

ga = ea.evolution.Neuroevolution(network.apply, size=8)
fitness = lambda key, params: -jnp.mean(network.apply(params, x) ** 2)  # noqa: E731
state = ga.init(jax.random.key(3), lambda key: network.init(key, x), fitness)
state, info = ga.step(jax.random.key(4), state, fitness)
assert jnp.isfinite(info.best)

assert len(ea.data.load("digits").train.x) > 1000 and "mnist" in ea.data.names()
