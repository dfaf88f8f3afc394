"""Permuting by gather, and the check that a function stays the same."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evojax_align import matching, population, symmetry
from evojax_align.symmetry import PermutationSpec

RNG = np.random.default_rng(11)
PARAMS = {
    "a": jnp.asarray(RNG.normal(size=(3, 5)), jnp.float32),
    "b": jnp.asarray(RNG.normal(size=(5, 4)), jnp.bfloat16),
    "c": jnp.asarray(RNG.normal(size=(4, 2)), jnp.float32),
    "steps": jnp.array(3),
}
X = jnp.asarray(RNG.normal(size=(6, 3)), jnp.float32)


def apply(p, x):
    return jnp.tanh(jnp.tanh(x @ p["a"]) @ p["b"].astype(jnp.float32)) @ p["c"] * p["steps"]


SPEC = symmetry.infer(apply, PARAMS, X)
ORDER = {"a": np.array([2, 0, 1, 4, 3]), "b": np.array([3, 1, 0, 2])}


def same_bits(a, b):
    return all(np.array_equal(np.asarray(p), np.asarray(q)) for p, q in zip(*map(jax.tree.leaves, (a, b)), strict=True))


def test_a_permutation_puts_old_neuron_index_i_at_place_i():
    moved = symmetry.permute(SPEC, PARAMS, ORDER)
    assert np.array_equal(moved["a"], np.asarray(PARAMS["a"])[:, ORDER["a"]])
    assert np.array_equal(moved["b"], np.asarray(PARAMS["b"])[ORDER["a"]][:, ORDER["b"]])
    assert np.array_equal(moved["c"], np.asarray(PARAMS["c"])[ORDER["b"]])


def test_the_function_stays_the_same():
    assert np.allclose(apply(symmetry.permute(SPEC, PARAMS, ORDER), X), apply(PARAMS, X), atol=1e-5)


def test_a_permutation_and_its_inverse_give_back_every_bit():
    special = dict(PARAMS, a=PARAMS["a"].at[0, :4].set(jnp.array([jnp.nan, -0.0, jnp.inf, 1e-45])))
    there = symmetry.permute(SPEC, special, ORDER)
    back = symmetry.permute(SPEC, there, {group: np.argsort(order) for group, order in ORDER.items()})
    for name in PARAMS:
        assert np.asarray(back[name]).tobytes() == np.asarray(special[name]).tobytes()
        assert back[name].dtype == special[name].dtype


def test_groups_that_are_left_out_are_untouched():
    moved = symmetry.permute(SPEC, PARAMS, {"b": ORDER["b"]})
    assert same_bits(moved["a"], PARAMS["a"])
    assert same_bits(symmetry.permute(SPEC, PARAMS, {}), PARAMS)


def test_permuting_works_under_jit_and_vmap():
    expected = symmetry.permute(SPEC, PARAMS, ORDER)
    assert same_bits(jax.jit(lambda p, o: symmetry.permute(SPEC, p, o))(PARAMS, ORDER), expected)
    many = population.stack([PARAMS, expected])
    orders = {group: jnp.stack([order, jnp.argsort(order)]) for group, order in ORDER.items()}
    both = jax.vmap(lambda p, o: symmetry.permute(SPEC, p, o))(many, orders)
    assert same_bits(population.unstack(both), [expected, PARAMS])


def test_selecting_may_repeat_neurons():
    chosen = symmetry.select(SPEC, PARAMS, {"a": np.array([1, 1, 0, 4, 4])})
    assert np.array_equal(chosen["a"], np.asarray(PARAMS["a"])[:, [1, 1, 0, 4, 4]])
    assert np.array_equal(chosen["b"], np.asarray(PARAMS["b"])[[1, 1, 0, 4, 4]])
    assert same_bits(symmetry.select(SPEC, PARAMS, ORDER), symmetry.permute(SPEC, PARAMS, ORDER))


SCORES = jnp.eye(5)
WRONG = {
    "an unknown group": ({"bb": ORDER["b"]}, r"permutations: got 'bb'; expected one of 'a', 'b'.*mean 'b'"),
    "a repeated neuron": ({"a": np.array([0, 0, 1, 2, 3])}, r"permutations\['a'\]: .*repeats neurons \[0\].*`select`"),
    "an index that is too large": ({"a": np.array([0, 1, 2, 3, 5])}, r"permutations\['a'\]: got indices from 0 to 5"),
    "a negative index": ({"a": np.array([0, 1, 2, 3, -1])}, r"permutations\['a'\]: got indices from -1 to 3"),
    "too few": ({"a": np.arange(4)}, r"permutations\['a'\]: got int64 of shape \(4,\); expected an array of 5"),
    "a matrix": ({"a": np.eye(5, dtype=int)}, r"permutations\['a'\]: got int64 of shape \(5, 5\)"),
    "floating-point numbers": ({"a": jnp.arange(5.0)}, r"permutations\['a'\]: got float32 of shape \(5,\)"),
    "flags": ({"a": np.ones(5, bool)}, r"permutations\['a'\]: got bool of shape"),
    "a list": ({"a": [0, 1, 2, 3, 4]}, r"permutations\['a'\]: got list; expected an array"),
    "a matching": ({"a": matching.one_to_one(SCORES)}, r"permutations\['a'\]: got Matching; .*Pass the `x` or the `y`"),
    "a semi-matching": ({"a": matching.semi(SCORES)}, r"permutations\['a'\]: got SemiMatching; expected an array"),
    "one side of a semi-matching": (
        {"a": matching.semi(jnp.ones((5, 5))).y},
        r"permutations\['a'\]: .*repeats neurons \[0\].*A semi-matching is not a permutation",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_permutation_is_refused_with_a_reason(name):
    permutations, message = WRONG[name]
    with pytest.raises(ValueError, match=message):
        symmetry.permute(SPEC, PARAMS, permutations)


@pytest.mark.parametrize("name", ["an unknown group", "too few", "a list", "an index that is too large"])
def test_what_is_no_index_is_refused_by_select_too(name):
    permutations, message = WRONG[name]
    with pytest.raises(ValueError, match=message):
        symmetry.select(SPEC, PARAMS, permutations)


def test_under_a_trace_the_shape_of_an_index_is_still_checked():
    with pytest.raises(ValueError, match=r"permutations\['a'\]: got int32 of shape \(4,\)"):
        jax.jit(lambda index: symmetry.permute(SPEC, PARAMS, {"a": index}))(jnp.arange(4))


def test_a_leaf_that_the_specification_does_not_know_is_named():
    with pytest.raises(ValueError, match=r"params: got the leaf 'd'.*Infer the specification"):
        symmetry.permute(SPEC, dict(PARAMS, d=jnp.ones(3)), ORDER)


@pytest.mark.parametrize("shape", [(3, 7), (5,), (2, 3, 5)])
def test_parameters_of_another_width_are_refused_not_cut(shape):
    with pytest.raises(ValueError, match=r"params: got shape .* at the leaf 'a'; expected lengths \(any, 5\)"):
        symmetry.permute(SPEC, dict(PARAMS, a=jnp.ones(shape)), ORDER)


def test_a_whole_population_is_refused_with_the_way_to_lift():
    with pytest.raises(ValueError, match=r"population\.map"):
        symmetry.permute(SPEC, population.stack([PARAMS, PARAMS]), ORDER)


def test_random_permutations_hold_every_neuron_once_and_repeat_for_a_key(key):
    first = symmetry.random_permutations(SPEC, key)
    assert {group: sorted(np.asarray(order).tolist()) for group, order in first.items()} == {
        "a": [0, 1, 2, 3, 4],
        "b": [0, 1, 2, 3],
    }
    assert same_bits(first, symmetry.random_permutations(SPEC, key))
    assert symmetry.random_permutations(PermutationSpec({}, {}), key) == {}


def test_verify_is_near_zero_for_what_was_inferred(key):
    assert 0 <= float(symmetry.verify(SPEC, apply, PARAMS, X, key=key)) < 1e-5


def test_verify_is_large_for_a_wrong_specification(key):
    wrong = PermutationSpec(groups={"a": 5}, axes={"a": (None, "a"), "b": (None, None), "c": (None, None), "steps": ()})
    assert float(symmetry.verify(wrong, apply, PARAMS, X, key=key, draws=3)) > 0.1


def test_verify_runs_under_jit_and_vmap(key):
    both = population.stack([PARAMS, symmetry.permute(SPEC, PARAMS, ORDER)])
    changes = jax.jit(jax.vmap(lambda p: symmetry.verify(SPEC, apply, p, X, key=key, draws=2)))(both)
    assert changes.shape == (2,) and float(changes.max()) < 1e-5


OUTPUTS = {
    "integers": lambda p, x: jnp.argmax(apply(p, x), axis=1),
    "flags": lambda p, x: apply(p, x) > 0,
    "infinities": lambda p, x: jnp.where(jnp.arange(2)[None] > 0, -jnp.inf, apply(p, x)),
}


def test_verify_is_near_zero_for_outputs_of_every_type(key):
    network = lambda p, x: {name: output(p, x) for name, output in OUTPUTS.items()}
    assert float(symmetry.verify(SPEC, network, PARAMS, X, key=key, draws=2)) < 1e-5


@pytest.mark.parametrize("name", OUTPUTS)
def test_verify_sees_changes_in_outputs_of_every_type(name, key):
    wrong = PermutationSpec(groups={"a": 5}, axes={"a": (None, "a"), "b": (None, None), "c": (None, None), "steps": ()})
    assert float(symmetry.verify(wrong, OUTPUTS[name], PARAMS, X, key=key, draws=5)) > 0.1


def test_verify_needs_at_least_one_draw(key):
    with pytest.raises(ValueError, match="draws: got 0"):
        symmetry.verify(SPEC, apply, PARAMS, X, key=key, draws=0)
