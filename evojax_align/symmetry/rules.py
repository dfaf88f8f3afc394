"""How each primitive carries the axes of its inputs to its outputs: one function each.

An axis of a value is known by a node, or is `None` where all entries along it are equal, so that no permutation
changes it. Nodes that must be permuted alike are united; a node that must not be permuted at all is frozen. A rule
promises: if the inputs are permuted along their axes, each by the permutation of its node's class, the outputs come
out permuted in the same way. Inference is the composition of these promises, and what has no rule is frozen.

To teach a primitive, write a function `rule(equation, axes, shapes, classes) -> axes of each output` and register it.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import TypeAlias

from jax.extend import core

from evojax_align.symmetry.trace import Equation

Axes: TypeAlias = tuple[int | None, ...]
Shape: TypeAlias = tuple[int, ...]


class Classes:
    """Axes that must be permuted alike: a union-find whose classes may be frozen."""

    def __init__(self) -> None:
        self._parent: list[int] = []
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
        """Require that these axes are permuted alike; entries that are all equal along `None` bind nothing."""
        roots = sorted({self.find(node) for node in nodes if node is not None})
        if not roots:
            return None
        for other in roots[1:]:
            self._parent[other] = roots[0]
            if other in self._frozen:
                self._frozen.setdefault(roots[0], self._frozen.pop(other))
        return roots[0]

    def freeze(self, node: int | None, why: str, source: str) -> None:
        """Require that this axis is not permuted; the first reason is kept."""
        if node is not None:
            self._frozen.setdefault(self.find(node), (why, source))

    def why_frozen(self, node: int) -> tuple[str, str] | None:
        """The reason and its source, or None if the class may be permuted."""
        return self._frozen.get(self.find(node))

    def stop(self, nodes: Sequence[int | None], shape: Shape, equation: Equation) -> Axes:
        """Freeze these axes, which an equation mixes, and make frozen axes for what comes out of them.

        Where all of them were frozen before, the equation did no harm, and the old reason goes on.
        """
        reasons = [self.why_frozen(node) for node in nodes if node is not None]
        new = (equation.name, equation.source)
        why = reasons[0] if reasons and reasons[0] and None not in reasons else new
        out = tuple(self.new() if size > 1 else None for size in shape)
        for node in (*nodes, *out):
            self.freeze(node, *why)
        return out


@dataclasses.dataclass
class Use:
    """An input axis that an equation sums over."""

    value: int
    axis: int
    node: int
    primitive: str


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
    if equation.primitive.multiple_results:  # each output goes with its own input
        return [tuple(value) for value in axes]
    rank = max(len(value) for value in axes)
    full = [value for value in axes if len(value) == rank]  # the others are scalars
    return [tuple(classes.unite(*nodes) for nodes in zip(*full, strict=True))]


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


@register("expand_dims")
def _expand_dims(equation: Equation, axes: Sequence[Axes], shapes: Sequence[Shape], classes: Classes) -> list[Axes]:
    old = iter(axes[0])
    rank = len(axes[0]) + len(equation.params["dimensions"])
    return [tuple(None if axis in equation.params["dimensions"] else next(old) for axis in range(rank))]


@register("reshape")
def _reshape(equation: Equation, axes: Sequence[Axes], shapes: Sequence[Shape], classes: Classes) -> list[Axes]:
    """Follow axes that keep their length; freeze those that are merged or split."""
    out: list[int | None] = []
    for old, new in _matching_runs(shapes[0], equation.params["new_sizes"]):
        nodes = [axes[0][axis] for axis, length in old if length > 1]
        kept = [length for _, length in new if length > 1]
        if len(nodes) == len(kept) == 1:
            out += [nodes[0] if length > 1 else None for _, length in new]
            continue
        shape = tuple(length for _, length in new)
        out += [None] * len(new) if all(node is None for node in nodes) else classes.stop(nodes, shape, equation)
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
