"""Which groups are found in which network; random permutations test every one of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax import nnx

from evojax_align import symmetry

CASES = {}
RNG = np.random.default_rng(5)
X = RNG.normal(size=(6, 4)).astype(np.float32)


def w(*shape):
    """New random weights."""
    return RNG.normal(size=shape).astype(np.float32)


def case(**groups):
    """Register a network, as a function returning (apply, params, x), with the groups that it has."""

    def register(make):
        CASES[make.__name__.replace("_", " ")] = (make, groups)
        return make

    return register


def leaves_of(spec, group):
    """The (path, axis) that belong to a group."""
    return {(path, axis) for path, names in spec.axes.items() for axis, name in enumerate(names) if name == group}


# --- containers and frameworks ---


@case(hidden=5)
def a_dict():
    params = {"hidden": {"kernel": w(4, 5), "bias": w(1, 5)}, "output": {"kernel": w(5, 3), "bias": w(1, 3)}}

    def apply(p, x):
        h = jax.nn.relu(x @ p["hidden"]["kernel"] + p["hidden"]["bias"])
        return h @ p["output"]["kernel"] + p["output"]["bias"]

    return apply, params, X


@case(**{"0": 5, "1": 4})
def a_list_of_pairs():
    params = [(w(4, 5), w(1, 5)), (w(5, 4), w(1, 4)), (w(4, 3), w(1, 3))]

    def apply(p, x):
        for kernel, bias in p[:-1]:
            x = jnp.tanh(x @ kernel + bias)
        return x @ p[-1][0] + p[-1][1]

    return apply, params, X


@case(**{"0": 5})
def a_tuple():
    return lambda p, x: jnp.tanh(x @ p[0]) @ p[1], (w(4, 5), w(5, 3)), X


class Block(nn.Module):
    width: int
    dtype: jnp.dtype | None = None

    @nn.compact
    def __call__(self, x):
        return nn.gelu(nn.Dense(self.width, dtype=self.dtype, bias_init=nn.initializers.normal())(x))


class Linen(nn.Module):
    dense: type = nn.Dense
    dtype: jnp.dtype | None = None

    @nn.compact
    def __call__(self, x):
        x = nn.relu(self.dense(5, name="first", dtype=self.dtype)(x))
        x = Block(6, self.dtype, name="block")(x)
        return nn.Dense(3, name="output", dtype=self.dtype)(x)


def _linen(module):
    return module.apply, module.init(jax.random.key(0), X), X


@case(**{"first": 5, "block/Dense_0": 6})
def flax_linen():
    return _linen(Linen())


@case(**{"first": 5, "block/Dense_0": 6})
def flax_linen_with_jit():
    apply, params, x = _linen(Linen(dense=nn.jit(nn.Dense)))
    return jax.jit(apply), params, x


@case(**{"first": 5, "block/Dense_0": 6})
def flax_linen_with_checkpoints():
    apply, params, x = _linen(Linen(dense=nn.remat(nn.Dense)))
    return jax.checkpoint(apply), params, x


@case(**{"first": 5, "block/Dense_0": 6})
def flax_linen_without_the_collection():
    apply, params, x = _linen(Linen())
    return lambda p, x: apply({"params": p}, x), params["params"], x


class Net(nnx.Module):
    def __init__(self, rngs):
        self.first = nnx.Linear(4, 5, rngs=rngs)
        self.second = nnx.Linear(5, 6, rngs=rngs)
        self.drop = nnx.Dropout(0.5, deterministic=True, rngs=rngs)
        self.output = nnx.Linear(6, 3, rngs=rngs)

    def __call__(self, x):
        x = self.drop(nnx.relu(self.first(x)))
        return self.output(nnx.silu(self.second(x)))


@case(first=5, second=6)
def flax_nnx():
    graph, state = nnx.split(Net(nnx.Rngs(0)))
    return lambda s, x: nnx.merge(graph, s)(x), state, X


@case(first=5, second=6)
def flax_nnx_parameters_alone():
    graph, params, rest = nnx.split(Net(nnx.Rngs(0)), nnx.Param, ...)
    return lambda p, x: nnx.merge(graph, p, rest)(x), params, X


# --- layers in other forms ---


@case(a=5)
def a_mapped_example():
    return jax.vmap(lambda p, e: p["b"] @ jnp.tanh(p["a"] @ e), (None, 0)), {"a": w(5, 4), "b": w(3, 5)}, X


@case(a=5)
def an_einsum():
    params = {"a": w(5, 4), "b": w(5, 3)}
    return lambda p, x: jnp.einsum("nh,ho->on", jnp.tanh(jnp.einsum("hd,nd->nh", p["a"], x)), p["b"]), params, X


@case(a=5)
def transposed_weights():
    return lambda p, x: jnp.tanh(x @ p["a"].T) @ p["b"].T, {"a": w(5, 4), "b": w(3, 5)}, X


@case(a=5)
def weights_cast_to_bfloat16():
    def apply(p, x):
        a, b = (v.astype(jnp.bfloat16).astype(jnp.float32) for v in (p["a"], p["b"]))
        return jnp.tanh(x @ a) @ b

    return apply, {"a": w(4, 5), "b": w(5, 3)}, X


@case(a=4)
def weights_read_in_another_order():
    def apply(p, x):
        return jnp.tanh(x @ jax.lax.reshape(p["a"], (4, 4), dimensions=(1, 0))) @ p["b"]

    return apply, {"a": w(4, 4), "b": w(4, 4)}, X


@case(a=5)
def an_axis_of_length_one_in_between():
    params = {"a": w(4, 5), "b": w(5, 1, 3)}
    return lambda p, x: jnp.tanh(x @ p["a"]).reshape(6, 1, 5).reshape(6, 5) @ p["b"].reshape(5, 3), params, X


@case(u=3, v=5)
def a_low_rank_product():
    params = {"u": w(4, 3), "v": w(3, 5), "b": w(5, 3)}
    return lambda p, x: jnp.tanh(x @ (p["u"] @ p["v"])) @ p["b"], params, X


@case(a=5)
def a_gain_for_every_neuron():
    params = {"a": w(4, 5), "g": w(5), "b": w(5, 3)}
    return lambda p, x: jnp.tanh(x @ p["a"]) @ (p["b"] * p["g"][:, None]), params, X


@case(a=5)
def scalar_parameters():
    params = {"a": w(4, 5), "scale": np.float32(2.0), "b": w(5, 3), "shift": 0.5}
    return lambda p, x: jnp.tanh(p["scale"] * (x @ p["a"])) @ p["b"] + p["shift"], params, X


@case(a=5, b=6)
def hidden_layers_as_wide_as_nothing_else():
    params = {"a": w(4, 5), "b": w(5, 6), "c": w(6, 3)}
    return lambda p, x: jnp.tanh(jnp.tanh(x @ p["a"]) @ p["b"]) @ p["c"], params, X


@case(a=4, b=4)
def everything_as_wide_as_the_batch():
    params = {"a": w(4, 4), "b": w(4, 4), "c": w(4, 4)}
    return lambda p, x: jnp.tanh(jnp.tanh(x @ p["a"]) @ p["b"]) @ p["c"], params, X[:4]


@case(a=5)
def a_batch_of_one():
    return lambda p, x: jnp.tanh(x @ p["a"] + p["c"]) @ p["b"], {"a": w(4, 5), "c": w(1, 5), "b": w(5, 3)}, X[:1]


@case(a=5)
def a_counter_of_length_one():
    return lambda p, x: (jnp.tanh(x @ p["a"]) + jnp.arange(1.0)[None]) @ p["b"], {"a": w(4, 5), "b": w(5, 3)}, X


@case(a=5)
def one_output():
    return lambda p, x: (jnp.tanh(x @ p["a"]) @ p["b"]).reshape(6), {"a": w(4, 5), "b": w(5, 1)}, X


@case()
def one_neuron():
    return lambda p, x: jnp.tanh(x @ p["a"]) @ p["b"], {"a": w(4, 1), "b": w(1, 3)}, X


@case()
def no_hidden_layer():
    return lambda p, x: x @ p["a"], {"a": w(4, 3)}, X


@case(left=5, right=6)
def inputs_and_outputs_that_are_trees():
    params = {"left": w(4, 5), "right": w(2, 6), "l": w(5, 3), "r": w(6, 3)}

    def apply(p, x):
        left, right = jnp.tanh(x["left"] @ p["left"]), jnp.tanh(x["right"][0] @ p["right"])
        return {"sum": left @ p["l"] + right @ p["r"], "left": left @ p["l"]}

    return apply, params, {"left": X, "right": (X[:, :2],)}


# --- shared and joined neurons ---


@case(a=4)
def a_residual_stream():
    params = {"a": w(4, 4), "r": w(4, 4), "b": w(4, 4)}

    def apply(p, x):
        h = x @ p["a"]
        return (h + jax.nn.relu(h @ p["r"])) @ p["b"]

    return apply, params, X


@case()
def a_residual_stream_that_starts_at_the_data():
    return lambda p, x: x + jax.nn.relu(x @ p["r"]), {"r": w(4, 4)}, X


@case(a=4)
def shared_weights():
    params = {"a": w(4, 4), "r": w(4, 4), "b": w(4, 3)}

    def apply(p, x):
        h = jnp.tanh(x @ p["a"])
        return jnp.tanh(jnp.tanh(h @ p["r"]) @ p["r"]) @ p["b"]

    return apply, params, X


@case(a=5)
def tied_weights():
    return lambda p, x: jnp.tanh(x @ p["a"]) @ p["a"].T, {"a": w(4, 5)}, X


@case(a=5)
def two_branches_that_are_added():
    params = {"a": w(4, 5), "b": w(4, 5), "c": w(5, 3)}
    return lambda p, x: (jnp.tanh(x @ p["a"]) + jnp.sin(x @ p["b"])) @ p["c"], params, X


@case(a=5)
def a_gate():
    params = {"a": w(4, 5), "b": w(4, 5), "c": w(5, 3)}
    return lambda p, x: (jax.nn.sigmoid(x @ p["a"]) * (x @ p["b"])) @ p["c"], params, X


# --- functions of all neurons that know no order ---


@case(a=5)
def a_softmax_over_neurons():
    return lambda p, x: jax.nn.softmax(x @ p["a"], axis=-1) @ p["b"], {"a": w(4, 5), "b": w(5, 3)}, X


@case(a=5)
def a_layer_norm_by_hand():
    def apply(p, x):
        h = x @ p["a"]
        h = (h - h.mean(-1, keepdims=True)) / jnp.sqrt(h.var(-1, keepdims=True) + 1e-5)
        return (h * p["scale"] + p["bias"]) @ p["b"]

    return apply, {"a": w(4, 5), "scale": w(1, 5), "bias": w(1, 5), "b": w(5, 3)}, X


@case(a=5)
def the_sum_and_the_largest_of_all_neurons():
    def apply(p, x):
        h = jnp.tanh(x @ p["a"])
        return jnp.stack([h.sum(-1), h.max(-1), h.min(-1), h.prod(-1), (h > 0).all(-1), (h > 0).any(-1)])

    return apply, {"a": w(4, 5)}, X


@case(a=5)
def a_sum_of_outer_products():
    def apply(p, x):
        h = jnp.tanh(x @ p["a"])
        return (h @ jnp.tanh(h.T @ h)) @ p["b"]

    return apply, {"a": w(4, 5), "b": w(5, 3)}, X


# --- what the network closes over ---


@case(a=5)
def a_uniform_mask():
    mask = np.full((5, 3), 0.5, np.float32)
    return lambda p, x: jnp.tanh(x @ p["a"]) @ (p["b"] * mask), {"a": w(4, 5), "b": w(5, 3)}, X


@case(a=5)
def a_mask_that_differs_among_outputs_alone():
    mask = np.tile(np.array([0, 1, 1], np.float32), (5, 1))
    return lambda p, x: jnp.tanh(x @ p["a"]) @ (p["b"] * mask), {"a": w(4, 5), "b": w(5, 3)}, X


@case(a=5)
def noise_on_the_data():
    def apply(p, x):
        return jnp.tanh((x + jax.random.normal(jax.random.key(0), x.shape)) @ p["a"]) @ p["b"]

    return apply, {"a": w(4, 5), "b": w(5, 3)}, X


@case(a=5)
def a_loop_over_the_data():
    def apply(p, x):
        _, x = jax.lax.scan(lambda carry, row: (carry + row, carry), jnp.zeros(4), x)
        return jnp.tanh(x @ p["a"]) @ p["b"]

    return apply, {"a": w(4, 5), "b": w(5, 3)}, X


@pytest.mark.parametrize("name", CASES)
def test_the_groups_of_a_network_are_found_and_its_function_stays_the_same(name, change):
    make, groups = CASES[name]
    apply, params, x = make()
    spec = symmetry.infer(apply, params, x)
    assert dict(spec.groups) == groups
    assert spec.frozen == ()
    assert change(spec, apply, params, x) < 1e-5


ACTIVATIONS = {
    "relu": jax.nn.relu,
    "gelu": jax.nn.gelu,
    "exact gelu": lambda x: jax.nn.gelu(x, approximate=False),
    "tanh": jnp.tanh,
    "leaky relu": jax.nn.leaky_relu,
    "elu": jax.nn.elu,
    "selu": jax.nn.selu,
    "silu": jax.nn.silu,
    "softplus": jax.nn.softplus,
    "hard sigmoid": jax.nn.hard_sigmoid,
    "mish": jax.nn.mish,
    "clip": lambda x: jnp.clip(x, -1, 1),
    "where": lambda x: jnp.where(x > 0, x, jnp.exp(x) - 1),
    "power": lambda x: jnp.abs(x) ** 1.5 + x**2,
    "round": jnp.round,
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_elementwise_activation_lets_its_neurons_be_permuted(name):
    params = {"a": w(4, 5), "b": w(5, 3)}
    spec = symmetry.infer(lambda p, x: ACTIVATIONS[name](x @ p["a"]) @ p["b"], params, X)
    assert dict(spec.groups) == {"a": 5}


@jax.custom_jvp
def jvp_activation(x):
    return jnp.sinh(jnp.tanh(x))


@jvp_activation.defjvp
def _(primals, tangents):
    return jvp_activation(primals[0]), 2 * tangents[0]


@jax.custom_vjp
def vjp_activation(x):
    return x * jax.nn.sigmoid(x)


vjp_activation.defvjp(lambda x: (vjp_activation(x), x), lambda x, g: (g * x,))


@jax.custom_vjp
def vjp_dense(x, kernel):
    return jnp.tanh(x @ kernel)


vjp_dense.defvjp(lambda x, k: (vjp_dense(x, k), (x, k)), lambda saved, g: (g @ saved[1].T, saved[0].T @ g))


@jax.custom_vjp
def vjp_cumsum(x):
    return jnp.cumsum(x, axis=1)


vjp_cumsum.defvjp(lambda x: (vjp_cumsum(x), None), lambda _, g: (g,))


@pytest.mark.parametrize("activation", [jvp_activation, vjp_activation])
def test_a_function_with_its_own_derivative_is_followed(activation, change):
    params = {"a": w(4, 5), "b": w(5, 3)}
    apply = lambda p, x: activation(x @ p["a"]) @ p["b"]
    spec = symmetry.infer(apply, params, X)
    assert dict(spec.groups) == {"a": 5}
    assert change(spec, apply, params, X) < 1e-5


def test_a_dense_layer_with_its_own_derivative_is_followed():
    params = {"a": w(4, 5), "b": w(5, 3)}
    spec = symmetry.infer(lambda p, x: vjp_dense(vjp_dense(x, p["a"]), p["b"]), params, X)
    assert dict(spec.groups) == {"a": 5}
    assert dict(spec.units)["a"] == (1, "a")


def test_what_mixes_neurons_inside_a_function_with_its_own_derivative_freezes_them():
    params = {"a": w(4, 5), "b": w(5, 3)}
    spec = symmetry.infer(lambda p, x: vjp_cumsum(x @ p["a"]) @ p["b"], params, X)
    assert dict(spec.groups) == {}
    assert spec.frozen[0].primitive == "cumsum"


def test_parameters_that_the_output_does_not_use_belong_to_no_group():
    params = {"a": w(4, 5), "b": w(5, 3), "unused": w(5, 5)}

    def apply(p, x):
        jnp.sum(p["unused"] @ jnp.tanh(x @ p["a"]).T)
        return jnp.tanh(x @ p["a"]) @ p["b"]

    spec = symmetry.infer(apply, params, X)
    assert dict(spec.groups) == {"a": 5}
    assert spec.axes["unused"] == (None, None)
    assert "unused" not in spec.units


@pytest.mark.parametrize("name", CASES)
def test_neither_data_nor_outputs_are_ever_permuted(name):
    make, _ = CASES[name]
    apply, params, x = make()
    spec = symmetry.infer(lambda p, x: (apply(p, x), x), params, x)
    base = symmetry.infer(apply, params, x)
    assert spec.groups == base.groups
    for path, (axis, unit) in base.units.items():  # a unit that is no group is an output, or is bound to the data
        assert (unit in base.groups) == (base.axes[path][axis] is not None)


def test_a_parameter_that_is_an_output_is_not_permuted():
    params = {"a": w(4, 5), "b": w(5, 3)}
    spec = symmetry.infer(lambda p, x: (jnp.tanh(x @ p["a"]) @ p["b"], p["a"]), params, X)
    assert dict(spec.groups) == {}


def test_all_axes_of_a_residual_stream_share_one_group():
    make, _ = CASES["a residual stream"]
    spec = symmetry.infer(*make())
    assert leaves_of(spec, "a") == {("a", 1), ("r", 0), ("r", 1), ("b", 0)}


def test_the_axes_of_a_flax_layer_are_those_one_expects():
    spec = symmetry.infer(*flax_linen())
    assert leaves_of(spec, "first") == {
        ("params/first/kernel", 1),
        ("params/first/bias", 0),
        ("params/block/Dense_0/kernel", 0),
    }


def test_names_are_unique_where_one_module_holds_several_groups():
    params = {"block": {"a": w(4, 5), "b": w(5, 6), "c": w(6, 3)}}

    def apply(p, x):
        p = p["block"]
        return jnp.tanh(jnp.tanh(x @ p["a"]) @ p["b"]) @ p["c"]

    assert dict(symmetry.infer(apply, params, X).groups) == {"block": 5, "block/b": 6}


def test_shapes_are_enough_to_infer_from():
    apply, params, x = flax_linen()
    shapes = jax.eval_shape(lambda: (params, x))
    assert symmetry.infer(apply, *shapes) == symmetry.infer(apply, params, x)


def test_inference_works_under_jit(key):
    apply, params, x = flax_linen()
    specs = []

    @jax.jit
    def permuted(params, x):
        specs.append(symmetry.infer(apply, params, x))
        return symmetry.permute(specs[0], params, symmetry.random_permutations(specs[0], key))

    moved = permuted(params, x)
    assert specs[0] == symmetry.infer(apply, params, x)
    assert jnp.allclose(apply(moved, x), apply(params, x), atol=1e-5)


def test_a_new_primitive_is_taught_by_one_function(monkeypatch):
    from evojax_align.symmetry import rules

    monkeypatch.setattr(rules, "RULES", rules.RULES)
    monkeypatch.setitem(rules.RULES, "cumsum", lambda equation, axes, shapes, classes: [axes[0]])
    params = {"a": w(4, 5), "b": w(5, 3)}
    apply = lambda p, x: jnp.cumsum(x @ p["a"], axis=0) @ p["b"]
    assert dict(symmetry.infer(apply, params, X).groups) == {"a": 5}


def test_two_leaves_whose_paths_read_alike_are_refused():
    params = {"a/b": w(4, 4), "a": {"b": w(4, 4)}}
    with pytest.raises(ValueError, match=r"params: got two leaves with the path 'a/b'.*Rename"):
        symmetry.infer(lambda p, x: jnp.tanh(x @ p["a/b"]) @ p["a"]["b"], params, X)


def test_inputs_that_do_not_fit_are_refused_with_their_shape():
    apply, params, _ = flax_linen()
    with pytest.raises(ValueError, match=r"apply, params, x: got .* x of shapes \[\(6, 7\)\]"):
        symmetry.infer(apply, params, np.zeros((6, 7), np.float32))
