import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evojax_align import models, pruning, symmetry

MLP = models.MLP(hidden=(6, 5), classes=3)


def network_and_masks(module, x, seed, share):
    params = module.init(jax.random.key(seed), x)
    synapses = pruning.find(params)
    count = int(share * int(pruning.total(synapses, pruning.full_masks(params))))
    masks = pruning.at_random(jax.random.key(seed + 100), synapses, pruning.full_masks(params), count)
    return params, synapses, masks, symmetry.infer(module.apply, params, x)


@pytest.mark.parametrize("share", [0.05, 0.15, 0.3])
@pytest.mark.parametrize("seed", range(4))
def test_a_synapse_is_connected_if_some_path_from_an_input_to_an_output_goes_over_it(seed, share):
    x = jnp.zeros((1, 4))
    _, synapses, masks, spec = network_and_masks(MLP, x, seed, share)
    found = pruning.connected(spec, synapses, masks)["params"]
    w = [np.asarray(masks["params"][name]["kernel"]).astype(int) for name in ("hidden_0", "hidden_1", "output")]
    paths = [np.ones((1, 4), int) @ np.eye(4, dtype=int)]  # paths from inputs to each neuron, and from it to outputs
    for kernel in w:
        paths.append(paths[-1] @ kernel)
    back = [np.ones((3, 1), int)]
    for kernel in reversed(w):
        back.insert(0, kernel @ back[0])
    for layer, name in enumerate(("hidden_0", "hidden_1", "output")):
        expected = (w[layer] * paths[layer].T * back[layer + 1].T) > 0
        np.testing.assert_array_equal(found[name]["kernel"], expected)


class Branches(nn.Module):
    """A convolution whose map is flattened, a branch that is added, and one that is concatenated."""

    @nn.compact
    def __call__(self, x):
        x = nn.relu(models.Conv(4, (3, 3), name="a")(x))
        x = x + nn.relu(models.Conv(4, (3, 3), name="b")(x))
        x = jnp.reshape(x, (x.shape[0], -1))
        y = nn.relu(nn.Dense(5, name="c")(x))
        return nn.Dense(2, name="d")(jnp.concatenate([y, nn.relu(nn.Dense(3, name="e")(x))], axis=-1))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_without_biases_what_is_not_connected_never_changes_an_output(seed):
    x = jax.random.normal(jax.random.key(9), (5, 4, 4, 1))
    params, synapses, masks, spec = network_and_masks(Branches(), x, seed, 0.2)
    connected = pruning.connected(spec, synapses, masks)
    before, after = (int(pruning.total(synapses, tree)) for tree in (masks, connected))
    assert 0 < after < before
    outputs = Branches().apply(pruning.masked(masks, params), x)  # biases begin at 0
    assert np.asarray(outputs).any()
    np.testing.assert_allclose(Branches().apply(pruning.masked(connected, params), x), outputs, atol=1e-6)


def test_nothing_is_connected_where_a_layer_is_dead_and_all_is_where_none_is_pruned():
    x = jnp.zeros((1, 4))
    params, synapses, _, spec = network_and_masks(MLP, x, 0, 0.5)
    full = pruning.full_masks(params)
    dead = jax.tree_util.tree_map_with_path(lambda path, leaf: leaf & ("hidden_1" not in str(path)), full)
    assert int(pruning.total(synapses, jax.jit(pruning.connected, static_argnums=1)(spec, synapses, dead))) == 0
    for p, q in zip(jax.tree.leaves(pruning.connected(spec, synapses, full)), jax.tree.leaves(full), strict=True):
        np.testing.assert_array_equal(p, q)


def test_a_kernel_that_is_not_pruned_conducts_and_a_network_without_symmetry_has_only_its_own_synapses():
    x = jnp.zeros((1, 4))
    params, _, _, spec = network_and_masks(MLP, x, 0, 0.5)
    synapses = pruning.find(params, leave=["params/output"])
    one = jnp.zeros((6, 5), bool).at[2, 3].set(True)
    masks = pruning.full_masks(params)
    masks["params"]["hidden_1"]["kernel"] = one
    found = pruning.connected(spec, synapses, masks)["params"]
    np.testing.assert_array_equal(found["hidden_1"]["kernel"], one)
    assert found["hidden_0"]["kernel"].sum(axis=0).tolist() == [0, 0, 4, 0, 0, 0]
    single = {"w": jnp.ones((4, 2))}
    bare = symmetry.infer(lambda p, x: x @ p["w"], single, x)
    some = {"w": jnp.zeros((4, 2), bool).at[1, 1].set(True)}
    np.testing.assert_array_equal(pruning.connected(bare, pruning.find(single), some)["w"], some["w"])
