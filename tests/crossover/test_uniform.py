"""Uniform crossover by weight and by neuron."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evojax_align import crossover, models, symmetry

X = jnp.ones((3, 4))


def parents(params):
    """Zeros and ones: what is 1 in a child comes from the second."""
    return jax.tree.map(jnp.zeros_like, params), jax.tree.map(jnp.ones_like, params)


def test_weights_of_one_neuron_are_chosen_independently(key):
    a, b = parents({"w": jnp.ones((40, 50)), "v": jnp.ones((40, 50))})
    child = crossover.uniform(key, a, b)
    assert 0.4 < float(child["w"].mean()) < 0.6
    assert len(np.unique(child["w"], axis=0)) == 40 and len(np.unique(child["w"], axis=1).T) == 50
    assert float((child["w"] == child["v"]).mean()) < 0.6  # each leaf has its own coins


def test_all_incoming_weights_and_the_bias_of_a_neuron_come_from_one_parent():
    network = models.MLP(hidden=(8,), classes=7, output_bias=True)
    params = network.init(jax.random.key(0), X)
    spec = symmetry.infer(network.apply, params, X)
    a, b = parents(params)
    mixed = 0
    for seed in range(3):
        child = crossover.neurons(jax.random.key(seed), a, b, spec=spec)["params"]
        for layer in ("hidden_0", "output"):
            kernel, bias = np.asarray(child[layer]["kernel"]), np.asarray(child[layer]["bias"])
            assert (kernel == bias[None]).all()
            mixed += 0 < bias.mean() < 1
    assert mixed >= 4


def test_neurons_are_found_where_weights_are_transposed_or_scaled_on_their_way():
    params = {"a": jnp.ones((6, 4)), "c": jnp.ones(6), "gain": jnp.ones(6), "b": jnp.ones((5, 6))}

    def apply(p, x):
        h = jnp.tanh(x @ p["a"].T + p["c"][None])
        return h @ (p["b"].astype(jnp.bfloat16).astype(jnp.float32) * p["gain"][None]).T

    spec = symmetry.infer(apply, params, X)
    assert {leaf: axis for leaf, (axis, _) in spec.units.items()} == {"a": 0, "c": 0, "b": 0}
    a, b = parents(params)
    child = crossover.neurons(jax.random.key(3), a, b, spec=spec)
    assert (child["a"] == child["c"][:, None]).all() and 0 < float(child["c"].mean()) < 1
    assert (child["b"] == child["b"][:, :1]).all() and 0 < float(child["b"].mean()) < 1
    assert (child["gain"] == child["gain"][0]).all()  # feeds no neuron: one gene


def test_neurons_of_a_residual_stream_share_their_parent_in_all_layers_that_feed_it():
    params = {"a": jnp.ones((4, 6)), "r": jnp.ones((6, 6)), "b": jnp.ones((6, 3))}

    def apply(p, x):
        h = x @ p["a"]
        return (h + jax.nn.relu(h @ p["r"])) @ p["b"]

    spec = symmetry.infer(apply, params, X)
    a, b = parents(params)
    child = crossover.neurons(jax.random.key(1), a, b, spec=spec)
    assert (child["a"][0] == child["r"][0]).all() and 0 < float(child["a"].mean()) < 1
    assert (child["r"] == child["r"][:1]).all()


def test_parents_that_the_symmetry_does_not_describe_are_refused_with_the_leaf(key):
    spec = symmetry.infer(lambda p, x: jnp.tanh(x @ p["a"]) @ p["b"], {"a": jnp.ones((4, 5)), "b": jnp.ones((5, 2))}, X)
    a, b = parents({"a": jnp.ones((4, 5)), "other": jnp.ones((5, 2))})
    with pytest.raises(ValueError, match=r"a, b: got the leaf 'other'.*Infer the specification"):
        crossover.neurons(key, a, b, spec=spec)
    a, b = parents({"a": jnp.ones((4, 6)), "b": jnp.ones((6, 2))})
    with pytest.raises(ValueError, match=r"a, b: got shape \(4, 6\) at the leaf 'a'"):
        crossover.neurons(key, a, b, spec=spec)
