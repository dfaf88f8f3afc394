"""Evaluates traced programs in NumPy: small ones take milliseconds, where JAX would compile for a second."""

import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy as np
import scipy.special
from jax.extend import core


def evaluate(closed: core.ClosedJaxpr, *inputs: Any) -> list[np.ndarray]:
    """The outputs of a program for these inputs."""
    jaxpr = closed.jaxpr
    values: dict[Any, Any] = dict(zip(jaxpr.constvars, map(np.asarray, closed.consts), strict=True))
    values.update(zip(jaxpr.invars, map(np.asarray, inputs), strict=True))
    read = lambda atom: np.asarray(atom.val) if isinstance(atom, core.Literal) else values[atom]
    with np.errstate(all="ignore"):
        for equation in jaxpr.eqns:
            made = _apply(equation, [read(atom) for atom in equation.invars])
            for variable, value in zip(equation.outvars, made, strict=True):
                assert np.shape(value) == variable.aval.shape, (equation.primitive, np.shape(value), variable.aval)
                values[variable] = np.asarray(value, variable.aval.dtype)
    return [read(atom) for atom in jaxpr.outvars]


def run(function: Callable[..., Any], *arguments: Any) -> Any:
    """`function(*arguments)`, traced and then evaluated in NumPy; arguments and results are pytrees."""
    closed, shape = jax.make_jaxpr(function, return_shape=True)(*arguments)
    return jax.tree.unflatten(jax.tree.structure(shape), evaluate(closed, *jax.tree.leaves(arguments)))


def _apply(equation: core.JaxprEqn, inputs: Sequence[np.ndarray]) -> Sequence[np.ndarray]:
    name, params = equation.primitive.name, equation.params
    if name in ELEMENTWISE:
        return [ELEMENTWISE[name](*inputs)]
    if name in RULES:
        made = RULES[name](params, *inputs)
        return made if equation.primitive.multiple_results else [made]
    for inner in ("jaxpr", "call_jaxpr", "fun_jaxpr"):
        if inner in params and name not in ("scan", "while", "cond"):
            body = params[inner]
            return evaluate(body if isinstance(body, core.ClosedJaxpr) else core.ClosedJaxpr(body, ()), *inputs)
    made = equation.primitive.bind(*inputs, **params)  # slower: JAX compiles it
    return made if equation.primitive.multiple_results else [made]


ELEMENTWISE: dict[str, Callable[..., Any]] = {
    **{name: getattr(np, name) for name in "abs arctan2 ceil cos cosh exp exp2 expm1 floor log1p log sign".split()},
    **{name: getattr(np, name) for name in "sin sinh sqrt square tan tanh".split()},
    "add": np.add,
    "add_any": np.add,
    "and": np.bitwise_and,
    "atan2": np.arctan2,
    "clamp": lambda low, v, high: np.minimum(np.maximum(v, low), high),
    "copy": lambda v: v,
    "copy_p": lambda v: v,
    "div": lambda v, w: v // w if v.dtype.kind in "iu" else v / w,
    "eq": np.equal,
    "erf": scipy.special.erf,
    "erfc": scipy.special.erfc,
    "ge": np.greater_equal,
    "gt": np.greater,
    "is_finite": np.isfinite,
    "le": np.less_equal,
    "logistic": scipy.special.expit,
    "lt": np.less,
    "max": np.maximum,
    "min": np.minimum,
    "mul": np.multiply,
    "ne": np.not_equal,
    "neg": np.negative,
    "not": np.invert,
    "or": np.bitwise_or,
    "pow": np.power,
    "rem": np.fmod,
    "rsqrt": lambda v: 1 / np.sqrt(v),
    "stop_gradient": lambda v: v,
    "sub": np.subtract,
    "xor": np.bitwise_xor,
}
RULES: dict[str, Callable[..., Any]] = {}


def _rule(names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        RULES.update(dict.fromkeys(names.split(), function))
        return function

    return register


RULES |= {
    "argmax": lambda p, v: np.argmax(v, axis=p["axes"][0]),
    "argmin": lambda p, v: np.argmin(v, axis=p["axes"][0]),
    "concatenate": lambda p, *parts: np.concatenate(parts, p["dimension"]),
    "convert_element_type": lambda p, v: v.astype(p["new_dtype"]),
    "expand_dims": lambda p, v: np.expand_dims(v, p["dimensions"]),
    "integer_pow": lambda p, v: v ** float(p["y"]) if v.dtype.kind == "f" else v ** p["y"],
    "optimization_barrier": lambda p, *values: values,
    "reduce_and": lambda p, v: np.all(v, axis=p["axes"]),
    "reduce_max": lambda p, v: np.max(v, axis=p["axes"]),
    "reduce_min": lambda p, v: np.min(v, axis=p["axes"]),
    "reduce_or": lambda p, v: np.any(v, axis=p["axes"]),
    "reduce_prod": lambda p, v: np.prod(v, axis=p["axes"]),
    "reduce_sum": lambda p, v: np.sum(v, axis=p["axes"]),
    "rev": lambda p, v: np.flip(v, p["dimensions"]),
    "select_n": lambda p, which, *cases: _select(which, cases),
    "split": lambda p, v: np.split(v, np.cumsum(p["sizes"])[:-1], p["axis"]),
    "squeeze": lambda p, v: np.squeeze(v, p["dimensions"]),
    "stack": lambda p, *parts: np.stack(parts, p["axis"]),
    "unstack": lambda p, v: list(np.moveaxis(v, p["axis"], 0)),
    "tile": lambda p, v: np.tile(v, p["reps"]),
    "transpose": lambda p, v: np.transpose(v, p["permutation"]),
}


def _select(which: np.ndarray, cases: Sequence[np.ndarray]) -> np.ndarray:
    return np.choose(np.broadcast_to(which, cases[0].shape).astype(int), cases)


@_rule("broadcast_in_dim")
def _broadcast(params: Any, value: np.ndarray, *_: Any) -> np.ndarray:
    shape = [1] * len(params["shape"])
    for axis, size in zip(params["broadcast_dimensions"], value.shape, strict=True):
        shape[axis] = size
    return np.broadcast_to(value.reshape(shape), params["shape"])


@_rule("reshape")
def _reshape(params: Any, value: np.ndarray) -> np.ndarray:
    order = params.get("dimensions")
    return np.reshape(value if order is None else np.transpose(value, order), params["new_sizes"])


@_rule("iota")
def _iota(params: Any) -> np.ndarray:
    shape, axis = params["shape"], params["dimension"]
    line = np.arange(shape[axis]).reshape([-1 if i == axis else 1 for i in range(len(shape))])
    return np.broadcast_to(line, shape).astype(params["dtype"])


@_rule("slice")
def _slice(params: Any, value: np.ndarray) -> np.ndarray:
    strides = params["strides"] or (1,) * value.ndim
    return value[tuple(map(slice, params["start_indices"], params["limit_indices"], strides))]


@_rule("pad")
def _pad(params: Any, value: np.ndarray, filling: np.ndarray) -> np.ndarray:
    for axis, (low, high, between) in enumerate(params["padding_config"]):
        value = np.moveaxis(value, axis, 0)
        size = low + high + len(value) + between * max(len(value) - 1, 0)
        made = np.full((size, *value.shape[1:]), filling, value.dtype)
        places = low + np.arange(len(value)) * (between + 1)
        inside = (places >= 0) & (places < size)
        made[places[inside]] = value[inside]
        value = np.moveaxis(made, 0, axis)
    return value


@_rule("dot_general")
def _dot(params: Any, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    (sum_left, sum_right), (batch_left, batch_right) = params["dimension_numbers"]
    of_left = list(range(left.ndim))
    of_right = list(range(left.ndim, left.ndim + right.ndim))
    for i, j in zip((*sum_left, *batch_left), (*sum_right, *batch_right), strict=True):
        of_right[j] = of_left[i]
    out = [of_left[i] for i in batch_left]
    out += [of for i, of in enumerate(of_left) if i not in (*sum_left, *batch_left)]
    out += [of for i, of in enumerate(of_right) if i not in (*sum_right, *batch_right)]
    return np.einsum(left, of_left, right, of_right, out)


@_rule("conv_general_dilated")
def _convolution(params: Any, value: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    numbers = params["dimension_numbers"]
    value, kernel = np.transpose(value, numbers.lhs_spec), np.transpose(kernel, numbers.rhs_spec)
    places = zip(params["padding"], params["lhs_dilation"], strict=True)
    padding = [(0, 0, 0), (0, 0, 0), *((low, high, dilation - 1) for (low, high), dilation in places)]
    value = _pad({"padding_config": padding}, value, np.zeros(()))
    if (batches := params["batch_group_count"]) > 1:
        pairs = zip(np.split(value, batches), np.split(kernel, batches), strict=True)
    else:
        groups = params["feature_group_count"]
        pairs = zip(np.split(value, groups, 1), np.split(kernel, groups), strict=True)
    out = np.concatenate([_correlation(params, *pair) for pair in pairs], axis=1)
    return np.transpose(out, np.argsort(numbers.out_spec))


def _correlation(params: Any, value: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """One group of a convolution that is padded already: [sample, channel, place...] with [out, channel, place...]."""
    ones = (1, 1)
    strides, dilation = (*ones, *params["window_strides"]), (*ones, *params["rhs_dilation"])
    parts = _parts(value, (*ones, *kernel.shape[2:]), strides, dilation)
    products = (np.einsum("nc...,oc->no...", part, kernel[(..., *place[2:])]) for place, part in parts)
    return functools.reduce(np.add, products)


def _parts(
    value: np.ndarray, window: Sequence[int], strides: Sequence[int], dilation: Sequence[int]
) -> Iterator[tuple[tuple[int, ...], np.ndarray]]:
    """For each place of a window, the entries that it has under that place, wherever it lies."""
    lengths = zip(value.shape, window, strides, dilation, strict=True)
    counts = [max(0, (n - (size - 1) * d - 1) // stride + 1) for n, size, stride, d in lengths]
    for place in np.ndindex(*window):
        settings = zip(place, counts, strides, dilation, strict=True)
        yield place, value[tuple(_stretch(p * d, count, stride) for p, count, stride, d in settings)]


def _stretch(start: int, count: int, step: int) -> slice:
    return slice(start, start + (count - 1) * step + 1, step) if count else slice(0, 0)


def _pooled(function: Any, empty: float) -> Callable[..., np.ndarray]:
    def rule(params: Any, value: np.ndarray) -> np.ndarray:
        assert set(params["base_dilation"]) == {1}
        value = np.pad(value, params["padding"], constant_values=empty)
        settings = (params[f"window_{name}"] for name in ("dimensions", "strides", "dilation"))
        return functools.reduce(function, (part for _, part in _parts(value, *settings)))

    return rule


RULES |= {"reduce_window_max": _pooled(np.maximum, -np.inf), "reduce_window_sum": _pooled(np.add, 0.0)}


def _cumulative(function: np.ufunc) -> Callable[..., np.ndarray]:
    def rule(params: Any, value: np.ndarray) -> np.ndarray:
        axis = params["axis"]
        turn = (lambda v: np.flip(v, axis)) if params["reverse"] else lambda v: v
        return turn(function.accumulate(turn(value), axis))

    return rule


RULES |= {
    f"cum{name}": _cumulative(function)
    for name, function in {
        "sum": np.add,
        "prod": np.multiply,
        "max": np.maximum,
        "min": np.minimum,
        "logsumexp": np.logaddexp,
    }.items()
}


@_rule("sort")
def _sort(params: Any, *values: np.ndarray) -> list[np.ndarray]:
    axis = params["dimension"]
    shape = [-1 if i == axis else 1 for i in range(values[0].ndim)]
    order = np.broadcast_to(np.arange(values[0].shape[axis]).reshape(shape), values[0].shape)
    for key in values[: params["num_keys"]][::-1]:
        found = np.argsort(np.take_along_axis(key, order, axis), axis=axis, kind="stable")
        order = np.take_along_axis(order, found, axis)
    return [np.take_along_axis(value, order, axis) for value in values]


@_rule("top_k")
def _top_k(params: Any, value: np.ndarray) -> list[np.ndarray]:
    axis = params.get("axis", -1)
    order = np.take(np.argsort(-value, axis=axis, kind="stable"), range(params["k"]), axis)
    return [np.take_along_axis(value, order, axis), order]


def _start(sizes: Sequence[int], shape: Sequence[int], starts: Sequence[Any]) -> tuple[slice, ...]:
    """A window of these sizes, moved inside where it reaches beyond an end."""
    inside = [int(np.clip(start, 0, n - size)) for start, n, size in zip(starts, shape, sizes, strict=True)]
    return tuple(slice(start, start + size) for start, size in zip(inside, sizes, strict=True))


@_rule("dynamic_slice")
def _dynamic_slice(params: Any, value: np.ndarray, *starts: np.ndarray) -> np.ndarray:
    return value[_start(params["slice_sizes"], value.shape, starts)]


@_rule("dynamic_update_slice")
def _dynamic_update(params: Any, value: np.ndarray, new: np.ndarray, *starts: np.ndarray) -> np.ndarray:
    made = value.copy()
    made[_start(new.shape, value.shape, starts)] = new
    return made


def _windows_of(
    shape: Sequence[int], sizes: Sequence[int], indices: np.ndarray, numbers: Any, mode: Any, scatter: bool
) -> list[tuple[tuple[int, ...], tuple[slice, ...] | None]]:
    """For each place of the indices, the window that it names; None where that reaches beyond an end and is dropped."""
    to = numbers.scatter_dims_to_operand_dims if scatter else numbers.start_index_map
    batching = numbers.scatter_indices_batching_dims if scatter else numbers.start_indices_batching_dims
    clipped = mode in (jax.lax.GatherScatterMode.CLIP, jax.lax.GatherScatterMode.PROMISE_IN_BOUNDS)
    found = []
    for place in np.ndindex(indices.shape[:-1]):
        start = [0] * len(shape)
        for axis, index in zip(to, indices[place], strict=True):
            start[axis] = int(index)
        for axis, of_index in zip(numbers.operand_batching_dims, batching, strict=True):
            start[axis] = place[of_index]
        inside = all(0 <= s <= n - size for s, n, size in zip(start, shape, sizes, strict=True))
        found.append((place, _start(sizes, shape, start) if inside or clipped else None))
    return found


@_rule("gather")
def _gather(params: Any, value: np.ndarray, indices: np.ndarray) -> np.ndarray:
    numbers, sizes = params["dimension_numbers"], params["slice_sizes"]
    gone = (*numbers.collapsed_slice_dims, *numbers.operand_batching_dims)
    kept = [size for axis, size in enumerate(sizes) if axis not in gone]
    batch = indices.shape[:-1]
    filling = params["fill_value"]
    if filling is None:
        filling = np.nan if value.dtype.kind == "f" else 0
    made = np.full((*batch, *kept), filling, value.dtype)
    for place, window in _windows_of(value.shape, sizes, indices, numbers, params["mode"], False):
        if window is not None:
            made[place] = value[window].reshape(kept)
    return np.moveaxis(made, range(len(batch), made.ndim), numbers.offset_dims)


COMBINING = {
    "scatter": lambda old, new: new,
    "scatter-add": np.add,
    "scatter-mul": np.multiply,
    "scatter-max": np.maximum,
    "scatter-min": np.minimum,
}


def _scatter_rule(combine: Callable[..., Any]) -> Callable[..., np.ndarray]:
    def rule(params: Any, value: np.ndarray, indices: np.ndarray, updates: np.ndarray) -> np.ndarray:
        numbers = params["dimension_numbers"]
        gone = (*numbers.inserted_window_dims, *numbers.operand_batching_dims)
        count = len(numbers.update_window_dims)
        updates = np.moveaxis(updates, numbers.update_window_dims, range(updates.ndim - count, updates.ndim))
        lengths = iter(updates.shape[updates.ndim - count :])
        sizes = [1 if axis in gone else next(lengths) for axis in range(value.ndim)]
        made = value.copy()
        for place, window in _windows_of(value.shape, sizes, indices, numbers, params["mode"], True):
            if window is not None:
                made[window] = combine(made[window], updates[place].reshape(sizes))
        return made

    return rule


RULES |= {name: _scatter_rule(combine) for name, combine in COMBINING.items()}


@_rule("cond")
def _cond(params: Any, index: np.ndarray, *values: np.ndarray) -> list[np.ndarray]:
    branches = params["branches"]
    return evaluate(branches[int(np.clip(index, 0, len(branches) - 1))], *values)


@_rule("while")
def _while(params: Any, *values: np.ndarray) -> list[np.ndarray]:
    of_condition, of_body = params["cond_nconsts"], params["body_nconsts"]
    first, second, carried = (
        values[:of_condition],
        values[of_condition : of_condition + of_body],
        list(values[of_condition + of_body :]),
    )
    while evaluate(params["cond_jaxpr"], *first, *carried)[0]:
        carried = evaluate(params["body_jaxpr"], *second, *carried)
    return carried


@_rule("scan")
def _scan(params: Any, *values: np.ndarray) -> list[np.ndarray]:
    constants, count, length = params["num_consts"], params["num_carry"], params["length"]
    carried, rows = list(values[constants : constants + count]), values[constants + count :]
    made: list[list[np.ndarray]] = []
    for step in reversed(range(length)) if params["reverse"] else range(length):
        out = evaluate(params["jaxpr"], *values[:constants], *carried, *(of[step] for of in rows))
        carried = out[:count]
        made.append(out[count:])
    ordered = made[::-1] if params["reverse"] else made
    return [*carried, *(np.stack(of) for of in itertools.zip_longest(*ordered))]
