"""Nested groups: the channels of every head may have their own order.

A class is nested in another if the inner permutation may differ between neurons of the outer class. That holds if
every value with the inner axis also has the outer one, exactly once, and if no operation mixes the inner entries of
different outer neurons.
"""

import dataclasses
from collections.abc import Sequence

from evojax_align.symmetry.classes import Axes, Classes
from evojax_align.symmetry.following import INSIDE, Labels, Program
from evojax_align.symmetry.rules import ELEMENTWISE, INVARIANT_REDUCTIONS
from evojax_align.symmetry.trace import Equation

KEEPING = frozenset(
    (
        *INSIDE,  # their programs are checked separately
        *ELEMENTWISE,  # with several results, each belongs to its own input
        *"""broadcast_in_dim concatenate copy cumlogsumexp cummax cummin cumprod cumsum dynamic_slice
        dynamic_update_slice expand_dims gather iota pad reduce_window reduce_window_max reduce_window_min
        reduce_window_sum rev slice sort split squeeze stack top_k transpose unstack""".split(),
    )
)
"""Operations that move whole axes, or mix entries along frozen ones only."""


@dataclasses.dataclass(frozen=True)
class _Place:
    """An occurrence of an atom in a value: the axis, and the index of the segment in it."""

    axis: int
    run: int


def cut_off(labels: Labels) -> set[int]:
    """Parts of parameters that slices omit, such as the rows of a position table beyond the length of the inputs.

    No output depends on them, so that they are not neurons.
    """
    classes, program = labels.classes, labels.programs[0]
    leaves = dict(zip(labels.network.params, labels.leaf_axes, strict=True))
    elsewhere = {atom for use in labels.uses for atom in classes.atoms(use.node)}
    for number, other in enumerate(labels.programs):
        for value, axes in other.axes.items():
            if number or value not in leaves:
                elsewhere |= {atom for node in axes for atom in classes.atoms(node)}
    for equation in program.equations:
        for value in equation.inputs if equation.name != "slice" else ():
            elsewhere |= {atom for node in leaves.get(value, ()) for atom in classes.atoms(node)}
    elsewhere |= {atom for value in program.trace.outputs for n in leaves.get(value, ()) for atom in classes.atoms(n)}
    return {atom for axes in leaves.values() for node in axes for atom in classes.atoms(node)} - elsewhere


def nested(labels: Labels) -> dict[int, int]:
    """For each nested class, its outer class; nesting has only one level."""
    classes, left_out = labels.classes, cut_off(labels)
    common: dict[int, set[int]] = {}  # the classes that occur wherever an atom occurs
    for program in labels.programs:
        for axes in program.axes.values():
            here = {atom for node in axes for atom in classes.atoms(node) if classes.why_frozen(atom) is None}
            here -= left_out
            for atom in here:
                others = here - {atom}
                common[atom] = common[atom] & others if atom in common else others
    found: dict[int, int] = {}
    sizes = {atom: classes.size(atom) for atom in common}
    for inner, outers in sorted(common.items(), reverse=True):  # the later class was made inside the earlier one
        for outer in sorted(outers):
            if sizes[inner] < 2 or outer in found or inner in found or inner in found.values():
                continue
            if all(_in_step(program, classes, inner, outer) for program in labels.programs):
                found[inner] = outer
    return found


def _in_step(program: Program, classes: Classes, inner: int, outer: int) -> bool:
    """Whether no operation of a program mixes the inner neurons of different outer ones."""
    pairs: dict[int, dict[_Place, int]] = {}  # by value and inner occurrence, the outer axis
    for value, axes in program.axes.items():
        found = _partners(axes, classes, inner, outer)
        if found is None:
            return False
        pairs[value] = found
    return all(_keeps(equation, program.axes, pairs, classes, (inner, outer)) for equation in program.equations)


def _partners(axes: Axes, classes: Classes, inner: int, outer: int) -> dict[_Place, int] | None:
    """For each occurrence of the inner class, the axis of its outer neurons; None if that is ambiguous."""
    runs = [(axis, run, atoms) for axis, node in enumerate(axes) for run, atoms in enumerate(_runs(node, classes))]
    found: dict[_Place, int] = {}
    for axis, run, atoms in runs:
        if inner not in atoms:
            continue
        if atoms.count(inner) > 1 or atoms.count(outer) > 1:
            return None
        if outer in atoms:
            found[_Place(axis, run)] = axis
            continue
        elsewhere = {i for i, _, others in runs if outer in others and i != axis}
        if len(elsewhere) != 1:
            return None
        (other,) = elsewhere
        if any(others.count(outer) != 1 for i, _, others in runs if i == other):
            return None
        found[_Place(axis, run)] = other
    return found


def _runs(node: int | None, classes: Classes) -> list[list[int]]:
    """The segments of an axis, each as its atoms."""
    if node is None:
        return [[]]
    parts = classes.parts(node)
    if parts is None:
        return [[classes.find(node)]]
    if parts.segments:
        return [run for part, _ in parts.pieces for run in _runs(part, classes)]
    made: list[list[int]] = [[]]
    for part, _ in parts.pieces:
        made = [[*run, *more] for run in made for more in _runs(part, classes)]
    return made


def _keeps(
    equation: Equation,
    axes: dict[int, Axes],
    pairs: dict[int, dict[_Place, int]],
    classes: Classes,
    nest: tuple[int, int],
) -> bool:
    """Whether one operation keeps the inner entries of different outer neurons separate."""
    given = [pairs[value] for value in equation.inputs]
    if not any(given):
        return True
    if equation.name in ELEMENTWISE and not equation.primitive.multiple_results:
        found: dict[int, set[int]] = {}
        for of_value in given:
            for place, outer in of_value.items():
                found.setdefault(place.axis, set()).add(outer)
        return all(len(outers) == 1 for outers in found.values())
    if equation.name == "dot_general":
        return _product_keeps(equation, given)
    if equation.name == "conv_general_dilated":
        summed = set(classes.atoms(axes[equation.inputs[1]][equation.params["dimension_numbers"].rhs_spec[1]]))
        if nest[1] in summed and nest[0] not in summed and given[0]:  # each channel would have its own order of groups
            return False
        return _convolution_keeps(equation, given)
    if equation.name in INVARIANT_REDUCTIONS or equation.name in ("argmax", "argmin"):
        gone = equation.params["axes"]
        return all(place.axis in gone or outer not in gone for place, outer in given[0].items())
    if equation.name in ("reshape", "tile"):  # a constant axis may have become an axis of outer neurons
        before, after = (
            [atom for value in of for node in axes[value] for atom in classes.atoms(node)].count(nest[1])
            for of in (equation.inputs[:1], equation.outputs)
        )
        return before == after
    return equation.name in KEEPING


def _product_keeps(equation: Equation, given: Sequence[dict[_Place, int]]) -> bool:
    """Contracted axes must belong to contracted outer axes; a free axis keeps its outer axis."""
    (left_sum, right_sum), (left_batch, right_batch) = equation.params["dimension_numbers"]
    meets = (
        dict(zip((*left_sum, *left_batch), (*right_sum, *right_batch), strict=True)),
        dict(zip((*right_sum, *right_batch), (*left_sum, *left_batch), strict=True)),
    )
    for side, (of_value, summed) in enumerate(zip(given, (left_sum, right_sum), strict=True)):
        for place, outer in of_value.items():
            if place.axis not in summed and outer in summed:  # a sum over outer neurons with different inner orders
                return False
            if place.axis not in meets[side]:
                continue
            there = {o for p, o in given[1 - side].items() if p.axis == meets[side][place.axis]}
            if there and (outer not in meets[side] or there != {meets[side][outer]}):
                return False
    return True


def _convolution_keeps(equation: Equation, given: Sequence[dict[_Place, int]]) -> bool:
    """Groups of channels keep their channels; all others must be on one axis."""
    made, read, *_ = equation.params["dimension_numbers"].rhs_spec
    grouped = equation.params["feature_group_count"] > 1
    of_data, of_kernel = given
    return all(place.axis == outer for place, outer in of_data.items()) and all(
        place.axis == outer or (grouped and (place.axis, outer) == (read, made)) for place, outer in of_kernel.items()
    )
