"""The fully connected networks of paper (a)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evojax_align import models, symmetry


def shapes(module, x):
    params = jax.eval_shape(module.init, jax.random.key(0), x)["params"]
    return {f"{layer}/{name}": leaf.shape for layer, of in params.items() for name, leaf in of.items()}


def test_the_papers_network_for_mnist_has_512_hidden_neurons_and_no_output_bias():
    assert shapes(models.MLP(), jnp.zeros((1, 28, 28))) == {
        "hidden_0/kernel": (784, 512),
        "hidden_0/bias": (512,),
        "output/kernel": (512, 10),
    }


def test_the_papers_network_for_cifar_has_three_layers_of_100():
    of = shapes(models.MLP(hidden=(100, 100, 100)), jnp.zeros((1, 32, 32, 3)))
    kernels = [shape for path, shape in of.items() if path.endswith("kernel")]
    assert kernels == [(3072, 100), (100, 100), (100, 100), (100, 10)]


def test_an_output_bias_is_an_option():
    assert shapes(models.MLP(hidden=(5,), classes=3, output_bias=True), jnp.zeros((1, 4)))["output/bias"] == (3,)


@pytest.fixture(scope="module")
def small():
    module = models.MLP(hidden=(5, 6), classes=3)
    return module.apply, module.init(jax.random.key(0), jnp.zeros((1, 2, 2)))


def test_the_network_computes_what_one_computes_by_hand(small):
    apply, params = small
    x = np.linspace(-1, 1, 28, dtype=np.float32).reshape(7, 2, 2)
    p = params["params"]
    h = x.reshape(7, 4)
    for layer in ("hidden_0", "hidden_1"):
        h = np.maximum(h @ np.asarray(p[layer]["kernel"]) + np.asarray(p[layer]["bias"]), 0)
    np.testing.assert_allclose(apply(params, x), h @ np.asarray(p["output"]["kernel"]), rtol=1e-5, atol=1e-6)


def test_kernels_are_glorot_uniform_and_biases_zero(small):
    kernel = models.MLP(hidden=(), classes=300).init(jax.random.key(0), jnp.zeros((1, 100)))["params"]["output"][
        "kernel"
    ]
    limit = np.sqrt(6 / 400)
    assert 0.99 * limit < np.abs(kernel).max() <= limit
    assert abs(np.std(kernel) - limit / np.sqrt(3)) < 0.01 * limit
    assert not np.asarray(small[1]["params"]["hidden_0"]["bias"]).any()


@pytest.mark.parametrize("batch", [0, 1])
def test_a_batch_may_be_empty_or_hold_one_sample(batch, small):
    apply, params = small
    assert apply(params, jnp.zeros((batch, 2, 2))).shape == (batch, 3)


def test_without_a_hidden_layer_the_network_is_linear():
    assert shapes(models.MLP(hidden=()), jnp.zeros((1, 4))) == {"output/kernel": (4, 10)}


def test_every_hidden_layer_can_be_permuted(small, key):
    apply, params = small
    x = jnp.linspace(-1, 1, 28).reshape(7, 2, 2)
    spec = symmetry.infer(apply, params, x)
    assert dict(spec.groups) == {"hidden_0": 5, "hidden_1": 6}
    assert spec.frozen == ()
    assert float(symmetry.verify(spec, apply, params, x, key=key, draws=2)) < 1e-5


def test_both_networks_of_the_mixed_evolution_have_the_parameters_of_their_paper():
    x = jnp.zeros((1, 28, 28))
    for module in (models.MLP((256, 128), output_bias=True), models.SplitMLP()):
        assert sum(np.prod(shape) for shape in shapes(module, x).values()) == 235_146
    assert shapes(models.SplitMLP(), x)["part_1/kernel"] == (256, 64)


def test_a_split_network_is_a_whole_one_whose_second_layer_is_cut():
    split = models.SplitMLP(hidden=5, parts=(2, 4), classes=3)
    x = jax.random.normal(jax.random.key(1), (7, 2, 2))
    of = split.init(jax.random.key(0), x)["params"]
    joined = {leaf: jnp.concatenate([of["part_0"][leaf], of["part_1"][leaf]], axis=-1) for leaf in ("kernel", "bias")}
    whole = {"hidden_0": of["hidden_0"], "hidden_1": joined, "output": of["output"]}
    expected = models.MLP(hidden=(5, 6), classes=3, output_bias=True).apply({"params": whole}, x)
    np.testing.assert_allclose(split.apply({"params": of}, x), expected, rtol=1e-5, atol=1e-6)


def test_drawn_by_fan_in_weights_and_biases_stay_within_one_over_its_root():
    params = models.MLP(hidden=(400,), start="fan_in").init(jax.random.key(0), jnp.zeros((1, 25)))["params"]["hidden_0"]
    for leaf in params.values():
        assert 0.95 / 5 < np.abs(leaf).max() <= 1 / 5 and abs(np.mean(leaf)) < 0.02


def test_an_unknown_start_is_refused():
    with pytest.raises(ValueError, match="start: got 'gloro'"):
        models.MLP(start="gloro").init(jax.random.key(0), jnp.zeros((1, 4)))
