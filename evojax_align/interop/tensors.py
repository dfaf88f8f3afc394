"""Arrays of state dicts: NumPy, JAX, or tensors of PyTorch, which is imported only to make tensors."""

import importlib
from collections.abc import Collection, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from evojax_align import _checks

_BYTES = {1: "uint8", 2: "int16", 4: "int32", 8: "int64"}


def is_tensor(value: Any) -> bool:
    """Whether a value is a tensor of PyTorch."""
    return any(base.__module__ == "torch" and base.__name__ == "Tensor" for base in type(value).__mro__)


def check_names(argument: str, state: Any) -> None:
    """Require a mapping whose keys are texts."""
    if not isinstance(state, Mapping):
        fix = "Pass module.state_dict()." if hasattr(state, "state_dict") else "Pass {name: array, ...}."
        raise _checks.bad(argument, f"a {type(state).__name__}", "a mapping of names to arrays", fix)
    if wrong := [name for name in state if not isinstance(name, str)]:
        raise _checks.bad(argument, f"the name {wrong[0]!r}", "names that are texts", "Convert them by str().")


def as_arrays(argument: str, state: Any, *, skip: Collection[str] = ()) -> dict[str, np.ndarray]:
    """The values of a state dict as NumPy arrays; tensors of a CPU share their memory with them.

    Those of the names in `skip` are left out, whatever they are.
    """
    check_names(argument, state)
    return {name: _as_array(f"{argument}[{name!r}]", value) for name, value in state.items() if name not in skip}


def _as_array(argument: str, value: Any) -> np.ndarray:
    if isinstance(value, Mapping):
        raise _checks.bad(argument, "a mapping", "an array", f"Pass {argument} alone, or flatten the names.")
    try:
        if is_tensor(value):
            name = str(value.dtype).removeprefix("torch.")
            value = value.detach().cpu().contiguous()
            own = np.dtype(jnp.dtype(name))
            if own.kind == "V":  # bfloat16 and float8, which PyTorch does not hand to NumPy
                return value.view(getattr(_torch(), _BYTES[own.itemsize])).numpy().view(own)
            return value.numpy()
        array = np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise _checks.bad(argument, f"a {type(value).__name__} ({error})", "an array of numbers", "Drop it.") from error
    if array.dtype.kind in "OUSMm" or array.dtype.names is not None:
        raise _checks.bad(argument, f"a {type(value).__name__} of {array.dtype}", "an array of numbers", "Drop it.")
    return array


def as_tensor(array: np.ndarray) -> Any:
    """A tensor of PyTorch with its own memory."""
    torch = _torch()
    array = np.array(array, order="C")
    if array.dtype.kind == "V":
        return torch.from_numpy(array.view(_BYTES[array.dtype.itemsize])).view(getattr(torch, array.dtype.name))
    return torch.from_numpy(array)


def _torch() -> Any:
    """PyTorch, which is not a dependency of this package."""
    return importlib.import_module("torch")
