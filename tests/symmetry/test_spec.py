"""A symmetry is data: hashable, comparable, static under transformations, readable."""

import copy
import dataclasses
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evojax_align import symmetry
from evojax_align.symmetry import Frozen, PermutationSpec

PARAMS = {"a": np.ones((3, 5), np.float32), "b": np.ones((5, 2), np.float32)}
X = np.ones((4, 3), np.float32)


def apply(p, x):
    return jnp.tanh(x @ p["a"]) @ p["b"]


def ordered(p, x):
    return jnp.cumsum(x @ p["a"], axis=1) @ p["b"]


@pytest.mark.parametrize("network", [apply, ordered])
def test_two_inferences_are_equal_and_hash_alike(network):
    first, second = symmetry.infer(network, PARAMS, X), symmetry.infer(network, PARAMS, X)
    assert first == second and hash(first) == hash(second)


def test_other_networks_have_other_symmetries():
    assert symmetry.infer(apply, PARAMS, X) != symmetry.infer(ordered, PARAMS, X)


def test_the_order_in_which_a_specification_was_written_does_not_matter():
    one = PermutationSpec(groups={"h": 5}, axes={"a": (None, "h"), "b": ("h", None)})
    two = PermutationSpec(groups={"h": 5}, axes={"b": ("h", None), "a": (None, "h")})
    assert one == two and hash(one) == hash(two)


def test_a_specification_goes_through_jit_as_a_static_value(key):
    spec = symmetry.infer(apply, PARAMS, X)
    traces = []

    @jax.jit
    def moved(spec, params, index):
        traces.append(spec)
        return symmetry.permute(spec, params, {"a": index})

    out = moved(spec, PARAMS, jnp.arange(5)[::-1])
    moved(symmetry.infer(apply, PARAMS, X), PARAMS, jax.random.permutation(key, 5))
    assert len(traces) == 1
    assert jnp.array_equal(out["a"], PARAMS["a"][:, ::-1])
    assert jax.tree.leaves(spec) == []


def test_a_specification_cannot_be_changed():
    spec = symmetry.infer(apply, PARAMS, X)
    with pytest.raises(dataclasses.FrozenInstanceError):
        spec.groups = {}
    with pytest.raises(TypeError):
        spec.groups["a"] = 7
    source = {"h": 5}
    written = PermutationSpec(groups=source, axes={"a": (None, "h")})
    source["h"] = 6
    assert written.groups["h"] == 5


def test_a_specification_can_be_copied_and_sent_to_another_process():
    spec = symmetry.infer(ordered, PARAMS, X)
    assert copy.deepcopy(spec) == spec
    assert pickle.loads(pickle.dumps(spec)) == spec
    assert dataclasses.replace(spec, frozen=()).axes == spec.axes


def test_a_specification_that_names_a_group_without_a_size_is_refused():
    with pytest.raises(ValueError, match=r"axes\['a'\]: got 'hiden'.*Did you mean 'hidden'"):
        PermutationSpec(groups={"hidden": 5}, axes={"a": (None, "hiden")})


def test_a_printed_specification_is_a_table_of_groups_and_their_axes():
    assert str(symmetry.infer(apply, PARAMS, X)) == "group  neurons  axes\na      5        a[1], b[0]"
    assert str(PermutationSpec(groups={}, axes={"a": (None,)})).startswith("no axis can be permuted")


def test_a_printed_specification_says_what_was_frozen_by_what():
    lines = str(symmetry.infer(ordered, PARAMS, X)).splitlines()
    assert [line.split()[:2] for line in lines[2:]] == [["fixed", "data"], ["fixed", "output"]]
    assert lines[1].startswith("frozen  cumsum   a[1], b[0] (") and "test_spec.py" in lines[1]


def test_what_was_frozen_is_a_record():
    (freeze,) = symmetry.infer(ordered, PARAMS, X).frozen
    assert isinstance(freeze, Frozen)
    assert freeze.primitive == "cumsum" and freeze.axes == (("a", 1), ("b", 0))
