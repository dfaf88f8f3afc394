import jax
import jax.numpy as jnp
import pytest

import evojax_align as ea


@pytest.fixture(scope="package")
def network():
    return ea.models.MLP(hidden=(6,), classes=1)


@pytest.fixture(scope="package")
def x():
    return jnp.linspace(-1, 1, 20)[:, None]


@pytest.fixture(scope="package")
def draw(network, x):
    return lambda key: network.init(key, x)


@pytest.fixture(scope="package")
def curve(network, x):
    """The fitness of a curve, larger is better."""

    def fitness(key, params):
        return -jnp.mean((network.apply(params, x) - jnp.sin(3 * x)) ** 2)

    return fitness


@pytest.fixture(scope="session")
def same():
    """Whether two trees are equal, bit for bit."""

    def equal(p, q):
        return all(bool((a == b).all()) for a, b in zip(jax.tree.leaves(p), jax.tree.leaves(q), strict=True))

    return equal
