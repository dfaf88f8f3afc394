import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evojax_align import models, pruning, symmetry


def sparse(module, x, count, seed=0):
    params = jax.tree.map(lambda leaf: leaf + 0.1, jax.jit(module.init)(jax.random.key(seed), x))  # biases are not 0
    synapses = pruning.find(params, leave=["params/output"])
    masks = pruning.at_random(jax.random.key(seed + 1), synapses, pruning.full_masks(params), count)
    return params, masks, symmetry.infer(module.apply, params, x)


@pytest.mark.slow
@pytest.mark.parametrize("count", [40, *(pytest.param(count, marks=pytest.mark.slow) for count in (10, 200))])
def test_a_small_dense_lenet_gives_the_outputs_of_the_sparse_one(count):
    x = jax.random.normal(jax.random.key(5), (6, 8, 8))
    module = models.LeNet(widths=(6, 6, 8, 8))
    params, masks, spec = sparse(module, x, count)
    small = pruning.extract(module.apply, params, masks, x, spec=spec)
    widths = [len(small.kept[group]) for group in ("conv_0", "conv_1", "conv_2", "conv_3")]
    assert min(widths) >= 1 and sum(widths) < 28
    outputs = models.LeNet(widths=widths).apply(small.params, x)
    np.testing.assert_allclose(outputs, module.apply(pruning.masked(masks, params), x), atol=1e-5)


@pytest.mark.slow
def test_a_map_that_is_flattened_loses_the_channels_that_died():
    x = jax.random.normal(jax.random.key(5), (6, 8, 8))
    module = models.LeNet5(widths=(5, 7, 6, 4))
    params, masks, spec = sparse(module, x, 60)
    small = pruning.extract(module.apply, params, masks, x, spec=spec)
    widths = [len(small.kept[group]) for group in ("conv_0", "conv_1", "dense_0", "dense_1")]
    assert sum(widths) < 22
    outputs = models.LeNet5(widths=widths).apply(small.params, x)
    np.testing.assert_allclose(outputs, module.apply(pruning.masked(masks, params), x), atol=1e-5)


class Sigmoid(nn.Module):
    width: int = 6

    @nn.compact
    def __call__(self, x):
        return nn.Dense(3, name="output")(nn.sigmoid(nn.Dense(self.width, name="hidden")(x)))


def test_neurons_that_answer_without_being_fed_stay_and_those_nobody_hears_go():
    x = jax.random.normal(jax.random.key(5), (4, 5))
    module = Sigmoid()
    params = module.init(jax.random.key(0), x)
    spec = symmetry.infer(module.apply, params, x)
    masks = pruning.full_masks(params)
    masks["params"]["hidden"]["kernel"] = jnp.ones((5, 6), bool).at[:, 2].set(False)
    masks["params"]["hidden"]["bias"] = jnp.ones(6, bool).at[2].set(False)
    masks["params"]["output"]["kernel"] = jnp.ones((6, 3), bool).at[4].set(False)
    small = pruning.extract(module.apply, params, masks, x, spec=spec)
    assert small.kept["hidden"].tolist() == [0, 1, 2, 3, 5]
    outputs = Sigmoid(5).apply(small.params, x)
    np.testing.assert_allclose(outputs, module.apply(pruning.masked(masks, params), x), atol=1e-6)


def test_masks_of_another_network_are_refused():
    x = jnp.zeros((1, 5))
    params = Sigmoid().init(jax.random.key(0), x)
    spec = symmetry.infer(Sigmoid().apply, params, x)
    with pytest.raises(ValueError, match=r"masks: got float32 of shape \(6,\) at the leaf 'params/hidden/bias'"):
        pruning.extract(Sigmoid().apply, params, params, x, spec=spec)
