"""Names for the kinds of value that signatures mention; shapes are written with jaxtyping beside them."""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Int, Key, UInt32

PyTree: TypeAlias = Any
"""Any nesting of containers that JAX flattens; parameters, unless stated otherwise."""

Apply: TypeAlias = Callable[[Any, Any], Any]
"""A network: `apply(params, x) -> outputs`, traceable by JAX."""

Loss: TypeAlias = Callable[[Any, Any], Any]
"""`loss(outputs, targets)`: one number for each sample. Outputs are what the network gives for a batch, targets any
pytree with a leading axis of samples, or None."""

Metrics: TypeAlias = Mapping[str, Loss]
"""Functions like a loss, by name."""

PRNGKey: TypeAlias = Key[Array, ""] | UInt32[Array, " words"]
"""One key made by `jax.random.key`, or a legacy one of `jax.random.PRNGKey`."""

__all__ = ["Apply", "Array", "ArrayLike", "Bool", "Float", "Int", "Key", "Loss", "Metrics", "PRNGKey", "PyTree"]
