"""Layers of two frameworks get partners where there is no doubt; otherwise the error says what is in doubt."""

import equinox as eqx
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import evojax_align as ea
from tests.interop import pytorch_in_numpy as ref
from tests.interop.networks import CASES, Nested, cell, layer, norm


def state_of(shapes):
    rng = np.random.default_rng(0)
    return {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def dense(inputs, outputs):
    return {"kernel": jnp.zeros((inputs, outputs)), "bias": jnp.zeros(outputs)}


def test_layers_of_equal_shapes_are_taken_in_the_order_of_their_numbers_not_of_the_alphabet():
    state = state_of({key: shape for n in reversed(range(12)) for key, shape in layer(f"layers.{n}", 3, 3).items()})
    params = {"params": {f"Dense_{n}": dense(3, 3) for n in range(12)}}
    leaves = ea.interop.converter(state, params).leaves
    assert all(leaves[f"layers.{n}.weight"] == (f"params/Dense_{n}/kernel",) for n in range(12))


def test_equal_names_go_before_shapes_where_both_sides_have_the_same_numbers():
    state = state_of(layer("b.1.x", 3, 3) | layer("b.1.y", 3, 3) | layer("0", 3, 3) | layer("2", 3, 3))
    params = {"b_1": {"y": dense(3, 3), "x": dense(3, 3)}, "0": dense(3, 3), "1": dense(3, 3)}
    leaves = ea.interop.converter(state, params).leaves
    assert leaves["b.1.x.bias"] == ("b_1/x/bias",) and leaves["2.bias"] == ("1/bias",)


def test_a_layer_that_fits_one_other_leaves_the_rest_to_the_others():
    state = state_of(layer("up", 4, 3, 2, 2, outputs=3) | layer("down", 4, 3, 2, 2) | layer("head", 2, 5))
    kernels = {"one": (2, 2, 4, 3), "other": (2, 2, 3, 4)}
    params = {name: {"kernel": jnp.zeros(shape), "bias": jnp.zeros(shape[-1])} for name, shape in kernels.items()}
    leaves = ea.interop.converter(state, params | {"end": dense(5, 2)}).leaves
    assert leaves["up.weight"] == ("one/kernel",) and leaves["head.weight"] == ("end/kernel",)


def test_names_are_of_layers_or_of_tensors():
    state = state_of(layer("encoder", 3, 3) | layer("decoder", 3, 3))
    params = {"params": {"a": dense(3, 3), "w": jnp.zeros((3, 3)), "b": jnp.zeros(3)}}
    names = {"decoder": "params/a", "encoder.weight": "params/w", "encoder.bias": "b"}
    conversion = ea.interop.converter(state, params, names=names)
    found = conversion.to_params(state)["params"]
    np.testing.assert_array_equal(found["w"], state["encoder.weight"].T)
    np.testing.assert_array_equal(found["a"]["kernel"], state["decoder.weight"].T)
    same = ea.interop.converter(state, params, names=names, kinds={"encoder": "same"}).to_params(state)["params"]
    np.testing.assert_array_equal(same["w"], state["encoder.weight"])


def test_equinox_has_the_axes_of_pytorch():
    net = eqx.nn.Sequential([eqx.nn.Conv2d(2, 4, 3, key=jax.random.key(0)), eqx.nn.Linear(8, 8, key=jax.random.key(1))])
    params = eqx.filter(net, eqx.is_array)
    state = state_of(layer("conv", 4, 2, 3, 3) | layer("fc", 8, 8))
    found = ea.interop.converter(state, params).to_params(state)
    np.testing.assert_array_equal(found[1].weight, state["fc.weight"])
    np.testing.assert_array_equal(found[0].bias[:, 0, 0], state["conv.bias"])
    with pytest.raises(ValueError, match=r"flatten: got \{'fc': \(1, 2\)\}.*axes of PyTorch.*Leave it out"):
        ea.interop.converter(state, params, flatten={"fc": (1, 2)})


@pytest.mark.slow
def test_layers_of_flax_nnx():
    class Net(nnx.Module):
        def __init__(self, rngs):
            self.norm = nnx.BatchNorm(5, use_running_average=True, epsilon=1e-5, rngs=rngs)
            self.cell = nnx.OptimizedLSTMCell(5, 3, rngs=rngs)
            self.out = nnx.Linear(3, 2, rngs=rngs)

        def __call__(self, x):
            carry = (jnp.zeros((len(x), 3)), jnp.zeros((len(x), 3)))
            for _ in range(2):
                carry, y = self.cell(carry, self.norm(x))
            return self.out(y)

    graph, params = nnx.split(Net(nnx.Rngs(0)))
    state = state_of(cell("rnn", 4, 5, 3, "") | norm("norm", 5) | layer("out", 2, 3))
    state["norm.running_var"] = np.abs(state["norm.running_var"]) + 0.5
    conversion = ea.interop.converter(state, params)
    x = np.ones((4, 5), np.float32)
    normed = ref.batch_norm(state, "norm", x)
    expected = ref.recurrent(state, "rnn", np.stack([normed, normed], 1), "lstm", "")[:, -1]
    outputs = nnx.merge(graph, conversion.to_params(state))(x)
    np.testing.assert_allclose(outputs, ref.linear(state, "out", expected), atol=1e-5)


def test_a_counter_of_batches_needs_no_leaf_and_comes_back():
    state = state_of(layer("fc", 2, 3)) | {"bn.num_batches_tracked": np.array(7)}
    conversion = ea.interop.converter(state, {"fc": dense(3, 2)})
    state["bn.num_batches_tracked"][()] = 9  # the module is trained on
    assert conversion.to_state_dict({"fc": dense(3, 2)})["bn.num_batches_tracked"] == 7
    assert "bn.num_batches_tracked" in str(conversion)


CNN, NORMED = CASES["CNN"], CASES["batch normalisation"]
TWO = layer("first", 3, 3) | layer("second", 3, 3)


def wrong():
    state, like = state_of(TWO), {"a": dense(3, 3), "b": dense(3, 3)}
    names = {"first": "a", "second": "b"}
    conversion = ea.interop.converter(state, like, names=names)
    tied = ea.interop.converter(
        state_of({"u": (3, 3), "v": (3, 3)}), {"w": jnp.zeros((3, 3))}, names={"u": "w", "v": "w"}
    )
    nested = jax.eval_shape(Nested().init, jax.random.key(0), jnp.zeros((1, 36)))
    fcs = state_of(layer("fc1", 5, 36) | layer("fc2", 5, 5) | layer("fc3", 5, 5))
    gru = state_of(cell("rnn", 3, 5, 3))
    fused = {"dense_i": dense(5, 9), "dense_h": {"kernel": jnp.zeros((3, 9))}}
    make = ea.interop.converter
    return {
        "which of two": (lambda: make(state, like), r"state, params: got layers .*'first' \(weight \(3, 3\).*names="),
        "one too few": (lambda: make(state_of(layer("first", 3, 3)), like), "In state: 'first'.*'b' "),
        "another width": (lambda: make(state, like | {"a": dense(4, 3)}), r"kernel \(4, 3\)"),
        "names that do not fit": (
            lambda: make(state_of(layer("a", 2, 5)), {"a": dense(4, 2)}),
            r"state, params: got 'a' with weight \(2, 5\)",
        ),
        "an unknown layer": (lambda: make(state, like, names={"frist": "a"}), "names: got 'frist'.*'first'?"),
        "an unknown leaf": (lambda: make(state, like, names={"first": "aa"}), r"names\['first'\]: got 'aa'"),
        "a layer twice": (
            lambda: make(state, like, names={"first": "a", "second": "a"}),
            "names: got 'second' for 'a'",
        ),
        "a tensor for a leaf of another shape": (
            lambda: make(state, like, names={"first.bias": "a/kernel"}),
            r"names: got first.bias \(3,\) for a/kernel",
        ),
        "something skipped that is not there": (lambda: make(state, like, skip=["third"]), "skip: got 'third'"),
        "an unknown kind": (lambda: make(state, like, kinds={"first": "dense"}), r"kinds\['first'\]: got 'dense'"),
        "a flattened map": (
            lambda: make(CNN.state(), CNN.like()),
            r"flatten: got 'fc1', which takes 36 .*flatten=\{'fc1'",
        ),
        "a flattened map that is normalised": (
            lambda: make(NORMED.state(), NORMED.like(), flatten={"fc": (4,)}),
            "flatten: got 'bn2', which takes 12",
        ),
        "a map of another size": (
            lambda: make(CNN.state(), CNN.like(), flatten={"fc1": (5, 5)}),
            r"flatten: got \(5, 5\) for fc1.weight",
        ),
        "a map of an unknown layer": (lambda: make(state, like, flatten={"fc": (1, 1)}), "flatten: got 'fc'"),
        "layers counted from the last": (lambda: make(fcs, nested), "state, params: got 'fc1' with 'Dense_2'"),
        "a cell without the bias of the reset gate": (lambda: make(gru, fused), "state, params: got layers"),
        "no state dict": (lambda: make(nn.Dense(3), like), "state: got a Dense; expected a mapping"),
        "a checkpoint": (lambda: make({"model": state}, like), r"state\['model'\]: got a mapping"),
        "a text": (lambda: make({"first.weight": "a"}, like), r"state\['first.weight'\]: got a str of"),
        "a list of unequal lists": (lambda: make({"x": [[1], [1, 2]]}, like), r"state\['x'\]: got a list"),
        "a name that is a number": (lambda: make({0: np.ones(3)}, like), "state: got the name 0"),
        "a state without a tensor": (
            lambda: conversion.to_params({key: state[key] for key in state if key != "first.bias"}),
            "state: got no first.bias",
        ),
        "a state with another tensor": (
            lambda: conversion.to_params(state | {"c": np.ones(1)}),
            "state: got c, which has no place",
        ),
        "a state of another shape": (
            lambda: conversion.to_params(state | {"first.bias": np.ones(4)}),
            r"state: got first.bias of shape \(4,\), not \(3,\)",
        ),
        "a population": (
            lambda: conversion.to_state_dict(jax.tree.map(lambda leaf: leaf[None], like)),
            r"params: got a/bias of shape \(1, 3\).*unstack",
        ),
        "tied tensors that differ": (
            lambda: tied.to_params(state_of({"u": (3, 3), "v": (3, 3)})),
            "state: got different values of u, v",
        ),
    }


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("name", wrong())
def test_an_error_says_what_did_not_fit(name):
    call, message = wrong()[name]
    with pytest.raises(ValueError, match=message):
        call()


def test_a_normalisation_of_concatenated_maps_is_no_flattened_map():
    state = state_of(layer("conv", 4, 1, 3, 3) | norm("bn", 8))
    kernel = {"kernel": jnp.zeros((3, 3, 1, 4)), "bias": jnp.zeros(4)}
    like = {"conv": kernel, "bn": {name: jnp.zeros(8) for name in ("scale", "bias", "mean", "var")}}
    assert ea.interop.converter(state, like).leaves["bn.running_var"] == ("bn/var",)


def test_an_empty_shape_of_a_map_says_that_there_is_none():
    state, like = CNN.state(), CNN.like()
    found = ea.interop.converter(state, like, flatten={"fc1": ()}).to_params(state)
    np.testing.assert_array_equal(found["params"]["Dense_0"]["kernel"], state["fc1.weight"].T)
