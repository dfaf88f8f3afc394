"""What is unsure is frozen, and reported by the name and the source of the operation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import Primitive
from jax.interpreters import mlir

from evojax_align import symmetry

RNG = np.random.default_rng(3)
X = RNG.normal(size=(4, 4)).astype(np.float32)
UNEVEN = np.array([[1, 1, 0, 1]], np.float32)

mystery = Primitive("mystery")
mystery.def_impl(lambda x: x)
mystery.def_abstract_eval(lambda x: x)
mlir.register_lowering(mystery, mlir.lower_fun(lambda x: x, multiple_results=False))


def _scan(h):
    return jax.lax.scan(lambda carry, row: (0.5 * carry + row, jnp.cumsum(carry)), jnp.zeros(4), h)[1]


def _while(h):
    return jax.lax.while_loop(lambda v: jnp.sum(v) < 0, lambda v: v + jnp.cumsum(v, axis=1), h)


def _cond(h):
    return jax.lax.cond(jnp.sum(h) > 0, lambda v: v, lambda v: jnp.sort(v, axis=1), h)


@jax.custom_jvp
def _own_derivative(h):
    return h[:, ::-1]


_own_derivative.defjvp(lambda primals, tangents: (_own_derivative(*primals), tangents[0]))

FREEZING = {  # what is done to the hidden layer, and the primitive that is to blame
    "argmax": (lambda h: h * jax.nn.one_hot(jnp.argmax(h, axis=1), 4), "argmax"),
    "argmin": (lambda h: h + jnp.argmin(h, axis=1, keepdims=True), "argmin"),
    "argsort": (lambda h: h + jnp.argsort(h, axis=1), None),
    "sorted beside itself": (lambda h: h + jnp.sort(h, axis=1), "sort"),
    "top k beside itself": (lambda h: h + jax.lax.top_k(h, 4)[0], "top_k"),
    "places of the largest": (lambda h: h[:, jax.lax.top_k(h[0], 4)[1]], "top_k"),
    "cumsum": (lambda h: jnp.cumsum(h, axis=1), "cumsum"),
    "flip": (lambda h: h[:, ::-1], "rev"),
    "neighbours": (lambda h: h + jnp.roll(h, 1, axis=1), "add"),
    "differences": (lambda h: jnp.pad(h[:, 1:] - h[:, :-1], ((0, 0), (0, 1))), "slice"),
    "every other": (lambda h: jnp.concatenate([h[:, ::2], h[:, 1::2]], axis=1), None),
    "gather": (lambda h: h[:, np.array([1, 0, 2, 3])], "gather"),
    "pairs and halves": (lambda h: h.reshape(4, 2, 2).max(2).repeat(2, 1) + jnp.tile(h[:, :2] + h[:, 2:], 2), None),
    "merged with the batch": (lambda h: jnp.tanh(h.reshape(16) * jnp.arange(16.0)).reshape(4, 4), "iota"),
    "position": (lambda h: h * jnp.arange(4.0)[None], "iota"),
    "triangle": (lambda h: h @ jnp.tril(jnp.ones((4, 4))), "iota"),
    "uneven mask": (lambda h: h * UNEVEN, "constant"),
    "convolution": (lambda h: jax.vmap(lambda row: jnp.convolve(row, jnp.ones(3), "same"))(h), None),
    "random mask": (lambda h: jnp.where(jax.random.bernoulli(jax.random.key(0), 0.5, h.shape), h, 0), None),
    "random numbers": (lambda h: h + jax.random.normal(jax.random.key(0), h.shape), None),
    "scan": (_scan, "cumsum"),
    "while": (_while, "cumsum"),
    "cond": (_cond, "sort"),
    "own derivative": (_own_derivative, "rev"),
    "unknown primitive": (lambda h: mystery.bind(h), "mystery"),
    "factorisation": (lambda h: h @ jnp.linalg.cholesky(h.T @ h), None),
}


def network(function):
    params = {"a": RNG.normal(size=(4, 4)).astype(np.float32), "b": RNG.normal(size=(4, 3)).astype(np.float32)}
    return lambda p, x: function(jnp.tanh(x @ p["a"])) @ p["b"], params


@pytest.mark.parametrize("name", FREEZING)
def test_an_operation_that_knows_an_order_freezes_what_it_touches_and_is_named(name):
    function, primitive = FREEZING[name]
    spec = symmetry.infer(*network(function), X)
    assert dict(spec.groups) == {}
    assert set(spec.axes) == {"a", "b"} and all(group is None for axes in spec.axes.values() for group in axes)
    blamed = {freeze.primitive: freeze for freeze in spec.frozen}
    assert blamed
    if primitive is not None:
        assert primitive in blamed
        assert ("a", 1) in blamed[primitive].axes
        if primitive != "constant":
            assert "test_freezing.py" in blamed[primitive].source


def test_an_unknown_operation_leaves_other_layers_alone():
    params = {name: RNG.normal(size=(4, 4)).astype(np.float32) for name in "abcd"}

    def apply(p, x):
        h = jnp.cumsum(jnp.tanh(jnp.tanh(x @ p["a"]) @ p["b"]), axis=1)
        return jnp.tanh(h @ p["c"]) @ p["d"]

    spec = symmetry.infer(apply, params, X)
    assert dict(spec.groups) == {"a": 4, "c": 4}
    assert [(freeze.primitive, freeze.axes) for freeze in spec.frozen] == [("cumsum", (("b", 1), ("c", 0)))]


def test_data_and_outputs_are_fixed_by_design_and_not_reported():
    apply, params = network(lambda h: h)
    assert symmetry.infer(lambda p, x: jnp.cumsum(x, axis=0) @ p["b"], params, X).frozen == ()
    assert symmetry.infer(apply, params, X).frozen == ()


def test_every_output_of_an_unknown_operation_carries_its_name():
    params = {name: RNG.normal(size=(4, 4)).astype(np.float32) for name in "abc"}

    def apply(p, x):  # what comes out second is joined to another layer
        _, moved = jnp.linalg.qr(p["c"])
        return (jnp.tanh(x @ p["a"]) * moved) @ p["b"]

    spec = symmetry.infer(apply, params, X)
    assert dict(spec.groups) == {}
    (freeze,) = spec.frozen
    assert freeze.primitive == "qr"
    assert {("c", 0), ("c", 1), ("a", 1), ("b", 0)} <= set(freeze.axes)


def test_an_array_known_only_under_a_trace_freezes_what_it_touches():
    specs = []

    @jax.jit
    def outer(mask):
        apply, params = network(lambda h: h * mask)
        specs.append(symmetry.infer(apply, params, X))
        return mask

    outer(jnp.ones((1, 4)))
    assert dict(specs[0].groups) == {}
    assert specs[0].frozen[0].primitive == "constant"


def test_a_random_key_among_the_parameters_freezes_what_its_numbers_touch():
    _, params = network(lambda h: h)
    params["key"] = jax.random.key(0)
    apply = lambda p, x: (jnp.tanh(x @ p["a"]) + jax.random.normal(p["key"], (4, 4))) @ p["b"]
    assert dict(symmetry.infer(apply, params, X).groups) == {}


@pytest.mark.skipif(not hasattr(jax, "new_ref"), reason="this version of JAX has no references")
@pytest.mark.parametrize("outside", [False, True])
def test_parameters_written_to_memory_are_frozen(outside):
    _, params = network(lambda h: h)
    params["c"] = RNG.normal(size=(4, 3)).astype(np.float32)
    memory = jax.new_ref(jnp.zeros((4, 4))) if outside else None

    def apply(p, x):
        reference = jax.new_ref(jnp.zeros((4, 4))) if memory is None else memory
        reference[...] = p["a"]
        return jnp.tanh(x @ p["a"]) @ p["b"] + x @ reference[...] @ p["c"]

    spec = symmetry.infer(apply, params, X)
    assert dict(spec.groups) == {}
    assert "swap" in {freeze.primitive for freeze in spec.frozen}
    if not outside:  # and what is evaluated from the trace still does what the network does
        assert symmetry.activations(spec, apply, params, X) == {}


@pytest.mark.parametrize("between", [lambda v: v, lambda v: v.reshape(4, 2, 6).max(1, keepdims=True)])
def test_what_was_equal_along_an_axis_is_fixed_once_the_axis_meets_its_own_neighbours(between):
    """Repeated entries can be exchanged, but not after a step that treats one of them otherwise."""
    params = {"w": RNG.normal(size=np.prod(between(np.zeros((4, 12))).shape)).astype(np.float32)}

    def apply(p, x, moved):
        repeated = jnp.repeat(x, 3, axis=1)
        return jnp.vdot(between(repeated + jnp.roll(repeated, moved, axis=1)), p["w"])

    assert dict(symmetry.infer(lambda p, x: apply(p, x, 1), params, X).groups) == {}
    spec = symmetry.infer(lambda p, x: jnp.vdot(jnp.repeat(x, 3, axis=1), p["w"]), {"w": np.zeros(48, np.float32)}, X)
    assert list(spec.groups.values()) == [3]
