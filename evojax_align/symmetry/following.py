"""Propagation of axis classes through a network's trace, and through the programs inside it."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

from evojax_align import _checks
from evojax_align.symmetry import places  # noqa: F401  (its rules are registered)
from evojax_align.symmetry.classes import Axes, Classes
from evojax_align.symmetry.rules import RULES, Use, summed_axes
from evojax_align.symmetry.trace import Equation, NetworkTrace, Trace, depends_on, flatten, needed


@dataclasses.dataclass
class Program:
    """A flat list of equations, with a node for every axis of every value that its outputs need.

    Attributes:
        loop: the `scan` of the network whose body this is.
    """

    trace: Trace
    axes: dict[int, Axes]
    loop: Equation | None = None

    @functools.cached_property
    def equations(self) -> list[Equation]:
        """The equations that the outputs need."""
        return needed(self.trace, self.trace.outputs)


@dataclasses.dataclass
class Labels:
    """A network's trace with a node for every axis of every value.

    Attributes:
        programs: the network's own program first, and then those inside it.
        leaf_axes: axes of each leaf of the parameters.
        uses: every axis that an equation sums over, in order.
    """

    network: NetworkTrace
    classes: Classes
    programs: list[Program]
    leaf_axes: tuple[Axes, ...]
    uses: list[Use]

    @property
    def axes(self) -> dict[int, Axes]:
        """Axes of every value of the network's own program that the outputs need."""
        return self.programs[0].axes

    @functools.cached_property
    def fed(self) -> frozenset[int]:
        """The axes of parameters that are summed over, without dependence on data before: they are input axes of a
        leaf, and all others are output axes."""
        return frozenset().union(*(self.classes.origins(use.node) for use in self.uses if not use.from_data))


def label(network: NetworkTrace) -> Labels:
    """Assign a node to every axis of every value of the trace."""
    trace, classes = network.trace, Classes()
    given = [_fresh(trace.shapes[value], classes) for value in trace.inputs]
    axes = dict(zip(trace.inputs, given, strict=True))
    for value in network.data:
        _freeze(axes[value], classes, "data")
    follower = _Follower(classes)
    out, uses = follower.follow(trace, given, [value in network.data for value in trace.inputs])
    for nodes in out:
        _freeze(nodes, classes, "output")
    return Labels(network, classes, follower.programs, tuple(axes[value] for value in network.params), uses)


class _Follower:
    """Processes programs and records them."""

    def __init__(self, classes: Classes) -> None:
        self.classes = classes
        self.programs: list[Program] = []

    def follow(
        self, trace: Trace, given: Sequence[Axes], given_from_data: Sequence[bool]
    ) -> tuple[list[Axes], list[Use]]:
        """Compute the axes of a program's outputs from those of its inputs, and every axis that is summed over."""
        axes = dict(zip(trace.inputs, given, strict=True))
        program = Program(trace, axes)
        self.programs.append(program)
        for value, constant in trace.constants.items():
            axes[value] = _constant(constant, self.classes)
        data = [value for value, is_data in zip(trace.inputs, given_from_data, strict=True) if is_data]
        from_data, uses = depends_on(trace, data), []
        used = {value for equation in program.equations for value in equation.inputs} | set(trace.outputs)
        for equation in program.equations:
            self.classes.at = equation.name, equation.source
            self.classes.unused = [n for n, value in enumerate(equation.outputs) if value not in used]
            inputs = [axes[value] for value in equation.inputs]
            shapes = [trace.shapes[value] for value in equation.inputs]
            for i, axis in summed_axes(equation):
                value, node = equation.inputs[i], inputs[i][axis]
                if node is not None:
                    uses.append(Use(value, axis, node, equation.name, value in from_data))
            rule = RULES.get(equation.name)
            if rule is not None:
                made = rule(equation, inputs, shapes, self.classes)
            else:
                flags = [value in from_data for value in equation.inputs]
                made, inner_uses = self._inside(equation, inputs, flags, top=trace is self.programs[0].trace)
                uses += inner_uses
            for value, of_value, shape in zip(equation.outputs, made, equation.shapes, strict=True):
                axes[value] = tuple(node if size != 1 else None for node, size in zip(of_value, shape, strict=True))
        return [axes[value] for value in trace.outputs], uses

    def _inside(
        self, equation: Equation, given: Sequence[Axes], from_data: Sequence[bool], *, top: bool
    ) -> tuple[list[Axes], list[Use]]:
        """Process the programs of one equation; `top` is whether the equation is in the network's own program."""
        into = INSIDE.get(equation.name)
        programs = None if into is None else programs_of(equation)
        if into is None or programs is None:  # no rule: none of its axes may be permuted
            touched = [node for axes in given for node in axes]
            return self.classes.stop(touched, equation.shapes), []
        uses: list[Use] = []

        def through(number: int, given: Sequence[Axes], outside: Sequence[int | None]) -> list[Axes]:
            """Process one of the programs; `outside` maps its inputs to inputs of the equation."""
            inner = flatten(programs[number])
            flags = [any(from_data) if i is None else from_data[i] for i in outside]
            here = len(self.programs)
            out, found = self.follow(inner, given, flags)
            if top and equation.name == "scan":
                self.programs[here].loop = equation
                uses.extend(dataclasses.replace(use, loop=here) for use in found if use.value is not None)
                return out
            known = {value: equation.inputs[i] for value, i in zip(inner.inputs, outside, strict=True) if i is not None}
            uses.extend(dataclasses.replace(u, value=None if u.value is None else known.get(u.value)) for u in found)
            return out

        return into(equation, given, through, self.classes), uses


Through = Callable[[int, Sequence[Axes], Sequence[int | None]], list[Axes]]


def programs_of(equation: Equation) -> list[core.ClosedJaxpr] | None:
    """The programs inside an equation, in a fixed order; None if there is none that can be processed."""
    params = equation.params
    if equation.name == "while":
        return [params["cond_jaxpr"], params["body_jaxpr"]]
    if equation.name == "cond":
        return list(params["branches"])
    for name in ("jaxpr", "call_jaxpr", "fun_jaxpr"):
        if isinstance(params.get(name), core.ClosedJaxpr):
            return [params[name]]
        if isinstance(params.get(name), core.Jaxpr):
            return [core.ClosedJaxpr(params[name], ())]
    return None


def default_branch(equation: Equation) -> int | None:
    """The branch of a choice by platform that is analysed, since all branches compute the same function."""
    platforms = equation.params.get("branches_platforms")
    return platforms.index(None) if platforms is not None and None in platforms else None


def _own_derivative(equation: Equation, given: Sequence[Axes], through: Through, classes: Classes) -> list[Axes]:
    return through(0, given, range(len(given)))


def _cond(equation: Equation, given: Sequence[Axes], through: Through, classes: Classes) -> list[Axes]:
    """All branches have the same inputs and outputs."""
    count = len(equation.params["branches"])
    default = default_branch(equation)
    branches = range(count) if default is None else [default]
    outs = [through(number, given[1:], range(1, len(given))) for number in branches]
    return [
        tuple(classes.unite(*nodes) for nodes in zip(*of_output, strict=True)) for of_output in zip(*outs, strict=True)
    ]


def _while(equation: Equation, given: Sequence[Axes], through: Through, classes: Classes) -> list[Axes]:
    """The carry has the same axes before, during and after the loop."""
    of_condition, of_body = equation.params["cond_nconsts"], equation.params["body_nconsts"]
    first = of_condition + of_body
    carried = _carried(given[first:], equation.shapes, classes)
    unknown = [None] * len(carried)
    through(0, [*given[:of_condition], *carried], [*range(of_condition), *unknown])
    out = through(1, [*given[of_condition:first], *carried], [*range(of_condition, first), *unknown])
    return _tied(carried, out, classes)


def _scan(equation: Equation, given: Sequence[Axes], through: Through, classes: Classes) -> list[Axes]:
    """Like a `while`; the axis of steps is not permuted."""
    constants, count = equation.params["num_consts"], equation.params["num_carry"]
    first = constants + count
    carried = _carried(given[constants:first], equation.shapes[:count], classes)
    for nodes in given[first:]:
        classes.order(nodes[0])
    rows = [nodes[1:] for nodes in given[first:]]
    unknown = [None] * (len(given) - constants)
    out = through(0, [*given[:constants], *carried, *rows], [*range(constants), *unknown])
    steps = equation.params["length"]
    return [*_tied(carried, out[:count], classes), *((classes.fixed(steps), *nodes) for nodes in out[count:])]


def _carried(given: Sequence[Axes], shapes: Sequence[tuple[int, ...]], classes: Classes) -> list[Axes]:
    """Axes of the carry: those of its initial value, and new ones where only the initial entries are equal."""
    fresh = [_fresh(shape, classes) for shape in shapes]
    return [tuple(classes.unite(p, q) for p, q in zip(*both, strict=True)) for both in zip(given, fresh, strict=True)]


def _tied(carried: Sequence[Axes], out: Sequence[Axes], classes: Classes) -> list[Axes]:
    return [tuple(classes.unite(p, q) for p, q in zip(*both, strict=True)) for both in zip(carried, out, strict=True)]


def _shard_map(equation: Equation, given: Sequence[Axes], through: Through, classes: Classes) -> list[Axes]:
    """Axes that are sharded over devices are not permuted; the others are complete on each device."""
    (program,) = programs_of(equation) or [None]
    if program is None:
        return classes.stop([node for axes in given for node in axes], equation.shapes)

    def whole(nodes: Axes, spec: Any, sizes: Sequence[int]) -> Axes:
        """The axes inside or outside, with these sizes; sharded ones are not permuted."""
        entries = [*spec, *[None] * (len(nodes) - len(spec))]
        found = []
        for node, size, names in zip(nodes, sizes, entries, strict=True):
            if names:
                classes.order(node)
            found.append(classes.fixed(size) if names else node)
        return tuple(found)

    params, jaxpr = equation.params, program.jaxpr
    local = [
        whole(nodes, spec, v.aval.shape) for nodes, spec, v in zip(given, params["in_specs"], jaxpr.invars, strict=True)
    ]
    out = through(0, local, range(len(given)))
    sides = zip(out, params["out_specs"], equation.shapes, strict=True)
    return [whole(nodes, spec, shape) for nodes, spec, shape in sides]


INSIDE: dict[str, Callable[[Equation, Sequence[Axes], Through, Classes], list[Axes]]] = {
    "scan": _scan,
    "while": _while,
    "cond": _cond,
    "shard_map": _shard_map,
    **dict.fromkeys(
        ("custom_jvp_call", "custom_vjp_call", "custom_jvp_call_jaxpr", "custom_vjp_call_jaxpr"), _own_derivative
    ),
}
"""Rules of primitives with programs inside."""


def _fresh(shape: tuple[int, ...], classes: Classes) -> Axes:
    return tuple(classes.new(size) for size in shape)


def _freeze(axes: Axes, classes: Classes, why: str) -> None:
    for node in axes:
        classes.freeze(node, (why, ""))


def _constant(value: Any, classes: Classes) -> Axes:
    """A constant array freezes the axes along which its entries differ."""
    axes = list(_fresh(jnp.shape(value), classes))
    for axis, node in enumerate(axes):
        if node is None:
            continue
        if _is_array_of_numbers(value):
            entries = np.asarray(value)
            if _all_equal(entries, axis):
                axes[axis] = None
                continue
        classes.freeze(node, ("constant", "an array that the network closes over"))
    return tuple(axes)


def _all_equal(entries: np.ndarray, axis: int) -> bool:
    """Whether all entries along an axis are equal, where 0 and -0 differ, as 1 / x distinguishes them."""
    if not entries.size:
        return False
    signs = [np.signbit(part(entries)) for part in (np.real, np.imag)] if entries.dtype.kind in "fc" else []
    return all(bool((part == part.take([0], axis)).all()) for part in (entries, *signs))


def _is_array_of_numbers(value: Any) -> bool:
    """Whether entries can be read: not those of tracers, random keys, and references to mutable memory."""
    if not isinstance(value, np.ndarray | jax.Array) or not _checks.is_concrete(value):
        return False
    return not jnp.issubdtype(value.dtype, jax.dtypes.extended)
