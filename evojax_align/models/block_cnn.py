"""Sequences of convolutions of any number, width, window and stride: the networks of an architecture search.

The template of Prellberg & Kramer 2018 (Lamarckian evolution of convolutional neural networks, Figure 1).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from evojax_align._types import Array, ArrayLike, Float
from evojax_align.models.convolution import Conv
from evojax_align.models.deep import with_channels


class BlockCNN(nn.Module):
    """A sequence of convolution blocks, and a dense layer on the mean of the last feature maps.

    It is a chain of pieces: the input of each is the output of the one before. It can therefore also be trained piece
    by piece (`training.fit_pieces`), with compiled programs that are shared by other networks of the same pieces.

    Attributes:
        blocks: filters, window side and stride of each block.
        classes: number of logits.
        use_bias: whether convolutions have a bias, which has no effect before a normalisation.
        momentum: momentum of the running statistics: the fraction that they keep in a step.
        epsilon: the epsilon of the normalisation, which is added to variances.
        dtype: dtype of the computation; parameters, statistics and logits are always float32.

    Example:
        >>> import jax, jax.numpy as jnp, evojax_align as ea
        >>> network = ea.models.BlockCNN(blocks=((16, 3, 1), (32, 5, 2)))
        >>> variables = network.init(jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
        >>> network.apply(variables, jnp.zeros((2, 32, 32, 3))).shape
        (2, 10)
        >>> list(network.pieces)
        ['block_0', 'block_1', 'head']
    """

    blocks: Sequence[tuple[int, int, int]]
    classes: int = 10
    use_bias: bool = False
    momentum: float = 0.99
    epsilon: float = 1e-3
    dtype: Any = jnp.float32

    @property
    def pieces(self) -> Mapping[str, nn.Module]:
        """The modules by name, in order: `head(block_1(block_0(x)))`."""
        settings = {name: getattr(self, name) for name in ("use_bias", "momentum", "epsilon", "dtype")}
        blocks = [ConvBlock(*block, **settings, parent=None) for block in self.blocks]
        named = {f"block_{number}": block for number, block in enumerate(blocks)}
        return named | {"head": Head(self.classes, parent=None)}

    def products(self, image: Sequence[int]) -> tuple[int, int]:
        """The numbers of multiplications for one image of this shape, and of weights in kernels and the last layer.

        The usual count of operations is twice the number of multiplications.
        """
        height, width, channels = (*image, 1)[:3]
        spent = weights = 0
        for filters, window, stride in self.blocks:
            height, width = -(-height // stride), -(-width // stride)
            own = window * window * channels * filters
            spent, weights, channels = spent + height * width * own, weights + own, filters
        return spent + channels * self.classes, weights + channels * self.classes

    @nn.compact
    def __call__(self, x: Float[ArrayLike, "n height width *channels"], *, train: bool = False) -> Array:
        """Logits; with `train`, batch statistics are used and stored (`mutable=["batch_stats"]`)."""
        for name, piece in self.pieces.items():
            x = piece.clone(parent=self, name=name)(x, train=train)
        return jnp.asarray(x)


class ConvBlock(nn.Module):
    """A convolution with the initial weights of Glorot & Bengio, batch normalisation, and a rectifier."""

    filters: int
    window: int
    stride: int
    use_bias: bool = False
    momentum: float = 0.99
    epsilon: float = 1e-3
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[ArrayLike, "n height width *channels"], *, train: bool = False) -> Array:
        """Feature maps."""
        window, strides = (self.window, self.window), (self.stride, self.stride)
        start = nn.initializers.glorot_uniform()
        pads = ((self.window // 2,) * 2,) * 2  # windows of all sides have the same centres, at any stride
        settings = {"use_bias": self.use_bias, "kernel_init": start, "dtype": self.dtype, "name": "conv"}
        x = Conv(self.filters, window, strides, pads, **settings)(with_channels(x))
        settings = {"momentum": self.momentum, "epsilon": self.epsilon, "dtype": self.dtype, "name": "norm"}
        return nn.relu(nn.BatchNorm(use_running_average=not train, **settings)(x))


class Head(nn.Module):
    """The mean over each map, and a dense layer."""

    classes: int

    @nn.compact
    def __call__(self, x: Float[ArrayLike, "n height width channels"], *, train: bool = False) -> Array:
        """Logits, which do not depend on `train`."""
        means = jnp.mean(jnp.asarray(x, jnp.float32), axis=(1, 2))
        return nn.Dense(self.classes, kernel_init=nn.initializers.glorot_uniform(), name="output")(means)
