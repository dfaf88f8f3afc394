"""One-point crossover: weights before a cut are taken from one parent, and weights after it from the other."""

import jax
import jax.numpy as jnp

from evojax_align import _checks
from evojax_align._tree import positions
from evojax_align._types import Array, ArrayLike, PRNGKey, PyTree
from evojax_align.crossover.genes import layer_genes

PLACES = ("weights", "layers")


def one_point(key: PRNGKey, a: PyTree, b: PyTree, *, between: str = "weights") -> PyTree:
    """Take all weights before a random cut from a, and all after it from b, in the order of the leaves.

    Args:
        key: a random key.
        a: parameters of the first parent.
        b: parameters of the second.
        between: "weights" cuts between any two weights, "layers" between any two layers (see `layer_genes`). All cuts
            are equally likely, and each side has at least one weight or layer.

    Returns:
        A tree like the parents; each entry is the entry of a or of b at the same position. A network of only one weight
        or layer cannot be cut; the child is then a.

    Raises:
        ValueError: for parents of different structure, or an unknown value of `between`.

    Example:
        >>> import jax, jax.numpy as jnp, evojax_align as ea
        >>> a, b = {"hidden": jnp.zeros(3), "output": jnp.zeros(2)}, {"hidden": jnp.ones(3), "output": jnp.ones(2)}
        >>> ea.crossover.one_point(jax.random.key(0), a, b, between="layers")["output"].tolist()
        [1.0, 1.0]
        >>> children = [ea.crossover.one_point(jax.random.key(seed), a, b) for seed in range(40)]
        >>> sorted({int(child["hidden"].sum() + child["output"].sum()) for child in children})
        [1, 2, 3, 4]
    """
    key = _checks.key("key", key)
    _checks.same_trees("a", a, "b", b)
    _checks.one_of("between", between, PLACES)
    if between == "layers":
        genes = layer_genes(a)
        places, count = genes.index, len(genes.names)
    else:
        places, count = positions(a)
    cut = jax.random.randint(key, (), 1, max(2, count))

    def child(place: ArrayLike, p: ArrayLike, q: ArrayLike) -> Array:
        return jnp.where(jnp.asarray(place) < cut, p, q)

    return jax.tree.map(child, places, a, b)
