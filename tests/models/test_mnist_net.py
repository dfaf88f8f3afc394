import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import evojax_align as ea
from evojax_align import pruning

NET = ea.models.MnistNet()


@pytest.fixture(scope="module")
def params():
    return NET.init(jax.random.key(0), jnp.zeros((1, 28, 28)))


def test_it_has_the_weights_of_the_thesis(params):
    synapses = pruning.find(params)
    shapes = {path.split("/")[1]: leaf.shape for path, leaf in synapses.of(params).items()}
    expected = {"conv_0": (3, 3, 1, 32), "conv_1": (3, 3, 32, 64), "dense": (9216, 128), "output": (128, 10)}
    assert shapes == expected
    assert int(pruning.total(synapses, pruning.full_masks(params))) == 1_199_648
    forward = ea.models.MLP(hidden=(64,), output_bias=True).init(jax.random.key(0), jnp.zeros((1, 28, 28)))
    assert int(pruning.total(pruning.find(forward), pruning.full_masks(forward))) == 50_816


def test_weights_and_biases_begin_as_pytorch_s_do(params):
    for name, inputs in (("conv_0", 9), ("conv_1", 288), ("dense", 9216), ("output", 128)):
        for leaf in params["params"][name].values():
            most = float(jnp.abs(leaf).max()) * inputs**0.5
            assert 0.7 < most <= 1.0001


def test_it_computes_what_plain_layers_compute(params):
    x = jax.random.uniform(jax.random.key(1), (2, 28, 28))
    layers = params["params"]

    def convolved(x, layer):
        settings = {"padding": "VALID", "dimension_numbers": ("NHWC", "HWIO", "NHWC")}
        y = jax.lax.conv_general_dilated(x, layer["kernel"], (1, 1), **settings)
        return jnp.maximum(y + layer["bias"].reshape(1, 1, 1, -1), 0)

    h = convolved(convolved(x[..., None], layers["conv_0"]), layers["conv_1"])
    h = h.reshape(2, 12, 2, 12, 2, 64).max(axis=(2, 4)).reshape(2, -1)
    for name in ("dense", "output"):
        h = jnp.dot(h, layers[name]["kernel"]) + layers[name]["bias"][None]
        h = jnp.maximum(h, 0) if name == "dense" else h
    np.testing.assert_allclose(NET.apply(params, x), h, atol=1e-5)


@pytest.mark.slow
def test_a_key_drops_and_none_does_not(params, key):
    x = jax.random.uniform(jax.random.key(1), (4, 28, 28))
    still = NET.apply(params, x)
    np.testing.assert_array_equal(NET.apply(params, x), still)
    noisy = NET.apply(params, x, key)
    assert (noisy != still).any()
    np.testing.assert_array_equal(NET.apply(params, x, key), noisy)
    keys = jax.random.split(key, 300)
    mean = jnp.mean(jax.lax.map(lambda k: NET.apply(params, x, k), keys), axis=0)
    np.testing.assert_allclose(mean, still, atol=0.05)


def test_its_symmetry_is_read_although_it_can_be_noisy(params):
    x = jax.random.uniform(jax.random.key(1), (3, 28, 28))
    spec = ea.symmetry.infer(NET.apply, params, x)
    assert sorted(spec.groups.values()) == [32, 64, 128]
    assert float(ea.symmetry.verify(spec, NET.apply, params, x, key=jax.random.key(2))) < 1e-5


@pytest.mark.slow
def test_it_learns_with_dropout(key):
    net = ea.models.MnistNet(widths=(4, 4, 16), classes=3)
    y = jnp.arange(60) % 3
    x = 0.3 * jax.random.normal(key, (60, 8, 8)) + jax.nn.one_hot(y, 8)[:, None]
    pop = ea.population.init(lambda k: net.init(k, x[:1]), key, 2)
    settings = {"epochs": 12, "batch_size": 10, "key": key, "noisy": True}
    trained, history = ea.training.fit(net.apply, pop, (x, y), optax.adam(0.01), **settings)
    assert (history.loss[:, -1] < 0.6 * history.loss[:, 0]).all()
    assert float(ea.training.evaluate(net.apply, ea.population.take(trained, 0), x, y).accuracy) > 0.9
