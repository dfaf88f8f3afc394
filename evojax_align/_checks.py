"""Input validation: each error names the argument, what came, what was expected, and the fix."""

import difflib
import importlib
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax.errors import FlaxError
from jax.core import Tracer

from evojax_align._types import PyTree


class BadInput(ValueError):
    """Something was given that cannot be worked with."""


def bad(argument: str, came: object, expected: str, fix: str) -> BadInput:
    """The error that every check raises, in its one form."""
    return BadInput(f"{argument}: got {came}; expected {expected}. {fix}")


def one_of(argument: str, value: str, known: Iterable[str]) -> str:
    """Return `value` if it is among `known`; otherwise raise, suggesting the nearest name."""
    known = list(known)
    if value in known:
        return value
    near = difflib.get_close_matches(str(value), known, n=1, cutoff=0.5)
    fix = f"Did you mean {near[0]!r}?" if near else "Choose one of these."
    raise bad(argument, repr(value), "one of " + ", ".join(map(repr, known)), fix)


def is_concrete(*trees: PyTree) -> bool:
    """Whether no leaf is a tracer, so that values can be looked at."""
    return not any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(trees))


def positive(argument: str, value: int) -> int:
    """Return `value` if it is an integer of at least one."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise bad(argument, repr(value), "an integer of at least 1", f"Pass {argument}=1 or more.")
    return int(value)


def above_zero(argument: str, value: float) -> float:
    """Return `value` if it is a finite number above zero."""
    if not (value > 0 and np.isfinite(value)):
        raise bad(argument, repr(value), "a finite number above 0", f"Pass, for example, {argument}=0.1.")
    return value


def key(argument: str, value: Any, *, several: bool = False) -> Any:
    """Return a random key, or with `several` also an array of them, as a typed one; legacy keys are wrapped.

    A key of `jax.random.key` is returned as it is. One of `jax.random.PRNGKey`, an array of 32-bit integers, is wrapped
    in the implementation that JAX uses by default; it gives the same random numbers.
    """
    dtype = getattr(value, "dtype", None)
    typed = dtype is not None and jnp.issubdtype(dtype, jax.dtypes.prng_key)
    if not typed and dtype == jnp.uint32:
        words = jax.eval_shape(lambda: jax.random.key_data(jax.random.key(0))).shape
        if value.shape[-1:] == words:
            value, typed = jax.random.wrap_key_data(jnp.asarray(value)), True
    if typed and (value.ndim == 0 or several):
        return value
    came = type(value).__name__ if dtype is None else f"{dtype} of shape {jnp.shape(value)}"
    fix = "Pass jax.random.key(0)." if not typed else "Pass one key; split it where several are needed."
    raise bad(argument, came, "one random key" + (", or an array of keys" if several else ""), fix)


def path_string(path: tuple[Any, ...]) -> str:
    """`('params', 'hidden', 'kernel')` as `params/hidden/kernel`, for any kind of tree key."""
    return jax.tree_util.keystr(path, simple=True, separator="/")


def same_trees(name_a: str, a: PyTree, name_b: str, b: PyTree) -> None:
    """Require two trees of equal structure whose leaves agree in shape and dtype; an error names the leaf."""
    leaves_a, leaves_b = (dict(jax.tree_util.tree_leaves_with_path(tree)) for tree in (a, b))
    both = f"{name_a}, {name_b}"
    for keys in [*leaves_a, *leaves_b]:
        path = path_string(keys)
        if keys not in leaves_a or keys not in leaves_b:
            here, there = (name_a, name_b) if keys in leaves_a else (name_b, name_a)
            raise bad(
                both,
                f"the leaf {path!r} in {here} alone",
                "two trees of the same structure",
                f"Give {there} this leaf, or build both parents with the same network.",
            )
        x, y = leaves_a[keys], leaves_b[keys]
        for what, of_x, of_y in (
            ("shape", jnp.shape(x), jnp.shape(y)),
            ("dtype", jnp.result_type(x), jnp.result_type(y)),
        ):
            if of_x != of_y:
                raise bad(
                    both,
                    f"{what} {of_x} and {of_y} at the leaf {path!r}",
                    f"the same {what} in both",
                    "Build both parents with the same network." if what == "shape" else "Cast one of them.",
                )
    if jax.tree.structure(a) != jax.tree.structure(b):
        raise bad(
            both,
            f"{jax.tree.structure(a)} and {jax.tree.structure(b)}",
            "two trees of the same structure",
            "Build both parents with the same network.",
        )


def traced(trace: Callable[..., Any], apply: Callable, params: PyTree, x: PyTree) -> Any:
    """Return `trace(apply)(params, x)`; where the network refuses its inputs, the error names their shapes."""
    try:
        return trace(apply)(params, x)
    except (TypeError, ValueError, FlaxError) as error:
        shapes = [jnp.shape(leaf) for leaf in jax.tree.leaves(x)]
        fix = f"Check that x fits the network; tracing it raised: {error}"
        raise bad("x", f"shapes {shapes}", "inputs that apply(params, x) takes", fix) from error


def all_finite(
    argument: str, tree: PyTree, fix: str = "Drop this network, or train it again with a smaller learning rate."
) -> None:
    """Require finite values in every inexact leaf; an error names the first leaf that has others."""
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        if not jnp.issubdtype(jnp.result_type(leaf), jnp.inexact):
            continue
        count = int(np.sum(~np.isfinite(np.asarray(leaf))))
        if count:
            where = f" at the leaf {path_string(path)!r}" if path else ""
            raise bad(
                argument,
                f"{count} values that are NaN or infinite{where}",
                "finite values",
                fix,
            )


def extra(module: str, name: str) -> ModuleType:
    """Import an optional module; where it is missing, the error names the extra that installs it."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"{module} is not installed; it comes with the extra {name!r}. Run: pip install 'evojax-align[{name}]'"
        ) from error
