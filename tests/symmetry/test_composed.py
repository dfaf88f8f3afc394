"""Axes that are made of parts: segments, factors, and groups inside a group."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evojax_align import symmetry
from evojax_align.symmetry.layout import Factors, Segments

RNG = np.random.default_rng(5)


def w(*shape):
    return RNG.normal(size=shape).astype(np.float32)


X = w(6, 4)
IMAGES = w(3, 6, 6, 2)


def convolve(x, kernel, **settings):
    return jax.lax.conv_general_dilated(
        x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"), **settings
    )


def test_a_concatenation_lies_end_to_end_in_the_kernel_that_reads_it(change):
    params = {"a": w(4, 3), "b": w(4, 5), "out": w(8, 2)}
    apply = lambda p, x: jnp.concatenate([jnp.tanh(x @ p["a"]), jnp.sin(x @ p["b"])], axis=1) @ p["out"]
    spec = symmetry.infer(apply, params, X)
    assert dict(spec.groups) == {"a": 3, "b": 5}
    assert spec.axes["out"] == (Segments((("a", 3), ("b", 5))), None)
    assert change(spec, apply, params, X) < 1e-5


def test_channels_run_fastest_in_what_is_flattened(change):
    params = {"conv": w(3, 3, 2, 5), "dense": w(6 * 6 * 5, 7), "out": w(7, 2)}

    def apply(p, x):
        maps = jnp.tanh(convolve(x, p["conv"]))
        return jnp.tanh(maps.reshape(len(x), -1) @ p["dense"]) @ p["out"]

    spec = symmetry.infer(apply, params, IMAGES)
    assert dict(spec.groups) == {"conv": 5, "dense": 7}
    assert spec.axes["dense"] == (Factors(((None, 6), (None, 6), ("conv", 5))), "dense")
    order = np.array([1, 0, 2, 4, 3])
    moved = symmetry.permute(spec, params, {"conv": order})
    expected = params["dense"].reshape(36, 5, 7)[:, order].reshape(180, 7)
    np.testing.assert_array_equal(moved["dense"], expected)
    assert change(spec, apply, params, IMAGES) < 1e-4


def test_channels_first_are_flattened_in_their_own_order(change):
    params = {"conv": w(5, 2, 3, 3), "dense": w(5 * 6 * 6, 7), "out": w(7, 2)}

    def apply(p, x):
        maps = jax.lax.conv(jnp.transpose(x, (0, 3, 1, 2)), p["conv"], (1, 1), "SAME")
        return jnp.tanh(jnp.tanh(maps).reshape(len(x), -1) @ p["dense"]) @ p["out"]

    spec = symmetry.infer(apply, params, IMAGES)
    assert spec.axes["dense"] == (Factors((("conv", 5), (None, 6), (None, 6))), "dense")
    assert change(spec, apply, params, IMAGES) < 1e-4


@pytest.mark.parametrize("split", ["split", "slices"])
def test_gates_are_segments_of_one_group(split, change):
    params = {"x": w(4, 10), "out": w(5, 2)}

    def apply(p, x):
        both = x @ p["x"]
        gate, value = jnp.split(both, 2, axis=1) if split == "split" else (both[:, :5], both[:, 5:])
        return (jax.nn.sigmoid(gate) * value) @ p["out"]

    spec = symmetry.infer(apply, params, X)
    (group,) = spec.groups
    assert spec.groups[group] == 5
    assert spec.axes["x"] == (None, Segments(((group, 5), (group, 5))))
    assert change(spec, apply, params, X) < 1e-5


def test_zeros_put_beside_channels_are_segments_of_the_stream(change):
    params = {"a": w(4, 3), "b": w(3, 7), "out": w(7, 2)}

    def apply(p, x):
        h = jnp.tanh(x @ p["a"])
        return (jnp.pad(h, ((0, 0), (1, 3))) + jnp.sin(h @ p["b"])) @ p["out"]

    spec = symmetry.infer(apply, params, X)
    assert sorted(spec.groups.values()) == [3, 3]  # what is padded with one zero has no order
    assert change(spec, apply, params, X) < 1e-5


ATTENTION = {
    "shaped": {"q": w(4, 3, 2), "k": w(4, 3, 2), "v": w(4, 3, 5), "o": w(3, 5, 4)},
    "flat": {"q": w(4, 6), "k": w(4, 6), "v": w(4, 15), "o": w(15, 4)},
}


def attention(p, x):
    q, k, v = (jnp.tensordot(x, p[name], 1).reshape(6, 3, -1) for name in "qkv")
    weights = jax.nn.softmax(jnp.einsum("thd,shd->hts", q, k), axis=-1)
    out = jnp.einsum("hts,shd->thd", weights, v)
    return out.reshape(6, -1) @ p["o"].reshape(15, 4)


@pytest.mark.parametrize("kind", ATTENTION)
def test_every_head_has_its_own_order_of_channels(kind, change):
    params = ATTENTION[kind]
    spec = symmetry.infer(attention, params, X)
    (heads,) = set(spec.parents.values())
    channels = sorted(spec.groups[g] for g in spec.parents)
    assert (spec.groups[heads], channels) == (3, [2, 5])
    assert change(spec, attention, params, X) < 1e-5
    values = next(g for g in spec.parents if spec.groups[g] == 5)
    orders = np.array([[0, 1, 2, 3, 4], [4, 3, 2, 1, 0], [1, 0, 2, 4, 3]])
    moved = symmetry.permute(spec, params, {heads: np.array([2, 0, 1]), values: orders})
    value, out = params["v"].reshape(4, 3, 5), params["o"].reshape(3, 5, 4)
    expected = np.stack([value[:, h, orders[h]] for h in (2, 0, 1)], axis=1)  # channels first, and then heads
    np.testing.assert_array_equal(np.asarray(moved["v"]).reshape(4, 3, 5), expected)
    expected = np.stack([out[h, orders[h]] for h in (2, 0, 1)])
    np.testing.assert_array_equal(np.asarray(moved["o"]).reshape(3, 5, 4), expected)


def test_a_scale_that_all_heads_share_ties_their_channels(change):
    params = ATTENTION["flat"] | {"scale": w(2)}
    apply = lambda p, x: attention(p | {"q": (p["q"].reshape(4, 3, 2) * p["scale"][None, None]).reshape(4, 6)}, x)
    spec = symmetry.infer(apply, params, X)
    tied = [g for g in spec.groups if g not in spec.parents and spec.groups[g] == 2]
    assert len(tied) == 1
    assert change(spec, apply, params, X) < 1e-5


def test_groups_of_a_convolution_move_whole_with_channels_of_their_own_inside(change):
    params = {"in": w(1, 1, 2, 6), "grouped": w(3, 3, 2, 9), "out": w(1, 1, 9, 4)}

    def apply(p, x):
        h = jnp.tanh(convolve(jnp.tanh(convolve(x, p["in"])), p["grouped"], feature_group_count=3))
        return convolve(h, p["out"])

    spec = symmetry.infer(apply, params, IMAGES)
    (groups,) = set(spec.parents.values())
    assert spec.groups[groups] == 3 and sorted(spec.groups[g] for g in spec.parents) == [2, 3]
    assert change(spec, apply, params, IMAGES) < 1e-4


def test_a_depthwise_kernel_goes_with_its_channels(change):
    params = {"in": w(1, 1, 2, 6), "depth": w(3, 3, 1, 6), "out": w(1, 1, 6, 4)}

    def apply(p, x):
        h = jnp.tanh(convolve(jnp.tanh(convolve(x, p["in"])), p["depth"], feature_group_count=6))
        return convolve(h, p["out"])

    spec = symmetry.infer(apply, params, IMAGES)
    (group,) = spec.groups
    assert spec.axes["depth"] == (None, None, None, group)
    assert change(spec, apply, params, IMAGES) < 1e-4


def test_group_normalisation_permutes_within_its_groups_and_whole_groups(change):
    params = {"in": w(4, 6), "scale": w(6), "out": w(6, 2)}

    def apply(p, x):
        h = (x @ p["in"]).reshape(6, 3, 2)
        h = (h - h.mean(axis=2, keepdims=True)) / (h.std(axis=2, keepdims=True) + 0.1)
        return jnp.tanh(h.reshape(6, 6) * p["scale"][None]) @ p["out"]

    spec = symmetry.infer(apply, params, X)
    (inner,) = spec.parents
    assert (spec.groups[spec.parents[inner]], spec.groups[inner]) == (3, 2)
    assert change(spec, apply, params, X) < 1e-5


def test_a_recurrent_state_is_one_group_before_during_and_after(change):
    params = {"x": w(4, 20), "h": w(5, 20), "out": w(5, 2)}

    def apply(p, x):
        def step(state, row):
            h, c = state
            i, f, g, o = jnp.split(row @ p["x"] + h @ p["h"], 4)
            c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
            h = jax.nn.sigmoid(o) * jnp.tanh(c)
            return (h, c), None

        (h, _), _ = jax.lax.scan(step, (jnp.zeros(5), jnp.zeros(5)), x)
        return h @ p["out"]

    spec = symmetry.infer(apply, params, X)
    (group,) = spec.groups
    assert spec.groups[group] == 5
    assert spec.axes["h"] == (group, Segments(((group, 5),) * 4))
    assert change(spec, apply, params, X) < 1e-5
    read = symmetry.activations(spec, apply, params, X)[group]
    assert read.shape == (7, 5)  # the state that every step begins with, and the last
    np.testing.assert_array_equal(read[-7], np.zeros(5))


def test_both_branches_and_the_body_of_a_loop_are_followed(change):
    params = {"a": w(4, 5), "b": w(5, 5), "out": w(5, 2)}

    def apply(p, x):
        h = jnp.tanh(x @ p["a"])
        h = jax.lax.cond(jnp.sum(x) > 0, lambda h: h * 2, lambda h: jnp.tanh(h @ (p["b"] @ p["b"].T)), h)
        h = jax.lax.while_loop(lambda s: jnp.sum(s**2) > 1, lambda s: s / 2, h)
        return h @ p["out"]

    spec = symmetry.infer(apply, params, X)
    assert dict(spec.groups) == {"a": 5, "b": 5}
    assert dict(spec.axes) == {"a": (None, "a"), "b": ("a", "b"), "out": ("a", None)}
    assert change(spec, apply, params, X) < 1e-5


def test_composing_and_inverting_permutations_of_heads_and_channels():
    params = ATTENTION["shaped"]
    spec = symmetry.infer(attention, params, X)
    first, second = (symmetry.random_permutations(spec, jax.random.key(seed)) for seed in (0, 1))
    twice = symmetry.permute(spec, symmetry.permute(spec, params, first), second)
    at_once = symmetry.permute(spec, params, symmetry.compose(spec, first, second))
    back = symmetry.permute(spec, symmetry.permute(spec, params, first), symmetry.inverse(spec, first))
    for name in params:
        np.testing.assert_array_equal(twice[name], at_once[name])
        np.testing.assert_array_equal(back[name], params[name])
    nothing = symmetry.permute(spec, params, symmetry.identity(spec))
    np.testing.assert_array_equal(nothing["q"], params["q"])


def test_activations_of_channels_go_with_their_heads():
    params = ATTENTION["flat"]
    spec = symmetry.infer(attention, params, X)
    orders = symmetry.random_permutations(spec, jax.random.key(0))
    before = symmetry.activations(spec, attention, params, X)
    after = symmetry.activations(spec, attention, symmetry.permute(spec, params, orders), X)
    assert set(before) == set(spec.parents)  # heads are read through their channels
    for group, columns in before.items():
        heads = np.asarray(orders[spec.parents[group]])
        expected = np.stack([np.asarray(columns)[:, h, orders[group][h]] for h in heads], axis=1)
        np.testing.assert_allclose(after[group], expected, atol=1e-5)


def test_positions_can_be_thinned_out():
    params = {"conv": w(3, 3, 2, 5), "out": w(5, 2)}
    apply = lambda p, x: convolve(jnp.tanh(convolve(x, p["conv"])), p["out"][None, None])
    spec = symmetry.infer(apply, params, IMAGES)
    every = symmetry.activations(spec, apply, params, IMAGES)["conv"]
    few = symmetry.activations(spec, apply, params, IMAGES, positions=4)["conv"]
    assert (every.shape, few.shape) == ((3 * 36, 5), (3 * 4, 5))
    assert {tuple(row) for row in np.asarray(few).tolist()} <= {tuple(row) for row in np.asarray(every).tolist()}
    with pytest.raises(ValueError, match="positions: got 0"):
        symmetry.activations(spec, apply, params, IMAGES, positions=0)


def test_masks_and_optimiser_moments_are_permuted_by_the_same_call():
    optax = pytest.importorskip("optax")
    params = {"in": w(4, 5), "out": w(5, 2)}
    spec = symmetry.infer(lambda p, x: jnp.tanh(x @ p["in"]) @ p["out"], params, X)
    moments = optax.adam(1e-3).init(params)[0].mu | {"in": w(4, 5)}
    masks = {name: leaf > 0 for name, leaf in params.items()}
    order = {"in": np.array([4, 2, 0, 1, 3])}
    for tree in (moments, masks):
        moved = symmetry.permute(spec, tree, order)
        np.testing.assert_array_equal(moved["in"], np.asarray(tree["in"])[:, order["in"]])
        np.testing.assert_array_equal(moved["out"], np.asarray(tree["out"])[order["in"]])


def test_rows_that_slices_leave_out_are_no_neurons_and_hold_nothing():
    """The rows of a position table beyond the length of the inputs could be in any order: no output depends on them."""

    def transformer(p, x):
        stream = p["tokens"][x] + p["positions"][None, : x.shape[1]]
        stream = stream + jnp.tanh(stream @ p["up"]) @ p["down"]
        return stream @ p["out"]

    shapes = {"tokens": (11, 6), "positions": (20, 6), "up": (6, 8), "down": (8, 6), "out": (6, 11)}
    params = {name: jax.ShapeDtypeStruct(shape, jnp.float32) for name, shape in shapes.items()}
    spec = symmetry.infer(transformer, params, jax.ShapeDtypeStruct((5, 7), jnp.int32))
    assert dict(spec.groups) == {"tokens": 6, "up": 8} and not spec.parents
    assert spec.axes["positions"] == (None, "tokens")
