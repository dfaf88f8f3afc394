"""Networks become programs of StableHLO by `jax.export`, with the number of inputs left open."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

import evojax_align as ea

IMAGE = (28, 28, 1)
NETWORKS = {
    "MLP": (ea.models.MLP((8,), 3), (6,)),
    "Recurrent": (ea.models.Recurrent(4, 2), (5, 3)),
    "LeNet5": (ea.models.LeNet5(), IMAGE),
    "MnistNet": (ea.models.MnistNet(), IMAGE),
    "ResNet": (ea.models.ResNet(width=4, blocks=1), IMAGE),
    "BlockCNN": (ea.models.BlockCNN(((4, 3, 1),), classes=3), IMAGE),
    "VGG": (ea.models.VGG(((4,),)), (8, 8, 1)),
}


def exported(apply, shape):
    """The program for any number of inputs, on each kind of device."""
    (n,) = export.symbolic_shape("n")
    return export.export(jax.jit(apply), platforms=["cpu", "cuda", "tpu"])(
        jax.ShapeDtypeStruct((n, *shape), jnp.float32)
    )


def test_a_convolution_and_a_pooling_are_exported_for_any_number_of_images(key):
    kernel = jax.random.normal(key, (3, 3, 2, 4))

    def apply(x):
        return ea.models.max_pool(ea.models.conv(x, kernel, strides=(1, 2)), (2, 2))

    program, x = exported(apply, (8, 8, 2)), jax.random.normal(key, (3, 8, 8, 2))
    np.testing.assert_allclose(program.call(x), apply(x), atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_is_exported_with_its_parameters_and_read_again(name, key):
    pytest.importorskip("flatbuffers", reason="flatbuffers is not installed")
    network, shape = NETWORKS[name]
    x = jax.random.normal(key, (5, *shape))
    params = jax.jit(network.init)(key, x)
    written = exported(lambda x: network.apply(params, x), shape).serialize()
    read = export.deserialize(written)
    np.testing.assert_allclose(read.call(x), network.apply(params, x), atol=1e-4)
