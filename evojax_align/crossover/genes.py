"""Genes, the parts of a network that are inherited as a unit, and crossover that takes each gene from one parent."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from evojax_align import _checks
from evojax_align._tree import home, leaves_by_path
from evojax_align._types import Array, ArrayLike, Bool, PRNGKey, PyTree
from evojax_align.crossover.uniform import chance
from evojax_align.symmetry import PermutationSpec

REMAINDERS = ("spread", "leave")
NO_GENE = -1


@struct.dataclass
class Genes:
    """Which gene every weight of a network belongs to.

    Attributes:
        index: a tree of the structure and shapes of the parameters: the number of the gene of each weight, or -1 for
            weights without a gene.
        names: the name of each gene.

    Example:
        >>> import jax.numpy as jnp, evojax_align as ea
        >>> genes = ea.crossover.Genes({"w": jnp.array([0, 0, 1, -1])}, ("first", "second"))
        >>> a, b = {"w": jnp.zeros(4)}, {"w": jnp.ones(4)}
        >>> ea.crossover.mix(genes, [False, True], a, b)["w"].tolist()
        [0.0, 0.0, 1.0, 0.0]
    """

    index: PyTree
    names: tuple[str, ...] = struct.field(pytree_node=False)


def layer_genes(params: PyTree) -> Genes:
    """One gene for each layer: all leaves in one branch of the tree.

    Example:
        >>> import jax.numpy as jnp, evojax_align as ea
        >>> layer = {"bias": jnp.zeros(2), "kernel": jnp.zeros((2, 2))}
        >>> genes = ea.crossover.layer_genes({"hidden": layer, "output": layer})
        >>> genes.names, genes.index["output"]["bias"].tolist()
        (('hidden', 'output'), [1, 1])
    """
    leaves = leaves_by_path(params)
    names = tuple(dict.fromkeys(map(home, leaves)))
    index = [np.full(jnp.shape(leaf), names.index(home(path)), np.int32) for path, leaf in leaves.items()]
    return Genes(jax.tree.unflatten(jax.tree.structure(params), index), names)


def block_genes(params: PyTree, *, block: int = 64, remainder: str = "spread") -> Genes:
    """One gene for each block of weights from some inputs to some outputs.

    The last two axes of a kernel, inputs and outputs, are divided into the fewest blocks of at most `block`; the axes
    before them (the window of a convolution) are not divided. A vector in the same branch as a kernel, of the length of
    its outputs, belongs to the blocks of the last inputs. Any other vector is divided by itself. A scalar is one gene.

    Args:
        params: a network.
        block: largest number of weights along one side of a block.
        remainder: if a side is not a multiple of the number of its blocks, "spread" makes some blocks larger by one;
            "leave" makes all equal, and the last weights belong to no gene, as in the code of Cooke and de Alfaro.

    Returns:
        `Genes`, named by layer and by the first input and output of the block.

    Example:
        >>> import jax.numpy as jnp, evojax_align as ea
        >>> genes = ea.crossover.block_genes({"hidden": {"kernel": jnp.zeros((2, 4))}}, block=2)
        >>> genes.index["hidden"]["kernel"].tolist(), genes.names
        ([[0, 0, 1, 1], [0, 0, 1, 1]], ('hidden[0, 0]', 'hidden[0, 2]'))
    """
    _checks.positive("block", block)
    _checks.one_of("remainder", remainder, REMAINDERS)
    leaves = jax.tree_util.tree_leaves_with_path(params)
    names: list[str] = []
    last_inputs: dict[tuple[str, int], np.ndarray] = {}  # the genes of the last inputs of each kernel
    found: dict[str, np.ndarray] = {}
    for path, leaf in sorted(leaves, key=lambda item: -jnp.ndim(item[1])):
        shape, layer = jnp.shape(leaf), home(_checks.path_string(path))
        if len(shape) == 1 and (layer, shape[0]) in last_inputs:
            index = last_inputs[layer, shape[0]]
        else:
            sides = [_cut(length, block, remainder) for length in shape[-2:]]
            index, labels = _numbered(sides, len(names))
            names += [f"{layer if len(shape) > 1 else _checks.path_string(path)}{label}" for label in labels]
            index = np.broadcast_to(index, shape)
            if len(shape) > 1:
                last_inputs[layer, shape[-1]] = index.reshape(-1, shape[-1])[_last(sides[0])]
        found[_checks.path_string(path)] = index.astype(np.int32)
    ordered = [found[_checks.path_string(path)] for path, _ in leaves]
    return Genes(jax.tree.unflatten(jax.tree.structure(params), ordered), tuple(names))


def neuron_genes(params: PyTree, *, spec: PermutationSpec) -> Genes:
    """One gene for each neuron: its incoming weights and its bias. Outputs count as neurons too.

    Args:
        params: a network.
        spec: its symmetry, which gives the leaves that feed a neuron. A leaf that feeds none is one gene.

    Raises:
        ValueError: for leaves that the specification does not describe.

    Example:
        >>> import jax, jax.numpy as jnp, evojax_align as ea
        >>> x, network = jnp.ones((1, 2)), ea.models.MLP(hidden=(3,), classes=2)
        >>> params = network.init(jax.random.key(0), x)
        >>> genes = ea.crossover.neuron_genes(params, spec=ea.symmetry.infer(network.apply, params, x))
        >>> genes.index["params"]["hidden_0"]["kernel"].tolist(), len(genes.names)
        ([[0, 1, 2], [0, 1, 2]], 5)
    """
    return _neuron_genes(params, spec, "params")


def _neuron_genes(params: PyTree, spec: PermutationSpec, argument: str) -> Genes:
    names: list[str] = []
    first: dict[str, int] = {}

    def numbers(path: tuple, leaf: ArrayLike) -> np.ndarray:
        where, shape = _checks.path_string(path), jnp.shape(leaf)
        spec.check_leaf(where, shape, argument)
        axis, name = spec.units.get(where, (None, where))
        count = 1 if axis is None else shape[axis]
        if name not in first:
            first[name] = len(names)
            names.extend([name] if axis is None else [f"{name}[{i}]" for i in range(count)])
        along = first[name] + np.arange(count, dtype=np.int32)
        return np.broadcast_to(along.reshape([-1 if i == axis else 1 for i in range(len(shape))]), shape)

    index = jax.tree_util.tree_map_with_path(numbers, params)
    return Genes(index, tuple(names))


def mix(
    genes: Genes,
    from_b: Bool[ArrayLike, " genes"] | Sequence[bool],
    a: PyTree,
    b: PyTree,
    *,
    fresh: PyTree | None = None,
) -> PyTree:
    """The child that takes some genes from b and all others from a.

    Args:
        genes: the units of inheritance.
        from_b: for each gene, whether it comes from b.
        a: parameters of the first parent.
        b: parameters of the second.
        fresh: a tree that gives the weights without a gene; `a` by default.

    Returns:
        A tree like the parents.

    Raises:
        ValueError: for trees of different structure, or another number of genes.

    Example:
        >>> import jax.numpy as jnp, evojax_align as ea
        >>> a = {"hidden": {"w": jnp.zeros(2)}, "output": {"w": jnp.zeros(2)}}
        >>> b = {"hidden": {"w": jnp.ones(2)}, "output": {"w": jnp.ones(2)}}
        >>> child = ea.crossover.mix(ea.crossover.layer_genes(a), [False, True], a, b)
        >>> child["hidden"]["w"].tolist(), child["output"]["w"].tolist()
        ([0.0, 0.0], [1.0, 1.0])
    """
    _checks.same_trees("a", a, "b", b)
    _checks.same_trees("a", a, "fresh", a if fresh is None else fresh)
    from_b = jnp.asarray(from_b)
    if from_b.dtype != bool:
        fix = "Draw them by jax.random.bernoulli, or compare numbers: from_b > 0."
        raise _checks.bad("from_b", f"{from_b.dtype}", "booleans", fix)
    if from_b.shape != (len(genes.names),):
        raise _checks.bad("from_b", f"shape {from_b.shape}", f"({len(genes.names)},)", "One choice for each gene.")
    choices = jnp.append(from_b, False)  # the last entry is for weights without a gene

    def child(index: ArrayLike, p: ArrayLike, q: ArrayLike, r: ArrayLike) -> Array:
        index = jnp.asarray(index)
        inherited = jnp.where(choices[index], q, p)
        return jnp.where(index == NO_GENE, r, inherited)

    return jax.tree.map(child, genes.index, a, b, a if fresh is None else fresh)


def layers(key: PRNGKey, a: PyTree, b: PyTree, *, rate: ArrayLike = 0.5) -> PyTree:
    """Take every layer as a whole from one of the parents.

    Args:
        key: a random key.
        a: parameters of the first parent.
        b: parameters of the second.
        rate: the probability that a layer is taken from b.

    Returns:
        A tree like the parents.

    Raises:
        ValueError: for parents of different structure, or a rate outside [0, 1].

    Example:
        >>> import jax, jax.numpy as jnp, evojax_align as ea
        >>> a = {f"layer_{i}": {"w": jnp.zeros(3)} for i in range(20)}
        >>> b = {f"layer_{i}": {"w": jnp.ones(3)} for i in range(20)}
        >>> child = ea.crossover.layers(jax.random.key(0), a, b)
        >>> sorted({str(layer["w"].tolist()) for layer in child.values()})
        ['[0.0, 0.0, 0.0]', '[1.0, 1.0, 1.0]']
    """
    return _crossed(key, layer_genes(a), a, b, rate)


def blocks(key: PRNGKey, a: PyTree, b: PyTree, *, block: int = 64, rate: ArrayLike = 0.5) -> PyTree:
    """Take every block of weights as a whole from one of the parents (see `block_genes`).

    Args:
        key: a random key.
        a: parameters of the first parent.
        b: parameters of the second.
        block: largest number of weights along one side of a block.
        rate: the probability that a block is taken from b.

    Returns:
        A tree like the parents.

    Raises:
        ValueError: for parents of different structure, a block below 1, or a rate outside [0, 1].

    Example:
        >>> import jax, jax.numpy as jnp, evojax_align as ea
        >>> a, b = {"kernel": jnp.zeros((8, 8))}, {"kernel": jnp.ones((8, 8))}
        >>> child = ea.crossover.blocks(jax.random.key(0), a, b, block=2)["kernel"]
        >>> sums = child.reshape(4, 2, 4, 2).sum((1, 3))  # of each block, 0 from a or 4 from b
        >>> sorted(set(sums.ravel().tolist()))
        [0.0, 4.0]
    """
    return _crossed(key, block_genes(a, block=block), a, b, rate)


def neurons(key: PRNGKey, a: PyTree, b: PyTree, *, spec: PermutationSpec, rate: ArrayLike = 0.5) -> PyTree:
    """Take every neuron, with all its incoming weights and its bias, from one of the parents (see `neuron_genes`).

    Args:
        key: a random key.
        a: parameters of the first parent.
        b: parameters of the second, which should be aligned with a, so that the child's neurons fit together.
        spec: the symmetry of the network, which gives the axis of each leaf over the neurons that it feeds; outputs
            count as neurons too. A leaf that feeds none is one gene.
        rate: the probability that a neuron is taken from b.

    Returns:
        A tree like the parents. The entries of one neuron are taken from the same parent in all leaves that feed it.

    Raises:
        ValueError: for parents of different structure, leaves that the specification does not describe, or a rate
            outside [0, 1].

    Example:
        >>> import jax, jax.numpy as jnp, evojax_align as ea
        >>> x, network = jnp.ones((1, 2)), ea.models.MLP(hidden=(20,))
        >>> params = network.init(jax.random.key(0), x)
        >>> spec = ea.symmetry.infer(network.apply, params, x)
        >>> a, b = (jax.tree.map(lambda leaf: jnp.full_like(leaf, value), params) for value in (0, 1))
        >>> hidden = ea.crossover.neurons(jax.random.key(1), a, b, spec=spec)["params"]["hidden_0"]
        >>> bool((hidden["kernel"] == hidden["bias"][None]).all())
        True
    """
    _checks.same_trees("a", a, "b", b)
    return _crossed(key, _neuron_genes(a, spec, "a, b"), a, b, rate)


def _crossed(key: PRNGKey, genes: Genes, a: PyTree, b: PyTree, rate: ArrayLike) -> PyTree:
    key = _checks.key("key", key)
    return mix(genes, jax.random.bernoulli(key, chance(rate), (len(genes.names),)), a, b)


def _cut(length: int, block: int, remainder: str) -> np.ndarray:
    """The block number of every entry along one side."""
    count = max(1, -(-length // block))
    if remainder == "spread":
        return np.repeat(np.arange(count), [len(part) for part in np.array_split(np.arange(length), count)])
    numbers = np.arange(length) // max(1, length // count)
    return np.where(numbers < count, numbers, NO_GENE)


def _numbered(sides: list[np.ndarray], first: int) -> tuple[np.ndarray, list[str]]:
    """Gene numbers over all sides, from `first` on, and the index of each gene's first entry."""
    if not sides:
        return np.array(first), [""]
    counts = [int(side.max()) + 1 for side in sides]
    grid = np.meshgrid(*sides, indexing="ij")
    index = np.ravel_multi_index([np.maximum(numbers, 0) for numbers in grid], counts) + first
    index = np.where(np.any([numbers == NO_GENE for numbers in grid], axis=0), NO_GENE, index)
    starts = [[int(np.argmax(side == number)) for number in range(side.max() + 1)] for side in sides]
    places = np.stack([place.ravel() for place in np.meshgrid(*starts, indexing="ij")], axis=1).tolist()
    return index, [str(place) for place in places]


def _last(side: np.ndarray) -> int:
    """The row of the last input that belongs to a gene, in a kernel with all axes but the outputs flattened."""
    return int(np.flatnonzero(side != NO_GENE)[-1])
