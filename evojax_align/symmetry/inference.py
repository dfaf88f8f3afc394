"""Reading a network's permutation symmetry from its trace."""

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from evojax_align import _checks
from evojax_align._types import Apply, PyTree
from evojax_align.symmetry.rules import (
    BY_DESIGN,
    RULES,
    Axes,
    Classes,
    Use,
    inner_program,
    summed_axes,
)
from evojax_align.symmetry.spec import Frozen, PermutationSpec
from evojax_align.symmetry.trace import (
    Equation,
    NetworkTrace,
    Trace,
    depends_on,
    flatten,
    needed,
    trace_network,
)


@dataclasses.dataclass
class Labels:
    """A trace with a node for every axis of every value."""

    network: NetworkTrace
    classes: Classes
    axes: dict[int, Axes]
    """Axes of every value of the trace that the outputs need."""
    leaf_axes: tuple[Axes, ...]
    """Axes of each leaf of the parameters."""
    uses: list[Use]
    """Every axis that an equation sums over, in order."""


def infer(apply: Apply, params: PyTree, x: PyTree) -> PermutationSpec:
    """Find the groups of neurons that can be permuted without changing the network's function.

    The network is traced, not run. Data, outputs, and all that an operation without a rule touches stay fixed.

    Args:
        apply: `apply(params, x)`; anything that JAX can trace.
        params: arrays, or `jax.ShapeDtypeStruct`s: only their shapes are used.
        x: a batch of inputs, or its shape; its axes are never permuted.

    Returns:
        A `PermutationSpec`, with `verify(spec, apply, params, x, key=key)` near zero.

    Example:
        >>> import jax.numpy as jnp
        >>> apply = lambda p, x: jnp.tanh(x @ p["in"]) @ p["out"]
        >>> params = {"in": jnp.ones((3, 5)), "out": jnp.ones((5, 2))}
        >>> dict(infer(apply, params, jnp.ones((4, 3))).groups)
        {'in': 5}
    """
    return describe(label(trace_network(apply, params, x)))


def label(network: NetworkTrace) -> Labels:
    """Follow every axis of every value through the trace."""
    trace, classes = network.trace, Classes()
    axes: dict[int, Axes] = {}
    for value in trace.inputs:
        axes[value] = _fresh(trace.shapes[value], classes)
    leaf_axes = tuple(axes[value] for value in network.params)
    for value in network.data:
        _freeze(axes[value], classes, "data")
    uses = _follow(trace, axes, classes, network.data)
    for value in trace.outputs:
        _freeze(axes[value], classes, "output")
    return Labels(network, classes, axes, leaf_axes, uses)


def _follow(trace: Trace, axes: dict[int, Axes], classes: Classes, data: Iterable[int]) -> list[Use]:
    """Add the axes of every value that the outputs need, and return every axis that is summed over."""
    for value, constant in trace.constants.items():
        axes[value] = _constant(constant, classes)
    from_data, uses = depends_on(trace, data), []
    for equation in needed(trace, trace.outputs):
        given = [axes[value] for value in equation.inputs]
        shapes = [trace.shapes[value] for value in equation.inputs]
        for i, axis in summed_axes(equation):
            value, node = equation.inputs[i], given[i][axis]
            if node is not None:
                uses.append(Use(value, axis, node, equation.name, value in from_data))
        made, inner_uses = _apply_rule(equation, given, shapes, classes, trace, from_data)
        uses += inner_uses
        for value, of_value in zip(equation.outputs, made, strict=True):
            shape = trace.shapes[value]
            axes[value] = tuple(n if size > 1 else None for n, size in zip(of_value, shape, strict=True))
    return uses


def _apply_rule(
    equation: Equation,
    given: Sequence[Axes],
    shapes: Sequence[tuple[int, ...]],
    classes: Classes,
    trace: Trace,
    from_data: set[int],
) -> tuple[list[Axes], list[Use]]:
    rule = RULES.get(equation.name)
    if rule is not None:
        return rule(equation, given, shapes, classes), []
    program = inner_program(equation)
    if program is not None:
        inner = flatten(program)
        axes = dict(zip(inner.inputs, given, strict=True))
        outside = dict(zip(inner.inputs, equation.inputs, strict=True))
        uses = _follow(inner, axes, classes, [value for value in inner.inputs if outside[value] in from_data])
        uses = [dataclasses.replace(use, value=None if use.value is None else outside.get(use.value)) for use in uses]
        return [axes[value] for value in inner.outputs], uses
    touched = [node for axes in given for node in axes]  # no rule: nothing that it touches may be permuted
    return classes.stop(touched, [trace.shapes[value] for value in equation.outputs], equation), []


def _fresh(shape: tuple[int, ...], classes: Classes) -> Axes:
    return tuple(classes.new() if size > 1 else None for size in shape)


def _freeze(axes: Axes, classes: Classes, why: str) -> None:
    for node in axes:
        classes.freeze(node, why, "")


def _constant(value: Any, classes: Classes) -> Axes:
    """An array written into the network binds the axes along which its entries differ."""
    shape = jnp.shape(value)
    axes = list(_fresh(shape, classes))
    for axis, node in enumerate(axes):
        if node is None:
            continue
        if _is_array_of_numbers(value):
            entries = np.asarray(value)
            if (entries == entries.take([0], axis)).all():
                axes[axis] = None
                continue
        classes.freeze(node, "constant", "an array that the network closes over")
    return tuple(axes)


def _is_array_of_numbers(value: Any) -> bool:
    """Whether entries can be looked at: not those of tracers, random keys, and references to memory that may change."""
    if not isinstance(value, np.ndarray | jax.Array) or not _checks.is_concrete(value):
        return False
    return not jnp.issubdtype(value.dtype, jax.dtypes.extended)


def describe(labels: Labels) -> PermutationSpec:
    """Turn labels into a specification: name the classes that hold axes of parameters and are not frozen."""
    network, classes = labels.network, labels.classes
    trace = network.trace
    live = needed(trace, trace.outputs)
    first_use = {value: position for position, eqn in reversed(list(enumerate(live))) for value in eqn.inputs}
    first_use |= {value: len(live) for value in trace.outputs if value not in first_use}
    used = [i for i, value in enumerate(network.params) if value in first_use]
    unit_axes = _unit_axes(labels)

    members: dict[int, list[tuple[int, int]]] = {}  # class -> its (leaf, axis)
    for leaf in sorted(used, key=lambda i: (first_use[network.params[i]], i)):
        for axis, node in enumerate(labels.leaf_axes[leaf]):
            if node is not None:
                members.setdefault(classes.find(node), []).append((leaf, axis))
    names = _names(members, unit_axes, network.paths, classes.why_frozen)

    groups, axes, units = {}, {}, {}
    frozen: dict[tuple[str, str], list[tuple[str, int]]] = {}
    for root, of_class in members.items():
        why = classes.why_frozen(root)
        leaf, axis = of_class[0]
        if why is None:
            groups[names[root]] = trace.shapes[network.params[leaf]][axis]
        elif why[0] not in BY_DESIGN:
            frozen.setdefault(why, []).extend((network.paths[i], j) for i, j in of_class)
    for leaf, path in enumerate(network.paths):
        roots = [None if node is None else classes.find(node) for node in labels.leaf_axes[leaf]]
        axes[path] = tuple(names[r] if r is not None and names.get(r) in groups else None for r in roots)
        of_leaf = [axis for axis in unit_axes[leaf] if roots[axis] in names]
        if of_leaf:
            units[path] = (of_leaf[-1], names[roots[of_leaf[-1]]])  # pyright: ignore[reportArgumentType]
    return PermutationSpec(
        groups=groups,
        axes=axes,
        units=units,
        frozen=tuple(Frozen(name, source, tuple(of)) for (name, source), of in frozen.items()),
    )


def _unit_axes(labels: Labels) -> list[list[int]]:
    """For each leaf, the axes that run over what it feeds: those that are not summed before data come in."""
    summed = frozenset().union(*(labels.classes.origins(use.node) for use in labels.uses if not use.from_data))
    return [[j for j, node in enumerate(axes) if node is not None and node not in summed] for axes in labels.leaf_axes]


def _names(
    members: dict[int, list[tuple[int, int]]],
    unit_axes: list[list[int]],
    paths: tuple[str, ...],
    frozen: Callable[[int], object],
) -> dict[int, str]:
    """Name each class after the module of the first leaf that feeds it, or that leaf, or that leaf and axis."""
    prefix = "params/" if all(path.startswith("params/") for path in paths) else ""  # of flax.linen
    suffix = "/value" if all(path.endswith("/value") for path in paths) else ""  # of flax.nnx
    feeding = {root: [(i, axis) for i, axis in of if axis in unit_axes[i]] for root, of in members.items()}
    names: dict[int, str] = {}
    for root in sorted(members, key=lambda root: (frozen(root) is not None, not feeding[root])):  # who chooses first
        leaf, axis = (feeding[root] or members[root])[0]
        path = paths[leaf].removeprefix(prefix).removesuffix(suffix)
        for name in (path.rpartition("/")[0] or path, path, f"{path}[{axis}]"):
            if name and name not in names.values():
                names[root] = name
                break
        else:
            names[root] = f"{path}[{axis}]#{root}"
    return names
