"""Reading the activations of every group from the network's own trace; no network needs hooks."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp

from evojax_align import _checks
from evojax_align._types import Apply, Array, Float, PyTree
from evojax_align.symmetry.inference import Labels, label
from evojax_align.symmetry.spec import PermutationSpec
from evojax_align.symmetry.trace import depends_on, evaluate, trace_network


def activations(
    spec: PermutationSpec, apply: Apply, params: PyTree, x: PyTree
) -> dict[str, Float[Array, "samples neurons"]]:
    """What every neuron of every group answers to the inputs.

    A group is read where the network itself uses it: at the values that are summed over its neurons, which is after
    the nonlinearity where there is one. All other axes count as samples. A group that is used at several places is
    read at each, and the places are laid end to end along the samples. A group that data never reach is left out.

    Args:
        spec: the network's symmetry.
        apply: the network.
        params: parameters of one network.
        x: a batch of inputs.

    Returns:
        For each group an array [samples, neurons]; permuting the network permutes its columns.
    """
    return {
        group: jnp.concatenate(places) if len(places) > 1 else places[0]
        for group, places in places_of(spec, apply, params, x).items()
    }


def places_of(spec: PermutationSpec, apply: Apply, params: PyTree, x: PyTree) -> dict[str, list[Array]]:
    """As `activations`, one array [samples, neurons] for each place where a group is used."""
    labels = label(trace_network(apply, params, x))
    where = _places(spec, labels)
    targets = sorted({value for places in where.values() for value, _ in places})
    known = dict(zip(labels.network.trace.inputs, map(jnp.asarray, jax.tree.leaves((params, x))), strict=True))
    values = dict(zip(targets, evaluate(labels.network.trace, known, targets), strict=True))
    return {group: [_as_columns(values[value], axis) for value, axis in places] for group, places in where.items()}


def _as_columns(value: Array, axis: int) -> Array:
    return jnp.moveaxis(value, axis, -1).reshape(-1, value.shape[axis])


def _places(spec: PermutationSpec, labels: Labels) -> dict[str, list[tuple[int, int]]]:
    """For each group, the (value, axis) pairs where it is read."""
    network, classes = labels.network, labels.classes
    group_of = groups_of_classes(spec, labels)
    from_data = depends_on(network.trace, network.data)
    found: dict[str, dict[str, list[tuple[int, int]]]] = {}
    for use in labels.uses:
        group = group_of.get(classes.find(use.node))
        if group is not None and use.value in from_data:
            kind = "product" if use.primitive == "dot_general" else "sum"
            places = found.setdefault(group, {}).setdefault(kind, [])
            if (use.value, use.axis) not in places:
                places.append((use.value, use.axis))
    return {group: found[group].get("product") or found[group]["sum"] for group in spec.groups if group in found}


def groups_of_classes(spec: PermutationSpec, labels: Labels) -> Mapping[int, str]:
    """Which class of the trace each group of the specification is."""
    group_of: dict[int, str] = {}
    if tuple(spec.axes) != labels.network.paths:
        raise _checks.bad(
            "params",
            f"leaves {list(labels.network.paths)[:4]}...",
            f"the leaves that the specification was read from, {list(spec.axes)[:4]}...",
            "Infer the specification from these parameters.",
        )
    for path, nodes in zip(labels.network.paths, labels.leaf_axes, strict=True):
        for group, node in zip(spec.axes[path], nodes, strict=True):
            if group is not None and node is not None:
                group_of[labels.classes.find(node)] = group
    return group_of
