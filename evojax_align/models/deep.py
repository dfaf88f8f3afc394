"""The deep networks on which alignment is usually measured: VGG and ResNet, with batch normalisation.

Simonyan & Zisserman 2015 (VGG-11 is configuration A); He et al. 2016 (ResNet-20 of CIFAR, with projections).
"""

from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp

from evojax_align._types import Array, ArrayLike, Float
from evojax_align.models.convolution import Conv, max_pool

VGG11 = ((64,), (128,), (256, 256), (512, 512), (512, 512))
"""Channels of the convolutions between two poolings."""


class VGG(nn.Module):
    """Convolutions in stages with pooling between them, and one dense layer on the mean of the last maps.

    Attributes:
        stages: channels of the convolutions between two poolings.
        classes: number of logits.
        batch_norm: whether to normalise after each convolution, which then has no bias.

    Example:
        >>> import jax, jax.numpy as jnp, evojax_align as ea
        >>> network = ea.models.VGG(stages=((8,), (16,)))
        >>> params = network.init(jax.random.key(0), jnp.zeros((1, 28, 28, 1)))
        >>> network.apply(params, jnp.zeros((3, 28, 28, 1))).shape
        (3, 10)
    """

    stages: Sequence[Sequence[int]] = VGG11
    classes: int = 10
    batch_norm: bool = True

    @nn.compact
    def __call__(self, x: Float[ArrayLike, "n height width *channels"], *, train: bool = False) -> Array:
        """Logits; with `train`, batch statistics are used and stored (`mutable=["batch_stats"]`)."""
        x = with_channels(x)
        for stage, widths in enumerate(self.stages):
            for number, width in enumerate(widths):
                x = Conv(width, (3, 3), use_bias=not self.batch_norm, name=f"conv_{stage}_{number}")(x)
                if self.batch_norm:
                    x = nn.BatchNorm(use_running_average=not train, name=f"norm_{stage}_{number}")(x)
                x = nn.relu(x)
            if min(x.shape[1:3]) > 1:
                x = max_pool(x, (2, 2))
        return nn.Dense(self.classes, name="output")(jnp.mean(x, axis=(1, 2)))


class ResNet(nn.Module):
    """Stages of basic blocks; the first block of every later stage halves the map and projects its input.

    With three stages of three blocks it is ResNet-20.

    Attributes:
        width: channels of the first stage; each later stage has twice as many as the one before.
        blocks: number of blocks in each stage.
        classes: number of logits.

    Example:
        >>> import jax, jax.numpy as jnp, evojax_align as ea
        >>> network = ea.models.ResNet(width=4, blocks=1)
        >>> params = network.init(jax.random.key(0), jnp.zeros((1, 8, 8, 3)))
        >>> network.apply(params, jnp.zeros((2, 8, 8, 3))).shape
        (2, 10)
    """

    width: int = 16
    blocks: int = 3
    classes: int = 10

    @nn.compact
    def __call__(self, x: Float[ArrayLike, "n height width *channels"], *, train: bool = False) -> Array:
        """Logits; with `train`, batch statistics are used and stored (`mutable=["batch_stats"]`)."""
        x = Conv(self.width, (3, 3), use_bias=False, name="stem")(with_channels(x))
        x = nn.relu(nn.BatchNorm(use_running_average=not train, name="stem_norm")(x))
        for stage in range(3):
            for number in range(self.blocks):
                strides = (2, 2) if stage and not number else (1, 1)
                x = Block(self.width * 2**stage, strides, name=f"block_{stage}_{number}")(x, train=train)
        return nn.Dense(self.classes, name="output")(jnp.mean(x, axis=(1, 2)))


class Block(nn.Module):
    """Two convolutions with a skip connection."""

    width: int
    strides: Sequence[int] = (1, 1)

    @nn.compact
    def __call__(self, x: Float[Array, "n height width channels"], *, train: bool = False) -> Array:
        """The sum, rectified."""
        average = not train
        y = Conv(self.width, (3, 3), self.strides, use_bias=False, name="conv_0")(x)
        y = nn.relu(nn.BatchNorm(use_running_average=average, name="norm_0")(y))
        y = Conv(self.width, (3, 3), use_bias=False, name="conv_1")(y)
        y = nn.BatchNorm(use_running_average=average, name="norm_1")(y)
        if y.shape != x.shape:
            x = Conv(self.width, (1, 1), self.strides, use_bias=False, name="projection")(x)
            x = nn.BatchNorm(use_running_average=average, name="projection_norm")(x)
        return nn.relu(x + y)


def with_channels(x: ArrayLike) -> Array:
    """Images with an axis of channels, which is added to grey images."""
    x = jnp.asarray(x)
    return x[..., None] if x.ndim == 3 else x
