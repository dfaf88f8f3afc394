"""Synapses on a path from the inputs to the outputs, from the symmetry of any network."""

from collections.abc import Callable, Iterator, Mapping

import jax
import jax.numpy as jnp
import numpy as np

from evojax_align._tree import leaves_by_path, nothing, with_leaves
from evojax_align._types import Array, Bool, PyTree
from evojax_align.pruning.synapses import Synapses
from evojax_align.symmetry import PermutationSpec
from evojax_align.symmetry.layout import Occurrence, occurrences

Neurons = dict[str, Bool[Array, " n"]]
"""For each group, a boolean for each neuron."""


def connected(spec: PermutationSpec, synapses: Synapses, masks: PyTree) -> PyTree:
    """Remove synapses that are on no path from an input to an output.

    Args:
        spec: the symmetry of the network, which gives the leaves that feed a neuron and those that it feeds. Nested
            groups, and axes without a group, count as alive.
        synapses: the leaves that are synapses; other kernels are parts of paths too, according to their masks.
        masks: the present masks.

    Returns:
        Masks. The network computes the same function without the removed synapses, except for the effect of biases of
        units that no input reaches.

    Example:
        >>> import jax, jax.numpy as jnp, evojax_align as ea
        >>> x, network = jnp.ones((1, 2)), ea.models.MLP(hidden=(3,), classes=2)
        >>> params = network.init(jax.random.key(0), x)
        >>> spec, synapses = ea.symmetry.infer(network.apply, params, x), ea.pruning.find(params)
        >>> masks = ea.pruning.full_masks(params)
        >>> masks["params"]["output"]["kernel"] = masks["params"]["output"]["kernel"].at[0].set(False)
        >>> ea.pruning.connected(spec, synapses, masks)["params"]["hidden_0"]["kernel"].tolist()
        [[False, True, True], [False, True, True]]
    """
    fed, read = reached(spec, masks), useful(spec, masks)
    found = {}
    for path, mask in synapses.of(masks).items():
        axis_fed = spec.units[path][0] if path in spec.units else None
        live = mask
        for axis in range(mask.ndim):
            live = live & _along(spec, path, mask.shape, axis, read if axis == axis_fed else fed)
        found[path] = live
    return with_leaves(masks, found)


def reached(spec: PermutationSpec, masks: PyTree, *, vectors: bool = False) -> Neurons:
    """The neurons with a path of living weights from an input, or with `vectors` also from a bias."""
    feeding = {path: mask for path, mask in leaves_by_path(masks).items() if path in spec.units}
    feeding = {path: mask for path, mask in feeding.items() if vectors or jnp.ndim(mask) > 1}

    def more(known: Neurons) -> Neurons:
        for path, mask in feeding.items():
            axis = spec.units[path][0]
            live = mask
            for other in range(mask.ndim):
                if other != axis:
                    live = live & _along(spec, path, mask.shape, other, known)
            lines = jnp.any(live, axis=tuple(other for other in range(mask.ndim) if other != axis))
            known = _marked(spec, path, mask.shape, axis, lines, known)
        return known

    fed = {of.group for path, mask in feeding.items() for of in _at(spec, path, mask.shape, spec.units[path][0])}
    return _spread(spec, more, fed, masks)


def useful(spec: PermutationSpec, masks: PyTree) -> Neurons:
    """The neurons with a path of living weights to an output."""
    reading = {p: mask for p, mask in leaves_by_path(masks).items() if p in spec.units and jnp.ndim(mask) > 1}

    def more(known: Neurons) -> Neurons:
        for path, mask in reading.items():
            axis = spec.units[path][0]
            live = mask & _along(spec, path, mask.shape, axis, known)
            for other in range(mask.ndim):
                if other != axis:
                    lines = jnp.any(live, axis=tuple(i for i in range(mask.ndim) if i != other))
                    known = _marked(spec, path, mask.shape, other, lines, known)
        return known

    read = {
        of.group
        for path, mask in reading.items()
        for axis in range(mask.ndim)
        if axis != spec.units[path][0]
        for of in _at(spec, path, mask.shape, axis)
    }
    return _spread(spec, more, read, masks)


def _spread(spec: PermutationSpec, more: Callable[[Neurons], Neurons], covered: set[str], masks: PyTree) -> Neurons:
    """The fixed point of marking neurons; groups in no leaf are marked entirely."""
    never = nothing(masks) > 0
    known = {group: jnp.full(size, group not in covered) | never for group, size in _flat(spec).items()}

    def going(state: tuple[Neurons, Array]) -> Array:
        return state[1]

    def body(state: tuple[Neurons, Array]) -> tuple[Neurons, Array]:
        found = more(state[0])
        changed = [jnp.any(found[group] != state[0][group]) for group in found]
        return found, jnp.any(jnp.stack(changed)) if changed else never

    return jax.lax.while_loop(going, body, (known, bool(known) | never))[0]


def _flat(spec: PermutationSpec) -> dict[str, int]:
    """Groups that are not nested in another, with their sizes."""
    return {group: size for group, size in spec.groups.items() if group not in spec.parents}


def _at(spec: PermutationSpec, path: str, shape: tuple[int, ...], axis: int) -> Iterator[Occurrence]:
    """The groups along an axis, except nested ones."""
    for of in occurrences(spec.axes[path][axis], shape[axis]):
        if of.group in _flat(spec):
            yield of


def _along(spec: PermutationSpec, path: str, shape: tuple[int, ...], axis: int, neurons: Mapping[str, Array]) -> Array:
    """Whether the neuron of each entry of an axis is marked, in a shape that broadcasts against the leaf."""
    marks = jnp.ones(shape[axis], bool)
    for of in _at(spec, path, shape, axis):
        marks = marks & jnp.where(of.neuron < 0, True, neurons[of.group][np.maximum(of.neuron, 0)])
    return marks.reshape([-1 if i == axis else 1 for i in range(len(shape))])


def _marked(
    spec: PermutationSpec, path: str, shape: tuple[int, ...], axis: int, lines: Array, known: Neurons
) -> Neurons:
    """The known neurons, and those of the marked entries of an axis."""
    for of in _at(spec, path, shape, axis):
        marks = jnp.where(of.neuron < 0, False, lines)
        known = known | {of.group: known[of.group].at[np.maximum(of.neuron, 0)].max(marks)}
    return known
