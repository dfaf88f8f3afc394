"""Networks of flax.linen."""

# ruff: noqa: D102  (the docstring of a module is that of its call)

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from . import QUICK, Builder, reals, tokens

BatchNorm = partial(nn.BatchNorm, use_running_average=True)


class MLP(nn.Module):
    """Dense layers with rectifiers between them."""

    widths: tuple[int, ...] = (12, 10)
    classes: int = 4

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        for width in self.widths:
            x = nn.relu(nn.Dense(width)(x))
        return nn.Dense(self.classes)(x)


class DropoutMLP(nn.Module):
    """Dense layers with dropout, which is off."""

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        for width in (12, 10):
            x = nn.Dropout(0.5, deterministic=not train)(nn.leaky_relu(nn.Dense(width)(x)))
        return nn.Dense(4)(x)


class ResidualBlock(nn.Module):
    """A normed residual block, in the form that a scan asks for."""

    hidden: int = 12

    @nn.compact
    def __call__(self, x: jax.Array, _: None = None) -> tuple[jax.Array, None]:
        return x + nn.Dense(x.shape[-1])(nn.gelu(nn.Dense(self.hidden)(nn.LayerNorm()(x)))), None


class ScannedMLP(nn.Module):
    """Residual blocks with stacked parameters."""

    blocks: int = 3

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        stack = nn.scan(ResidualBlock, variable_axes={"params": 0}, split_rngs={"params": True}, length=self.blocks)
        x, _ = stack()(nn.Dense(10)(x), None)
        return nn.Dense(4)(x)


class RematMLP(nn.Module):
    """Residual blocks whose activations are computed again in the backward pass."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = nn.Dense(10)(x)
        for hidden in (12, 14):
            x, _ = nn.remat(ResidualBlock)(hidden)(x)
        return nn.Dense(4)(x)


class LeNet(nn.Module):
    """LeNet-5 with smaller layers."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = nn.avg_pool(nn.tanh(nn.Conv(6, (5, 5))(x)), (2, 2), strides=(2, 2))
        x = nn.avg_pool(nn.tanh(nn.Conv(8, (5, 5), padding="VALID")(x)), (2, 2), strides=(2, 2))
        x = x.reshape((x.shape[0], -1))
        x = nn.tanh(nn.Dense(12)(x))
        x = nn.tanh(nn.Dense(10)(x))
        return nn.Dense(4)(x)


class VGG(nn.Module):
    """Stages of normed convolutions and a pooling, then dense layers on the flattened image."""

    stages: tuple[tuple[int, ...], ...] = ((6, 8), (10, 12))

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        for stage in self.stages:
            for width in stage:
                x = nn.relu(BatchNorm()(nn.Conv(width, (3, 3))(x)))
            x = nn.max_pool(x, (2, 2), strides=(2, 2))
        x = x.reshape((x.shape[0], -1))
        x = nn.relu(nn.Dense(14)(x))
        return nn.Dense(5)(x)


class BasicBlock(nn.Module):
    """Two convolutions beside a shortcut, which is a projection where the shape changes."""

    width: int
    stride: int = 1

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        conv = partial(nn.Conv, use_bias=False)
        strides = (self.stride, self.stride)
        y = nn.relu(BatchNorm()(conv(self.width, (3, 3), strides)(x)))
        y = BatchNorm()(conv(self.width, (3, 3))(y))
        if x.shape != y.shape:
            x = BatchNorm(name="norm_proj")(conv(self.width, (1, 1), strides, name="conv_proj")(x))
        return nn.relu(x + y)


class ResNet(nn.Module):
    """Basic blocks in stages; the first of each later stage halves the image."""

    widths: tuple[int, ...]
    blocks: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = nn.relu(BatchNorm()(nn.Conv(self.widths[0], (3, 3), use_bias=False)(x)))
        for stage, width in enumerate(self.widths):
            for block in range(self.blocks):
                x = BasicBlock(width, 2 if stage > 0 and block == 0 else 1)(x)
        return nn.Dense(5)(jnp.mean(x, axis=(1, 2)))


class DenseNet(nn.Module):
    """Layers that see the concatenation of all before them, with a transition between two blocks."""

    growth: int = 4
    layers: int = 3

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = nn.Conv(6, (3, 3), use_bias=False)(x)
        for block in range(2):
            for _ in range(self.layers):
                y = nn.Conv(10, (1, 1), use_bias=False)(nn.relu(BatchNorm()(x)))
                y = nn.Conv(self.growth, (3, 3), use_bias=False)(nn.relu(BatchNorm()(y)))
                x = jnp.concatenate([x, y], axis=-1)
            if block == 0:
                x = nn.Conv(8, (1, 1), use_bias=False)(nn.relu(BatchNorm()(x)))
                x = nn.avg_pool(x, (2, 2), strides=(2, 2))
        return nn.Dense(5)(nn.relu(BatchNorm()(x)).mean(axis=(1, 2)))


class InvertedResidual(nn.Module):
    """Expansion, depthwise convolution and projection."""

    width: int
    expansion: int
    stride: int = 1

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        hidden = x.shape[-1] * self.expansion
        strides = (self.stride, self.stride)
        y = nn.relu6(BatchNorm()(nn.Conv(hidden, (1, 1), use_bias=False)(x)))
        y = nn.Conv(hidden, (3, 3), strides, feature_group_count=hidden, use_bias=False)(y)
        y = nn.relu6(BatchNorm()(y))
        y = BatchNorm()(nn.Conv(self.width, (1, 1), use_bias=False)(y))
        return x + y if x.shape == y.shape else y


class MobileNet(nn.Module):
    """A small MobileNet of the second version."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = nn.relu6(BatchNorm()(nn.Conv(6, (3, 3), use_bias=False)(x)))
        for width, stride in ((8, 2), (8, 1), (10, 1)):
            x = InvertedResidual(width, 2, stride)(x)
        x = nn.relu6(BatchNorm()(nn.Conv(14, (1, 1), use_bias=False)(x)))
        return nn.Dense(5)(jnp.mean(x, axis=(1, 2)))


class ResNeXt(nn.Module):
    """Bottleneck blocks whose inner convolution works in groups."""

    groups: int = 3

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = nn.relu(BatchNorm()(nn.Conv(10, (3, 3), use_bias=False)(x)))
        for hidden in (12, 15):
            y = nn.relu(BatchNorm()(nn.Conv(hidden, (1, 1), use_bias=False)(x)))
            y = nn.Conv(hidden, (3, 3), feature_group_count=self.groups, use_bias=False)(y)
            y = nn.relu(BatchNorm()(y))
            x = nn.relu(x + BatchNorm()(nn.Conv(x.shape[-1], (1, 1), use_bias=False)(y)))
        return nn.Dense(5)(jnp.mean(x, axis=(1, 2)))


class UNet(nn.Module):
    """An encoder and a decoder, with each level's image carried across."""

    widths: tuple[int, ...] = (6, 8)

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        skips = []
        for width in self.widths:
            x = nn.relu(nn.Conv(width, (3, 3))(x))
            x = nn.relu(nn.Conv(width, (3, 3))(x))
            skips.append(x)
            x = nn.max_pool(x, (2, 2), strides=(2, 2))
        x = nn.relu(nn.Conv(10, (3, 3))(x))
        for width, skip in zip(reversed(self.widths), reversed(skips), strict=True):
            x = nn.ConvTranspose(width + 1, (2, 2), strides=(2, 2))(x)
            x = jnp.concatenate([skip, x], axis=-1)
            x = nn.relu(nn.Conv(width, (3, 3))(x))
        return nn.Conv(2, (1, 1))(x)


class SqueezeExcitation(nn.Module):
    """Convolutions whose channels are weighed by a small network on their means."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        for width, reduced in ((8, 4), (12, 5)):
            x = nn.relu(nn.Conv(width, (3, 3))(x))
            gate = jnp.mean(x, axis=(1, 2), keepdims=True)
            gate = nn.sigmoid(nn.Dense(width)(nn.relu(nn.Dense(reduced)(gate))))
            x = x * gate
        return nn.Dense(5)(jnp.mean(x, axis=(1, 2)))


class GroupNormCNN(nn.Module):
    """Convolutions normed in groups of channels."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        for width, groups in ((8, 4), (12, 3)):
            x = nn.swish(nn.GroupNorm(num_groups=groups)(nn.Conv(width, (3, 3), strides=(2, 2))(x)))
        return nn.Dense(5)(jnp.mean(x, axis=(1, 2)))


class Autoencoder(nn.Module):
    """Convolutions down to a code, and up again from it by resizing."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        batch, height, width, channels = x.shape
        x = nn.elu(nn.Conv(6, (3, 3), strides=(2, 2))(x))
        x = nn.elu(nn.Conv(8, (3, 3), strides=(2, 2))(x))
        code = nn.Dense(7)(x.reshape((batch, -1)))
        x = nn.elu(nn.Dense(height // 4 * width // 4 * 5)(code)).reshape((batch, height // 4, width // 4, 5))
        for features in (6, 4):
            x = jax.image.resize(x, (batch, 2 * x.shape[1], 2 * x.shape[2], x.shape[3]), "nearest")
            x = nn.elu(nn.Conv(features, (3, 3))(x))
        return nn.Conv(channels, (3, 3))(x)


class MixerBlock(nn.Module):
    """A dense network across tokens, and one across channels."""

    tokens_hidden: int
    channels_hidden: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        y = jnp.swapaxes(nn.LayerNorm()(x), 1, 2)
        y = nn.Dense(y.shape[-1])(nn.gelu(nn.Dense(self.tokens_hidden)(y)))
        x = x + jnp.swapaxes(y, 1, 2)
        y = nn.LayerNorm()(x)
        return x + nn.Dense(x.shape[-1])(nn.gelu(nn.Dense(self.channels_hidden)(y)))


class Mixer(nn.Module):
    """MLP-Mixer."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = nn.Conv(10, (4, 4), strides=(4, 4))(x)
        x = x.reshape((x.shape[0], -1, x.shape[-1]))
        for _ in range(2):
            x = MixerBlock(7, 14)(x)
        return nn.Dense(5)(jnp.mean(nn.LayerNorm()(x), axis=1))


class TransformerBlock(nn.Module):
    """Attention and a dense network, each behind a norm."""

    heads: int
    hidden: int

    @nn.compact
    def __call__(self, x: jax.Array, mask: jax.Array | None = None) -> jax.Array:
        x = x + nn.MultiHeadDotProductAttention(self.heads)(nn.LayerNorm()(x), mask=mask)
        return x + nn.Dense(x.shape[-1])(nn.gelu(nn.Dense(self.hidden)(nn.LayerNorm()(x))))


class ViT(nn.Module):
    """A vision transformer with a class token."""

    width: int = 12

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = nn.Conv(self.width, (4, 4), strides=(4, 4), padding="VALID")(x)
        x = x.reshape((x.shape[0], -1, self.width))
        token = self.param("class_token", nn.initializers.zeros, (1, 1, self.width))
        x = jnp.concatenate([jnp.tile(token, (x.shape[0], 1, 1)), x], axis=1)
        x = x + self.param("positions", nn.initializers.normal(0.02), (1, *x.shape[1:]))
        for hidden in (20, 14):
            x = TransformerBlock(3, hidden)(x)
        return nn.Dense(5)(nn.LayerNorm()(x)[:, 0])


class GPT(nn.Module):
    """A causal transformer whose output is tied to its embedding."""

    vocabulary: int = 11
    length: int = 8
    width: int = 12

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        embed = nn.Embed(self.vocabulary, self.width)
        mask = nn.make_causal_mask(x)
        positions = nn.Embed(self.length, self.width)(jnp.arange(x.shape[1])[None])
        x = embed(x) + positions
        for hidden in (20, 14):
            x = TransformerBlock(2, hidden)(x, mask)
        return embed.attend(nn.LayerNorm()(x))


class LSTM(nn.Module):
    """Two recurrent layers, and a dense one on the last state."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        states: Any = nn.RNN(nn.LSTMCell(10))(x)
        states = nn.RNN(nn.OptimizedLSTMCell(8))(states)
        return nn.Dense(4)(states[:, -1])


def _build(module: nn.Module, x: Callable[[], jax.Array]) -> tuple[Any, Any, jax.Array]:
    batch = x()
    return module.apply, jax.jit(module.init, compiler_options=QUICK)(jax.random.key(0), batch), batch


_vectors = partial(reals, 5, 6)
_images = partial(reals, 2, 8, 12, 3)

BUILDERS: dict[str, Builder] = {
    "mlp": partial(_build, MLP(), _vectors),
    "dropout_mlp": partial(_build, DropoutMLP(), _vectors),
    "scanned_mlp": partial(_build, ScannedMLP(), _vectors),
    "remat_mlp": partial(_build, RematMLP(), _vectors),
    "lenet": partial(_build, LeNet(), partial(reals, 2, 16, 20, 1)),
    "vgg_batch_norm": partial(_build, VGG(), _images),
    "resnet20": partial(_build, ResNet((8, 12, 16), 3), _images),
    "resnet18": partial(_build, ResNet((8, 10, 12, 14), 2), partial(reals, 2, 16, 12, 3)),
    "densenet": partial(_build, DenseNet(), _images),
    "mobilenet": partial(_build, MobileNet(), _images),
    "resnext": partial(_build, ResNeXt(), _images),
    "unet": partial(_build, UNet(), _images),
    "squeeze_excitation": partial(_build, SqueezeExcitation(), _images),
    "group_norm_cnn": partial(_build, GroupNormCNN(), _images),
    "autoencoder": partial(_build, Autoencoder(), partial(reals, 3, 8, 12, 2)),
    "mixer": partial(_build, Mixer(), _images),
    "vit": partial(_build, ViT(), _images),
    "gpt": partial(_build, GPT(), partial(tokens, 3, 7, vocabulary=11)),
    "lstm": partial(_build, LSTM(), partial(reals, 3, 7, 6)),
}
