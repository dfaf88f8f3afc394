"""Fully connected networks: sequential as in Uriot & Izzo 2020, and with parallel parts as in Cooke & de Alfaro."""

import math
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from evojax_align import _checks
from evojax_align._types import Array, ArrayLike, Float, PRNGKey

STARTS = ("glorot", "fan_in")


class MLP(nn.Module):
    """Dense layers with ReLU between them, on flattened inputs.

    The `apply(params, x)` of this library is `module.apply`, with the variables from `module.init(key, x)` as
    parameters.

    Attributes:
        hidden: width of each hidden layer: (512,) for MNIST, (100, 100, 100) for CIFAR-10.
        classes: number of logits.
        output_bias: whether the output layer has a bias; those of Uriot & Izzo have none.
        start: the initial weights: "glorot" (uniform, and biases of zero), or "fan_in", weights and biases uniform
            within 1 / sqrt(number of inputs), as in PyTorch.

    Example:
        >>> import jax, jax.numpy as jnp, evojax_align as ea
        >>> network = ea.models.MLP(hidden=(512,))
        >>> params = network.init(jax.random.key(0), jnp.zeros((1, 28, 28)))
        >>> network.apply(params, jnp.zeros((3, 28, 28))).shape
        (3, 10)
    """

    hidden: Sequence[int] = (512,)
    classes: int = 10
    output_bias: bool = False
    start: str = "glorot"

    def __post_init__(self) -> None:
        _checks.widths("hidden", self.hidden)
        _checks.positive("classes", self.classes)
        super().__post_init__()

    @nn.compact
    def __call__(self, x: Float[ArrayLike, "n ..."]) -> Float[Array, "n classes"]:
        """Logits."""
        x = _flat(x)
        for number, width in enumerate(self.hidden):
            x = nn.relu(dense(x, width, self.start, f"hidden_{number}"))
        return dense(x, self.classes, self.start, "output", use_bias=self.output_bias)


class SplitMLP(nn.Module):
    """A network whose second layer is divided into parallel parts, each of which is a gene.

    The input of every part is the whole first layer; the outputs of all parts are concatenated for the output layer.
    With the default sizes and 28x28 inputs, it has 235 146 parameters, as many as `MLP((256, 128), output_bias=True)`,
    and can compute the same functions.

    Attributes:
        hidden: width of the first layer.
        parts: width of each part of the second layer.
        classes: number of logits.
        start: as in `MLP`.

    Example:
        >>> import jax, jax.numpy as jnp, evojax_align as ea
        >>> params = ea.models.SplitMLP().init(jax.random.key(0), jnp.zeros((1, 28, 28)))
        >>> sum(leaf.size for leaf in jax.tree.leaves(params))
        235146

    References:
        Cooke, G. and de Alfaro, L. Experiments on mixed genetic and gradient-driven evolution for machine learning.
    """

    hidden: int = 256
    parts: Sequence[int] = (64, 64)
    classes: int = 10
    start: str = "fan_in"

    def __post_init__(self) -> None:
        _checks.positive("hidden", self.hidden)
        _checks.widths("parts", self.parts)
        _checks.positive("classes", self.classes)
        super().__post_init__()

    @nn.compact
    def __call__(self, x: Float[ArrayLike, "n ..."]) -> Float[Array, "n classes"]:
        """Logits."""
        x = nn.relu(dense(_flat(x), self.hidden, self.start, "hidden_0"))
        joined = jnp.concatenate(
            [nn.relu(dense(x, width, self.start, f"part_{number}")) for number, width in enumerate(self.parts)],
            axis=-1,
        )
        return dense(joined, self.classes, self.start, "output")


def _flat(x: ArrayLike) -> Array:
    return jnp.asarray(x).reshape(jnp.shape(x)[0], math.prod(jnp.shape(x)[1:]))


def dense(x: Array, width: int, start: str, name: str, *, use_bias: bool = True) -> Array:
    """A dense layer with the initial weights of `MLP`."""
    _checks.one_of("start", start, STARTS)
    if start == "glorot":
        return nn.Dense(width, use_bias, kernel_init=nn.initializers.glorot_uniform(), name=name)(x)
    draw = within_fan_in(x.shape[-1])
    return nn.Dense(width, use_bias, kernel_init=draw, bias_init=draw, name=name)(x)


def within_fan_in(inputs: int) -> nn.initializers.Initializer:
    """An initializer that draws uniformly within 1 / sqrt(number of inputs of a unit)."""
    within = 1 / math.sqrt(max(1, inputs))

    def draw(key: PRNGKey, shape: Sequence[int], dtype: Any = jnp.float32) -> Array:
        return jax.random.uniform(key, shape, dtype, -within, within)

    return draw
