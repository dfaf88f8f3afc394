"""LeNet-5, with rectifiers and maximum pooling in place of the units of 1998, and the LeNet of stock toolboxes."""

from collections.abc import Sequence
from functools import partial, reduce

import flax.linen as nn
import jax.numpy as jnp
from jax import lax

from evojax_align import _checks
from evojax_align._types import Array, ArrayLike, Float
from evojax_align.models.convolution import Conv, max_pool
from evojax_align.models.deep import with_channels


class LeNet5(nn.Module):
    """Two convolutions of 5 x 5, each followed by pooling, and dense layers (LeCun et al. 1998).

    Attributes:
        widths: channels of the two convolutions, then the widths of the dense layers.
        classes: number of logits.

    Example:
        >>> import jax, jax.numpy as jnp, evojax_align as ea
        >>> network = ea.models.LeNet5()
        >>> params = network.init(jax.random.key(0), jnp.zeros((1, 28, 28)))
        >>> network.apply(params, jnp.zeros((3, 28, 28))).shape
        (3, 10)
    """

    widths: Sequence[int] = (6, 16, 120, 84)
    classes: int = 10

    def __post_init__(self) -> None:
        _checks.widths("widths", self.widths)
        _checks.positive("classes", self.classes)
        super().__post_init__()

    @nn.compact
    def __call__(self, x: Float[ArrayLike, "n height width *channels"]) -> Float[Array, "n classes"]:
        """Logits."""
        x = with_channels(x)
        for number, width in enumerate(self.widths[:2]):
            x = max_pool(nn.relu(Conv(width, (5, 5), name=f"conv_{number}")(x)), (2, 2))
        x = jnp.reshape(x, (x.shape[0], -1))
        for number, width in enumerate(self.widths[2:]):
            x = nn.relu(nn.Dense(width, name=f"dense_{number}")(x))
        return nn.Dense(self.classes, name="output")(x)


class LeNet(nn.Module):
    """Three convolutions of 5 x 5 with overlapping pooling, one over the whole remaining map, and a dense layer.

    The network for CIFAR-10 in Caffe and MatConvNet ("quick"), with the default widths below, but with the initial
    weights of He et al. 2015. The LeNet-5 of Chung et al. 2017 has the same numbers of synapses and kernels. For images
    of 32 x 32, the last map is 4 x 4.

    Attributes:
        widths: channels of the three convolutions, and of the one over the whole map.
        classes: number of logits.

    Example:
        >>> import jax, jax.numpy as jnp, evojax_align as ea
        >>> network = ea.models.LeNet()
        >>> params = network.init(jax.random.key(0), jnp.zeros((1, 32, 32)))
        >>> sum(layer["kernel"].size for name, layer in params["params"].items() if name != "output")
        143136
    """

    widths: Sequence[int] = (32, 32, 64, 64)
    classes: int = 10

    def __post_init__(self) -> None:
        _checks.widths("widths", self.widths)
        _checks.positive("classes", self.classes)
        super().__post_init__()

    @nn.compact
    def __call__(self, x: Float[ArrayLike, "n height width *channels"]) -> Float[Array, "n classes"]:
        """Logits."""
        first, *others, last = self.widths
        conv = partial(Conv, kernel_init=nn.initializers.he_normal())
        x = nn.relu(_largest_of_nine(conv(first, (5, 5), name="conv_0")(with_channels(x))))
        for number, width in enumerate(others, start=1):
            x = _mean_of_nine(nn.relu(conv(width, (5, 5), name=f"conv_{number}")(x)))
        whole = (x.shape[1], x.shape[2])
        x = nn.relu(conv(last, whole, padding="VALID", name=f"conv_{len(self.widths) - 1}")(x))
        return nn.Dense(self.classes, name="output")(jnp.reshape(x, (x.shape[0], -1)))


def _largest_of_nine(x: Array) -> Array:
    """The largest values in windows of 3 x 3 with stride 2; the last may extend beyond the map by one."""
    return reduce(jnp.maximum, _nine(x, -jnp.inf))


def _mean_of_nine(x: Array) -> Array:
    """The means in the same windows, over the positions on the map."""
    inside = reduce(jnp.add, _nine(jnp.ones((1, *x.shape[1:3], 1), x.dtype), 0.0))
    return reduce(jnp.add, _nine(x, 0.0)) / inside


def _nine(x: Array, beyond: float) -> list[Array]:
    """The first value of each window, the second one, and so on: maps of half the size, rounded down."""
    x = lax.pad(x, jnp.array(beyond, x.dtype), ((0, 0, 0), (0, 1, 0), (0, 1, 0), (0, 0, 0)))
    n, height, width, channels = x.shape
    ends = height - (height - 1) % 2, width - (width - 1) % 2
    return [
        lax.slice(x, (0, i, j, 0), (n, ends[0] - 2 + i, ends[1] - 2 + j, channels), (1, 2, 2, 1))
        for i in range(3)
        for j in range(3)
    ]
