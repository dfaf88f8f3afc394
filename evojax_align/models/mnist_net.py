"""The network of PyTorch's example for MNIST, which Dobreva's thesis prunes."""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from evojax_align._types import Array, ArrayLike, Float, PRNGKey
from evojax_align.models.convolution import Conv, max_pool
from evojax_align.models.deep import with_channels
from evojax_align.models.mlp import dense, within_fan_in


class MnistNet(nn.Module):
    """Two convolutions of 3 x 3, pooling, and two dense layers, with dropout after the pooling and between them.

    With a key, as in `network.apply(params, x, key)`, dropout is active; without one it is not. Initial weights and
    biases are drawn as in PyTorch.

    Attributes:
        widths: channels of the two convolutions, and units of the dense layer.
        classes: number of logits.
        dropout: probability of dropping a value after the pooling, and a unit of the dense layer.
        method: how convolutions are computed (see `conv`).

    Example:
        >>> import jax, jax.numpy as jnp, evojax_align as ea
        >>> network = ea.models.MnistNet()
        >>> params = network.init(jax.random.key(0), jnp.zeros((1, 28, 28)))
        >>> sum(layer["kernel"].size for layer in params["params"].values())
        1199648
    """

    widths: Sequence[int] = (32, 64, 128)
    classes: int = 10
    dropout: Sequence[float] = (0.25, 0.5)
    method: str = "auto"

    @nn.compact
    def __call__(
        self, x: Float[ArrayLike, "n height width *channels"], key: PRNGKey | None = None
    ) -> Float[Array, "n classes"]:
        """Logits."""
        x = with_channels(x)
        for number, width in enumerate(self.widths[:2]):
            draw = within_fan_in(9 * x.shape[-1])
            settings = {"padding": "VALID", "kernel_init": draw, "bias_init": draw, "method": self.method}
            conv = Conv(width, (3, 3), **settings, name=f"conv_{number}")
            x = nn.relu(conv(x))
        x = jnp.reshape(max_pool(x, (2, 2)), (x.shape[0], -1))
        first, second = (None, None) if key is None else jax.random.split(key)
        x = self._dropped(first, 0, x)
        x = nn.relu(dense(x, self.widths[2], "fan_in", "dense"))
        return dense(self._dropped(second, 1, x), self.classes, "fan_in", "output")

    def _dropped(self, key: PRNGKey | None, place: int, x: Array) -> Array:
        return nn.Dropout(self.dropout[place], deterministic=key is None)(x, rng=key)
