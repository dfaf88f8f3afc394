import jax
import jax.numpy as jnp
import numpy as np
import pytest

import evojax_align as ea
from evojax_align import symmetry
from evojax_align.symmetry.checking import _try

RNG = np.random.default_rng(0)
X = RNG.normal(size=(20, 3)).astype(np.float32)


def draw():
    return {
        "a": RNG.normal(size=(3, 5)).astype(np.float32),
        "b": RNG.normal(size=(5, 5)).astype(np.float32),
        "c": RNG.normal(size=(5, 2)).astype(np.float32),
    }


def apply(p, x):
    return jnp.tanh(jnp.tanh(x @ p["a"]) @ p["b"]) @ p["c"]


WRONG = symmetry.PermutationSpec(
    groups={"right": 5, "wrong": 5}, axes={"a": (None, "right"), "b": ("right", "wrong"), "c": (None, None)}
)


@pytest.mark.parametrize("traced", [False, True])
def test_a_wrong_specification_is_refused_and_the_group_is_named(traced):
    a, b = draw(), draw()
    align = lambda a, b: ea.align(apply, a, b, X, spec=WRONG).a
    with pytest.raises(ValueError, match=r"spec: got the group 'wrong'.*Leave the group out"):
        (jax.jit(align) if traced else align)(a, b)
    with pytest.raises(ValueError, match="the group 'wrong'"):
        ea.align_pairs(apply, *jax.tree.map(lambda leaf: leaf[None], (a, b)), X, spec=WRONG)


def test_the_check_can_be_turned_off():
    a, b = draw(), draw()
    assert ea.align(apply, a, b, X, spec=WRONG, verify=False).permutations_a.keys() == {"right", "wrong"}


def test_a_network_is_tried_once_for_its_shapes():
    network = lambda p, x: apply(p, x)
    a, b = draw(), draw()
    before = _try.cache_info()
    ea.align(network, a, b, X)
    ea.align(network, b, a, X)
    jax.jit(lambda a, b: ea.align(network, a, b, X).b)(a, b)
    after = _try.cache_info()
    assert (after.misses, after.hits) == (before.misses + 1, before.hits + 2)


def test_a_network_that_wants_positive_parameters_is_tried_with_them():
    params = {"scale": np.ones((1, 4), np.float32), "w": np.ones((4, 2), np.float32)}
    roots = lambda p, x: (x @ jnp.ones((3, 1)) * jnp.sqrt(p["scale"])) @ p["w"]
    wrong = symmetry.PermutationSpec(groups={"g": 4}, axes={"scale": (None, "g"), "w": (None, None)})
    with pytest.raises(ValueError, match="the group 'g'"):
        ea.align(roots, params, params, X, spec=wrong)


def test_a_network_that_closes_over_a_tracer_is_taken_at_its_word():
    a, b = draw(), draw()

    @jax.jit
    def outer(shift):
        return ea.align(lambda p, x: apply(p, x + shift), a, b, X).permutations_b

    plain = ea.align(apply, a, b, X).permutations_b
    for group, order in outer(0.0).items():
        np.testing.assert_array_equal(order, plain[group])


EXPLICIT = """
import dataclasses
import evojax_align as ea
from jax.sharding import NamedSharding, PartitionSpec as P

def network(p, x):
    return jnp.tanh(x @ p["in"]) @ p["out"]

def evolved(mesh):
    apply = network
    x = jax.random.normal(jax.random.key(0), (12, 4))
    a, b = [{"in": jax.random.normal(key, (4, 6)), "out": jax.random.normal(key, (6, 3))} for key in
            jax.random.split(jax.random.key(1))]
    if mesh is not None:
        whole, rows = P(None, None), P("members", None)
        apply = jax.shard_map(network, mesh=mesh, in_specs=(whole, rows), out_specs=rows)
        x, a, b = jax.device_put((x, a, b), tuple(NamedSharding(mesh, spec) for spec in (rows, whole, whole)))
    spec = ea.symmetry.infer(apply, a, x)
    wrong = dataclasses.replace(spec, axes=dict(spec.axes, out=(None, None)))
    aligned = lambda a, b, x, spec: ea.align(apply, a, b, x, method="weights", spec=spec).permutations_b
    for function in (aligned, jax.jit(aligned, static_argnums=3)):
        try:
            function(a, b, x, wrong)
            raise AssertionError("a wrong symmetry was let through")
        except ValueError as error:
            assert "a permutation of which changes the outputs" in str(error), error
    return aligned(a, b, x, None), jax.jit(aligned, static_argnums=3)(a, b, x, spec)
"""


@pytest.mark.slow
def test_a_network_that_runs_over_an_explicit_mesh_is_tried_on_it(error_on_two_devices):
    assert error_on_two_devices(EXPLICIT) == ""
