"""Networks of equinox: modules of one example, lifted to batches."""

# ruff: noqa: D102  (the docstring of a module is that of its call)

from collections.abc import Callable
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from . import QUICK, Apply, Builder, reals


class LeNet(eqx.Module):
    """LeNet-5 with smaller layers, on an image (channels, height, width)."""

    layers: list

    def __init__(self, key: jax.Array) -> None:
        keys = jax.random.split(key, 5)
        self.layers = [
            eqx.nn.Conv2d(1, 6, 5, padding=2, key=keys[0]),
            jax.nn.relu,
            eqx.nn.MaxPool2d(2, 2),
            eqx.nn.Conv2d(6, 8, 5, key=keys[1]),
            jax.nn.relu,
            eqx.nn.MaxPool2d(2, 2),
            jnp.ravel,
            eqx.nn.Linear(2 * 3 * 8, 12, key=keys[2]),
            jax.nn.relu,
            eqx.nn.Linear(12, 10, key=keys[3]),
            jax.nn.relu,
            eqx.nn.Linear(10, 4, key=keys[4]),
        ]

    def __call__(self, x: jax.Array) -> jax.Array:
        for layer in self.layers:
            x = layer(x)
        return x


class GroupNormCNN(eqx.Module):
    """Convolutions normed in groups of channels."""

    convolutions: list[eqx.nn.Conv2d]
    norms: list[eqx.nn.GroupNorm]
    out: eqx.nn.Linear

    def __init__(self, key: jax.Array) -> None:
        keys = jax.random.split(key, 3)
        self.convolutions = [
            eqx.nn.Conv2d(3, 8, 3, stride=2, padding=1, key=keys[0]),
            eqx.nn.Conv2d(8, 12, 3, padding=1, key=keys[1]),
        ]
        self.norms = [eqx.nn.GroupNorm(2, 8), eqx.nn.GroupNorm(4, 12)]
        self.out = eqx.nn.Linear(12, 5, key=keys[2])

    def __call__(self, x: jax.Array) -> jax.Array:
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            x = jax.nn.silu(norm(convolution(x)))
        return self.out(jnp.mean(x, axis=(1, 2)))


class Separable(eqx.Module):
    """A depthwise convolution and a pointwise one, each normed."""

    depthwise: eqx.nn.Conv2d
    depthwise_norm: eqx.nn.BatchNorm
    pointwise: eqx.nn.Conv2d
    pointwise_norm: eqx.nn.BatchNorm

    def __init__(self, n_in: int, n_out: int, stride: int, key: jax.Array) -> None:
        key_depth, key_point = jax.random.split(key)
        conv, norm = (
            partial(eqx.nn.Conv2d, use_bias=False),
            partial(eqx.nn.BatchNorm, axis_name="batch", momentum=0.1, mode="batch"),
        )
        self.depthwise = conv(n_in, n_in, 3, stride, 1, groups=n_in, key=key_depth)
        self.depthwise_norm = norm(n_in)
        self.pointwise = conv(n_in, n_out, 1, key=key_point)
        self.pointwise_norm = norm(n_out)

    def __call__(self, x: jax.Array, state: eqx.nn.State) -> tuple[jax.Array, eqx.nn.State]:
        x, state = self.depthwise_norm(self.depthwise(x), state)
        x, state = self.pointwise_norm(self.pointwise(jax.nn.relu(x)), state)
        return jax.nn.relu(x), state


class MobileNet(eqx.Module):
    """A small MobileNet of the first version."""

    stem: eqx.nn.Conv2d
    blocks: list[Separable]
    out: eqx.nn.Linear

    def __init__(self, key: jax.Array) -> None:
        key_stem, key_blocks, key_out = jax.random.split(key, 3)
        keys = jax.random.split(key_blocks, 3)
        self.stem = eqx.nn.Conv2d(3, 6, 3, padding=1, key=key_stem)
        self.blocks = [Separable(6, 8, 1, keys[0]), Separable(8, 10, 2, keys[1]), Separable(10, 12, 1, keys[2])]
        self.out = eqx.nn.Linear(12, 5, key=key_out)

    def __call__(self, x: jax.Array, state: eqx.nn.State) -> tuple[jax.Array, eqx.nn.State]:
        x = jax.nn.relu(self.stem(x))
        for block in self.blocks:
            x, state = block(x, state)
        return self.out(jnp.mean(x, axis=(1, 2))), state


class TransformerBlock(eqx.Module):
    """Attention and a dense network, each behind a norm."""

    attention: eqx.nn.MultiheadAttention
    mlp: eqx.nn.MLP
    norm_1: eqx.nn.LayerNorm
    norm_2: eqx.nn.LayerNorm

    def __init__(self, width: int, heads: int, hidden: int, key: jax.Array) -> None:
        key_attention, key_mlp = jax.random.split(key)
        self.attention = eqx.nn.MultiheadAttention(heads, width, key=key_attention)
        self.mlp = eqx.nn.MLP(width, width, hidden, 1, jax.nn.gelu, key=key_mlp)
        self.norm_1, self.norm_2 = eqx.nn.LayerNorm(width), eqx.nn.LayerNorm(width)

    def __call__(self, x: jax.Array) -> jax.Array:
        y = jax.vmap(self.norm_1)(x)
        x = x + self.attention(y, y, y)
        return x + jax.vmap(self.mlp)(jax.vmap(self.norm_2)(x))


class ViT(eqx.Module):
    """A vision transformer with a class token, on an image (channels, height, width)."""

    patches: eqx.nn.Conv2d
    class_token: jax.Array
    positions: jax.Array
    blocks: list[TransformerBlock]
    norm: eqx.nn.LayerNorm
    out: eqx.nn.Linear

    def __init__(self, key: jax.Array) -> None:
        keys = jax.random.split(key, 6)
        self.patches = eqx.nn.Conv2d(3, 12, 4, 4, key=keys[0])
        self.class_token = jax.random.normal(keys[1], (1, 12))
        self.positions = jax.random.normal(keys[2], (7, 12))
        self.blocks = [TransformerBlock(12, 3, 20, keys[3]), TransformerBlock(12, 2, 14, keys[4])]
        self.norm = eqx.nn.LayerNorm(12)
        self.out = eqx.nn.Linear(12, 5, key=keys[5])

    def __call__(self, x: jax.Array) -> jax.Array:
        x = self.patches(x)
        x = x.reshape(x.shape[0], -1).T
        x = jnp.concatenate([self.class_token, x]) + self.positions
        for block in self.blocks:
            x = block(x)
        return self.out(self.norm(x[0]))


class LSTM(eqx.Module):
    """A recurrent cell run by a scan over one sequence, and a dense layer on its last state."""

    cell: eqx.nn.LSTMCell
    out: eqx.nn.Linear

    def __init__(self, key: jax.Array) -> None:
        key_cell, key_out = jax.random.split(key)
        self.cell = eqx.nn.LSTMCell(6, 10, key=key_cell)
        self.out = eqx.nn.Linear(10, 4, key=key_out)

    def __call__(self, x: jax.Array) -> jax.Array:
        def step(state: tuple[jax.Array, jax.Array], x: jax.Array) -> tuple[tuple[jax.Array, jax.Array], None]:
            return self.cell(x, state), None

        zeros = jnp.zeros(self.cell.hidden_size)
        (hidden, _), _ = jax.lax.scan(step, (zeros, zeros), x)
        return self.out(hidden)


class GRU(eqx.Module):
    """A recurrent cell run by a scan over one sequence, and a dense layer on each of its states."""

    cell: eqx.nn.GRUCell
    out: eqx.nn.Linear

    def __init__(self, key: jax.Array) -> None:
        key_cell, key_out = jax.random.split(key)
        self.cell = eqx.nn.GRUCell(6, 10, key=key_cell)
        self.out = eqx.nn.Linear(10, 4, key=key_out)

    def __call__(self, x: jax.Array) -> jax.Array:
        def step(hidden: jax.Array, x: jax.Array) -> tuple[jax.Array, jax.Array]:
            hidden = self.cell(x, hidden)
            return hidden, hidden

        _, states = jax.lax.scan(step, jnp.zeros(self.cell.hidden_size), x)
        return jax.vmap(self.out)(states)


def _mlp(key: jax.Array) -> eqx.nn.MLP:
    return eqx.nn.MLP(6, 4, 12, 2, key=key)


def _drawn(model: Callable[[jax.Array], Any]) -> Any:
    options: Any = {"compiler_options": QUICK}  # which Equinox passes on to `jax.jit`
    return eqx.filter_jit(model, **options)(jax.random.key(0))


def _apply(static: Any, params: Any, x: jax.Array) -> jax.Array:
    return jax.vmap(eqx.combine(params, static))(x)


def _build(model: Callable[[jax.Array], Any], x: Callable[[], jax.Array]) -> tuple[Apply, Any, jax.Array]:
    params, static = eqx.partition(_drawn(model), eqx.is_array)
    return partial(_apply, static), params, x()


def _forward(model: Any, x: jax.Array, state: eqx.nn.State) -> tuple[jax.Array, eqx.nn.State]:
    return jax.vmap(model, in_axes=(0, None), out_axes=(0, None), axis_name="batch")(x, state)


def _apply_normed(static: Any, params: Any, x: jax.Array) -> jax.Array:
    return _forward(eqx.combine(params["model"], static), x, params["state"])[0]


def _build_normed(model: Callable[[jax.Array], Any], x: Callable[[], jax.Array]) -> tuple[Apply, Any, jax.Array]:
    batch = x()
    built, state = _drawn(eqx.nn.make_with_state(model))
    for _ in range(3):
        _, state = eqx.filter_jit(_forward)(built, batch, state)
    params, static = eqx.partition(eqx.nn.inference_mode(built), eqx.is_array)
    return partial(_apply_normed, static), {"model": params, "state": state}, batch


_images = partial(reals, 2, 3, 8, 12)
_sequences = partial(reals, 3, 7, 6)

BUILDERS: dict[str, Builder] = {
    "mlp": partial(_build, _mlp, partial(reals, 5, 6)),
    "lenet": partial(_build, LeNet, partial(reals, 2, 1, 16, 20)),
    "group_norm_cnn": partial(_build, GroupNormCNN, _images),
    "mobilenet": partial(_build_normed, MobileNet, _images),
    "vit": partial(_build, ViT, _images),
    "lstm": partial(_build, LSTM, _sequences),
    "gru": partial(_build, GRU, _sequences),
}
