"""A network's computation as a flat list of equations, from its jaxpr.

Nested programs that only group equations (`jit`, `remat`, `closed_call`) are inlined. A function with a custom
derivative (`custom_jvp`, `custom_vjp`) remains one equation, so that evaluation of a trace has the gradients that its
author defined. The list is used for the inference of symmetry, the extraction of activations, and the sharing of values
in a sweep.
"""

import collections
import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import jax
from jax.extend import core, source_info_util

from evojax_align import _checks
from evojax_align._types import Apply, PyTree

FLATTENED = {
    "jit": "jaxpr",
    "pjit": "jaxpr",
    "closed_call": "call_jaxpr",
    "core_call": "call_jaxpr",
    "remat2": "jaxpr",
    "checkpoint": "jaxpr",
}
"""Primitives that only group equations, with the parameter that contains the program."""


@dataclasses.dataclass(frozen=True)
class Equation:
    """One operation; values are represented by their number in the trace.

    Attributes:
        source: file, line and function of the operation.
        shapes: shapes of the outputs.
        mutates: whether it works on a reference to memory, so that equations without its outputs may depend on it.
    """

    primitive: core.Primitive
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    params: Mapping[str, Any]
    source: str
    shapes: tuple[tuple[int, ...], ...]
    mutates: bool = False

    @property
    def name(self) -> str:
        """The primitive's name."""
        return self.primitive.name


@dataclasses.dataclass
class Trace:
    """The equations of a program in order, with the shapes and constants of its values."""

    inputs: tuple[int, ...] = ()
    outputs: tuple[int, ...] = ()
    equations: list[Equation] = dataclasses.field(default_factory=list)
    constants: dict[int, Any] = dataclasses.field(default_factory=dict)
    shapes: list[tuple[int, ...]] = dataclasses.field(default_factory=list)
    dtypes: list[Any] = dataclasses.field(default_factory=list)

    def new_value(self, aval: Any) -> int:
        """Number a new value of this shape and dtype."""
        self.shapes.append(tuple(getattr(aval, "shape", ())))
        self.dtypes.append(getattr(aval, "dtype", None))
        return len(self.shapes) - 1


@dataclasses.dataclass(frozen=True)
class NetworkTrace:
    """The trace of `apply(params, x)`, with the paths of the parameters.

    Attributes:
        paths: path of each leaf of the parameters.
        params: the value of each leaf of the parameters.
        data: the value of each leaf of `x`.
        structure: tree structure of the outputs.
    """

    trace: Trace
    paths: tuple[str, ...]
    params: tuple[int, ...]
    data: tuple[int, ...]
    structure: Any


def trace_network(apply: Apply, params: PyTree, x: PyTree) -> NetworkTrace:
    """Trace `apply(params, x)`; arguments may be arrays, tracers or `jax.ShapeDtypeStruct`s."""
    paths = tuple(_checks.path_string(path) for path, _ in jax.tree_util.tree_leaves_with_path(params))
    if twice := [path for path, count in collections.Counter(paths).items() if count > 1]:
        came = f"two leaves with the path {twice[0]!r}"
        raise _checks.bad("params", came, "a different path for each leaf", "Rename a key that contains '/'.")
    jaxpr, outputs = _checks.traced(partial(jax.make_jaxpr, return_shape=True), apply, params, x)
    trace, count = flatten(jaxpr), len(paths)
    structure = jax.tree.structure(outputs)
    return NetworkTrace(trace, paths, params=trace.inputs[:count], data=trace.inputs[count:], structure=structure)


def flatten(jaxpr: core.ClosedJaxpr) -> Trace:
    """Flatten a jaxpr to a list of equations."""
    trace = Trace()
    trace.inputs = tuple(trace.new_value(v.aval) for v in jaxpr.jaxpr.invars)
    trace.outputs = _inline(trace, jaxpr.jaxpr, jaxpr.consts, trace.inputs)
    return trace


def _inline(
    trace: Trace, jaxpr: core.Jaxpr, consts: Sequence[Any], inputs: Sequence[int], caller: str = ""
) -> tuple[int, ...]:
    numbers = dict(zip(jaxpr.invars, inputs, strict=True))
    for variable, value in zip(jaxpr.constvars, consts, strict=True):
        numbers[variable] = trace.new_value(variable.aval)
        trace.constants[numbers[variable]] = value

    def number(atom: Any) -> int:
        if isinstance(atom, core.Literal):
            literal = trace.new_value(atom.aval)
            trace.constants[literal] = atom.val
            return literal
        return numbers[atom]

    for equation in jaxpr.eqns:
        given = [number(atom) for atom in equation.invars]
        source = _source(equation, caller)
        inner = equation.params.get(FLATTENED.get(equation.primitive.name, ""))
        if inner is not None:
            body, values = (inner.jaxpr, inner.consts) if isinstance(inner, core.ClosedJaxpr) else (inner, ())
            numbers.update(zip(equation.outvars, _inline(trace, body, values, given, source), strict=True))
            continue
        made = tuple(trace.new_value(variable.aval) for variable in equation.outvars)
        numbers.update(zip(equation.outvars, made, strict=True))
        mutates = any(_is_reference(atom.aval) for atom in (*equation.invars, *equation.outvars))
        shapes = tuple(trace.shapes[value] for value in made)
        trace.equations.append(
            Equation(equation.primitive, tuple(given), made, equation.params, source, shapes, mutates)
        )
    return tuple(number(atom) for atom in jaxpr.outvars)


def _is_reference(aval: Any) -> bool:
    return hasattr(aval, "inner_aval")


def _source(equation: core.JaxprEqn, caller: str) -> str:
    """The source location of an equation in user code; for one inside JAX's own functions, that of the caller."""
    source = source_info_util.summarize(equation.source_info)
    return source if ":" in source else caller


def needed(trace: Trace, targets: Iterable[int], given: Iterable[int] = ()) -> list[Equation]:
    """The equations, in order, that the targets depend on when the values in `given` are already known."""
    wanted, known, kept = set(targets), set(given), []
    for equation in reversed(trace.equations):
        if equation.mutates or any(value in wanted and value not in known for value in equation.outputs):
            kept.append(equation)
            wanted.update(equation.inputs)
    return kept[::-1]


def depends_on(trace: Trace, sources: Iterable[int]) -> set[int]:
    """The values that depend on any of the sources, including these."""
    reached = set(sources)
    for equation in trace.equations:
        if reached.intersection(equation.inputs):
            reached.update(equation.outputs)
            reached.update(equation.inputs if equation.mutates else ())
    return reached


class Evaluation:
    """Lazily computed values of a trace."""

    def __init__(self, trace: Trace, known: Mapping[int, Any]) -> None:
        self.trace = trace
        self.known: dict[int, Any] = {**trace.constants, **known}

    def value(self, target: int, given: Mapping[int, Any]) -> Any:
        """One value, from known values and values given for this call only."""
        values = {**self.known, **given}
        for equation in needed(self.trace, [target], values):
            made = dict(zip(equation.outputs, apply_equation(equation, values), strict=True))
            values |= made
            self.known |= made
        return values[target]


def evaluate(trace: Trace, known: Mapping[int, Any], targets: Sequence[int]) -> list[Any]:
    """Compute the targets from known values, running only the equations that they need."""
    values: dict[int, Any] = {**trace.constants, **known}
    for equation in needed(trace, targets, known):
        values.update(zip(equation.outputs, apply_equation(equation, values), strict=True))
    return [values[target] for target in targets]


def apply_equation(equation: Equation, values: Mapping[int, Any]) -> Sequence[Any]:
    """The outputs of one equation."""
    functions, params = _bind_params(equation)
    result = equation.primitive.bind(*functions, *(values[i] for i in equation.inputs), **params)
    return result if equation.primitive.multiple_results else [result]


def evaluate_loop(equation: Equation, body: Trace, given: Sequence[Any], targets: Sequence[int]) -> list[Any]:
    """Run a `scan` from its inputs; return values of its body at every step, with a leading axis of steps."""
    constants, count = equation.params["num_consts"], equation.params["num_carry"]
    first = constants + count

    def step(carried: Sequence[Any], rows: Sequence[Any]) -> tuple[list[Any], list[Any]]:
        known = dict(zip(body.inputs, [*given[:constants], *carried, *rows], strict=True))
        values = evaluate(body, known, [*body.outputs[:count], *targets])
        return values[:count], values[count:]

    settings = {name: equation.params[name] for name in ("length", "reverse", "unroll")}
    return jax.lax.scan(step, list(given[constants:first]), list(given[first:]), **settings)[1]


def _bind_params(equation: Equation) -> tuple[Sequence[Any], Mapping[str, Any]]:
    """The arguments of `bind` for this equation; newer versions of JAX pass functions as parameters."""
    result = equation.primitive.get_bind_params(equation.params)
    return result if isinstance(result, tuple) else ((), result)
