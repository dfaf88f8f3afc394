"""Networks made at random from many operations; all axes have one length, so that nothing can be told by shape."""

import random

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evojax_align import symmetry

N = 4


@jax.custom_vjp
def _cube(x):
    return x**3 / (1 + x**2)


_cube.defvjp(lambda x: (_cube(x), x), lambda x, g: (g * x,))


@jax.custom_vjp
def _mixed(x, w):
    return jnp.tanh(x @ w)


_mixed.defvjp(lambda x, w: (_mixed(x, w), (x, w)), lambda saved, g: saved)

UNIFORM = np.full((N, N), 0.7, np.float32)
UNEVEN = np.linspace(-1, 1, N * N, dtype=np.float32).reshape(N, N)
ROWS = np.repeat(np.linspace(-1, 1, N, dtype=np.float32)[:, None], N, axis=1)

UNARY = {
    "relu": jax.nn.relu,
    "gelu": jax.nn.gelu,
    "tanh": jnp.tanh,
    "custom_vjp": _cube,
    "jit": jax.jit(jnp.sin),
    "checkpoint": jax.checkpoint(lambda v: jnp.cos(v) * v),
    "transpose": jnp.transpose,
    "softmax over columns": lambda v: jax.nn.softmax(v, axis=1),
    "softmax over rows": lambda v: jax.nn.softmax(v, axis=0),
    "centred": lambda v: v - 0.5 * jnp.mean(v, axis=1, keepdims=True),
    "normed": lambda v: v / (1 + jnp.std(v, axis=0, keepdims=True)),
    "summed": lambda v: jnp.broadcast_to(jnp.sum(v, axis=1)[:, None], (N, N)),
    "summed, the other way round": lambda v: jnp.broadcast_to(jnp.max(v, axis=1)[None, :], (N, N)),
    "gram": lambda v: jnp.tanh(v.T @ v),
    "uniform mask": lambda v: v * UNIFORM,
    "uneven mask": lambda v: v * UNEVEN,
    "uneven rows": lambda v: v * ROWS,
    "bfloat16": lambda v: v.astype(jnp.bfloat16).astype(jnp.float32),
    "there and back": lambda v: v.reshape(N * N).reshape(N, N),
    "extra axis": lambda v: v.reshape(N, 1, N).reshape(N, N),
    "read in another order": lambda v: jax.lax.reshape(v, (N, N), dimensions=(1, 0)),
    "merged in another order": lambda v: jax.lax.reshape(v, (N * N,), dimensions=(1, 0)).reshape(N, N),
    "cumsum": lambda v: jnp.cumsum(v, axis=1),
    "sort": lambda v: jnp.sort(v, axis=0),
    "flip": lambda v: v[:, ::-1],
    "roll": lambda v: jnp.roll(v, 1, axis=0),
    "argmax": lambda v: v + jnp.argmax(v, axis=1)[:, None],
    "one hot": lambda v: v * jax.nn.one_hot(jnp.argmax(v, axis=0), N),
    "lower triangle": jnp.tril,
    "diagonal": lambda v: v + jnp.diag(v)[None],
    "scan": lambda v: jax.lax.scan(lambda c, row: (0.5 * c + row, c), jnp.zeros(N), v)[1],
    "cond": lambda v: jax.lax.cond(v[0, 0] > 0, lambda u: u, lambda u: -u, v),
    "noise": lambda v: v + jax.random.normal(jax.random.key(1), (N, N)),
}
BINARY = {
    "add": jnp.add,
    "add a row": lambda v, w: v + w[:1],
    "multiply": jnp.multiply,
    "where": lambda v, w: jnp.where(v > 0, w, v),
    "product": jnp.matmul,
    "product with the transpose": lambda v, w: v @ w.T,
    "product from the left": lambda v, w: jnp.tanh(w @ v),
    "einsum": lambda v, w: jnp.einsum("ij,kj->ik", v, w),
    "batched product": lambda v, w: jnp.einsum("ij,ik->ij", v, w),
    "outer product": lambda v, w: jnp.sum(jnp.tanh(v[:, :, None] + w[:, None, :]), axis=2),
    "mapped product": lambda v, w: jax.vmap(lambda row: w @ row)(v),
    "custom product": _mixed,
    "gathered": lambda v, w: v + w[jnp.array([2, 0, 1, 3])],
    "joined": lambda v, w: jnp.concatenate([v[:, :2], w[:, :2]], axis=1),
}
SOUND = ("relu gelu tanh jit checkpoint custom_vjp centred normed bfloat16 add multiply where product einsum").split()


def network(seed):
    """A program of random operations on random earlier values, with its parameters."""
    draw = random.Random(seed)
    params = {f"w{i}": np.random.default_rng([seed, i]).normal(size=(N, N)).astype(np.float32) for i in range(5)}
    easy = draw.random() < 0.6  # mostly operations under which something can be permuted
    steps = []
    for number in range(draw.randint(3, 9)):
        names = [*UNARY, *BINARY] if not easy or draw.random() < 0.1 else SOUND
        steps.append((draw.choice(names), draw.random(), draw.randint(0, 4), draw.random() < 0.7, number))

    def apply(params, x):
        values = [x @ params["w0"]]
        for name, place, weight, with_weight, _ in steps:
            first = values[-1 - int(place * min(2, len(values)))]
            other = params[f"w{weight}"] if with_weight else values[int(place * len(values))]
            made = UNARY[name](first) if name in UNARY else BINARY[name](first, other)
            values.append(made / (0.3 + jnp.sqrt(jnp.mean(made**2))))
        return values[-1] @ params["w4"] if steps[0][1] < 0.8 else values[-1]

    return apply, params, [step[0] for step in steps]


X = np.random.default_rng(0).normal(size=(N, N)).astype(np.float32)


@pytest.mark.parametrize("seed", range(30))
def test_whatever_is_inferred_for_a_random_network_leaves_its_function_unchanged(seed, change):
    apply, params, steps = network(seed)
    spec = symmetry.infer(apply, params, X)
    assert change(spec, apply, params, X) < 1e-4, steps


@pytest.mark.slow
def test_whatever_is_inferred_for_many_random_networks_leaves_their_functions_unchanged(change):
    for seed in range(30, 1000):
        apply, params, steps = network(seed)
        assert change(symmetry.infer(apply, params, X), apply, params, X) < 1e-4, (seed, steps)


def test_many_of_the_random_networks_have_something_to_permute():
    counts = [len(symmetry.infer(*network(seed)[:2], X).groups) for seed in range(30)]
    assert sum(count > 0 for count in counts) >= 10
    assert max(counts) >= 2
