import jax
import jax.numpy as jnp
import pytest

NETWORKS = ("MLP", "recurrent")


def mlp(params, x):
    return jnp.tanh(x @ params["in"] + params["bias"][None]) @ params["out"]


def recurrent(params, x):
    """Outputs at every step, from sequences [samples, steps, inputs]."""

    def step(state, seen):
        state = jnp.tanh(seen @ params["in"] + state @ params["again"] + params["bias"][None])
        return state, state @ params["out"]

    start = jnp.zeros((x.shape[0], params["bias"].shape[0]), x.dtype)
    return jnp.swapaxes(jax.lax.scan(step, start, jnp.swapaxes(x, 0, 1))[1], 0, 1)


@pytest.fixture(params=NETWORKS)
def case(request):
    """A network, its parameters and inputs."""
    shapes = {"in": (3, 4), "bias": (4,), "out": (4, 2)}
    shape = (6, 3)
    if request.param == "recurrent":
        shapes, shape = shapes | {"again": (4, 4)}, (5, 3, 3)
    params = {name: jax.random.normal(jax.random.key(n), of) for n, (name, of) in enumerate(shapes.items())}
    apply = mlp if request.param == "MLP" else recurrent
    return apply, params, jax.random.normal(jax.random.key(9), shape)
