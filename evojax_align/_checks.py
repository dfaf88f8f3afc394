"""Input validation: each error names the argument, what came, what was expected, and the fix."""

import difflib
import importlib
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from evojax_align._types import PyTree


class BadInput(ValueError):
    """An argument is invalid."""


class NeedsValues(TypeError):
    """A function that needs concrete values was traced."""


def bad(argument: str, came: object, expected: str, fix: str) -> BadInput:
    """The error that every check raises: argument, what came, what was expected, fix."""
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
    """Whether no leaf is a tracer, so that values can be read."""
    return not any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(trees))


def on_host(tree: Any) -> bool:
    """Whether NumPy can read all arrays where they are: on a CPU, and outside a trace."""

    def is_here(leaf: Any) -> bool:
        if not isinstance(leaf, jax.Array):
            return True
        return leaf.is_fully_addressable and all(device.platform == "cpu" for device in leaf.devices())

    return is_concrete(tree) and all(map(is_here, jax.tree.leaves(tree)))


def positive(argument: str, value: int) -> int:
    """Return `value` if it is an integer of at least one."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise bad(argument, repr(value), "an integer of at least 1", f"Pass {argument}=1 or more.")
    return int(value)


def above_zero(argument: str, value: Any) -> Any:
    """Return `value` if it is a finite number above zero; a traced value is not checked."""
    if is_concrete(value) and not (value > 0 and np.isfinite(value)):
        raise bad(argument, repr(value), "a finite number above 0", f"Pass, for example, {argument}=0.1.")
    return value


def deviation(argument: str, value: Any) -> Any:
    """Return `value` if it is one finite number of at least zero, such as a standard deviation."""
    number(argument, value, "one finite number of at least 0", f"Pass, for example, {argument}=0.1.")
    if is_concrete(value) and value < 0:
        raise bad(argument, repr(value), "one finite number of at least 0", f"Pass {argument}={-value}.")
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
    arrays(name_a, a)
    arrays(name_b, b)
    leaves_a, leaves_b = (dict(jax.tree_util.tree_leaves_with_path(tree)) for tree in (a, b))
    both = f"{name_a}, {name_b}"
    for keys in [*leaves_a, *leaves_b]:
        path = path_string(keys)
        if keys not in leaves_a or keys not in leaves_b:
            here, there = (name_a, name_b) if keys in leaves_a else (name_b, name_a)
            raise bad(
                both,
                f"the leaf {path!r} in {here} only",
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


def network(apply: Any, argument: str = "apply") -> Callable[..., Any]:
    """Return a network or a loss if it is callable and hashable."""
    takes = "params, x" if argument == "apply" else "outputs, targets"
    if not callable(apply):
        fix = f"Pass lambda {takes}: ..." if argument != "apply" else f"Pass module.apply, or lambda {takes}: ..."
        raise bad(argument, repr(apply)[:80], f"a function {argument}({takes})", fix)
    try:
        hash(apply)
    except TypeError as error:
        fix = f"Wrap it once: def {argument}({takes}): ..."
        raise bad(argument, f"an object without a hash ({error})", "a function", fix) from error
    return apply


def arrays(argument: str, tree: PyTree) -> None:
    """Require a tree whose leaves are arrays of numbers, their shapes, or random keys; an error names the leaf."""
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        if isinstance(leaf, Tracer | jax.Array | jax.ShapeDtypeStruct | bool | int | float | complex):
            continue
        kind = getattr(getattr(leaf, "dtype", None), "kind", None)
        if isinstance(leaf, np.ndarray | np.generic) and kind not in tuple("OUSMm"):
            continue
        if hasattr(leaf, "__jax_array__"):
            continue
        where = f" at the leaf {path_string(path)!r}" if path else ""
        came = f"{type(leaf).__module__}.{type(leaf).__name__}" if kind is None else f"an array of {leaf.dtype}"
        fix = "Convert it by jnp.asarray(...), for PyTorch from tensor.detach().numpy()."
        if callable(leaf):
            fix = "Take functions out of the tree; for Equinox: params, static = eqx.partition(model, eqx.is_array)."
        raise bad(argument, came + where, "arrays of numbers", fix)


def inputs(argument: str, x: PyTree) -> None:
    """Require samples along the leading axis of every leaf, and at least one."""
    arrays(argument, x)
    shapes = [jnp.shape(leaf) for leaf in jax.tree.leaves(x)]
    counts = {shape[:1] for shape in shapes}
    if len(counts) != 1 or counts & {(), (0,)}:
        came = f"shapes {shapes[:6]}{'...' if len(shapes) > 6 else ''}"
        fix = "Pass one array, jnp.asarray(x), not nested lists." if isinstance(x, list) else "Pass inputs."
        raise bad(argument, came, "samples along the leading axis, at least one", fix)


def number(argument: str, value: Any, expected: str = "one finite number", fix: str = "Pass a number.") -> Any:
    """Return `value` if it is one number, and finite unless it is traced."""
    try:
        arrays(argument, value)
    except BadInput as error:
        raise bad(argument, repr(value)[:80], expected, fix) from error
    if jnp.shape(value) != () or (is_concrete(value) and not np.isfinite(value)):
        raise bad(argument, value if jnp.shape(value) == () else f"shape {jnp.shape(value)}", expected, fix)
    return value


def descent(argument: str, optimizer: Any) -> Any:
    """Return `optimizer` if it is an optax optimiser."""
    if not (callable(getattr(optimizer, "init", None)) and callable(getattr(optimizer, "update", None))):
        raise bad(
            argument, repr(optimizer)[:80], "an optax optimiser", f"Pass, for example, {argument}=optax.adam(1e-3)."
        )
    return optimizer


def widths(argument: str, value: Any) -> None:
    """Require a sequence of positive integers, such as the widths of layers."""
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise bad(argument, repr(value), "a tuple of integers", f"Pass {argument}=({value},).")
    for width in value:
        positive(argument, width)


def refuse_trace(name: str, instead: str, *trees: PyTree) -> None:
    """Raise an error if any leaf is traced: for functions that need concrete values."""
    if not is_concrete(trees):
        raise NeedsValues(
            f"{name} needs concrete values and cannot be traced by jit, vmap, grad or scan. Call it outside; {instead}"
        )


def traced(trace: Callable[..., Any], apply: Callable, params: PyTree, x: PyTree) -> Any:
    """Return `trace(apply)(params, x)`; if the network does not accept them, the error names the one that is wrong."""
    network(apply)
    arrays("params", params)
    arrays("x", x)
    try:
        return trace(apply)(params, x)
    except Exception as error:  # a network may raise anything
        if isinstance(error, BadInput | NeedsValues | jax.errors.JAXTypeError):
            raise
        shapes = [jnp.shape(leaf) for leaf in jax.tree.leaves(x)]
        if (size := _population_of(apply, params, x)) is not None:
            fix = "Lift the function: population.map(lambda params: ..., pop)."
            raise bad("params", f"a population of {size} networks", "one network", fix) from error
        came = f"params of structure {str(jax.tree.structure(params))[:200]} and x of shapes {shapes[:6]}"
        fix = f"Check that params and x fit the network; tracing it raised: {type(error).__name__}: {error}"
        raise bad("apply, params, x", came, "params and inputs that apply(params, x) accepts", fix) from error


def _population_of(apply: Callable, params: PyTree, x: PyTree) -> int | None:
    """The number of networks if `params` is a population whose members the network accepts; None otherwise."""
    shapes = [jnp.shape(leaf) for leaf in jax.tree.leaves(params)]
    counts = {shape[:1] for shape in shapes}
    if len(counts) != 1 or () in counts:
        return None
    one = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(jnp.shape(leaf)[1:], jnp.result_type(leaf)), params)
    try:
        jax.eval_shape(apply, one, x)
    except Exception:  # a network may raise anything
        return None
    return counts.pop()[0]


def is_inexact(leaf: Any) -> bool:
    """Whether a leaf holds real or complex floating-point numbers."""
    kind = getattr(getattr(leaf, "dtype", None), "kind", "")  # random keys have a type without it
    if kind and kind in "biuf":  # without the rules of promotion, which take long for many leaves
        return kind == "f"
    return jnp.issubdtype(jnp.result_type(leaf), jnp.inexact)


def is_finite(tree: PyTree) -> bool:
    """Whether every inexact leaf, all of them on the host, has only finite values."""
    return all(bool(np.isfinite(np.asarray(leaf)).all()) for leaf in jax.tree.leaves(tree) if is_inexact(leaf))


def all_finite(
    argument: str, tree: PyTree, fix: str = "Drop this network, or train it again with a smaller learning rate."
) -> None:
    """Require finite values in every inexact leaf; an error names the first leaf that has other values."""
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        if not is_inexact(leaf):
            continue
        numbers = np if on_host(leaf) else jnp  # on the array's own device, without a copy
        if bool(numbers.isfinite(leaf).all()):
            continue
        count = int(np.sum(~np.isfinite(np.asarray(leaf))))
        where = f" at the leaf {path_string(path)!r}" if path else ""
        raise bad(argument, f"{count} values that are NaN or infinite{where}", "finite values", fix)


def extra(module: str, name: str) -> ModuleType:
    """Import an optional module; if it is missing, the error names the extra that installs it."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"{module} is not installed; it comes with the extra {name!r}. Run: pip install 'evojax-align[{name}]'"
        ) from error
