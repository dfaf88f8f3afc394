import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evojax_align import models, symmetry

GREY, COLOURED = (2, 8, 8), (2, 8, 8, 3)
NORMED = models.VGG(stages=((4,), (6, 5)), classes=3)
PLAIN = models.VGG(stages=((4,), (6,)), classes=3, batch_norm=False)
RESIDUAL = models.ResNet(width=4, blocks=1, classes=3)
MORE = [(NORMED, COLOURED), (PLAIN, GREY), (RESIDUAL, GREY), (RESIDUAL, COLOURED)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("network", "shape"),
    [(NORMED, GREY), (PLAIN, COLOURED), *(pytest.param(*case, marks=pytest.mark.slow) for case in MORE)],
)
def test_grey_and_coloured_images_give_logits_and_every_layer_is_a_group(network, shape):
    x = jax.random.normal(jax.random.key(0), shape)
    params = jax.jit(network.init)(jax.random.key(1), x)
    assert network.apply(params, x).shape == (2, 3)
    spec = symmetry.infer(network.apply, params, x)
    convolutions = [path for path in spec.axes if path.endswith("kernel")]
    residual = isinstance(network, models.ResNet)
    assert len(spec.groups) == (6 if residual else len(convolutions) - 1)
    assert symmetry.verify(spec, network.apply, params, x, key=jax.random.key(2), draws=2) < 1e-4


@pytest.mark.slow
def test_training_uses_and_keeps_the_statistics_of_the_batch():
    network = models.VGG(stages=((4,),), classes=3)
    x = 5 + jax.random.normal(jax.random.key(0), (6, 8, 8))
    params = network.init(jax.random.key(1), x)
    logits, state = network.apply(params, x, train=True, mutable=["batch_stats"])
    assert not np.allclose(logits, network.apply(params, x))
    mean = state["batch_stats"]["norm_0_0"]["mean"]
    assert not np.allclose(mean, params["batch_stats"]["norm_0_0"]["mean"])
    shifted = network.apply(params, x + 1, train=True, mutable=["batch_stats"])[0]
    inside = np.abs(np.asarray(shifted) - np.asarray(logits)).max()  # only padding tells a shift from none
    assert inside < np.abs(network.apply(params, x + 1) - network.apply(params, x)).max()


def test_vgg_11_and_resnet_20_have_the_sizes_of_the_papers():
    count = lambda net, x: sum(
        leaf.size for leaf in jax.tree.leaves(jax.eval_shape(net.init, jax.random.key(0), x)["params"])
    )
    x = jnp.zeros((1, 32, 32, 3))
    assert count(models.VGG(), x) == 9_217_728 + 5_504 + 5_130  # convolutions; scales and offsets; the dense layer
    assert count(models.ResNet(), x) == 269_722 + 2_752  # without projections, and those
