"""Calls to packages that rely on what JAX can be told to refuse."""

from collections.abc import Callable
from typing import Any

import jax


def called(call: Callable[..., Any], *args: Any) -> Any:
    """The result of a call to a package which relies on arrays of different rank being broadcast."""
    with jax.numpy_rank_promotion("allow"):
        return call(*args)
