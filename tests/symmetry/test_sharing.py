"""What points on a line of parameters share."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evojax_align.crossover import arithmetic, lerp
from evojax_align.symmetry.following import label
from evojax_align.symmetry.sharing import shared_values
from evojax_align.symmetry.trace import evaluate, trace_network

RNG = np.random.default_rng(4)
X = jnp.asarray(RNG.normal(size=(6, 4)), jnp.float32)


def w(*shape):
    return jnp.asarray(RNG.normal(size=shape), jnp.float32)


def mlp(p, x):
    return jnp.tanh(x @ p["a"] + p["c"]) @ p["b"]


def counting(p, x):
    whole = jnp.round(3 * x).astype(jnp.int32)
    counts = jax.lax.dot_general(whole, p["n"], (((1,), (0,)), ((), ())), preferred_element_type=jnp.float32)
    return mlp(p, x) + jnp.sin(counts)


NETWORKS = {
    "two layers": (mlp, lambda: {"a": w(4, 5), "c": w(1, 5), "b": w(5, 3)}),
    "a residual": (lambda p, x: jnp.tanh(x + x @ p["a"]) @ p["b"], lambda: {"a": w(4, 4), "b": w(4, 3)}),
    "linear": (lambda p, x: x @ p["a"] + p["c"], lambda: {"a": w(4, 3), "c": w(1, 3)}),
    "deep and linear": (lambda p, x: x @ p["a"] @ p["b"], lambda: {"a": w(4, 5), "b": w(5, 3)}),
    "summed neurons": (lambda p, x: jnp.tanh(jnp.sum(x @ p["a"], axis=1)), lambda: {"a": w(4, 5)}),
    "low rank": (lambda p, x: jnp.tanh(x @ (p["u"] @ p["v"])), lambda: {"u": w(4, 2), "v": w(2, 3)}),
    "work on data alone": (lambda p, x: jnp.tanh(jnp.sin(x) @ p["a"]) @ p["b"], lambda: {"a": w(4, 5), "b": w(5, 3)}),
    "integers": (
        counting,
        lambda: {
            "a": w(4, 5),
            "c": w(1, 5),
            "b": w(5, 3),
            "n": jnp.asarray(RNG.integers(1, 9, size=(4, 3)), jnp.int32),
        },
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("t", [-0.25, 0.3, 1.1])
def test_sharing_gives_what_the_child_itself_computes(name, t):
    apply, make = NETWORKS[name]
    a, b = make(), make()
    labels = label(trace_network(apply, a, X))
    network, shared = labels.network, shared_values(labels)
    data = dict(zip(network.data, [X], strict=True))
    known = dict(zip(shared.constant, evaluate(network.trace, data, shared.constant), strict=True))
    ends = [
        evaluate(network.trace, data | dict(zip(network.params, jax.tree.leaves(p), strict=True)), shared.linear)
        for p in (a, b)
    ]
    known |= {value: lerp(p, q, t) for value, p, q in zip(shared.linear, *ends, strict=True)}
    child = dict(zip(network.params, jax.tree.leaves(arithmetic(a, b, t)), strict=True))
    known |= {value: child[value] for value in shared.parameters}
    (found,) = evaluate(network.trace, known, network.trace.outputs)
    np.testing.assert_allclose(found, apply(arithmetic(a, b, t), X), atol=1e-5)


def test_the_first_product_is_shared_and_its_weights_are_not_needed_again():
    a = NETWORKS["two layers"][1]()
    labels = label(trace_network(mlp, a, X))
    shared = shared_values(labels)
    assert len(shared.linear) == 1 and labels.network.trace.shapes[shared.linear[0]] == (6, 5)
    of_path = dict(zip(labels.network.params, labels.network.paths, strict=True))
    assert [of_path[value] for value in shared.parameters] == ["b"]


@pytest.mark.parametrize("name", ["deep and linear", "summed neurons"])
def test_a_sum_over_neurons_is_never_shared(name):
    apply, make = NETWORKS[name]
    labels = label(trace_network(apply, make(), X))
    assert [labels.network.trace.shapes[value] for value in shared_values(labels).linear] == [(6, 5)]
