import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evojax_align import models, symmetry
from evojax_align.models import lenet


@pytest.mark.parametrize("side", [9, 2, *(pytest.param(side, marks=pytest.mark.slow) for side in (32, 28, 4))])
def test_windows_of_three_overlap_and_count_what_lies_on_the_map(side):
    x = jax.random.normal(jax.random.key(0), (2, side, side, 3))
    edge = ((0, 0), (0, 1), (0, 1), (0, 0))
    largest = nn.max_pool(jnp.pad(x, edge, constant_values=-jnp.inf), (3, 3), (2, 2))
    mean = nn.avg_pool(x, (3, 3), (2, 2), padding=((0, 1), (0, 1)), count_include_pad=False)
    np.testing.assert_array_equal(lenet._largest_of_nine(x), largest)
    np.testing.assert_allclose(lenet._mean_of_nine(x), mean, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    "shape", [(2, 16, 16), *(pytest.param(shape, marks=pytest.mark.slow) for shape in ((2, 32, 32), (2, 32, 32, 3)))]
)
def test_lenet_gives_logits_and_every_convolution_is_a_group(shape):
    network = models.LeNet(widths=(4, 5, 6, 7), classes=3)
    x = jax.random.normal(jax.random.key(0), shape)
    params = jax.jit(network.init)(jax.random.key(1), x)
    assert network.apply(params, x).shape == (2, 3)
    spec = symmetry.infer(network.apply, params, x)
    assert dict(spec.groups) == {"conv_0": 4, "conv_1": 5, "conv_2": 6, "conv_3": 7}
    assert symmetry.verify(spec, network.apply, params, x, key=jax.random.key(2)) < 1e-4
