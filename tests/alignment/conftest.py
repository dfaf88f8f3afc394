"""Small networks of plain JAX, and pairs of them."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest


def mlp(params, x):
    """Dense layers with ReLU between them; biases but in the output, as the paper's networks."""
    for layer in params[:-1]:
        x = jax.nn.relu(x @ layer["kernel"] + layer["bias"][None])
    return x @ params[-1]["kernel"]


def init(seed, widths):
    rng = np.random.default_rng(seed)
    layers = [
        {
            "kernel": (rng.normal(size=shape) / np.sqrt(shape[0] / 2)).astype(np.float32),
            "bias": (0.5 * rng.normal(size=shape[1])).astype(np.float32),
        }
        for shape in itertools.pairwise(widths)
    ]
    del layers[-1]["bias"]
    return jax.tree.map(jnp.asarray, layers)


@pytest.fixture(scope="session")
def apply():
    return mlp


@pytest.fixture(scope="session")
def x():
    return jnp.asarray(np.random.default_rng(9).normal(size=(60, 4)).astype(np.float32))


@pytest.fixture(scope="session")
def shallow():
    """Two networks of one hidden layer, one group of 6 neurons, all alive on `x`."""
    return tuple(init(seed, (4, 6, 3)) for seed in (0, 1))


@pytest.fixture(scope="session")
def deep():
    """Two networks of three hidden layers, all of whose neurons are alive on `x`."""
    return tuple(init(seed, (4, 7, 6, 5, 3)) for seed in (4, 10))


@pytest.fixture(scope="session")
def many(shallow):
    """Three pairs like that of one hidden layer, which differ a little."""
    rng = np.random.default_rng(5)

    def noisy(leaf):
        return jnp.asarray(np.asarray(leaf) + 0.2 * rng.normal(size=(3, *leaf.shape)).astype(np.float32))

    return jax.tree.map(noisy, shallow)
