"""Values of a network that are linear in its parameters, and can be shared along a line of parameters.

On the line (1 - t) a + t b, such a value is (1 - t) v(a) + t v(b); the main example is the product of the data with
the first layer's weights. These values are computed once for each end and interpolated. Permuting the parameters only
reorders them, so that they are also shared by all alignments of the same parent.
"""

import dataclasses

import jax.numpy as jnp

from evojax_align.symmetry.following import Labels
from evojax_align.symmetry.rules import PRODUCTS, summed_axes
from evojax_align.symmetry.trace import Equation, depends_on, needed

LINEAR = frozenset("add sub neg add_any reduce_sum reshape transpose broadcast_in_dim squeeze copy".split())
"""Primitives that are linear in all inputs jointly."""
BILINEAR = frozenset(("mul", *PRODUCTS))
"""Primitives that are linear in each input with the others fixed."""


@dataclasses.dataclass(frozen=True)
class Shared:
    """The last values of the trace that all points of a line share.

    Attributes:
        linear: values that are linear in the parameters and depend on data.
        constant: values that depend only on data.
        parameters: leaves of the parameters that are used after these values.
    """

    linear: tuple[int, ...]
    constant: tuple[int, ...]
    parameters: tuple[int, ...]


def shared_values(labels: Labels) -> Shared:
    """Find the last values of the trace that points on a line of parameters can share."""
    network, trace = labels.network, labels.network.trace
    live = needed(trace, trace.outputs)
    from_params = depends_on(trace, network.params)
    from_data = depends_on(trace, network.data)
    linear = {value for value in network.params if jnp.issubdtype(trace.dtypes[value], jnp.inexact)}
    for equation in live:
        if from_params.intersection(equation.inputs) and _is_linear(equation, linear, from_params, labels):
            linear.update(equation.outputs)
    rest = [equation for equation in live if from_params.intersection(equation.outputs) - linear]
    used = {value for equation in rest for value in equation.inputs} | set(trace.outputs)
    at_edge = linear & used & from_data
    beyond = needed(trace, trace.outputs, at_edge)
    leaves = {value for equation in beyond for value in equation.inputs} | set(trace.outputs)
    plain = set(trace.constants)
    return Shared(
        linear=tuple(sorted(at_edge)),
        constant=tuple(sorted(value for value in used & from_data if value not in from_params and value not in plain)),
        parameters=tuple(sorted(leaves & set(network.params))),
    )


def _is_linear(equation: Equation, linear: set[int], from_params: set[int], labels: Labels) -> bool:
    varying = [value for value in equation.inputs if value in from_params]
    if equation.mutates or any(value not in linear for value in varying):
        return False
    if any(_is_permuted(labels, equation.inputs[i], axis) for i, axis in summed_axes(equation)):
        return False  # a permutation does not reorder a sum over neurons, and a many-to-one match changes it
    return equation.name in LINEAR or (equation.name in BILINEAR and len(varying) == 1)


def _is_permuted(labels: Labels, value: int, axis: int) -> bool:
    return labels.classes.is_free(labels.axes[value][axis])
