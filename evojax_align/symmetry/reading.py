"""Reading the activations of every group from the network's own trace; no network needs hooks."""

import dataclasses
from collections.abc import Mapping

import jax
import jax.numpy as jnp

from evojax_align._types import Apply, Array, Float, PyTree
from evojax_align.symmetry.inference import Labels, label
from evojax_align.symmetry.spec import PermutationSpec
from evojax_align.symmetry.trace import evaluate, trace_network


def activations(
    spec: PermutationSpec, apply: Apply, params: PyTree, x: PyTree
) -> dict[str, Float[Array, "samples neurons"]]:
    """What every neuron of every group answers to the inputs.

    A group is read where the network itself uses it: at the values that are summed over its neurons, which is after
    the nonlinearity where there is one. All other axes count as samples, but those that run over neurons themselves:
    their order means nothing, and they are averaged. A group that is used at several places is read at each, and the
    places are laid end to end along the samples. A group that data never reach is left out.

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
    targets = sorted({place.value for places in where.values() for place in places})
    known = dict(zip(labels.network.trace.inputs, map(jnp.asarray, jax.tree.leaves((params, x))), strict=True))
    values = dict(zip(targets, evaluate(labels.network.trace, known, targets), strict=True))
    return {group: [_as_columns(values[place.value], place) for place in places] for group, places in where.items()}


@dataclasses.dataclass(frozen=True)
class _Place:
    """Where a group is read."""

    value: int
    axis: int
    averaged: tuple[int, ...]
    """The other axes that run over neurons."""


def _as_columns(value: Array, place: _Place) -> Array:
    value = jnp.mean(value, place.averaged, keepdims=True) if place.averaged else value
    return jnp.moveaxis(value, place.axis, -1).reshape(-1, value.shape[place.axis])


def _places(spec: PermutationSpec, labels: Labels) -> dict[str, list[_Place]]:
    """The places where each group is read."""
    group_of = groups_of_classes(spec, labels)
    found: dict[str, dict[str, list[_Place]]] = {}
    for use in labels.uses:
        group = group_of.get(labels.classes.find(use.node))
        if group is not None and use.value is not None and use.from_data:
            kind = "product" if use.primitive == "dot_general" else "sum"
            nodes = enumerate(labels.axes[use.value])
            neurons = [j for j, node in nodes if node is not None and labels.classes.find(node) in group_of]
            place = _Place(use.value, use.axis, tuple(j for j in neurons if j != use.axis))
            places = found.setdefault(group, {}).setdefault(kind, [])
            if place not in places:
                places.append(place)
    return {group: found[group].get("product") or found[group]["sum"] for group in spec.groups if group in found}


def groups_of_classes(spec: PermutationSpec, labels: Labels) -> Mapping[int, str]:
    """Which class of the trace each group of the specification is."""
    group_of: dict[int, str] = {}
    network = labels.network
    for path, leaf, nodes in zip(network.paths, network.params, labels.leaf_axes, strict=True):
        spec.check_leaf(path, network.trace.shapes[leaf])
        for group, node in zip(spec.axes[path], nodes, strict=True):
            if group is not None and node is not None:
                group_of[labels.classes.find(node)] = group
    return group_of
