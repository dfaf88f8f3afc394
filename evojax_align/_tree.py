"""Tools for trees of parameters, by the paths of their leaves."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from evojax_align import _checks
from evojax_align._types import Array, PRNGKey, PyTree


def leaves_by_path(tree: PyTree) -> dict[str, Any]:
    """The leaves, by paths such as `params/hidden/kernel`."""
    return {_checks.path_string(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def with_leaves(tree: PyTree, leaves: Mapping[str, Any]) -> PyTree:
    """The tree with some of its leaves replaced."""
    return jax.tree_util.tree_map_with_path(lambda path, leaf: leaves.get(_checks.path_string(path), leaf), tree)


def masked(masks: PyTree, tree: PyTree) -> PyTree:
    """The tree with zeros where the masks are False, whatever the value was, including NaN.

    Example:
        >>> import jax.numpy as jnp, evojax_align as ea
        >>> masks, params = {"w": jnp.array([True, False])}, {"w": jnp.array([1.0, jnp.nan])}
        >>> ea.pruning.masked(masks, params)["w"].tolist()
        [1.0, 0.0]
    """
    return jax.tree.map(lambda mask, leaf: jnp.where(mask, leaf, jnp.zeros_like(leaf)), masks, tree)


def nothing(tree: PyTree) -> Array:
    """The integer 0, computed from the arrays, so that the initial value of a loop varies over devices as they do under
    `shard_map`."""
    varying = jnp.zeros((), bool)
    for leaf in jax.tree.leaves(tree):
        if jnp.issubdtype(jnp.result_type(leaf), jax.dtypes.extended):
            continue
        entry = jnp.ravel(leaf)[:1].sum()
        varying |= (entry != entry) & (entry == entry)
    return varying.astype(jnp.int32)


def uniforms(key: PRNGKey, like: Mapping[str, Array]) -> dict[str, Array]:
    """Random numbers from 0 to 1, by path, one for each entry of the arrays.

    They are drawn together: XLA compiles each draw separately, which dominates the compilation time of small programs.
    """
    ends = np.cumsum([leaf.size for leaf in like.values()], dtype=int)
    lots = jax.random.uniform(key, (sum(leaf.size for leaf in like.values()),))
    return {
        path: lots[end - of.size : end].reshape(of.shape) for end, (path, of) in zip(ends, like.items(), strict=True)
    }


def coins(key: PRNGKey, like: Mapping[str, Array]) -> dict[str, Array]:
    """Random booleans, by path, one for each entry of the arrays; a bit each, which is faster than a number."""
    total = sum(leaf.size for leaf in like.values())
    words = jax.random.bits(key, (-(-total // 32),), jnp.uint32)
    tossed = ((words[:, None] >> jnp.arange(32, dtype=jnp.uint32)[None]) & 1).astype(bool).reshape(-1)
    ends = np.cumsum([leaf.size for leaf in like.values()], dtype=int)
    return {
        path: tossed[end - of.size : end].reshape(of.shape) for end, (path, of) in zip(ends, like.items(), strict=True)
    }


def normals(key: PRNGKey, like: Sequence[Array]) -> list[Array]:
    """Standard normal numbers, one for each entry of the arrays, in float32 or better; all drawn together."""
    sizes = [leaf.size * (2 if jnp.iscomplexobj(leaf) else 1) for leaf in like]
    drawn = jax.random.normal(key, (sum(sizes),))
    found = []
    for end, size, leaf in zip(np.cumsum(sizes, dtype=int), sizes, like, strict=True):
        part = drawn[end - size : end]
        if jnp.iscomplexobj(leaf):
            part = jax.lax.complex(part[: leaf.size], part[leaf.size :]) / np.sqrt(2)
        found.append(part.reshape(leaf.shape))
    return found


def floats(tree: PyTree) -> tuple[list[Array], Callable[[Sequence[Any]], PyTree]]:
    """The floating-point leaves, including complex ones, and a function that replaces them."""
    leaves, structure = jax.tree.flatten(tree)
    places = [n for n, leaf in enumerate(leaves) if jnp.issubdtype(jnp.result_type(leaf), jnp.inexact)]

    def put(new: Sequence[Any]) -> PyTree:
        given = dict(zip(places, new, strict=True))
        return structure.unflatten([given.get(n, leaf) for n, leaf in enumerate(leaves)])

    return [jnp.asarray(leaves[n]) for n in places], put


def positions(tree: PyTree) -> tuple[PyTree, int]:
    """The index of each entry among all entries in the order of the leaves, and their number."""
    leaves, structure = jax.tree.flatten(tree)
    sizes = [int(np.prod(jnp.shape(leaf))) for leaf in leaves]
    starts = np.cumsum([0, *sizes])
    places = [
        start + jnp.arange(size, dtype=jnp.int32).reshape(jnp.shape(leaf))
        for start, size, leaf in zip(starts[:-1].tolist(), sizes, leaves, strict=True)
    ]
    return structure.unflatten(places), int(starts[-1])


def home(path: str) -> str:
    """The layer of a leaf: the branch that holds it, or the leaf itself at the root."""
    return path.rpartition("/")[0] or path
