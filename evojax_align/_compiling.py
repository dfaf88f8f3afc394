"""A warning where programs are compiled again and again because an argument is a new object at every call.

JAX keeps a compiled program for the very function or optimiser that it was compiled for. `optax.adam(1e-3)` or a
`lambda` inside a loop is a new object each time, and each time everything is compiled anew.
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
"""So many objects of the same code for the same shapes are taken for a mistake."""

DEEPEST = 6
"""Functions in functions are looked into so far."""

_seen: dict[Any, set[int]] = {}
_told: set[Any] = set()


def watch(function: str, arguments: PyTree, **static: Any) -> None:
    """Note what a function is compiled for, and warn once where the same code comes as a new object again and again.

    Args:
        function: name of the function that is called.
        arguments: whose shapes it is compiled for.
        static: arguments by name that a program is compiled for, functions and tuples of functions.
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
    """What objects that were made by the same line with the same settings share; None for what is compared by value."""
    if isinstance(value, tuple):
        codes = tuple(_code(part) for part in value)
        return None if None in codes else codes
    contents = _contents(value)
    return contents if isinstance(contents, tuple) else None


def _contents(value: Any, depth: int = 0) -> Any:
    """The code of a function, with what it closes over; of what is no number and no function only the type."""
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
    """What a function closes over; None for a name that has no value yet."""
    try:
        return cell.cell_contents
    except ValueError:
        return None


def forget() -> None:
    """Begin to count anew."""
    _seen.clear()
    _told.clear()
