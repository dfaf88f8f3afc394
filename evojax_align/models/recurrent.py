"""Recurrent networks, for sequences and for control (Elman 1990)."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from evojax_align import _checks
from evojax_align._types import Array, ArrayLike, Float, PyTree


class Recurrent(nn.Module):
    """A hidden layer of fully recurrent tanh neurons, and linear outputs.

    h_t = tanh(x_t W + h_{t-1} V + b), with h_0 = 0, and outputs h_t U + c.

    `apply(params, x)` returns the outputs of whole sequences, as `align` and `symmetry.infer` need. A policy in
    `evolution.tasks` makes one step at a time, by `start` and `advance`.

    Attributes:
        hidden: width of the hidden layer.
        outputs: number of outputs.

    Example:
        >>> import jax, jax.numpy as jnp, evojax_align as ea
        >>> network, x = ea.models.Recurrent(hidden=4, outputs=2), jnp.ones((1, 3, 5))  # one sequence of three steps
        >>> params = network.init(jax.random.key(0), x)
        >>> network.apply(params, x).shape
        (1, 3, 2)
        >>> memory = network.start(1)
        >>> for step in range(3):
        ...     memory, outputs = network.advance(params, memory, x[:, step])
        >>> bool(jnp.allclose(outputs, network.apply(params, x)[:, -1]))
        True

    References:
        Elman, J. L. Finding structure in time. Cognitive Science 14 (1990).
    """

    hidden: int = 8
    outputs: int = 1

    def __post_init__(self) -> None:
        _checks.positive("hidden", self.hidden)
        _checks.positive("outputs", self.outputs)
        super().__post_init__()

    def setup(self) -> None:
        """The layers."""
        draw = nn.initializers.glorot_uniform()
        self.input = nn.Dense(self.hidden, kernel_init=draw, name="hidden")
        self.memory = self.param("memory", draw, (self.hidden, self.hidden))
        self.output = nn.Dense(self.outputs, kernel_init=draw, name="output")

    def __call__(self, x: Float[ArrayLike, "n time inputs"]) -> Float[Array, "n time outputs"]:
        """The outputs at every step."""
        came, weights = self.input(jnp.asarray(x)), self.memory
        shape = came.shape[0], self.hidden
        start = jnp.zeros_like(came, dtype=jnp.result_type(came, weights), shape=shape)

        def step(memory: Array, came: Array) -> tuple[Array, Array]:
            memory = jnp.tanh(came + memory @ weights)
            return memory, memory

        _, memories = jax.lax.scan(step, start, jnp.moveaxis(came, 1, 0))
        return self.output(jnp.moveaxis(memories, 0, 1))

    def step(
        self, memory: Float[Array, "n hidden"], x: Float[ArrayLike, "n inputs"]
    ) -> tuple[Float[Array, "n hidden"], Float[Array, "n outputs"]]:
        """One step with bound parameters, like `advance`."""
        memory = jnp.tanh(self.input(jnp.asarray(x)) + memory @ self.memory)
        return memory, self.output(memory)

    def start(self, n: int) -> Float[Array, "n hidden"]:
        """The memory of n sequences before their first step."""
        return jnp.zeros((n, self.hidden))

    def advance(
        self, params: PyTree, memory: Float[Array, "n hidden"], x: Float[ArrayLike, "n inputs"]
    ) -> tuple[Float[Array, "n hidden"], Float[Array, "n outputs"]]:
        """The memory and the outputs after one more step of n sequences.

        Args:
            params: parameters of the network.
            memory: memory of each sequence, from `start` or `advance`.
            x: inputs of this step.
        """
        found: Any = self.apply(params, memory, x, method="step")
        return found
