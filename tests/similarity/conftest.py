"""Real activations: two networks of 64 ReLU neurons, trained on handwritten digits from different starts."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from sklearn.datasets import load_digits

import evojax_align as ea


@pytest.fixture
def x64():
    enable = jax.enable_x64 if hasattr(jax, "enable_x64") else jax.experimental.enable_x64
    with enable(True):
        yield


@pytest.fixture(scope="session")
def trained():
    """Activations [1797, 64] of both networks on all digits; some neurons are dead as they are."""
    digits = load_digits()
    x, y = jnp.asarray(digits.images / 16, jnp.float32), jnp.asarray(digits.target, jnp.int32)
    network = ea.models.MLP(hidden=(64,))
    start = ea.population.init(lambda key: network.init(key, x[:1]), jax.random.key(0), 2)
    networks, _ = ea.training.fit(
        network.apply, start, (x, y), optax.adam(3e-3), epochs=6, batch_size=128, key=jax.random.key(1)
    )
    spec = ea.symmetry.infer(network.apply, ea.population.take(networks, 0), x[:1])
    return tuple(
        np.asarray(ea.symmetry.activations(spec, network.apply, params, x)["hidden_0"])
        for params in ea.population.unstack(networks)
    )


@pytest.fixture(scope="session")
def damaged(trained):
    """The same with dead, constant, duplicate, scaled, and linearly dependent neurons."""
    x, y = (of_one.copy() for of_one in trained)
    for of_one in (x, y):
        of_one[:, 20:24] = 0.0
        of_one[:, 40] = 0.7
        of_one[:, 3] = of_one[:, 9]
        of_one[:, 10] = 2 * of_one[:, 7]
        of_one[:, 30] = of_one[:, 31] + of_one[:, 32]
    return x, y
