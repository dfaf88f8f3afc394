"""Rules that map the axes of the inputs of each primitive to those of its outputs.

A rule guarantees: if the inputs are permuted along their axes, each by the permutation of its node's class, the outputs
are permuted in the same way. Inference is the composition of rules, and axes of a primitive without a rule are frozen.
If several inputs have an axis in common, the axis of the output is what `classes.unite` returns, never the axis of one
input, which may be constant while another is not.

To support a primitive, write a function `rule(equation, axes, shapes, classes) -> axes of each output` and register it.
The rule must handle all parameters that change the meaning of the primitive, or freeze axes by `classes.stop`. An
output axis of length 1 is dropped by the caller.
"""

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import SupportsIndex, TypeAlias

from evojax_align.symmetry.classes import Axes, Classes, Conflict, Shape
from evojax_align.symmetry.trace import Equation


@dataclasses.dataclass
class Use:
    """An input axis that an equation sums over.

    Attributes:
        value: the value in its trace; None if it is nested too deeply to be read.
        from_data: whether the value depends on data.
        loop: the program of the value, if that is the body of a `scan` of the network.
    """

    value: int | None
    axis: int
    node: int
    primitive: str
    from_data: bool
    loop: int | None = None


Rule: TypeAlias = Callable[[Equation, Sequence[Axes], Sequence[Shape], Classes], list[Axes]]
RULES: dict[str, Rule] = {}

ELEMENTWISE = frozenset(
    """
    abs acos acosh add add_any and asin asinh atan atan2 atanh bessel_i0e bessel_i1e cbrt ceil clamp clz complex
    conj convert_element_type copy copy_p cos cosh device_put digamma div eq eq_to erf erf_inv erfc exp exp2
    expm1 floor ge gt igamma igammac imag integer_pow is_finite le le_to lgamma log log1p logistic lt lt_to max
    min mul name ne neg nextafter not optimization_barrier or pcast polygamma population_count pow pvary real
    reduce_precision regularized_incomplete_beta rem reshard round rsqrt select_n sharding_constraint shift_left
    shift_right_arithmetic shift_right_logical sign sin sinh sqrt square stop_gradient sub tan tanh xor zeta
    """.split()
)

INVARIANT_REDUCTIONS = frozenset("reduce_sum reduce_max reduce_min reduce_prod reduce_and reduce_or reduce_xor".split())
PRODUCTS = ("dot_general", "conv_general_dilated")


def register(names: str | Iterable[str]) -> Callable[[Rule], Rule]:
    """Register a rule for primitives, by names or a string of names separated by spaces."""

    def add(rule: Rule) -> Rule:
        RULES.update(dict.fromkeys(names.split() if isinstance(names, str) else names, rule))
        return rule

    return add


def summed_axes(equation: Equation) -> list[tuple[int, int]]:
    """The (input, axis) pairs that an equation sums over."""
    if equation.name == "dot_general":
        (left, right), _ = equation.params["dimension_numbers"]
        return [(0, int(axis)) for axis in left] + [(1, int(axis)) for axis in right]
    if equation.name == "conv_general_dilated":
        numbers = equation.params["dimension_numbers"]
        return [(0, numbers.lhs_spec[1]), (1, numbers.rhs_spec[1])]
    if equation.name in INVARIANT_REDUCTIONS:
        return [(0, int(axis)) for axis in equation.params["axes"]]
    return []


def without(nodes: Axes, axes: Sequence[SupportsIndex]) -> Axes:
    """The axes without some of them."""
    return tuple(node for axis, node in enumerate(nodes) if axis not in axes)


@register(ELEMENTWISE)
def _elementwise(equation: Equation, axes: Sequence[Axes], shapes: Sequence[Shape], classes: Classes) -> list[Axes]:
    """Scalars and axes of length 1 are constant and impose no condition."""
    if equation.primitive.multiple_results:  # each output belongs to its own input
        return [tuple(value) for value in axes]
    return [tuple(classes.unite(*nodes) for nodes in zip(*(value for value in axes if value), strict=True))]


@register("psum psum2 psum_invariant pmax pmin")
def _collective(equation: Equation, axes: Sequence[Axes], shapes: Sequence[Shape], classes: Classes) -> list[Axes]:
    """Elementwise over devices; an axis of `vmap` is given by its number and is reduced."""
    gone = [axis for axis in equation.params["axes"] if isinstance(axis, int)]
    if gone and equation.params.get("axis_index_groups") is not None:
        return classes.stop([node for value in axes for node in value], equation.shapes)
    return [without(value, gone) for value in axes]


@register("dot_general")
def _dot_general(equation: Equation, axes: Sequence[Axes], shapes: Sequence[Shape], classes: Classes) -> list[Axes]:
    (left_sum, right_sum), (left_batch, right_batch) = equation.params["dimension_numbers"]
    left, right = axes
    for i, j in zip(left_sum, right_sum, strict=True):
        classes.unite(left[i], right[j])
    batch = [classes.unite(left[i], right[j]) for i, j in zip(left_batch, right_batch, strict=True)]
    return [(*batch, *without(left, (*left_sum, *left_batch)), *without(right, (*right_sum, *right_batch)))]


@register("conv_general_dilated")
def _convolution(equation: Equation, axes: Sequence[Axes], shapes: Sequence[Shape], classes: Classes) -> list[Axes]:
    """Input channels are summed over, and output channels are new; positions are kept. In a grouped convolution, groups
    may be permuted, and in each group its input and its output channels."""
    numbers = equation.params["dimension_numbers"]
    (batch, into, *places), (made, read, *window) = numbers.lhs_spec, numbers.rhs_spec
    given, kernel = axes
    units = kernel[made]
    groups = equation.params["feature_group_count"]
    if equation.params["batch_group_count"] != 1:
        return classes.stop([*given, *kernel], [equation.shapes[0]])
    for axis in places:
        classes.order(given[axis])
    for axis in window:
        classes.freeze(kernel[axis], ("position", equation.source))
    if groups == 1:
        classes.unite(given[into], kernel[read])
    else:
        group = classes.new(groups)
        classes.unite(given[into], classes.factors([(group, groups), (kernel[read], shapes[1][read])]))
        outer = classes.factors([(group, groups), (None, shapes[1][made] // groups)])
        units = classes.unite(kernel[made], outer)
    out: list[int | None] = [None] * len(given)
    out_shape = equation.shapes[0]
    out[numbers.out_spec[0]], out[numbers.out_spec[1]] = given[batch], units
    for axis in numbers.out_spec[2:]:
        out[axis] = classes.fixed(out_shape[axis])
    return [tuple(out)]


@register("broadcast_in_dim")
def _broadcast(equation: Equation, axes: Sequence[Axes], shapes: Sequence[Shape], classes: Classes) -> list[Axes]:
    out: list[int | None] = [None] * len(equation.params["shape"])
    for axis, position in enumerate(equation.params["broadcast_dimensions"]):
        out[position] = axes[0][axis]
    return [tuple(out)]


@register("tile")
def _tile(equation: Equation, axes: Sequence[Axes], shapes: Sequence[Shape], classes: Classes) -> list[Axes]:
    """Equal copies, concatenated."""
    repeats = map(int, equation.params["reps"])
    given = zip(axes[0], shapes[0], repeats, strict=True)
    return [tuple(classes.factors([(None, count), (node, size)]) for node, size, count in given)]


@register("transpose")
def _transpose(equation: Equation, axes: Sequence[Axes], shapes: Sequence[Shape], classes: Classes) -> list[Axes]:
    return [tuple(axes[0][axis] for axis in equation.params["permutation"])]


@register("squeeze")
def _squeeze(equation: Equation, axes: Sequence[Axes], shapes: Sequence[Shape], classes: Classes) -> list[Axes]:
    return [without(axes[0], equation.params["dimensions"])]


@register("expand_dims")
def _expand(equation: Equation, axes: Sequence[Axes], shapes: Sequence[Shape], classes: Classes) -> list[Axes]:
    kept = iter(axes[0])
    new = equation.params["dimensions"]
    return [tuple(None if axis in new else next(kept) for axis in range(len(shapes[0]) + len(new)))]


@register("reshape")
def _reshape(equation: Equation, axes: Sequence[Axes], shapes: Sequence[Shape], classes: Classes) -> list[Axes]:
    """Merged axes become factors of the new axis; an axis that is split is composed of factors from then on."""
    if 0 in shapes[0]:
        return classes.stop(axes[0], equation.shapes)
    order = equation.params.get("dimensions")  # the order of axes; None for row-major order
    order = range(len(shapes[0])) if order is None else order
    out: list[int | None] = []
    for old, new in _matching_runs(tuple(shapes[0][axis] for axis in order), equation.params["new_sizes"]):
        given = [(axes[0][order[axis]], length) for axis, length in old]
        sizes = [length for _, length in new]
        try:
            out += classes.split(given, sizes)
        except Conflict:
            out += classes.stop([node for node, _ in given], [tuple(sizes)])[0]
    return [tuple(out)]


def _matching_runs(old: Shape, new: Shape) -> list[tuple[list[tuple[int, int]], list[tuple[int, int]]]]:
    """Split two shapes of the same number of entries into the shortest runs of (axis, length) of equal product."""
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


@register("concatenate")
def _concatenate(equation: Equation, axes: Sequence[Axes], shapes: Sequence[Shape], classes: Classes) -> list[Axes]:
    joined = equation.params["dimension"]
    out: list[int | None] = []
    for axis in range(len(axes[0])):
        if axis == joined:
            out.append(classes.segments([(of[axis], shape[axis]) for of, shape in zip(axes, shapes, strict=True)]))
        else:
            out.append(classes.unite(*(of[axis] for of in axes)))
    return [tuple(out)]


@register("pad")
def _pad(equation: Equation, axes: Sequence[Axes], shapes: Sequence[Shape], classes: Classes) -> list[Axes]:
    """Padding is constant; negative padding removes entries."""
    out: list[int | None] = []
    for node, size, padding in zip(axes[0], shapes[0], equation.params["padding_config"], strict=True):
        low, high, between = map(int, padding)
        if between:
            classes.order(node)
            out.append(classes.fixed(low + size + high + between * max(size - 1, 0)))
            continue
        start, stop = max(-low, 0), size - max(-high, 0)
        kept = (classes.cut(node, start, stop), stop - start)
        out.append(classes.segments([(None, max(low, 0)), kept, (None, max(high, 0))]))
    return [tuple(out)]


@register("slice")
def _slice(equation: Equation, axes: Sequence[Axes], shapes: Sequence[Shape], classes: Classes) -> list[Axes]:
    """Ranges of an axis become segments of it; strides freeze it."""
    starts, stops = equation.params["start_indices"], equation.params["limit_indices"]
    strides = equation.params["strides"] or (1,) * len(starts)
    out: list[int | None] = []
    for node, size, start, stop, stride, length in zip(
        axes[0], shapes[0], starts, stops, strides, equation.shapes[0], strict=True
    ):
        if node is None or (start, length) == (0, size):
            out.append(node)
        elif stride == 1:
            out.append(classes.cut(node, int(start), int(stop)))
        else:
            (made,) = classes.stop([node], [(length,)])
            out += made
    return [tuple(out)]


@register("split")
def _split(equation: Equation, axes: Sequence[Axes], shapes: Sequence[Shape], classes: Classes) -> list[Axes]:
    axis, sizes = equation.params["axis"], map(int, equation.params["sizes"])
    ends = [0, *itertools.accumulate(sizes)]
    return [
        (*axes[0][:axis], classes.cut(axes[0][axis], start, stop), *axes[0][axis + 1 :])
        for start, stop in itertools.pairwise(ends)
    ]


@register(INVARIANT_REDUCTIONS)
def _reduce(equation: Equation, axes: Sequence[Axes], shapes: Sequence[Shape], classes: Classes) -> list[Axes]:
    return [without(axes[0], equation.params["axes"])]
