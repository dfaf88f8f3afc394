"""Calls to packages that rely on rank promotion, which JAX can be configured to reject."""

from collections.abc import Callable
from typing import Any

import jax


def called(call: Callable[..., Any], *args: Any) -> Any:
    """Call a package that broadcasts arrays of different rank."""
    with jax.numpy_rank_promotion("allow"):
        return call(*args)
