"""The rules of operations that depend on the order of an axis, address entries by index, or return indices."""

from collections.abc import Sequence
from typing import SupportsIndex

from evojax_align.symmetry.classes import Axes, Classes, Shape
from evojax_align.symmetry.rules import register, without
from evojax_align.symmetry.trace import Equation


@register("argmax argmin")
def _arg_reduce(equation: Equation, axes: Sequence[Axes], shapes: Sequence[Shape], classes: Classes) -> list[Axes]:
    """The result is an index along the reduced axis, so that axis is not permuted."""
    for axis in equation.params["axes"]:
        classes.freeze(axes[0][axis], classes.at)
    return [without(axes[0], equation.params["axes"])]


@register("cumsum cumprod cummax cummin cumlogsumexp")
def _cumulate(equation: Equation, axes: Sequence[Axes], shapes: Sequence[Shape], classes: Classes) -> list[Axes]:
    return [_ordered(axes[0], [equation.params["axis"]], shapes[0], classes)]


@register("rev")
def _reverse(equation: Equation, axes: Sequence[Axes], shapes: Sequence[Shape], classes: Classes) -> list[Axes]:
    return [_ordered(axes[0], equation.params["dimensions"], shapes[0], classes)]


@register("sort")
def _sort(equation: Equation, axes: Sequence[Axes], shapes: Sequence[Shape], classes: Classes) -> list[Axes]:
    """Sorted numbers do not depend on their original order, so that the axis of a single operand may be permuted.
    Several operands are sorted together, and the order of equal keys is that of the input."""
    sorted_axis = equation.params["dimension"]
    if len(axes) == 1:
        return [_ranked(equation, axes[0], sorted_axis, shapes[0][sorted_axis], classes)]
    together = tuple(classes.unite(*nodes) for nodes in zip(*axes, strict=True))
    return [_ordered(together, [sorted_axis], shapes[0], classes)] * len(axes)


@register("top_k")
def _top_k(equation: Equation, axes: Sequence[Axes], shapes: Sequence[Shape], classes: Classes) -> list[Axes]:
    """The largest values do not depend on the order either; their indices do."""
    axis, count = equation.params.get("axis", -1) % len(shapes[0]), equation.params["k"]
    if 1 not in classes.unused:
        classes.stop([axes[0][axis]], [()])
    return [_ranked(equation, axes[0], axis, count, classes)] * 2


def _ranked(equation: Equation, nodes: Axes, axis: int, size: int, classes: Classes) -> Axes:
    """The same axes, with one replaced by an axis of ranks."""
    return (*nodes[:axis], classes.fixed(size, equation.name), *nodes[axis + 1 :])


@register("fft")
def _fft(equation: Equation, axes: Sequence[Axes], shapes: Sequence[Shape], classes: Classes) -> list[Axes]:
    """The transform mixes the last axes."""
    count, shape = len(equation.params["fft_lengths"]), equation.shapes[0]
    (mixed,) = classes.stop(axes[0][-count:], [shape[-count:]])
    return [(*axes[0][:-count], *mixed)]


@register("scatter scatter-add scatter-sub scatter-mul scatter-min scatter-max")
def _scatter(equation: Equation, axes: Sequence[Axes], shapes: Sequence[Shape], classes: Classes) -> list[Axes]:
    """Axes that updates cover entirely are kept; axes that are addressed by index are not permuted. The order of the
    updates matters if several are written to one index."""
    numbers = equation.params["dimension_numbers"]
    operand, index, updates = (list(nodes) for nodes in axes)
    gone = (*numbers.inserted_window_dims, *numbers.operand_batching_dims)
    classes.freeze(index[-1], ("position", equation.source))
    of_window = dict(zip((d for d in range(len(operand)) if d not in gone), numbers.update_window_dims, strict=True))
    of_index = dict(
        zip((d for d in range(len(updates)) if d not in numbers.update_window_dims), range(len(index) - 1), strict=True)
    )
    in_order = equation.name == "scatter" and not equation.params.get("unique_indices", False)
    for of_update, of_indices in of_index.items():
        index[of_indices] = node = classes.unite(updates[of_update], index[of_indices])
        if in_order:
            classes.order(node)
    batch = zip(numbers.operand_batching_dims, numbers.scatter_indices_batching_dims, strict=True)
    together = {axis: classes.unite(operand[axis], index[other]) for axis, other in batch}
    out: list[int | None] = []
    for axis, node in enumerate(operand):
        if axis in together:
            out.append(together[axis])
        elif axis in of_window and shapes[2][of_window[axis]] == shapes[0][axis]:
            out.append(classes.unite(node, updates[of_window[axis]]))
        else:
            touched = [node, *([updates[of_window[axis]]] if axis in of_window else [])]
            ((made,),) = classes.stop(touched, [(shapes[0][axis],)])
            out.append(made)
    return [tuple(out)]


def _ordered(nodes: Axes, ordered: Sequence[SupportsIndex], shape: Shape, classes: Classes) -> Axes:
    """The same axes, with some of them frozen."""
    out = list(nodes)
    for axis in ordered:
        if shape[axis] != 1:
            ((out[axis],),) = classes.stop([nodes[axis]], [(shape[axis],)])
    return tuple(out)


@register("reduce_window_max reduce_window_min reduce_window_sum reduce_window")
def _window(equation: Equation, axes: Sequence[Axes], shapes: Sequence[Shape], classes: Classes) -> list[Axes]:
    """Pooling: axes of window size 1 are kept."""
    count = len(equation.shapes)
    params, values = equation.params, axes[:count]
    together = [classes.unite(*nodes) for nodes in zip(*values, strict=True)]
    ones = (1,) * len(together)
    base, dilated = params.get("base_dilation") or ones, params.get("window_dilation") or ones
    settings = zip(params["window_dimensions"], params["window_strides"], params["padding"], base, dilated, strict=True)
    for axis, setting in enumerate(settings):
        if setting[0] != 1 or setting[1] != 1 or tuple(setting[2]) != (0, 0) or setting[3] != 1:
            ((together[axis],),) = classes.stop([together[axis]], [(equation.shapes[0][axis],)])
    return [tuple(together)] * count


@register("iota")
def _iota(equation: Equation, axes: Sequence[Axes], shapes: Sequence[Shape], classes: Classes) -> list[Axes]:
    """Indices along one axis, constant along all others."""
    shape, dimension = equation.params["shape"], equation.params["dimension"]
    return [tuple(classes.fixed(n, "iota") if axis == dimension else None for axis, n in enumerate(shape))]


@register("gather")
def _gather(equation: Equation, axes: Sequence[Axes], shapes: Sequence[Shape], classes: Classes) -> list[Axes]:
    """Axes that are taken entirely are kept; axes that are addressed by index are not permuted."""
    numbers, sizes = equation.params["dimension_numbers"], equation.params["slice_sizes"]
    operand, index = axes[0], list(axes[1])
    for i, j in zip(numbers.operand_batching_dims, numbers.start_indices_batching_dims, strict=True):
        index[j] = classes.unite(operand[i], index[j])
    classes.freeze(index[-1], ("position", equation.source))
    gone = (*numbers.collapsed_slice_dims, *numbers.operand_batching_dims)
    whole = []
    for axis, (node, size) in enumerate(zip(operand, sizes, strict=True)):
        if axis in numbers.operand_batching_dims:
            continue
        if size == shapes[0][axis] and axis not in numbers.collapsed_slice_dims:
            whole.append(node)
            continue
        if axis not in numbers.start_index_map and size != shapes[0][axis]:
            node = classes.cut(node, 0, size)
        else:
            classes.stop([node], [()])
            node = classes.fixed(size)
        if axis not in gone:
            whole.append(node)
    slices, batch = iter(whole), iter(index[:-1])
    rank = len(equation.shapes[0])
    return [tuple(next(slices) if axis in numbers.offset_dims else next(batch) for axis in range(rank))]


@register("dynamic_slice")
def _dynamic_slice(equation: Equation, axes: Sequence[Axes], shapes: Sequence[Shape], classes: Classes) -> list[Axes]:
    cut = [axis for axis, size in enumerate(equation.params["slice_sizes"]) if size != shapes[0][axis]]
    classes.stop([axes[0][axis] for axis in cut], [])
    sizes = equation.params["slice_sizes"]
    return [tuple(classes.fixed(sizes[axis]) if axis in cut else node for axis, node in enumerate(axes[0]))]


@register("dynamic_update_slice")
def _dynamic_update(equation: Equation, axes: Sequence[Axes], shapes: Sequence[Shape], classes: Classes) -> list[Axes]:
    out: list[int | None] = []
    for node, new, size, of_new in zip(axes[0], axes[1], shapes[0], shapes[1], strict=True):
        if size == of_new:
            out.append(classes.unite(node, new))
        else:
            ((made,),) = classes.stop([node, new], [(size,)])
            out.append(made)
    return [tuple(out)]


@register("stack")
def _stack(equation: Equation, axes: Sequence[Axes], shapes: Sequence[Shape], classes: Classes) -> list[Axes]:
    """Values of one shape, stacked along a new axis that is not permuted."""
    axis = equation.params["axis"]
    made = [classes.unite(*nodes) for nodes in zip(*axes, strict=True)]
    return [(*made[:axis], classes.fixed(len(axes)), *made[axis:])]


@register("unstack")
def _unstack(equation: Equation, axes: Sequence[Axes], shapes: Sequence[Shape], classes: Classes) -> list[Axes]:
    axis = equation.params["axis"]
    classes.order(axes[0][axis])
    return [without(axes[0], [axis])] * len(equation.shapes)
