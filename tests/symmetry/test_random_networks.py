"""Networks made at random from many operations; all axes have one length, so that nothing can be told by shape."""

import functools
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


def _blocks(function, v):
    """Apply a function to columns in two blocks of two."""
    return function(v.reshape(N, 2, 2)).reshape(N, N)


def _attention(g):
    weights = jax.nn.softmax(jnp.einsum("thd,shd->hts", g, jnp.tanh(g)), axis=-1)
    return jnp.einsum("hts,shd->thd", weights, g)


def _cell(w):
    def step(state, row):
        gate, new = jnp.split(state @ w[:2] + row, 2)
        state = state + jax.nn.sigmoid(gate) * jnp.tanh(new)
        return state, state

    return step


def _convolved(v, kernel, groups):
    return jax.lax.conv_general_dilated(
        v[None], kernel, (1,), "SAME", dimension_numbers=("NWC", "WIO", "NWC"), feature_group_count=groups
    )[0]


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
    "gated halves": lambda v: jnp.tile(v[:, :2] * jax.nn.sigmoid(v[:, 2:]), 2),
    "halves exchanged": lambda v: jnp.concatenate([jnp.tanh(v[:, 2:]), v[:, :2]], axis=1),
    "three parts": lambda v: jnp.concatenate([p / (1 + jnp.max(p)) for p in jnp.split(v, [1, 3], axis=1)], axis=1),
    "group norm": lambda v: _blocks(lambda g: g / (1 + jnp.std(g, axis=2, keepdims=True)), v),
    "pairs": lambda v: _blocks(lambda g: g * jnp.max(g, axis=2, keepdims=True), v),
    "same in every block": lambda v: _blocks(lambda g: g - jnp.mean(g, axis=1, keepdims=True), v),
    "heads": lambda v: _blocks(_attention, v),
    "heads of rows": lambda v: _blocks(_attention, v.T).T,
    "padded and cut": lambda v: jnp.tanh(jnp.pad(v, ((0, 0), (1, 2))))[:, 1:-2],
    "padded": lambda v: v + jnp.pad(v[:, 1:3], ((0, 0), (1, 1))),
    "repeated": lambda v: v * jnp.repeat(jnp.max(v.reshape(N, 2, 2), axis=2), 2, axis=1),
    "tiled": lambda v: v * jnp.tile(v[:, 1:3], 2),
    "transposed blocks": lambda v: v.reshape(N, 2, 2).transpose(0, 2, 1).reshape(N, N),
    "while": lambda v: jax.lax.while_loop(
        lambda u: jnp.sum(u**2) > 9, lambda u: u / (1 + jnp.max(u, axis=1)[:, None] ** 2), v
    ),
    "pooled": lambda v: jax.lax.reduce_window(v, -jnp.inf, jax.lax.max, (2, 1), (1, 1), "SAME"),
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
    "recurrent": lambda v, w: jax.lax.scan(lambda c, row: (jnp.tanh(c @ w + row), c), jnp.zeros(N), v)[1],
    "gated recurrent": lambda v, w: jax.lax.scan(_cell(w), jnp.zeros(2), v)[1] @ w[:2],
    "layers of a scan": lambda v, w: jax.lax.scan(lambda c, row: (c * row[None], None), v, w)[0],
    "grouped convolution": lambda v, w: _convolved(v, w.reshape(2, 2, N), 2),
    "depthwise convolution": lambda v, w: _convolved(v, w[:3, None], N),
    "convolution": lambda v, w: _convolved(v, w[None], 1),
    "convolution of places": lambda v, w: _convolved(v.T, w[None], 1).T,
    "product of heads": lambda v, w: jnp.einsum("thd,hde->te", v.reshape(N, 2, 2), w.reshape(2, 2, N)),
    "own product in every block": lambda v, w: jnp.einsum(
        "thd,hde->the", v.reshape(N, 2, 2), w[:2].reshape(2, 2, 2)
    ).reshape(N, N),
    "one product for all blocks": lambda v, w: _blocks(lambda g: jnp.tanh(g @ w[:2, :2]), v),
    "scaled blocks": lambda v, w: _blocks(lambda g: g * w[0, :2][None, None], v),
    "joined": lambda v, w: jnp.concatenate([v[:, :2], w[:, :2]], axis=1),
}
SOUND = """relu,gelu,tanh,jit,checkpoint,custom_vjp,centred,normed,bfloat16,add,multiply,where,product,einsum,heads,
group norm,gated halves,recurrent,product of heads,own product in every block,grouped convolution,convolution"""
SOUND = SOUND.replace("\n", "").split(",")


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


@functools.cache
def found(seed):
    """A random network, its parameters, its steps, and what is inferred for it."""
    apply, params, steps = network(seed)
    return apply, params, steps, symmetry.infer(apply, params, X)


@pytest.mark.parametrize("seed", range(30))
def test_whatever_is_inferred_for_a_random_network_leaves_its_function_unchanged(seed, change):
    apply, params, steps, spec = found(seed)
    assert change(spec, apply, params, X) < 1e-4, steps


@pytest.mark.nightly
def test_whatever_is_inferred_for_many_random_networks_leaves_their_functions_unchanged(change):
    for seed in range(30, 1000):
        apply, params, steps = network(seed)
        assert change(symmetry.infer(apply, params, X), apply, params, X) < 1e-4, (seed, steps)


def test_many_of_the_random_networks_have_something_to_permute():
    counts = [len(found(seed)[-1].groups) for seed in range(30)]
    assert sum(count > 0 for count in counts) >= 10
    assert max(counts) >= 2
