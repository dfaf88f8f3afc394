"""Inference of a network's permutation symmetry from its trace."""

import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from evojax_align._types import Apply, PyTree
from evojax_align.symmetry.classes import BY_DESIGN, Classes, Reason
from evojax_align.symmetry.following import Labels, label
from evojax_align.symmetry.layout import Factors, Layout, Segments
from evojax_align.symmetry.naming import LeafAxis, given_names
from evojax_align.symmetry.nesting import cut_off, nested
from evojax_align.symmetry.spec import Frozen, PermutationSpec
from evojax_align.symmetry.trace import trace_network


def infer(apply: Apply, params: PyTree, x: PyTree) -> PermutationSpec:
    """Find the groups of neurons that can be permuted without changing the network's function.

    The network is traced, not run. Axes of data, of outputs, and of operations without a rule are not permuted.

    Args:
        apply: `apply(params, x)`; any function that JAX can trace.
        params: arrays or `jax.ShapeDtypeStruct`s; only their shapes are used.
        x: a batch of inputs, or its shape; its axes are never permuted.

    Returns:
        A `PermutationSpec` with `verify(spec, apply, params, x, key=key)` near zero.

    Example:
        >>> import jax.numpy as jnp, evojax_align as ea
        >>> apply = lambda p, x: jnp.tanh(x @ p["in"]) @ p["out"]
        >>> params = {"in": jnp.ones((3, 5)), "out": jnp.ones((5, 2))}
        >>> dict(ea.symmetry.infer(apply, params, jnp.ones((4, 3))).groups)
        {'in': 5}
    """
    return describe(label(trace_network(apply, params, x)))


def remembered(apply: Apply, params: PyTree, x: PyTree) -> PermutationSpec:
    """Like `infer`, cached for each network and shapes."""
    leaves, structure = jax.tree.flatten((params, x))
    shapes = tuple((tuple(jnp.shape(leaf)), jnp.result_type(leaf)) for leaf in leaves)
    try:
        return _remembered(apply, structure, shapes)
    except ValueError:  # a network may depend on the shardings of its arguments, which the key does not contain
        return infer(apply, params, x)


@functools.lru_cache(maxsize=256)
def _remembered(apply: Apply, structure: Any, shapes: tuple[tuple[Any, Any], ...]) -> PermutationSpec:
    return infer(apply, *jax.tree.unflatten(structure, [jax.ShapeDtypeStruct(*shape) for shape in shapes]))


def layout(classes: Classes, names: Mapping[int, str], node: int | None) -> Layout:
    """The layout of named groups along an axis."""
    if node is None or not any(atom in names for atom in classes.atoms(node)):
        return None
    parts = classes.parts(node)
    if parts is None:
        return names[classes.find(node)]
    kind = Segments if parts.segments else Factors
    pieces = classes.pieces(node, classes.size(node), segments=parts.segments)
    return kind(tuple((layout(classes, names, part), size) for part, size in pieces))


def describe(labels: Labels) -> PermutationSpec:
    """Make a specification from labels: name the classes that contain axes of parameters and are not frozen."""
    network, classes = labels.network, labels.classes
    axes = _axes_in_order(labels)
    atoms = dict.fromkeys(atom for *_, node in axes for atom in classes.atoms(node))
    inside = {inner: outer for inner, outer in nested(labels).items() if inner in atoms and outer in atoms}
    names, of_axes = given_names(labels, axes, inside)
    left_out = cut_off(labels)
    names = {atom: name for atom, name in names.items() if atom not in left_out}

    held: dict[Reason, list[tuple[str, int]]] = {}
    for leaf, axis, node in axes:
        why = classes.why_frozen(node)
        if why is not None and not any(atom in names for atom in classes.atoms(node)):
            held.setdefault(why, []).append((network.paths[leaf], axis))
    reasons = [Frozen(name, source, tuple(of)) for (name, source), of in held.items()]
    layouts: dict[str, list[Layout]] = {
        path: [None] * len(nodes) for path, nodes in zip(network.paths, labels.leaf_axes, strict=True)
    }
    units: dict[str, tuple[int, str]] = {}
    for leaf, axis, node in sorted(axes):
        path = network.paths[leaf]
        layouts[path][axis] = layout(classes, names, node)
        if node not in labels.fed:
            units[path] = axis, of_axes[classes.find(node)]
    return PermutationSpec(
        groups={names[atom]: classes.size(atom) for atom in atoms if atom in names},
        axes={path: tuple(of_leaf) for path, of_leaf in layouts.items()},
        units=units,
        frozen=tuple(reason for reason in reasons if reason.primitive not in BY_DESIGN),
        fixed=tuple(reason for reason in reasons if reason.primitive in BY_DESIGN),
        parents={names[inner]: names[outer] for inner, outer in inside.items()},
    )


def _axes_in_order(labels: Labels) -> list[LeafAxis]:
    """The axes of all leaves that the outputs need, leaves in the order in which the network uses them."""
    network = labels.network
    equations = labels.programs[0].equations
    first_use = {value: len(equations) for value in network.trace.outputs}
    for place, equation in reversed(list(enumerate(equations))):
        first_use |= dict.fromkeys(equation.inputs, place)
    used = [leaf for leaf, value in enumerate(network.params) if value in first_use]
    used.sort(key=lambda leaf: (first_use[network.params[leaf]], leaf))
    return [(leaf, axis, node) for leaf in used for axis, node in enumerate(labels.leaf_axes[leaf]) if node is not None]
