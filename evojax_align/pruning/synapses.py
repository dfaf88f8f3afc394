"""The synapses of a network, their clusters, and masks of living synapses."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from evojax_align import _checks
from evojax_align._tree import home, leaves_by_path, with_leaves
from evojax_align._types import Array, Int, PyTree

LAYOUTS = {"io": (-2, -1), "oi": (1, 0)}


@jax.tree_util.register_static
@dataclasses.dataclass(frozen=True)
class Synapses:
    """The leaves of the parameters that can be pruned. Hashable, and static under JAX's transformations.

    A cluster is a filter: all synapses that feed one unit. A kernel consists of those from one input; in a dense layer,
    it is a single synapse.

    Attributes:
        paths: paths of the leaves whose entries are synapses, in the order of the tree.
        biases: for some of these leaves, the path of the leaf with the biases of its clusters.
        inputs: the axis of the inputs.
        outputs: the axis of the units that are fed, which is the axis of clusters.

    Example:
        >>> import jax.numpy as jnp, evojax_align as ea
        >>> synapses = ea.pruning.Synapses(("layer/kernel",), {"layer/kernel": "layer/bias"})
        >>> params = {"layer": {"kernel": jnp.ones((2, 3)), "bias": jnp.zeros(3)}}
        >>> synapses == ea.pruning.find(params), list(synapses.of(params))
        (True, ['layer/kernel'])
    """

    paths: tuple[str, ...]
    biases: Mapping[str, str]
    inputs: int = -2
    outputs: int = -1

    def __hash__(self) -> int:
        return hash((self.paths, frozenset(self.biases.items()), self.inputs, self.outputs))

    def of(self, tree: PyTree) -> dict[str, Any]:
        """The synapse leaves of a tree like the parameters, by path."""
        leaves = leaves_by_path(tree)
        for path in self.paths:
            if path not in leaves:
                raise _checks.bad("synapses", f"the leaf {path!r}", "leaves of this network", "Find them in its tree.")
        return {path: leaves[path] for path in self.paths}

    def axes(self, leaf: Array) -> tuple[int, int]:
        """The axes of inputs and outputs of a leaf, counted from the first."""
        return self.inputs % leaf.ndim, self.outputs % leaf.ndim

    def within(self, leaf: Array) -> tuple[int, ...]:
        """The axes of a leaf over the synapses of one cluster."""
        return tuple(axis for axis in range(leaf.ndim) if axis != self.axes(leaf)[1])

    def along(self, of_cluster: Array, leaf: Array) -> Array:
        """A value for each cluster, reshaped to broadcast against the leaf."""
        return of_cluster.reshape([-1 if axis == self.axes(leaf)[1] else 1 for axis in range(leaf.ndim)])


@struct.dataclass
class Census:
    """The numbers of living synapses, kernels and clusters, by layer in the order of `Synapses.paths`.

    Attributes:
        synapses: number of living synapses of each layer.
        kernels: number of kernels with a living synapse.
        clusters: number of clusters with a living synapse.

    Example:
        >>> import jax.numpy as jnp, evojax_align as ea
        >>> params = {"first": jnp.ones((2, 3)), "second": jnp.ones((3, 3, 1, 4))}
        >>> found = ea.pruning.census(ea.pruning.find(params), ea.pruning.full_masks(params))
        >>> found.synapses.tolist(), found.kernels.tolist(), found.clusters.tolist()
        ([6, 36], [6, 4], [3, 4])
    """

    synapses: Int[Array, "... layers"]
    kernels: Int[Array, "... layers"]
    clusters: Int[Array, "... layers"]


def find(params: PyTree, *, leave: Sequence[str] = (), layout: str = "io") -> Synapses:
    """Find the synapses of a network: all leaves with two or more axes.

    Args:
        params: parameters of one network.
        leave: paths of layers or leaves that are not pruned.
        layout: "io" if a kernel's last axes are inputs and outputs (Flax, Haiku), "oi" if its first axes are
            outputs and inputs (Equinox).

    Raises:
        ValueError: if nothing remains to prune, or a path in `leave` does not exist.

    Example:
        >>> import jax.numpy as jnp, evojax_align as ea
        >>> layer = {"bias": jnp.zeros(2), "kernel": jnp.zeros((2, 2))}
        >>> ea.pruning.find({"hidden": layer, "output": layer}, leave=["output"]).paths
        ('hidden/kernel',)
    """
    inputs, outputs = LAYOUTS[_checks.one_of("layout", layout, LAYOUTS)]
    leaves = leaves_by_path(params)
    for name in leave:
        _checks.one_of("leave", name, [*leaves, *(home(path) for path in leaves)])
    paths = tuple(p for p, leaf in leaves.items() if jnp.ndim(leaf) > 1 and p not in leave and home(p) not in leave)
    if not paths:
        raise _checks.bad("params", f"the leaves {list(leaves)}", "a kernel to prune", "Shorten `leave`.")
    biases = {}
    for path in paths:
        units = jnp.shape(leaves[path])[outputs]
        others = [p for p, leaf in leaves.items() if home(p) == home(path) and jnp.shape(leaf) == (units,)]
        if len(others) == 1:
            biases[path] = others[0]
    return Synapses(paths, biases, inputs, outputs)


def full_masks(params: PyTree) -> PyTree:
    """Masks that are True everywhere: a tree of booleans like the parameters, or like a population.

    Example:
        >>> import jax.numpy as jnp, evojax_align as ea
        >>> ea.pruning.full_masks({"w": jnp.zeros((2, 2))})["w"].tolist()
        [[True, True], [True, True]]
    """
    return jax.tree.map(lambda leaf: jnp.ones(jnp.shape(leaf), bool), params)


def settled(synapses: Synapses, masks: PyTree) -> PyTree:
    """Mask the biases of clusters without synapses too, so that the outputs of their units are 0.

    Example:
        >>> import jax.numpy as jnp, evojax_align as ea
        >>> layer = {"bias": jnp.ones(2, bool), "kernel": jnp.array([[True, False], [True, False]])}
        >>> masks = ea.pruning.settled(ea.pruning.find({"layer": layer}), {"layer": layer})
        >>> masks["layer"]["bias"].tolist()
        [True, False]
    """
    found = leaves_by_path(masks)
    alive = {
        synapses.biases[path]: jnp.any(mask, axis=synapses.within(mask))
        for path, mask in synapses.of(masks).items()
        if path in synapses.biases
    }
    return with_leaves(masks, {path: found[path] & of for path, of in alive.items()})


def census(synapses: Synapses, masks: PyTree) -> Census:
    """Count living synapses, kernels and clusters; see `connected` for those on a path from inputs to outputs.

    Example:
        >>> import jax.numpy as jnp, evojax_align as ea
        >>> masks = {"w": jnp.array([[True, True, False], [True, False, False]])}
        >>> found = ea.pruning.census(ea.pruning.find(masks), masks)
        >>> found.synapses.tolist(), found.clusters.tolist()
        ([3], [2])
    """
    counts = []
    for mask in synapses.of(masks).values():
        inputs, outputs = synapses.axes(mask)
        others = tuple(axis for axis in range(mask.ndim) if axis not in (inputs, outputs))
        kernels = jnp.any(mask, axis=others)
        counts.append([jnp.sum(mask), jnp.sum(kernels), jnp.sum(jnp.any(mask, axis=synapses.within(mask)))])
    return Census(*(jnp.stack([row[i] for row in counts]) for i in range(3)))


def total(synapses: Synapses, masks: PyTree) -> Int[Array, ""]:
    """The number of living synapses.

    Example:
        >>> import jax.numpy as jnp, evojax_align as ea
        >>> masks = {"bias": jnp.ones(3, bool), "kernel": jnp.array([[True, True, False], [True, False, False]])}
        >>> int(ea.pruning.total(ea.pruning.find(masks), masks))
        3
    """
    return jnp.sum(jnp.stack([jnp.sum(mask) for mask in synapses.of(masks).values()]))


def scaled(synapses: Synapses, masks: PyTree, params: PyTree) -> PyTree:
    """Multiply the weights of each unit by sqrt(all synapses of the unit / living ones), for one network.

    Example:
        >>> import jax.numpy as jnp, evojax_align as ea
        >>> params = {"w": jnp.ones((4, 2))}
        >>> masks = {"w": jnp.ones((4, 2), bool).at[1:, 0].set(False)}  # one of four synapses of the first unit lives
        >>> ea.pruning.scaled(ea.pruning.find(params), masks, params)["w"][0].tolist()
        [2.0, 1.0]
    """

    def enlarged(leaf: Array, mask: Array) -> Array:
        living = jnp.sum(mask, axis=synapses.within(mask))
        factor = jnp.sqrt(mask.size / mask.shape[synapses.axes(mask)[1]] / jnp.maximum(living, 1))
        return leaf * synapses.along(factor, leaf)

    alive, leaves = synapses.of(masks), leaves_by_path(params)
    return with_leaves(params, {path: enlarged(leaves[path], mask) for path, mask in alive.items()})
