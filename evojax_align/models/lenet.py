"""LeNet-5, with rectifiers and maximum pooling in place of the units of 1998 (LeCun et al. 1998)."""

from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp

from evojax_align._types import Array, ArrayLike, Float
from evojax_align.models.convolution import Conv, max_pool
from evojax_align.models.deep import with_channels


class LeNet5(nn.Module):
    """Two convolutions of 5 x 5, each followed by pooling, and dense layers.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> network = LeNet5()
        >>> params = network.init(jax.random.key(0), jnp.zeros((1, 28, 28)))
        >>> network.apply(params, jnp.zeros((3, 28, 28))).shape
        (3, 10)
    """

    widths: Sequence[int] = (6, 16, 120, 84)
    """Channels of the two convolutions, then the widths of the dense layers."""
    classes: int = 10

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
