"""Activations are those of the network itself, read where it uses them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from evojax_align import population, symmetry
from evojax_align.symmetry import PermutationSpec

RNG = np.random.default_rng(2)
X = jnp.asarray(RNG.normal(size=(7, 4)), jnp.float32)


def w(*shape):
    return jnp.asarray(RNG.normal(size=shape), jnp.float32)


PARAMS = [(w(4, 5), w(1, 5)), (w(5, 6), w(1, 6)), (w(6, 3), w(1, 3))]


def apply(p, x):
    for kernel, bias in p[:-1]:
        x = jax.nn.relu(x @ kernel + bias)
    return x @ p[-1][0] + p[-1][1]


SPEC = symmetry.infer(apply, PARAMS, X)


def by_hand(p, x):
    first = jax.nn.relu(x @ p[0][0] + p[0][1])
    return {"0": first, "1": jax.nn.relu(first @ p[1][0] + p[1][1])}


def assert_close(a, b, **tolerance):
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_allclose(a[name], b[name], atol=1e-6, **tolerance)


def test_the_activations_of_hidden_layers_are_what_one_computes_by_hand_after_the_relu():
    assert_close(symmetry.activations(SPEC, apply, PARAMS, X), by_hand(PARAMS, X))


def test_permuting_a_network_permutes_the_columns():
    orders = {"0": np.array([4, 2, 0, 1, 3]), "1": np.array([5, 0, 3, 2, 1, 4])}
    before = symmetry.activations(SPEC, apply, PARAMS, X)
    after = symmetry.activations(SPEC, apply, symmetry.permute(SPEC, PARAMS, orders), X)
    assert_close(after, {group: before[group][:, order] for group, order in orders.items()})


def test_activations_work_under_jit_and_vmap():
    other = jax.tree.map(lambda leaf: 2 * leaf, PARAMS)
    read = jax.jit(jax.vmap(lambda p: symmetry.activations(SPEC, apply, p, X)))
    both = read(population.stack([PARAMS, other]))
    for number, params in enumerate((PARAMS, other)):
        assert_close(population.take(both, number), by_hand(params, X), rtol=1e-5)


def test_activations_are_differentiable():
    def total(activations):
        return lambda p: sum(jnp.sum(v**2) for v in activations(p).values())

    expected = jax.grad(total(lambda p: by_hand(p, X)))(PARAMS)
    found = jax.grad(total(lambda p: symmetry.activations(SPEC, apply, p, X)))(PARAMS)
    for p, q in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(p, q, rtol=1e-4, atol=1e-5)


@jax.custom_vjp
def doubled_gradient(x):
    return jax.nn.relu(x)


doubled_gradient.defvjp(lambda x: (doubled_gradient(x), None), lambda _, g: (2 * g,))


def test_a_gradient_that_an_author_wrote_is_kept():
    params = {"a": w(4, 5), "b": w(5, 3)}
    network = lambda p, x: doubled_gradient(x @ p["a"]) @ p["b"]
    spec = symmetry.infer(network, params, X)
    found = jax.grad(lambda p: jnp.sum(symmetry.activations(spec, network, p, X)["a"]))(params)
    np.testing.assert_allclose(found["a"], 2 * jnp.broadcast_to(X.sum(0)[:, None], (4, 5)), rtol=1e-5)


@jax.custom_vjp
def dense(x, kernel):
    return x @ kernel


dense.defvjp(lambda x, k: (dense(x, k), (x, k)), lambda saved, g: (g @ saved[1].T, saved[0].T @ g))


def test_activations_are_read_where_a_layer_with_its_own_derivative_takes_them():
    params = {"a": w(4, 5), "b": w(5, 3)}
    network = lambda p, x: dense(jnp.tanh(dense(x, p["a"])), p["b"])
    spec = symmetry.infer(network, params, X)
    assert_close(symmetry.activations(spec, network, params, X), {"a": jnp.tanh(X @ params["a"])})


def test_a_mapped_network_is_read_like_a_batched_one():
    params = {"a": w(5, 4), "b": w(3, 5)}
    network = lambda p, x: jax.vmap(lambda e: p["b"] @ jnp.tanh(p["a"] @ e))(x)
    spec = symmetry.infer(network, params, X)
    assert_close(symmetry.activations(spec, network, params, X), {"a": jnp.tanh(X @ params["a"].T)})


def test_a_group_that_is_used_at_several_places_is_read_at_each():
    params = {"a": w(4, 5), "r": w(5, 5), "b": w(5, 3)}

    def network(p, x):
        h = x @ p["a"]
        return (h + jax.nn.relu(h @ p["r"])) @ p["b"]

    spec = symmetry.infer(network, params, X)
    h = X @ params["a"]
    expected = jnp.concatenate([h, h + jax.nn.relu(h @ params["r"])])
    assert_close(symmetry.activations(spec, network, params, X), {"a": expected})


def test_a_group_that_is_only_summed_is_read_there():
    params = {"a": w(4, 5)}
    network = lambda p, x: jnp.sum(jnp.tanh(x @ p["a"]), axis=1)
    spec = symmetry.infer(network, params, X)
    assert_close(symmetry.activations(spec, network, params, X), {"a": jnp.tanh(X @ params["a"])})


def test_a_group_that_is_also_normalised_is_read_where_its_weights_take_it():
    params = {"a": w(4, 5), "b": w(5, 3)}

    def network(p, x):
        h = x @ p["a"]
        return (h / jnp.sqrt(jnp.mean(h**2, axis=1, keepdims=True))) @ p["b"]

    spec = symmetry.infer(network, params, X)
    h = X @ params["a"]
    expected = h / jnp.sqrt(jnp.mean(h**2, axis=1, keepdims=True))
    assert_close(symmetry.activations(spec, network, params, X), {"a": expected})


def test_positions_beside_the_batch_count_as_samples():
    params = {"a": w(4, 5), "b": w(5, 3)}
    network = lambda p, x: jnp.tanh(x @ p["a"]) @ p["b"]
    x = w(2, 3, 4)
    spec = symmetry.infer(network, params, x)
    expected = jnp.tanh(x @ params["a"]).reshape(6, 5)
    assert_close(symmetry.activations(spec, network, params, x), {"a": expected})


def test_neurons_of_another_group_are_no_samples_and_are_averaged():
    params = {"a": w(4, 5), "c": w(6), "b": w(5, 6, 3)}
    network = lambda p, x: jnp.einsum("nhk,hko->no", jnp.tanh((x @ p["a"])[:, :, None] * p["c"][None, None]), p["b"])
    spec = symmetry.infer(network, params, X)
    assert dict(spec.groups) == {"a": 5, "c": 6}
    orders = {"a": np.array([4, 2, 0, 1, 3]), "c": np.array([5, 0, 3, 2, 1, 4])}
    before = symmetry.activations(spec, network, params, X)
    assert before["a"].shape == (7, 5) and before["c"].shape == (7, 6)
    after = symmetry.activations(spec, network, symmetry.permute(spec, params, orders), X)
    assert_close(after, {group: before[group][:, order] for group, order in orders.items()})


def test_a_group_that_data_never_reach_is_left_out():
    params = {"u": w(4, 2), "v": w(2, 3)}
    network = lambda p, x: x @ (p["u"] @ p["v"])
    spec = symmetry.infer(network, params, X)
    assert dict(spec.groups) == {"u": 2}
    assert symmetry.activations(spec, network, params, X) == {}


def test_a_flax_network_is_read_at_what_its_layers_give():
    class Net(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.Dense(3, name="output")(nn.gelu(nn.Dense(5, name="hidden")(x)))

    module = Net()
    params = module.init(jax.random.key(0), X)
    spec = symmetry.infer(module.apply, params, X)
    _, seen = module.apply(params, X, capture_intermediates=True)
    expected = {"hidden": jax.nn.gelu(seen["intermediates"]["hidden"]["__call__"][0])}
    assert_close(symmetry.activations(spec, module.apply, params, X), expected)


def test_a_specification_written_by_hand_serves_whatever_its_order():
    written = PermutationSpec(groups={"0": 5, "1": 6}, axes=dict(reversed(SPEC.axes.items())))
    assert_close(symmetry.activations(written, apply, PARAMS, X), by_hand(PARAMS, X))


def test_parameters_of_another_network_are_refused():
    wider = [(w(4, 8), w(1, 8)), (w(8, 6), w(1, 6)), (w(6, 3), w(1, 3))]
    with pytest.raises(ValueError, match=r"params: got shape \(4, 8\) at the leaf '0/0'; expected lengths \(any, 5\)"):
        symmetry.activations(SPEC, apply, wider, X)
    with pytest.raises(ValueError, match="params: got the leaf '3/0'"):
        symmetry.activations(SPEC, apply, [*PARAMS, (w(3, 3), w(1, 3))], X)


@pytest.mark.skipif(not hasattr(jax, "new_ref"), reason="this version of JAX has no references")
def test_data_that_went_through_memory_are_data_still():
    params = {"a": w(4, 5), "b": w(5, 3)}

    def remembering(p, x):
        reference = jax.new_ref(jnp.zeros(x.shape))
        reference[...] = x
        return jnp.tanh(reference[...] @ p["a"]) @ p["b"]

    spec = symmetry.infer(remembering, params, X)
    assert spec.units["a"] == (1, "a")
    assert_close(symmetry.activations(spec, remembering, params, X), {"a": jnp.tanh(X @ params["a"])})
