"""The errors at the door, in their one form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evojax_align import _checks


def test_an_error_names_the_argument_what_came_what_was_expected_and_the_mend():
    assert (
        str(_checks.bad("rank", 0, "at least 1", "Leave it out.")) == "rank: got 0; expected at least 1. Leave it out."
    )


def test_a_known_name_is_returned_and_an_unknown_one_gets_the_nearest():
    assert _checks.one_of("method", "cca", ["cca", "semi"]) == "cca"
    with pytest.raises(ValueError, match=r"method: got 'corelation'; expected one of .* Did you mean 'correlation'\?"):
        _checks.one_of("method", "corelation", ["cca", "correlation"])
    with pytest.raises(ValueError, match=r"method: got 'zzz'.* Choose one of these"):
        _checks.one_of("method", "zzz", iter(["cca", "correlation"]))


def test_values_can_be_looked_at_outside_a_trace_only():
    assert _checks.is_concrete({"a": jnp.ones(2), "b": 1.0}, np.ones(3))
    seen = []
    jax.jit(lambda x: seen.append(_checks.is_concrete({"a": x, "b": 1.0})))(1.0)
    assert seen == [False]


@pytest.mark.parametrize("value", [1, 7, np.int32(3)])
def test_positive_integers_pass(value, unchecked):
    assert _checks.positive("size", value) == int(value)


@pytest.mark.parametrize("value", [0, -3, 2.0, True, "2"])
def test_what_is_no_positive_integer_is_refused(value, unchecked):
    with pytest.raises(ValueError, match=r"size: got .*at least 1"):
        _checks.positive("size", value)


def test_paths_read_the_same_for_dicts_lists_and_records():
    tree = {"layers": [{"w": 1}, (2, 3)]}
    paths = [_checks.path_string(path) for path, _ in jax.tree_util.tree_leaves_with_path(tree)]
    assert paths == ["layers/0/w", "layers/1/0", "layers/1/1"]


SAME = {"a": [jnp.ones(2), jnp.array(1)], "b": None}
DIFFERENT = {
    "shape": ({"a": [jnp.ones(3), jnp.array(1)], "b": None}, r"a, b: got shape \(2,\) and \(3,\) at the leaf 'a/0'"),
    "type": ({"a": [jnp.ones(2), jnp.array(1.0)], "b": None}, r"got dtype int32 and float32 at the leaf 'a/1'.*Cast"),
    "a leaf more": ({"a": [jnp.ones(2), jnp.array(1)], "b": 1.0}, r"got the leaf 'b' in b only.*Give a this leaf"),
    "a leaf less": ({"a": [jnp.ones(2)], "b": None}, r"got the leaf 'a/1' in a only.*Give b this leaf"),
    "structure": ({"a": [jnp.ones(2), jnp.array(1)]}, "got PyTreeDef.*expected two trees of the same structure"),
}


def test_equal_trees_pass():
    _checks.same_trees("a", SAME, "b", {"a": [np.zeros(2, np.float32), np.int32(3)], "b": None})
    _checks.same_trees("a", jax.random.key(0), "b", jax.random.key(1))


@pytest.mark.parametrize("name", DIFFERENT)
def test_the_first_difference_between_two_trees_is_named(name):
    other, message = DIFFERENT[name]
    with pytest.raises(ValueError, match=message):
        _checks.same_trees("a", SAME, "b", other)


def test_leaves_whose_paths_read_alike_are_all_compared():
    a = {"a/b": jnp.ones(2), "a": {"b": jnp.ones(3)}}
    _checks.same_trees("a", a, "b", a)
    for other in ({"a/b": jnp.ones(4), "a": {"b": jnp.ones(3)}}, {"a/b": jnp.ones(2), "a": {"b": jnp.ones(4)}}):
        with pytest.raises(ValueError, match="at the leaf 'a/b'"):
            _checks.same_trees("a", a, "b", other)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float16, jnp.complex64])
def test_values_that_are_not_finite_are_counted_and_their_leaf_is_named(dtype):
    good = {"w": jnp.ones((2, 2), dtype), "n": jnp.array(3), "key": jax.random.key(0)}
    _checks.all_finite("a", good)
    with pytest.raises(ValueError, match=r"a: got 2 values that are NaN or infinite at the leaf 'w'"):
        _checks.all_finite("a", dict(good, w=jnp.array([[1, jnp.nan], [jnp.inf, 0]]).astype(dtype)))
    with pytest.raises(ValueError, match=r"a: got 1 values that are NaN or infinite;"):
        _checks.all_finite("a", jnp.array([jnp.nan, 1]).astype(dtype))


def test_large_numbers_in_double_precision_are_finite():
    _checks.all_finite("a", np.array([1e300]))


def test_inputs_that_a_network_refuses_are_named_with_their_shapes():
    jaxpr = _checks.traced(jax.make_jaxpr, lambda p, x: x @ p, jnp.ones((3, 2)), jnp.ones((4, 3)))
    assert jaxpr.out_avals[0].shape == (4, 2)
    with pytest.raises(
        ValueError, match=r"x of shapes \[\(4, 5\)\].*tracing it raised: TypeError: dot_general"
    ) as error:
        _checks.traced(jax.make_jaxpr, lambda p, x: x @ p, jnp.ones((3, 2)), jnp.ones((4, 5)))
    assert isinstance(error.value.__cause__, TypeError)


def test_a_missing_module_is_reported_with_the_extra_that_installs_it():
    assert _checks.extra("math", "plotting").pi > 3
    with pytest.raises(
        ModuleNotFoundError, match=r"no_such_module .*extra 'plotting'.*pip install 'evojax-align\[plotting\]'"
    ):
        _checks.extra("no_such_module", "plotting")
