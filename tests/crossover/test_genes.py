"""What is inherited whole."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evojax_align import crossover, models, population, symmetry

X = jnp.ones((3, 784))
NETWORK = models.MLP(hidden=(256, 128), output_bias=True)


@pytest.fixture(scope="module")
def params():
    return NETWORK.init(jax.random.key(0), X)


def from_second(genes, choice, params):
    """Which weights of a child come from the second parent, by layer."""
    zeros, ones = jax.tree.map(jnp.zeros_like, params), jax.tree.map(jnp.ones_like, params)
    child = crossover.mix(genes, choice, zeros, ones)["params"]
    return {name: (np.asarray(leaves["kernel"]), np.asarray(leaves["bias"])) for name, leaves in child.items()}


@pytest.mark.slow
def test_a_layer_is_a_gene_with_its_bias(params):
    genes = crossover.layer_genes(params)
    assert genes.names == ("params/hidden_0", "params/hidden_1", "params/output")
    found = from_second(genes, [False, True, False], params)
    assert {name: (kernel.mean(), bias.mean()) for name, (kernel, bias) in found.items()} == {
        "hidden_0": (0, 0),
        "hidden_1": (1, 1),
        "output": (0, 0),
    }


def test_blocks_cover_all_weights_and_a_bias_goes_with_the_last_inputs(params):
    genes = crossover.block_genes(params, block=64)
    assert len(genes.names) == 13 * 4 + 4 * 2 + 2 * 1
    sizes = np.bincount(np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(genes.index)]))
    assert sizes.sum() == 235_146 and len(sizes) == 62 and sizes.min() > 0
    last = genes.names.index("params/hidden_1[192, 64]")
    kernel, bias = from_second(genes, np.arange(62) == last, params)["hidden_1"]
    assert kernel[192:, 64:].all() and kernel.sum() == 64 * 64
    assert bias[64:].all() and bias.sum() == 64


def test_the_published_blocks_leave_the_last_inputs_to_no_gene(params):
    genes = crossover.block_genes(params, block=64, remainder="leave")
    assert len(genes.names) == 62
    index = np.asarray(genes.index["params"]["hidden_0"]["kernel"])
    assert (index[780:] == -1).all() and (index[:780] >= 0).all()
    assert len(np.unique(index[:60, :64])) == 1 and index[59, 0] != index[60, 0]
    a, b, fresh = (jax.tree.map(lambda leaf, v=value: jnp.full_like(leaf, v), params) for value in (1, 2, 3))
    child = crossover.mix(genes, np.ones(62, bool), a, b, fresh=fresh)["params"]["hidden_0"]["kernel"]
    assert (child[:780] == 2).all() and (child[780:] == 3).all()
    assert (crossover.mix(genes, np.ones(62, bool), a, b)["params"]["hidden_0"]["kernel"][780:] == 1).all()


def test_a_neuron_is_a_gene_with_all_that_feeds_it(params):
    spec = symmetry.infer(NETWORK.apply, params, X)
    genes = crossover.neuron_genes(params, spec=spec)
    assert len(genes.names) == 256 + 128 + 10
    chosen = np.zeros(394, bool)
    chosen[genes.names.index(next(name for name in genes.names if name.endswith("[7]")))] = True
    found = from_second(genes, chosen, params)
    ((kernel, bias),) = [pair for pair in found.values() if pair[0].any()]
    assert kernel[:, 7].all() and kernel.sum() == len(kernel) and bias.sum() == 1


@pytest.mark.parametrize(
    ("tree", "block", "count"),
    [
        ({"k": jnp.ones((3, 3, 5, 7)), "b": jnp.ones(7)}, 4, 2 * 2 + 2),  # at the root every leaf is a layer
        ({"c": {"k": jnp.ones((3, 3, 5, 7)), "b": jnp.ones(7), "s": jnp.ones(())}}, 4, 2 * 2 + 1),
        ({"c": {"k": jnp.ones((1, 1)), "other": jnp.ones(9)}}, 64, 1 + 1),
        ({"c": {"k": jnp.ones((10, 3))}}, 4, 3),
    ],
)
@pytest.mark.parametrize("remainder", ["spread", "leave"])
def test_any_tree_can_be_cut(tree, block, count, remainder):
    genes = crossover.block_genes(tree, block=block, remainder=remainder)
    assert len(genes.names) == len(set(genes.names)) == count
    used = np.unique(np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(genes.index)]))
    assert used[used >= 0].tolist() == list(range(count))
    if remainder == "spread":
        assert used[0] == 0
    jax.tree.map(lambda index, leaf: np.testing.assert_equal(index.shape, leaf.shape), genes.index, tree)


def test_children_of_a_population_are_drawn_apart(params, key):
    pair = population.stack([params] * 4), population.stack([jax.tree.map(jnp.zeros_like, params)] * 4)
    children = jax.jit(lambda keys: population.map(crossover.layers, keys, *pair))(jax.random.split(key, 4))
    kernels = np.asarray(children["params"]["hidden_0"]["kernel"])
    assert 0 < (kernels == 0).all(axis=(1, 2)).sum() < 4


@pytest.mark.usefixtures("unchecked")
def test_bad_input_is_refused(params):
    genes = crossover.layer_genes(params)
    with pytest.raises(ValueError, match=r"from_b: got shape \(2,\)"):
        crossover.mix(genes, [True, False], params, params)
    with pytest.raises(ValueError, match="block: "):
        crossover.block_genes(params, block=0)
    with pytest.raises(ValueError, match="remainder: "):
        crossover.block_genes(params, remainder="drop")


def test_a_child_of_neurons_is_the_mixture_of_their_genes(params):
    spec = symmetry.infer(NETWORK.apply, params, X)
    zeros, ones = (jax.tree.map(lambda leaf, v=value: jnp.full_like(leaf, v), params) for value in (0, 1))
    child = crossover.neurons(jax.random.key(3), zeros, ones, spec=spec)
    genes = crossover.neuron_genes(params, spec=spec)
    leaves = list(zip(*map(jax.tree.leaves, (genes.index, child)), strict=True))
    from_b = [max(float(leaf.max(initial=0, where=index == n)) for index, leaf in leaves) for n in range(394)]
    chex.assert_trees_all_equal(crossover.mix(genes, np.array(from_b) > 0, zeros, ones), child)
    assert 0.4 < np.mean(from_b) < 0.6


def test_genes_of_parameters_that_the_symmetry_does_not_describe_are_refused(params):
    spec = symmetry.infer(NETWORK.apply, params, X)
    with pytest.raises(ValueError, match=r"params: got the leaf 'other'.*Infer the specification"):
        crossover.neuron_genes({"other": jnp.ones(3)}, spec=spec)
