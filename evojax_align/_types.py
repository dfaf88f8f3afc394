"""Names for the kinds of value that signatures mention; shapes are written with jaxtyping beside them."""

from collections.abc import Callable
from typing import Any, TypeAlias

from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Int, Key

PyTree: TypeAlias = Any
"""Any nesting of containers that JAX flattens; of parameters, unless said otherwise."""

Apply: TypeAlias = Callable[[Any, Any], Any]
"""A network: `apply(params, x) -> logits`, traceable by JAX."""

PRNGKey: TypeAlias = Key[Array, ""]
"""One key made by `jax.random.key`."""

__all__ = ["Apply", "Array", "ArrayLike", "Bool", "Float", "Int", "Key", "PRNGKey", "PyTree"]
