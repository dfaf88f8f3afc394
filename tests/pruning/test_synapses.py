import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evojax_align import models, pruning


def lenet(channels):
    network = models.LeNet()
    return jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, 32, 32, channels)))


@pytest.mark.parametrize(("channels", "synapses", "kernels"), [(1, 143_136, 7_200), (3, 144_736, 7_264)])
def test_lenet_has_the_numbers_of_the_paper(channels, synapses, kernels):
    params = lenet(channels)
    found = pruning.find(params, leave=["params/output"])
    census = pruning.census(found, pruning.full_masks(params))
    assert int(census.synapses.sum()) == synapses and int(census.kernels.sum()) == kernels
    assert census.clusters.tolist() == [32, 32, 64, 64]
    assert found.biases["params/conv_0/kernel"] == "params/conv_0/bias"


def masks_of_two_layers():
    first = np.zeros((2, 2, 2, 3), bool)
    first[0, 0, 0, 0] = first[1, 1, 0, 0] = first[0, 1, 1, 2] = True
    second = np.zeros((3, 2), bool)
    second[1, 0] = True
    masks = {"a": {"kernel": first, "bias": np.ones(3, bool)}, "b": {"kernel": second, "bias": np.ones(2, bool)}}
    return jax.tree.map(jnp.asarray, masks)


def test_a_census_counts_synapses_kernels_and_clusters_by_hand():
    masks = masks_of_two_layers()
    census = pruning.census(pruning.find(masks), masks)
    assert census.synapses.tolist() == [3, 1]
    assert census.kernels.tolist() == [2, 1]
    assert census.clusters.tolist() == [2, 1]
    assert int(pruning.total(pruning.find(masks), masks)) == 4


def test_clusters_without_synapses_have_no_bias_once_settled():
    masks = masks_of_two_layers()
    settled = pruning.settled(pruning.find(masks), masks)
    assert settled["a"]["bias"].tolist() == [True, False, True]
    assert settled["b"]["bias"].tolist() == [True, False]
    np.testing.assert_array_equal(settled["a"]["kernel"], masks["a"]["kernel"])


def test_outputs_may_come_first():
    masks = masks_of_two_layers()
    turned = jax.tree.map(lambda leaf: jnp.moveaxis(leaf, (-1, -2), (0, 1)) if leaf.ndim > 1 else leaf, masks)
    found = pruning.find(turned, layout="oi")
    for ours, theirs in zip(
        jax.tree.leaves(pruning.census(found, turned)),
        jax.tree.leaves(pruning.census(pruning.find(masks), masks)),
        strict=True,
    ):
        assert ours.tolist() == theirs.tolist()
    assert pruning.settled(found, turned)["a"]["bias"].tolist() == [True, False, True]


def test_what_is_left_out_is_a_layer_or_a_leaf():
    masks = masks_of_two_layers()
    assert pruning.find(masks, leave=["a"]).paths == ("b/kernel",)
    assert pruning.find(masks, leave=["a/kernel"]).paths == ("b/kernel",)
    with pytest.raises(ValueError, match=r"leave: got 'c'; expected one of .*a/kernel"):
        pruning.find(masks, leave=["c"])
    with pytest.raises(ValueError, match=r"params: .*a kernel to prune"):
        pruning.find(masks, leave=["a", "b"])
    with pytest.raises(ValueError, match="layout"):
        pruning.find(masks, layout="hwio")


def test_synapses_of_another_network_are_refused():
    with pytest.raises(ValueError, match=r"synapses: got the leaf 'a/kernel'"):
        pruning.census(pruning.find(masks_of_two_layers()), {"w": jnp.ones((2, 2), bool)})


def test_synapses_are_static_and_hashable():
    one, two = (pruning.find(masks_of_two_layers()) for _ in range(2))
    assert one == two and hash(one) == hash(two)
    counted = jax.jit(pruning.total)(one, masks_of_two_layers())
    assert int(counted) == 4
