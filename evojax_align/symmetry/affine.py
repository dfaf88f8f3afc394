"""What follows a layer's product before its nonlinearity: biases, and the scales and statistics of batch normalisation.

Read from the trace, so that offspring of any network can be mended after recombination without knowing its framework.
"""

import dataclasses
from collections.abc import Iterable

from evojax_align.symmetry.following import Labels, default_branch, programs_of
from evojax_align.symmetry.rules import PRODUCTS
from evojax_align.symmetry.trace import Equation, depends_on, flatten, needed

SHAPE_ONLY = frozenset("broadcast_in_dim squeeze expand_dims transpose convert_element_type copy reshape".split())
ROOTS = frozenset(("rsqrt", "sqrt", "pow"))


@dataclasses.dataclass(frozen=True)
class Step:
    """One operation of a chain: a parameter, or what is made of some, is added to the value or multiplied into it."""

    kind: str
    """"add", "subtract", "multiply" or "divide"."""
    other: int
    """The value that is added, or multiplied by."""
    leaf: int | None
    """The leaf of the parameters that it is, or of which it is a multiple; None if there is none."""
    value: int
    """What comes out."""


@dataclasses.dataclass(frozen=True)
class Chain:
    """A product of data with a kernel, and the affine steps that follow it."""

    kernel: int
    """The leaf of the parameters that is the kernel."""
    steps: tuple[Step, ...]
    value: int
    """What comes out at the end: what the nonlinearity, or a residual stream, is given."""
    axes: tuple[int, ...]
    """The axes of that value that run over the kernel's units."""
    source: str
    """Where the product was written."""


@dataclasses.dataclass(frozen=True)
class Normalisation:
    """Running statistics in use: (value - mean) over the root of variance."""

    value: int
    mean: int
    """The leaf of the parameters that holds the running mean."""
    variance: int
    """The leaf that holds the running variance."""
    axes: tuple[int, ...]
    """The axes of the value that have statistics of their own."""


class _Reader:
    """What the parameters alone make, and who uses what."""

    def __init__(self, labels: Labels) -> None:
        self.labels, self.trace = labels, labels.network.trace
        self.equations = needed(self.trace, self.trace.outputs)
        self.from_data = depends_on(self.trace, labels.network.data)
        self.leaves = {value: leaf for leaf, value in enumerate(labels.network.params)}
        self.users: dict[int, list[Equation]] = {}
        for equation in self.equations:
            for value in dict.fromkeys(equation.inputs):
                self.users.setdefault(value, []).append(equation)
        self.same = dict(self.leaves)  # values that are a leaf in another shape
        self.multiple = dict(self.leaves)  # values that are a leaf times something
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
                for known in (self.same, self.multiple):
                    if first in known:
                        known[made] = known[first]
            elif equation.name in ("mul", "div"):
                factors = equation.inputs if equation.name == "mul" else equation.inputs[:1]
                found = [self.multiple[value] for value in factors if value in self.multiple]
                if found:
                    self.multiple[made] = found[-1]

    def axes_like(self, value: int, nodes: Iterable[int | None]) -> tuple[int, ...]:
        """The axes of a value that are of the same classes as these."""
        classes = self.labels.classes
        wanted = {classes.find(node) for node in nodes if node is not None}
        here = self.labels.axes[value]
        return tuple(i for i, node in enumerate(here) if node is not None and classes.find(node) in wanted)


def chains(labels: Labels) -> list[Chain]:
    """Every product of data with a kernel whose units can be permuted, with what follows it, in order."""
    reader = _Reader(labels)
    found = []
    for equation in reader.equations:
        data = [value for value in equation.inputs if value in reader.from_data]
        kernels = [reader.same[value] for value in equation.inputs if value in reader.same]
        if len(data) != 1 or len(kernels) != 1 or len(equation.outputs) != 1 or not _is_product(equation):
            continue
        summed = {node for use in labels.uses if not use.from_data for node in labels.classes.origins(use.node)}
        units = [node for node in labels.leaf_axes[kernels[0]] if node is not None and node not in summed]
        units = [node for node in units if labels.classes.is_free(node)]
        steps, end = _steps(reader, equation.outputs[0])
        axes = reader.axes_like(end, units)
        if axes:
            found.append(Chain(kernels[0], tuple(steps), end, axes, equation.source))
    return found


def normalisations(labels: Labels) -> list[Normalisation]:
    """Every use of running statistics, in order."""
    reader = _Reader(labels)
    variances = {}  # values that are a root of a leaf and a constant
    for equation in reader.equations:
        first = equation.inputs[0] if equation.inputs else -1
        if equation.name in ("add", "max") and not reader.from_data.intersection(equation.inputs):
            held = [reader.same[value] for value in equation.inputs if value in reader.same]
            if len(held) == 1 and reader.made_of[equation.outputs[0]] == set(held):
                variances[equation.outputs[0]] = ("shifted", held[0])
        elif equation.name in ROOTS and variances.get(first, ("",))[0] == "shifted":
            variances[equation.outputs[0]] = ("root", variances[first][1])
    roots = {leaf for kind, leaf in variances.values() if kind == "root"}
    found = []
    for equation in reader.equations:
        if equation.name != "sub" or equation.inputs[1] not in reader.same:
            continue
        value, mean = equation.inputs[0], reader.same[equation.inputs[1]]
        steps, _ = _steps(reader, equation.outputs[0])
        for step in steps:
            held = roots & reader.made_of.get(step.other, set())
            if step.kind in ("multiply", "divide") and len(held) == 1 and value in reader.from_data:
                axes = reader.axes_like(value, labels.leaf_axes[mean])
                found.append(Normalisation(value, mean, held.pop(), axes))
                break
    return found


def _is_product(equation: Equation) -> bool:
    """Whether this is a product, or a function with its own derivative that is one."""
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
    """Whether a change of shape leaves every axis whole."""
    classes = reader.labels.classes
    before, after = (
        [classes.find(node) for node in reader.labels.axes[value] if node is not None]
        for value in (equation.inputs[0], equation.outputs[0])
    )
    return sorted(before) == sorted(after)
