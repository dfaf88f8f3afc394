"""Networks of flax.nnx."""

# ruff: noqa: D102  (the docstring of a module is that of its call)

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from . import QUICK, Apply, Builder, reals


class MLP(nnx.Module):
    """Dense layers with rectifiers between them, and dropout."""

    def __init__(self, *, rngs: nnx.Rngs) -> None:
        self.first = nnx.Linear(6, 12, rngs=rngs)
        self.dropout = nnx.Dropout(0.2, rngs=rngs)
        self.second = nnx.Linear(12, 10, rngs=rngs)
        self.out = nnx.Linear(10, 4, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        x = self.dropout(nnx.relu(self.first(x)))
        return self.out(nnx.relu(self.second(x)))


class VGG(nnx.Module):
    """Stages of convolutions and a pooling, then dense layers on the flattened image."""

    def __init__(self, *, rngs: nnx.Rngs) -> None:
        conv = partial(nnx.Conv, kernel_size=(3, 3), rngs=rngs)
        pool = partial(nnx.max_pool, window_shape=(2, 2), strides=(2, 2))
        self.features = nnx.Sequential(
            conv(3, 6), nnx.relu, conv(6, 8), nnx.relu, pool, conv(8, 10), nnx.relu, conv(10, 12), nnx.relu, pool
        )
        self.classifier = nnx.Sequential(nnx.Linear(6 * 12, 14, rngs=rngs), nnx.relu, nnx.Linear(14, 5, rngs=rngs))

    def __call__(self, x: jax.Array) -> jax.Array:
        x = self.features(x)
        return self.classifier(x.reshape((x.shape[0], -1)))


class BasicBlock(nnx.Module):
    """Two convolutions beside a shortcut, which is a projection where the shape changes."""

    def __init__(self, n_in: int, n_out: int, stride: int, *, rngs: nnx.Rngs) -> None:
        conv = partial(nnx.Conv, use_bias=False, rngs=rngs)
        self.conv_1 = conv(n_in, n_out, (3, 3), strides=stride)
        self.norm_1 = nnx.BatchNorm(n_out, rngs=rngs)
        self.conv_2 = conv(n_out, n_out, (3, 3))
        self.norm_2 = nnx.BatchNorm(n_out, rngs=rngs)
        self.projects = n_in != n_out
        if self.projects:
            self.shortcut = nnx.Sequential(conv(n_in, n_out, (1, 1), strides=stride), nnx.BatchNorm(n_out, rngs=rngs))

    def __call__(self, x: jax.Array) -> jax.Array:
        y = nnx.relu(self.norm_1(self.conv_1(x)))
        y = self.norm_2(self.conv_2(y))
        return nnx.relu(y + (self.shortcut(x) if self.projects else x))


class ResNet(nnx.Module):
    """Basic blocks in stages; the first of each later stage halves the image."""

    def __init__(self, widths: Sequence[int], blocks: int, *, rngs: nnx.Rngs) -> None:
        self.conv = nnx.Conv(3, widths[0], (3, 3), use_bias=False, rngs=rngs)
        self.norm = nnx.BatchNorm(widths[0], rngs=rngs)
        layers, n_in = [], widths[0]
        for stage, width in enumerate(widths):
            for block in range(blocks):
                layers.append(BasicBlock(n_in, width, 2 if stage > 0 and block == 0 else 1, rngs=rngs))
                n_in = width
        self.blocks = nnx.Sequential(*layers)
        self.out = nnx.Linear(n_in, 5, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        x = self.blocks(nnx.relu(self.norm(self.conv(x))))
        return self.out(jnp.mean(x, axis=(1, 2)))


class TransformerBlock(nnx.Module):
    """Attention and a dense network, each followed by a norm."""

    def __init__(self, width: int, heads: int, hidden: int, *, rngs: nnx.Rngs) -> None:
        self.attention = nnx.MultiHeadAttention(heads, width, decode=False, rngs=rngs)
        self.norm_1 = nnx.LayerNorm(width, rngs=rngs)
        self.up = nnx.Linear(width, hidden, rngs=rngs)
        self.down = nnx.Linear(hidden, width, rngs=rngs)
        self.norm_2 = nnx.LayerNorm(width, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        x = self.norm_1(x + self.attention(x))
        return self.norm_2(x + self.down(nnx.relu(self.up(x))))


class Transformer(nnx.Module):
    """An encoder of sequences, pooled by their maximum."""

    def __init__(self, *, rngs: nnx.Rngs) -> None:
        self.embed = nnx.Linear(6, 12, rngs=rngs)
        self.blocks = nnx.Sequential(*(TransformerBlock(12, 3, hidden, rngs=rngs) for hidden in (20, 14)))
        self.out = nnx.Linear(12, 4, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.out(jnp.max(self.blocks(self.embed(x)), axis=1))


class GRU(nnx.Module):
    """A recurrent layer, and a dense one on its last state."""

    def __init__(self, *, rngs: nnx.Rngs) -> None:
        self.width = 10
        self.rnn = nnx.RNN(nnx.GRUCell(6, self.width, rngs=rngs))
        self.out = nnx.Linear(10, 4, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        states: Any = self.rnn(x, initial_carry=jnp.zeros((x.shape[0], self.width)))
        return self.out(states[:, -1])


def _apply(graph: Any, randomness: Any, state: Any, x: jax.Array) -> jax.Array:
    return nnx.merge(graph, randomness, state)(x)


def _drawn(model: Callable[..., Any], key: jax.Array) -> tuple[Any, ...]:
    built = model(rngs=nnx.Rngs(key))
    built.eval()
    return nnx.split(built, nnx.RngState, ...)


def _build(model: Callable[..., Any], x: Callable[[], jax.Array]) -> tuple[Apply, Any, jax.Array]:
    graph, randomness, state = jax.jit(partial(_drawn, model), compiler_options=QUICK)(jax.random.key(0))
    return partial(_apply, graph, randomness), state, x()


_images = partial(reals, 2, 8, 12, 3)

BUILDERS: dict[str, Builder] = {
    "mlp": partial(_build, MLP, partial(reals, 5, 6)),
    "vgg": partial(_build, VGG, _images),
    "resnet20": partial(_build, partial(ResNet, (8, 12, 16), 3), _images),
    "transformer": partial(_build, Transformer, partial(reals, 2, 7, 6)),
    "gru": partial(_build, GRU, partial(reals, 3, 7, 6)),
}
