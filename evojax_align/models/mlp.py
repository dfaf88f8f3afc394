"""The fully connected networks of Uriot & Izzo 2020: 784-512-10 and 3072-100-100-100-10."""

import math
from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp

from evojax_align._types import Array, ArrayLike, Float


class MLP(nn.Module):
    """Dense layers with ReLU between them, on flattened inputs.

    Glorot-uniform kernels and zero biases. `apply(params, x)` of the library is `module.apply`, with the variables
    that `module.init(key, x)` returns as parameters.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> network = MLP(hidden=(512,))
        >>> params = network.init(jax.random.key(0), jnp.zeros((1, 28, 28)))
        >>> network.apply(params, jnp.zeros((3, 28, 28))).shape
        (3, 10)
    """

    hidden: Sequence[int] = (512,)
    """Width of each hidden layer: (512,) for MNIST, (100, 100, 100) for CIFAR-10."""
    classes: int = 10
    output_bias: bool = False
    """The paper's networks have none in the output layer."""

    @nn.compact
    def __call__(self, x: Float[ArrayLike, "n ..."]) -> Float[Array, "n classes"]:
        """Logits."""
        x = jnp.reshape(x, (jnp.shape(x)[0], math.prod(jnp.shape(x)[1:])))
        glorot = nn.initializers.glorot_uniform()
        for number, width in enumerate(self.hidden):
            x = nn.relu(nn.Dense(width, kernel_init=glorot, name=f"hidden_{number}")(x))
        return nn.Dense(self.classes, use_bias=self.output_bias, kernel_init=glorot, name="output")(x)
