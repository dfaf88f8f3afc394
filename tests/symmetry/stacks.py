"""Random networks of ordinary layers, of which the groups of neurons are known."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp

from tests.symmetry.operations import UNARY, Builder, NothingFits, Program, dense_along

ACTIVATIONS = ["tanh", "relu", "gelu", "sin", "sigmoid", "custom_vjp", "jit", "checkpoint", "vmap"]


def stack(seed: int) -> tuple[Program, list[int]]:
    """A network of 2 to 6 layers, and the sizes of its groups in ascending order."""
    for attempt in range(100):
        build = Builder(seed + attempt * 1_000_000)
        try:
            groups = _layers(build)
        except NothingFits:  # too large
            continue
        return dataclasses.replace(build.program(), seed=seed), sorted(groups)
    raise AssertionError(f"no network from seed {seed}")


def _layers(build: Builder) -> list[int]:
    draw = build.random
    build.start((3, build.n, build.n) if draw.random() < 0.6 else (3, build.n))
    groups: list[int] = []
    value = _dense(build, "x", groups)
    for _ in range(draw.randint(1, 5)):
        layers = ANYWHERE + WITH_PLACES if len(build.shape(value)) == 3 else ANYWHERE
        value = draw.choice(layers)(build, value, groups)
    if len(build.shape(value)) == 3:
        value = _flat(build, value) if draw.random() < 0.5 else _averaged(build, value)
    weight = build.new_weight(build.shape(value)[-1], 3)
    build.outputs = [build.add("dense", "{0} @ {1}", jnp.matmul, value, weight)]
    return groups


def _averaged(build: Builder, value: str) -> str:
    return build.add("mean", "mean({0}, 1)", lambda v: jnp.mean(v, 1), value)


def _flat(build: Builder, value: str) -> str:
    shape = build.shape(value)
    return build.add("reshape", "flatten({0})", lambda v: v.reshape(shape[0], -1), value)


def _active(build: Builder, value: str) -> str:
    name = build.random.choice(ACTIVATIONS)
    return build.add("elementwise", name + "({0})", UNARY[name], value)


def _product(build: Builder, value: str, width: int) -> str:
    weight, bias = build.new_weight(build.shape(value)[-1], width), build.new_weight(width)
    made = build.add("dense", "dense({0}, {1}, axis=-1)", dense_along(-1), value, weight)
    return _vector(build, jnp.add, made, bias)


def _vector(build: Builder, function: Callable, value: str, weight: str) -> str:
    """Add or multiply by a vector along the last axis."""
    rank = len(build.shape(value))
    text = f"{function.__name__}({{0}}, {{1}} along the last axis)"
    return build.add("vector", text, lambda v, w: function(v, w.reshape((1,) * (rank - 1) + w.shape)), value, weight)


def _dense(build: Builder, value: str, groups: list[int]) -> str:
    width = build.length()
    groups.append(width)
    return _active(build, _product(build, value, width))


def _residual(build: Builder, value: str, groups: list[int]) -> str:
    """A hidden layer beside a path that leaves the value as it is."""
    inner = _product(build, _dense(build, value, groups), build.shape(value)[-1])
    return build.add("add", "{0} + {1}", jnp.add, value, inner)


def _normalised(build: Builder, value: str, groups: list[int]) -> str:
    """Layer normalisation, or that of a batch, with a scale for each neuron."""
    axis = build.random.choice([0, -1])

    def function(v):
        centred = v - jnp.mean(v, axis, keepdims=True)
        return centred / jnp.sqrt(0.1 + jnp.mean(centred**2, axis, keepdims=True))

    made = build.add("normalisation", f"standardise({{0}}, axis={axis})", function, value)
    return _vector(build, jnp.multiply, made, build.new_weight(build.shape(value)[-1]))


def _gated(build: Builder, value: str, groups: list[int]) -> str:
    """Half of a product is the gate of the other half."""
    width = build.length()
    groups.append(width)

    def function(v):
        left, right = jnp.split(v, 2, -1)
        return jnp.tanh(left) * jax.nn.sigmoid(right)

    return build.add("gated", "gated halves of {0}", function, _product(build, value, 2 * width))


def _branches(build: Builder, value: str, groups: list[int]) -> str:
    """Two layers side by side, concatenated."""
    parts = _dense(build, value, groups), _dense(build, value, groups)
    return build.add("concatenate", "concatenate([{0}, {1}], -1)", lambda *of: jnp.concatenate(of, -1), *parts)


def _heads(build: Builder, value: str, groups: list[int]) -> str:
    """Attention of two or three heads, and a product that puts them together."""
    heads, depth, wide = build.random.choice([2, 3]), build.random.choice([2, 3]), build.random.choice([2, 4])
    width = build.shape(value)[-1]
    query, key, carried = (build.new_weight(width, heads, d) for d in (depth, depth, wide))
    out = build.new_weight(heads, wide, build.n)
    groups.extend([heads, depth, wide, build.n])

    def function(v, q, k, c, o):
        q, k, c = (jnp.einsum("bti,ihd->bthd", v, w) for w in (q, k, c))
        weights = jax.nn.softmax(jnp.einsum("bthd,bshd->bhts", q, k), axis=-1)
        return jnp.einsum("bhts,bshd,hdo->bto", weights, c, o)

    text = "attention of {0} by {1}, {2}, {3}, {4}"
    return _active(build, build.add("attention", text, function, value, query, key, carried, out))


def _recurrent(build: Builder, value: str, groups: list[int]) -> str:
    width = build.length()
    weights = build.new_weight(build.shape(value)[-1], width), build.new_weight(width, width)
    groups.append(width)

    def function(v, w, u):
        def step(state, row):
            state = jnp.tanh(state @ u + row @ w)
            return state, state

        return jnp.moveaxis(jax.lax.scan(step, jnp.zeros((len(v), width)), jnp.moveaxis(v, 1, 0))[1], 0, 1)

    return build.add("scan", "recurrent({0}, {1}, {2})", function, value, *weights)


def _convolution(build: Builder, value: str, groups: list[int]) -> str:
    width = build.length()
    weight = build.new_weight(build.random.randint(1, 3), build.shape(value)[-1], width)
    groups.append(width)
    layout = ("NWC", "WIO", "NWC")
    function = lambda v, w: jax.lax.conv_general_dilated(v, w, (1,), "SAME", dimension_numbers=layout)
    return _active(build, build.add("convolution", "convolution({0}, {1})", function, value, weight))


def _depthwise(build: Builder, value: str, groups: list[int]) -> str:
    """A convolution of every channel by itself: no new group."""
    width = build.shape(value)[-1]
    layout = ("NWC", "WIO", "NWC")
    function = lambda v, w: jax.lax.conv_general_dilated(
        v, w, (1,), "SAME", dimension_numbers=layout, feature_group_count=width
    )
    return build.add("convolution", "depthwise({0}, {1})", function, value, build.new_weight(2, 1, width))


ANYWHERE: list[Callable] = [_dense, _dense, _residual, _normalised, _gated, _branches]
WITH_PLACES: list[Callable] = [_heads, _recurrent, _convolution, _depthwise]
