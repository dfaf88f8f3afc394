"""How each primitive carries the axes of its inputs to its outputs: one function each.

An axis of a value is known by a node, or is `None` where all entries along it are equal, so that no permutation
changes it; an axis of length 1 is always `None`. Nodes that must be permuted alike are united; a node that must not be
permuted at all is frozen. A rule promises: if the inputs are permuted along their axes, each by the permutation of its
node's class, the outputs come out permuted in the same way. Inference is the composition of these promises, and what
has no rule is frozen.

To teach a primitive, write a function `rule(equation, axes, shapes, classes) -> axes of each output` and register it.
Whatever changes the meaning of the primitive (look at all its parameters) must be followed, or frozen by `stop`.
"""

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from typing import TypeAlias

from jax.extend import core

from evojax_align.symmetry.trace import Equation

Axes: TypeAlias = tuple[int | None, ...]
Shape: TypeAlias = tuple[int, ...]

BY_DESIGN = ("data", "output")
"""Why the axes of data and outputs are frozen; this is no finding, and is not reported."""


class Classes:
    """Axes that must be permuted alike: a union-find whose classes may be frozen."""

    def __init__(self) -> None:
        self._parent: list[int] = []
        self._origins: dict[int, frozenset[int]] = {}
        self._frozen: dict[int, tuple[str, str]] = {}

    def new(self) -> int:
        """A node in a class of its own."""
        self._parent.append(len(self._parent))
        return len(self._parent) - 1

    def find(self, node: int) -> int:
        """The representative of the node's class."""
        while self._parent[node] != node:
            self._parent[node] = self._parent[self._parent[node]]
            node = self._parent[node]
        return node

    def unite(self, *nodes: int | None) -> int | None:
        """Require that these axes are permuted alike, and return the axis that they make together.

        Entries that are all equal along `None` bind nothing. Different axes make a new one, of the same class, that
        remembers its origins.
        """
        distinct = list(dict.fromkeys(node for node in nodes if node is not None))
        if len(distinct) < 2:
            return distinct[0] if distinct else None
        joined = self.new()
        self._origins[joined] = frozenset().union(*map(self.origins, distinct))
        root, *others = sorted({self.find(node) for node in (*distinct, joined)})
        for other in others:
            self._parent[other] = root
            if other in self._frozen:
                self.freeze(root, *self._frozen.pop(other))
        return joined

    def origins(self, node: int) -> frozenset[int]:
        """The axes that went into this one."""
        return self._origins.get(node, frozenset((node,)))

    def freeze(self, node: int | None, why: str, source: str) -> None:
        """Require that this axis is not permuted; the first reason is kept, but those by design come before others."""
        if node is not None:
            root = self.find(node)
            if root not in self._frozen or (why in BY_DESIGN and self._frozen[root][0] not in BY_DESIGN):
                self._frozen[root] = (why, source)

    def why_frozen(self, node: int) -> tuple[str, str] | None:
        """The reason and its source, or None if the class may be permuted."""
        return self._frozen.get(self.find(node))

    def stop(self, nodes: Sequence[int | None], shapes: Sequence[Shape], equation: Equation) -> list[Axes]:
        """Freeze these axes, which an equation mixes, and make frozen axes for the values that come out of them.

        Where all of them were frozen before, the equation did no harm, and the old reason goes on.
        """
        reasons = [self.why_frozen(node) for node in nodes if node is not None]
        old = [why for why in reasons if why is not None]
        if not old or None in reasons:
            why = equation.name, equation.source
        else:
            why = next((why for why in old if why[0] not in BY_DESIGN), old[0])
        out: list[Axes] = [tuple(self.new() if size > 1 else None for size in shape) for shape in shapes]
        for node in itertools.chain(nodes, *out):
            self.freeze(node, *why)
        return out


@dataclasses.dataclass
class Use:
    """An input axis that an equation sums over."""

    value: int | None
    """The value in the trace; None inside the program of a function with its own derivative."""
    axis: int
    node: int
    primitive: str
    from_data: bool
    """Whether the value depends on data."""


Rule: TypeAlias = Callable[[Equation, Sequence[Axes], Sequence[Shape], Classes], list[Axes]]
RULES: dict[str, Rule] = {}

ELEMENTWISE = """abs acos acosh add add_any and asin asinh atan atan2 atanh bessel_i0e bessel_i1e cbrt ceil clamp
conj convert_element_type copy copy_p cos cosh digamma div eq eq_to erf erf_inv erfc exp exp2 expm1 floor ge gt igamma
igammac imag integer_pow is_finite le le_to lgamma log log1p logistic lt lt_to max min mul name ne neg nextafter not
optimization_barrier or polygamma pow real reduce_precision regularized_incomplete_beta rem round rsqrt select_n
shift_left shift_right_arithmetic shift_right_logical sign sin sinh sqrt square stop_gradient sub tan tanh xor zeta"""

INVARIANT_REDUCTIONS = "reduce_sum reduce_max reduce_min reduce_prod reduce_and reduce_or reduce_xor"


def register(names: str) -> Callable[[Rule], Rule]:
    """Register a rule under each of the primitive names in a string."""

    def add(rule: Rule) -> Rule:
        RULES.update(dict.fromkeys(names.split(), rule))
        return rule

    return add


def summed_axes(equation: Equation) -> list[tuple[int, int]]:
    """The (input, axis) pairs that an equation sums over."""
    if equation.name == "dot_general":
        (left, right), _ = equation.params["dimension_numbers"]
        return [(0, axis) for axis in left] + [(1, axis) for axis in right]
    if equation.name in INVARIANT_REDUCTIONS.split():
        return [(0, axis) for axis in equation.params["axes"]]
    return []


@register(ELEMENTWISE)
def _elementwise(equation: Equation, axes: Sequence[Axes], shapes: Sequence[Shape], classes: Classes) -> list[Axes]:
    """Scalars and axes of length 1 are the same everywhere and bind nothing."""
    if equation.primitive.multiple_results:  # each output goes with its own input
        return [tuple(value) for value in axes]
    return [tuple(classes.unite(*nodes) for nodes in zip(*(value for value in axes if value), strict=True))]


@register("dot_general")
def _dot_general(equation: Equation, axes: Sequence[Axes], shapes: Sequence[Shape], classes: Classes) -> list[Axes]:
    (left_sum, right_sum), (left_batch, right_batch) = equation.params["dimension_numbers"]
    left, right = axes
    for i, j in zip(left_sum, right_sum, strict=True):
        classes.unite(left[i], right[j])
    batch = [classes.unite(left[i], right[j]) for i, j in zip(left_batch, right_batch, strict=True)]
    rest = [node for i, node in enumerate(left) if i not in (*left_sum, *left_batch)]
    rest += [node for j, node in enumerate(right) if j not in (*right_sum, *right_batch)]
    return [(*batch, *rest)]


@register("broadcast_in_dim")
def _broadcast(equation: Equation, axes: Sequence[Axes], shapes: Sequence[Shape], classes: Classes) -> list[Axes]:
    out: list[int | None] = [None] * len(equation.params["shape"])
    for axis, position in enumerate(equation.params["broadcast_dimensions"]):
        out[position] = axes[0][axis]
    return [tuple(out)]


@register("transpose")
def _transpose(equation: Equation, axes: Sequence[Axes], shapes: Sequence[Shape], classes: Classes) -> list[Axes]:
    return [tuple(axes[0][axis] for axis in equation.params["permutation"])]


@register("squeeze")
def _squeeze(equation: Equation, axes: Sequence[Axes], shapes: Sequence[Shape], classes: Classes) -> list[Axes]:
    return [tuple(node for axis, node in enumerate(axes[0]) if axis not in equation.params["dimensions"])]


@register("reshape")
def _reshape(equation: Equation, axes: Sequence[Axes], shapes: Sequence[Shape], classes: Classes) -> list[Axes]:
    """Follow axes that keep their length; freeze those that are merged or split."""
    order = equation.params.get("dimensions")  # the order in which entries are read; None: as they lie
    order = range(len(shapes[0])) if order is None else order
    given = [axes[0][axis] for axis in order]
    out: list[int | None] = []
    for old, new in _matching_runs(tuple(shapes[0][axis] for axis in order), equation.params["new_sizes"]):
        nodes = [given[axis] for axis, length in old if length > 1]
        kept = [length for _, length in new if length > 1]
        if len(nodes) == len(kept) == 1:
            out += [nodes[0] if length > 1 else None for _, length in new]
            continue
        shape = tuple(length for _, length in new)
        out += [None] * len(new) if all(node is None for node in nodes) else classes.stop(nodes, [shape], equation)[0]
    return [tuple(out)]


def _matching_runs(old: Shape, new: Shape) -> list[tuple[list[tuple[int, int]], list[tuple[int, int]]]]:
    """Split two shapes of the same number of entries into the shortest runs of (axis, length) of equal product."""
    if 0 in old:
        return [(list(enumerate(old)), list(enumerate(new)))]
    runs, left, right = [], list(enumerate(old)), list(enumerate(new))
    while left or right:
        a, b, of_a, of_b = [], [], 1, 1
        while True:
            if (of_a <= of_b and left) or not right:
                a.append(left.pop(0))
                of_a *= a[-1][1]
            else:
                b.append(right.pop(0))
                of_b *= b[-1][1]
            if of_a == of_b and ((a and b) or not left or not right):
                break
        runs.append((a, b))
    return runs


@register(INVARIANT_REDUCTIONS)
def _reduce(equation: Equation, axes: Sequence[Axes], shapes: Sequence[Shape], classes: Classes) -> list[Axes]:
    return [tuple(node for axis, node in enumerate(axes[0]) if axis not in equation.params["axes"])]


@register("argmax argmin")
def _arg_reduce(equation: Equation, axes: Sequence[Axes], shapes: Sequence[Shape], classes: Classes) -> list[Axes]:
    """The result counts along the reduced axis, so that axis has an order."""
    for axis in equation.params["axes"]:
        classes.freeze(axes[0][axis], equation.name, equation.source)
    return [tuple(node for axis, node in enumerate(axes[0]) if axis not in equation.params["axes"])]


@register("iota")
def _iota(equation: Equation, axes: Sequence[Axes], shapes: Sequence[Shape], classes: Classes) -> list[Axes]:
    """Counts along one axis, and is the same along all others."""
    shape, dimension = equation.params["shape"], equation.params["dimension"]
    counting = classes.new()
    classes.freeze(counting, equation.name, equation.source)
    return [tuple(counting if axis == dimension else None for axis in range(len(shape)))]


def inner_program(equation: Equation) -> core.ClosedJaxpr | None:
    """The program of a function with its own derivative: its axes are followed through that program."""
    if equation.name.startswith(("custom_jvp_call", "custom_vjp_call")):
        for name in ("call_jaxpr", "fun_jaxpr"):
            inner = equation.params.get(name)
            if isinstance(inner, core.ClosedJaxpr):
                return inner
    return None
