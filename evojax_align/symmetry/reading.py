"""Extraction of the activations of every group from the network's own trace, without hooks."""

import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from evojax_align import _checks
from evojax_align._types import Apply, Array, Float, PyTree
from evojax_align.symmetry.following import Labels, label
from evojax_align.symmetry.inference import layout
from evojax_align.symmetry.layout import Layout, Segments, groups_in
from evojax_align.symmetry.rules import PRODUCTS
from evojax_align.symmetry.spec import PermutationSpec
from evojax_align.symmetry.trace import depends_on, evaluate, evaluate_loop, trace_network


def activations(
    spec: PermutationSpec, apply: Apply, params: PyTree, x: PyTree, *, positions: int | None = None
) -> dict[str, Float[Array, "samples *neurons"]]:
    """Activations of the neurons of every group.

    A group is read where the network uses it: at the values that are summed over its neurons, which is after the
    nonlinearity if there is one. All other axes count as samples, including the positions of a feature map and the
    steps of a `scan`, except axes of other neurons, which are averaged since their order has no meaning. If a group is
    used at several values, it is read at each, and they are concatenated along the samples. If the uses are deep inside
    other programs, the group is read from the results of these. A group that data do not reach, or that has nested
    groups, is omitted.

    Args:
        spec: the network's symmetry.
        apply: the network.
        params: parameters of one network.
        x: a batch of inputs.
        positions: use at most this many positions of a feature map for each sample, evenly spaced; all by default.

    Returns:
        For each group, an array [samples, neurons]; permuting the network permutes its columns. For a group inside
        another, [samples, neurons of the outer group, neurons].

    Example:
        >>> import jax, jax.numpy as jnp, evojax_align as ea
        >>> apply = lambda p, x: jnp.tanh(x @ p["in"]) @ p["out"]
        >>> params, x = {"in": jnp.array([[1.0, 2.0, 3.0]]), "out": jnp.array([[4.0], [5.0], [6.0]])}, jnp.ones((2, 1))
        >>> spec = ea.symmetry.infer(apply, params, x)
        >>> found = ea.symmetry.activations(spec, apply, params, x)["in"]
        >>> found.shape, bool(jnp.allclose(found, jnp.tanh(x @ params["in"])))
        ((2, 3), True)
    """
    read = reader(spec, apply, positions=positions)
    return {
        group: jnp.concatenate(places) if len(places) > 1 else places[0] for group, places in read(params, x).items()
    }


def reader(
    spec: PermutationSpec, apply: Apply, *, positions: int | None = None
) -> Callable[[PyTree, PyTree], dict[str, list[Array]]]:
    """A function of parameters and inputs like `activations`, with one array for each value where a group is used.

    The network is traced once for all calls with arrays of the same shapes and dtypes.
    """
    if positions is not None:
        _checks.positive("positions", positions)
    traced: dict[Any, tuple[Labels, dict[int, str], dict[str, list[_Place]]]] = {}

    def read(params: PyTree, x: PyTree) -> dict[str, list[Array]]:
        leaves, structure = jax.tree.flatten((params, x))
        shapes = structure, tuple(jax.typeof(jnp.asarray(leaf)) for leaf in leaves)
        if shapes not in traced:
            labels = label(trace_network(apply, params, x))
            names = groups_of_classes(spec, labels)
            traced[shapes] = labels, names, _places(spec, labels, names)
        labels, names, where = traced[shapes]
        known = dict(zip(labels.network.trace.inputs, map(jnp.asarray, leaves), strict=True))
        values = _values(labels, known, {(place.value, place.loop) for places in where.values() for place in places})
        found: dict[str, list[Array]] = {}
        for group, places in where.items():
            for place in places:
                layouts = layouts_of(labels, names, place.value, place.loop)
                axis = place.axis + (place.loop is not None)
                value = values[place.value, place.loop]
                found.setdefault(group, []).extend(_columns(value, layouts, axis, group, spec, positions))
        return found

    return read


def _values(
    labels: Labels, known: Mapping[int, Array], wanted: Iterable[tuple[int, int | None]]
) -> dict[tuple[int, int | None], Array]:
    """Values of the trace, and values inside its loops with a leading axis of steps."""
    trace = labels.network.trace
    by_loop: dict[int | None, list[int]] = {}
    for value, loop in sorted(wanted, key=str):
        by_loop.setdefault(loop, []).append(value)
    found: dict[tuple[int, int | None], Array] = {}
    for loop, values in by_loop.items():
        equation = None if loop is None else labels.programs[loop].loop
        if loop is None or equation is None:
            read = evaluate(trace, known, values)
        else:
            read = evaluate_loop(equation, labels.programs[loop].trace, evaluate(trace, known, equation.inputs), values)
        found |= {(value, loop): array for value, array in zip(values, read, strict=True)}
    return found


def layouts_of(labels: Labels, names: Mapping[int, str], value: int, loop: int | None = None) -> tuple[Layout, ...]:
    """The layout of each axis of a value of the trace, or of a value inside a loop, after the axis of steps."""
    axes = labels.programs[loop or 0].axes[value]
    return (*(() if loop is None else (None,)), *(layout(labels.classes, names, node) for node in axes))


@dataclasses.dataclass(frozen=True)
class _Place:
    """A value where a group is read, and the axis of the group.

    Attributes:
        loop: the program of the value, if it is inside a loop.
    """

    value: int
    axis: int
    loop: int | None = None


def _places(spec: PermutationSpec, labels: Labels, names: Mapping[int, str]) -> dict[str, list[_Place]]:
    """The values where each group is read: inputs of products, else of sums, else results of a program."""
    found: dict[str, dict[str, list[_Place]]] = {group: {} for group in spec.groups}

    def add(place: _Place, kind: str) -> None:
        if not jnp.issubdtype(labels.programs[place.loop or 0].trace.dtypes[place.value], jnp.inexact):
            return  # the test for NaN in a median
        node = labels.programs[place.loop or 0].axes[place.value][place.axis]
        for atom in labels.classes.atoms(node):
            if atom in names:
                places = found[names[atom]].setdefault(kind, [])
                if place not in places:
                    places.append(place)

    trace = labels.network.trace
    for use in labels.uses:
        if use.value is not None and use.from_data:
            add(_Place(use.value, use.axis, use.loop), "product" if use.primitive in PRODUCTS else "sum")
    from_data = depends_on(trace, labels.network.data)
    for equation in labels.programs[0].equations:
        for value in equation.outputs if equation.name in ("scan", "while", "cond") else ():
            if value in from_data:
                for axis in range(len(trace.shapes[value])):
                    add(_Place(value, axis), "passage")
    holding = set(spec.parents.values())
    kinds = ("product", "sum", "passage")
    return {
        group: next(places[kind] for kind in kinds if kind in places)
        for group, places in found.items()
        if places and group not in holding
    }


def _columns(
    value: Array, layouts: Sequence[Layout], axis: int, group: str, spec: PermutationSpec, positions: int | None
) -> Iterator[Array]:
    """The group's columns, one array for each of its occurrences along the axis."""
    for array, kinds, axes in unfolded(value, layouts, axis, group, spec.parents.get(group)):
        yield _as_columns(array, kinds, axes, positions)


def unfolded(
    value: Any, layouts: Sequence[Layout], axis: int, group: str, outer: str | None
) -> Iterator[tuple[Any, tuple[Layout, ...], tuple[int, ...]]]:
    """Like `exposed`, for a nested group also with a separate axis of the outer group; also returns both axes."""
    for array, kinds, at in exposed(value, layouts, axis, group):
        if outer is None:
            yield array, kinds, (at,)
            continue
        own = range(axis, axis + len(kinds) - len(layouts) + 1)  # the axes to which the axis was unfolded
        holding = [i for i, kind in enumerate(kinds) if outer in groups_in(kind)]
        (other,) = [i for i in holding if i in own] or holding
        for deeper, of_deeper, there in exposed(array, kinds, other, outer):
            shift = len(of_deeper) - len(kinds)
            yield deeper, of_deeper, (there, at + (shift if other < at else 0))


def exposed(
    value: Any, layouts: Sequence[Layout], axis: int, group: str
) -> Iterator[tuple[Any, tuple[Layout, ...], int]]:
    """Slice and reshape an axis until the group is a separate axis; return the array, its layouts and that axis."""
    layouts = tuple(layouts)
    here = layouts[axis]
    if here == group:
        yield value, layouts, axis
    elif isinstance(here, Segments):
        start = 0
        for part, size in here.parts:
            if group in groups_in(part):
                cut = value[(slice(None),) * axis + (slice(start, start + size),)]
                yield from exposed(cut, (*layouts[:axis], part, *layouts[axis + 1 :]), axis, group)
            start += size
    elif here is not None and not isinstance(here, str):
        sizes = [size for _, size in here.parts]
        unfolded = value.reshape(*value.shape[:axis], *sizes, *value.shape[axis + 1 :])
        parts = tuple(part for part, _ in here.parts)
        for number, part in enumerate(parts):
            if group in groups_in(part):
                yield from exposed(unfolded, (*layouts[:axis], *parts, *layouts[axis + 1 :]), axis + number, group)


def _as_columns(value: Array, layouts: Sequence[Layout], neurons: tuple[int, ...], positions: int | None) -> Array:
    """Average over other neurons, flatten the other axes to samples, and put the neurons last."""
    averaged = [i for i, kind in enumerate(layouts) if kind is not None and i not in neurons]
    value = jnp.mean(value, averaged, keepdims=True) if averaged else value
    value = jnp.moveaxis(value, neurons, range(-len(neurons), 0))
    if jnp.iscomplexobj(value):  # both parts, as twice the number of samples
        value = jnp.concatenate([value.real, value.imag]) if value.ndim > len(neurons) else value.real
    samples, shape = value.shape[: -len(neurons)], value.shape[-len(neurons) :]
    count = math.prod(samples[1:])
    if positions is not None and count > positions:
        value = value.reshape(-1, count, *shape)
        value = value[:, np.linspace(0, count - 1, positions).round().astype(int)]
    return value.reshape(-1, *shape)


def groups_of_classes(spec: PermutationSpec, labels: Labels) -> dict[int, str]:
    """The group of the specification for each class of the trace."""
    group_of: dict[int, str] = {}
    network, classes = labels.network, labels.classes
    for path, leaf, nodes in zip(network.paths, network.params, labels.leaf_axes, strict=True):
        spec.check_leaf(path, network.trace.shapes[leaf])
        for entry, node in zip(spec.axes[path], nodes, strict=True):
            group_of |= _pairs(entry, node, labels)
    return {atom: group for atom, group in group_of.items() if classes.why_frozen(atom) is None}


def _pairs(entry: Layout, node: int | None, labels: Labels) -> Iterable[tuple[int, str]]:
    """Descend a layout and a class together, as far as their compositions agree."""
    parts = None if node is None else labels.classes.parts(node)
    if node is None or entry is None:
        return ()
    if isinstance(entry, str):
        return ((labels.classes.find(node), entry),) if parts is None else ()
    if parts is None or parts.segments != isinstance(entry, Segments):
        return ()
    pieces = labels.classes.pieces(node, labels.classes.size(node), segments=parts.segments)
    if len(pieces) != len(entry.parts):
        return ()
    below = zip(entry.parts, pieces, strict=True)
    return [pair for (part, _), (piece, _) in below for pair in _pairs(part, piece, labels)]
