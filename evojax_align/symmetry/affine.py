"""Affine steps between a layer's product and its nonlinearity: biases, scales and statistics of batch normalisation.

They are read from the trace, so that offspring of any network can be repaired, independently of its framework.
"""

import dataclasses
import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from evojax_align.symmetry.following import Labels, default_branch, programs_of
from evojax_align.symmetry.rules import PRODUCTS
from evojax_align.symmetry.trace import Equation, depends_on, flatten, needed

SHAPE_ONLY = frozenset("broadcast_in_dim squeeze expand_dims transpose convert_element_type copy reshape".split())
ROOTS: dict[str, float | None] = {"rsqrt": -0.5, "sqrt": 0.5, "pow": None}
"""Operations that compute a root, with the exponent; None if it is their second input."""


@dataclasses.dataclass(frozen=True)
class Step:
    """One operation of a chain: a parameter, or a value computed from some, is added to the value or multiplied by it.

    Attributes:
        kind: "add", "subtract", "multiply" or "divide".
        other: the other operand.
        leaf: the parameter leaf that the operand equals or is a multiple of; None if there is none.
        value: the result.
    """

    kind: str
    other: int
    leaf: int | None
    value: int


@dataclasses.dataclass(frozen=True)
class Chain:
    """A product of data with a kernel, and the affine steps that follow it.

    Attributes:
        kernel: the leaf of the parameters that is the kernel.
        value: the result of the chain: the input of the nonlinearity, or of a residual stream.
        axes: the axes of that value over the kernel's units.
        source: source location of the product.
    """

    kernel: int
    steps: tuple[Step, ...]
    value: int
    axes: tuple[int, ...]
    source: str


@dataclasses.dataclass(frozen=True)
class Normalisation:
    """A use of running statistics: (value - mean) / sqrt(variance).

    Attributes:
        mean: the leaf of the parameters that holds the running mean.
        variance: the leaf that holds the running variance.
        axes: the axes of the value along which statistics differ.
    """

    value: int
    mean: int
    variance: int
    axes: tuple[int, ...]


class _Reader:
    """Values that are computed from parameters only, and the users of all values."""

    def __init__(self, labels: Labels) -> None:
        self.labels, self.trace = labels, labels.network.trace
        self.equations = labels.programs[0].equations
        self.from_data = depends_on(self.trace, labels.network.data)
        self.leaves = {value: leaf for leaf, value in enumerate(labels.network.params)}
        self.users: dict[int, list[Equation]] = {}
        for equation in self.equations:
            for value in dict.fromkeys(equation.inputs):
                self.users.setdefault(value, []).append(equation)
        self.same = dict(self.leaves)  # values that are a reshaped leaf
        self.multiple = dict(self.leaves)  # values that are a multiple of a leaf
        self.shifted: dict[int, int] = {}  # values that are a leaf plus a constant
        self.roots: dict[int, tuple[int, float]] = {}  # multiples of a power of such a value
        self.made_of: dict[int, set[int]] = {value: {leaf} for value, leaf in self.leaves.items()}
        for equation in self.equations:
            self._follow(equation)

    def _follow(self, equation: Equation) -> None:
        if self.from_data.intersection(equation.outputs):
            return
        of = set().union(*(self.made_of.get(value, set()) for value in equation.inputs))
        for made in equation.outputs:
            self.made_of[made] = of
            first = equation.inputs[0] if equation.inputs else -1
            if equation.name in SHAPE_ONLY:
                known: dict[int, Any]
                for known in (self.same, self.multiple, self.roots):
                    if first in known:
                        known[made] = known[first]
            elif equation.name in ("mul", "div") and len(equation.inputs) == 2:
                self._multiply(equation, made)
            elif equation.name in ("add", "max") and len(of) == 1:  # a variance, and the epsilon that keeps it positive
                held = [self.same[value] for value in equation.inputs if value in self.same]
                if held:
                    self.shifted[made] = held[0]
            elif equation.name in ROOTS and first in self.shifted:
                power = ROOTS[equation.name] or self._literal(equation.inputs[1])
                if power in (0.5, -0.5):
                    self.roots[made] = (self.shifted[first], power)

    def _multiply(self, equation: Equation, made: int) -> None:
        """Record a product of a multiple of a leaf, or of a root, with a value that does not depend on it."""
        p, q = equation.inputs
        for one, other in ((p, q), (q, p)) if equation.name == "mul" else ((p, q),):
            elsewhere = self.made_of.get(other, set())
            if one in self.multiple and self.multiple[one] not in elsewhere:
                self.multiple[made] = self.multiple[one]
            if one in self.roots and self.roots[one][0] not in elsewhere:
                self.roots[made] = self.roots[one]

    def _literal(self, value: int) -> float | None:
        constant = self.trace.constants.get(value)
        return float(constant) if constant is not None and np.ndim(constant) == 0 else None

    def used_once(self, leaf: int) -> bool:
        """Whether a leaf has exactly one user."""
        return len(self.users.get(self.labels.network.params[leaf], [])) == 1

    def axes_like(self, value: int, nodes: Iterable[int | None]) -> tuple[int, ...]:
        """The axes of a value that are in the same classes as these."""
        classes = self.labels.classes
        wanted = {classes.find(node) for node in nodes if node is not None}
        here = self.labels.axes[value]
        return tuple(i for i, node in enumerate(here) if node is not None and classes.find(node) in wanted)


def chains(labels: Labels) -> list[Chain]:
    """Every product of data with a kernel whose units can be permuted, with the affine steps after it, in order; those
    whose parameters have other uses are omitted."""
    reader = _Reader(labels)
    found = []
    for equation in reader.equations:
        data = [value for value in equation.inputs if value in reader.from_data]
        kernels = [reader.same[value] for value in equation.inputs if value in reader.same]
        if len(data) != 1 or len(kernels) != 1 or len(equation.outputs) != 1 or not _is_product(equation):
            continue
        nodes = labels.leaf_axes[kernels[0]]
        units = [node for node in nodes if node not in labels.fed and labels.classes.is_free(node)]
        steps, end = _steps(reader, equation.outputs[0])
        axes = reader.axes_like(end, units)
        leaves = {kernels[0], *(step.leaf for step in steps if step.leaf is not None)}
        if axes and all(map(reader.used_once, leaves)):
            found.append(Chain(kernels[0], tuple(steps), end, axes, equation.source))
    return found


def normalisations(labels: Labels) -> list[Normalisation]:
    """Every use of running statistics, in order: a leaf is subtracted, and the difference is divided by the root of
    another leaf of the same shape; neither has another use."""
    reader = _Reader(labels)
    shapes = [labels.network.trace.shapes[value] for value in labels.network.params]
    found = []
    for equation in reader.equations:
        if equation.name != "sub":
            continue
        value, subtracted = equation.inputs
        mean = reader.same.get(subtracted)
        if value not in reader.from_data or mean is None:
            continue
        axes = reader.axes_like(value, labels.leaf_axes[mean])
        for step in _steps(reader, equation.outputs[0])[0]:
            variance, power = reader.roots.get(step.other, (-1, 0.0))
            if (step.kind, power) not in (("multiply", -0.5), ("divide", 0.5)) or shapes[mean] != shapes[variance]:
                continue
            covered = math.prod(labels.network.trace.shapes[value][axis] for axis in axes) == math.prod(shapes[mean])
            if covered and reader.used_once(mean) and reader.used_once(variance):
                found.append(Normalisation(value, mean, variance, axes))
                break
    return found


def _is_product(equation: Equation) -> bool:
    """Whether this is a product, or a function with a custom derivative that is one."""
    if equation.name in PRODUCTS:
        return True
    default = default_branch(equation)
    if not equation.name.startswith("custom_") and default is None:
        return False
    programs = programs_of(equation) or []
    programs = programs if default is None else programs[default : default + 1]
    if len(programs) != 1:
        return False
    inner = flatten(programs[0])
    work = [each for each in needed(inner, inner.outputs) if each.name not in (*SHAPE_ONLY, "platform_index")]
    return len(work) == 1 and _is_product(work[0])


def _steps(reader: _Reader, value: int) -> tuple[list[Step], int]:
    """The affine steps that follow a value, as long as it has one user."""
    kinds = {"add": "add", "add_any": "add", "sub": "subtract", "mul": "multiply", "div": "divide"}
    steps: list[Step] = []
    while len(reader.users.get(value, [])) == 1 and value not in reader.trace.outputs:
        (equation,) = reader.users[value]
        if equation.name in SHAPE_ONLY and _keeps_axes(reader, equation):
            value = equation.outputs[0]
            continue
        if equation.name not in kinds or equation.inputs.count(value) != 1:
            break
        other = equation.inputs[1 - equation.inputs.index(value)]
        ordered = equation.name in ("add", "add_any", "mul") or equation.inputs[0] == value
        kind = kinds[equation.name]
        if (
            other in reader.from_data
            or not ordered
            or (kind in ("multiply", "divide") and not reader.made_of.get(other))
        ):
            break
        leaf = (reader.same if kind in ("add", "subtract") else reader.multiple).get(other)
        value = equation.outputs[0]
        steps.append(Step(kind, other, leaf, value))
    return steps, value


def _keeps_axes(reader: _Reader, equation: Equation) -> bool:
    """Whether a change of shape keeps every axis."""
    classes = reader.labels.classes
    before, after = (
        [classes.find(node) for node in reader.labels.axes[value] if node is not None]
        for value in (equation.inputs[0], equation.outputs[0])
    )
    return sorted(before) == sorted(after)
