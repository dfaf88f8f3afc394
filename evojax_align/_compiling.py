"""A warning if programs are compiled repeatedly because an argument is a new object at every call.

JAX caches a compiled program by the identity of the function or optimiser. `optax.adam(1e-3)` or a `lambda` inside a
loop is a new object each time, so that everything is compiled again each time.
"""

import functools
import types
import warnings
from typing import Any

import jax
import jax.numpy as jnp

from evojax_align import _checks
from evojax_align._types import PyTree

OFTEN = 3
"""The number of objects with the same code and the same shapes at which a warning is given."""

DEEPEST = 6
"""Depth to which functions that are closed over by functions are compared."""

_seen: dict[Any, set[int]] = {}
_told: set[Any] = set()


def watch(function: str, arguments: PyTree, **static: Any) -> None:
    """Record what a function is compiled for, and warn once if the same code is passed as a new object repeatedly.

    Args:
        function: name of the function that is called.
        arguments: arrays whose shapes it is compiled for.
        static: static arguments by name: functions and tuples of functions.
    """
    if not _checks.is_concrete(arguments):
        return
    shapes = tuple((jnp.shape(leaf), jnp.result_type(leaf)) for leaf in jax.tree.leaves(arguments))
    for name, value in static.items():
        code = _code(value)
        if code is None or (function, name, code) in _told:
            continue
        objects = _seen.setdefault((function, name, code, shapes), set())
        objects.add(hash(value))
        if len(objects) >= OFTEN:
            _told.add((function, name, code))
            warnings.warn(
                f"{function} was compiled {len(objects)} times for the same shapes, because {name!r} was a new object "
                f"each time. Make it once, before the loop, and pass the same object; what changes from call to call "
                f"belongs in params or data (a learning rate: optax.inject_hyperparams).",
                stacklevel=3,
            )


def _code(value: Any) -> Any:
    """A value shared by objects that the same line made with the same settings; None for what is compared by value."""
    if isinstance(value, tuple):
        codes = tuple(_code(part) for part in value)
        return None if None in codes else codes
    contents = _contents(value)
    return contents if isinstance(contents, tuple) else None


def _contents(value: Any, depth: int = 0) -> Any:
    """The code of a function and what it closes over; the type of anything that is neither a number nor a function."""
    if isinstance(value, bool | int | float | str | None):
        return value
    if depth >= DEEPEST:
        return type(value)
    if isinstance(value, tuple | list):
        return tuple(_contents(part, depth + 1) for part in value)
    if isinstance(value, functools.partial):
        parts = value.func, *value.args, *value.keywords.items()
        return functools.partial, *(_contents(part, depth + 1) for part in parts)
    if isinstance(value, types.MethodType):
        return _contents(value.__func__, depth + 1), type(value.__self__)
    if isinstance(value, types.FunctionType):
        cells = (_contents(_inside(cell), depth + 1) for cell in value.__closure__ or ())
        return value.__code__, tuple(cells)
    if callable(getattr(value, "__wrapped__", None)):  # of jax.jit
        return type(value), _contents(value.__wrapped__, depth + 1)
    return type(value)


def _inside(cell: types.CellType) -> Any:
    """The value that a function closes over; None for a name that has no value yet."""
    try:
        return cell.cell_contents
    except ValueError:
        return None


def forget() -> None:
    """Reset the counts."""
    _seen.clear()
    _told.clear()
