"""Extraction of the small dense network in a sparse one."""

import dataclasses

import jax.numpy as jnp
import numpy as np

from evojax_align import _checks
from evojax_align._tree import leaves_by_path, masked, with_leaves
from evojax_align._types import Apply, PyTree
from evojax_align.pruning.paths import reached, useful
from evojax_align.symmetry import PermutationSpec, activations
from evojax_align.symmetry.layout import occurrences
from evojax_align.training._checking import check_masks


@dataclasses.dataclass(frozen=True)
class Extract:
    """A network without neurons that are always 0 or have no effect on the outputs.

    Attributes:
        params: a tree like the parameters, with shorter axes.
        kept: for each group, the indices of the kept neurons; their numbers are the widths of the network for these
            parameters.

    Example:
        >>> import jax.numpy as jnp, evojax_align as ea
        >>> params, x = {"in": jnp.ones((4, 3)), "out": jnp.ones((3, 2))}, jnp.ones((1, 4))
        >>> apply = lambda p, x: jnp.tanh(x @ p["in"]) @ p["out"]
        >>> masks = {"in": jnp.array([[True, False, True]] * 4), "out": jnp.ones((3, 2), bool)}
        >>> small = ea.pruning.extract(apply, params, masks, x, spec=ea.symmetry.infer(apply, params, x))
        >>> small.kept["in"].tolist(), small.params["out"].shape
        ([0, 2], (2, 2))
    """

    params: PyTree
    kept: dict[str, np.ndarray]


def extract(apply: Apply, params: PyTree, masks: PyTree, x: PyTree, *, spec: PermutationSpec) -> Extract:
    """Remove neurons that the masks made useless. A host function: shapes depend on the masks.

    A neuron is removed if no path of living weights leads from it to an output. It is also removed if all weights that
    feed it, including its bias, are dead or come from removed neurons, and its activation is 0 on all of `x`, as for
    rectified units without input. One neuron is kept of a group that would be empty. Nested groups are not changed.

    Args:
        apply: the network.
        params: parameters of one network.
        masks: masks of the living parameters; all others count as 0.
        x: inputs.
        spec: the symmetry of the network.

    Returns:
        An `Extract`, with parameters of a network of these widths with the same outputs, up to the rounding of sums.

    Raises:
        ValueError: for masks that do not fit.
        TypeError: under a trace.

    Example:
        >>> import jax, jax.numpy as jnp, evojax_align as ea
        >>> x, network = jnp.ones((1, 4)), ea.models.MLP(hidden=(5,), classes=2)
        >>> params = network.init(jax.random.key(0), x)
        >>> synapses = ea.pruning.find(params)
        >>> few = ea.pruning.magnitude(synapses, ea.pruning.full_masks(params), params, 4)
        >>> spec = ea.symmetry.infer(network.apply, params, x)
        >>> small = ea.pruning.extract(network.apply, params, few, x, spec=spec)
        >>> width = len(small.kept["hidden_0"])
        >>> sparse, dense = ea.pruning.masked(few, params), ea.models.MLP(hidden=(width,), classes=2)
        >>> bool(jnp.allclose(dense.apply(small.params, x), network.apply(sparse, x)))
        True
    """
    _checks.refuse_trace("extract", "inside, use pruning.masked(masks, params).", params, masks, x)
    check_masks("masks", masks, params)
    sparse = masked(masks, params)
    fed, used = reached(spec, masks, vectors=True), useful(spec, masks)
    answers = {group: np.asarray(of) for group, of in activations(spec, apply, sparse, x).items()}
    kept = {}
    for group, size in spec.groups.items():
        keep = np.ones(size, bool)
        if group not in spec.parents:
            moved = np.any(answers[group] != 0, axis=0) if group in answers else np.ones(size, bool)
            keep = np.asarray(used[group]) & (np.asarray(fed[group]) | moved)
        kept[group] = np.flatnonzero(keep) if keep.any() else np.array([0])
    shorter = {}
    for path, leaf in leaves_by_path(sparse).items():
        spec.check_leaf(path, jnp.shape(leaf))
        cut = np.asarray(leaf)
        for axis, layout in enumerate(spec.axes[path]):
            places = np.ones(cut.shape[axis], bool)
            for of in occurrences(layout, cut.shape[axis]):
                places &= (of.neuron < 0) | np.isin(of.neuron, kept[of.group])
            cut = np.compress(places, cut, axis=axis)
        shorter[path] = jnp.asarray(cut)
    return Extract(with_leaves(params, shorter), kept)
