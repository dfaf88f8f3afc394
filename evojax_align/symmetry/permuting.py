"""Applying permutations to parameters by gather, and checking that the function stays the same."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from evojax_align import _checks, population
from evojax_align._types import Apply, Array, ArrayLike, Float, PRNGKey, PyTree
from evojax_align.symmetry.spec import PermutationSpec


def permute(spec: PermutationSpec, params: PyTree, permutations: Mapping[str, Any]) -> PyTree:
    """Put the neurons of each named group into a new order.

    Args:
        spec: the network's symmetry.
        params: parameters of the structure that the specification was read from.
        permutations: for each group an index array; new neuron `i` is old neuron `index[i]`. Groups that are left
            out are untouched.

    Returns:
        Parameters of the same function; permuting by `index` and then by `argsort(index)` gives back every bit.

    Raises:
        ValueError: for an unknown group, or an index array that is not a permutation. Under a trace the values
            cannot be seen, and only their shape and type are checked.
    """
    for group, index in permutations.items():
        _check_index(spec, group, index)
        if _checks.is_concrete(index):
            _check_bijection(group, np.asarray(index))
    return select(spec, params, permutations)


def select(spec: PermutationSpec, params: PyTree, indices: Mapping[str, Any]) -> PyTree:
    """Like `permute`, but an index may repeat or leave out neurons, as a semi-matching does.

    Args:
        spec: the network's symmetry.
        params: parameters of the structure that the specification was read from.
        indices: for each group an index array of its size. Groups that are left out are untouched.

    Returns:
        Parameters in which new neuron `i` of a group is a copy of old neuron `index[i]`; the function changes
        unless every index array is a permutation.

    Raises:
        ValueError: for an unknown group, an index array of another shape or type, or an index out of range. Under a
            trace the last cannot be seen, and is clipped.
    """
    for group, index in indices.items():
        _check_index(spec, group, index)

    def gather(path: tuple[Any, ...], leaf: Any) -> Any:
        name = _checks.path_string(path)
        spec.check_leaf(name, jnp.shape(leaf))
        for axis, group in enumerate(spec.axes[name]):
            if group is not None and group in indices:
                leaf = jnp.take(leaf, jnp.asarray(indices[group]), axis=axis, mode="clip")
        return leaf

    return jax.tree_util.tree_map_with_path(gather, params)


def random_permutations(spec: PermutationSpec, key: PRNGKey) -> dict[str, Array]:
    """One random permutation of every group."""
    keys = jax.random.split(key, max(1, len(spec.groups)))
    return {
        group: jax.random.permutation(of_group, size)
        for of_group, (group, size) in zip(keys, spec.groups.items(), strict=False)
    }


def verify(
    spec: PermutationSpec, apply: Apply, params: PyTree, x: PyTree, *, key: PRNGKey, draws: int = 10
) -> Float[Array, ""]:
    """The largest absolute change of any output over `draws` random permutations of all groups at once.

    Args:
        spec: the symmetry in question, inferred or written by hand.
        apply: the network.
        params: parameters of one network.
        x: a batch of inputs.
        key: a random key.
        draws: number of random permutations.

    Returns:
        About zero, up to the rounding of sums in another order, if the symmetry is one. An output that is no
        floating-point number counts as a change of 1 where it differs. NaN where an output is NaN.
    """

    def gap(p: ArrayLike, q: ArrayLike) -> Array:
        p, q = jnp.asarray(p), jnp.asarray(q)
        size = jnp.abs(p - q) if jnp.issubdtype(p.dtype, jnp.inexact) else 1.0
        return jnp.max(jnp.where(p == q, 0.0, size), initial=0.0)

    def change(of_draw: PRNGKey) -> Array:
        moved = apply(permute(spec, params, random_permutations(spec, of_draw)), x)
        gaps = [gap(p, q) for p, q in zip(jax.tree.leaves(expected), jax.tree.leaves(moved), strict=True)]
        return jnp.max(jnp.stack([*gaps, jnp.zeros(())]))

    expected = apply(params, x)
    keys = jax.random.split(key, _checks.positive("draws", draws))
    return jnp.max(population.map(change, keys))


def _check_index(spec: PermutationSpec, group: str, index: Any) -> None:
    _checks.one_of("permutations", group, spec.groups)
    size = spec.groups[group]
    dtype = getattr(index, "dtype", None)
    if dtype is None or not jnp.issubdtype(dtype, jnp.integer) or jnp.shape(index) != (size,):
        came = type(index).__name__ if dtype is None else f"{dtype} of shape {jnp.shape(index)}"
        raise _checks.bad(
            f"permutations[{group!r}]",
            came,
            f"an array of {size} integers",
            "Pass the `x` or the `y` of a matching.",
        )
    if _checks.is_concrete(index):
        values = np.asarray(index)
        if values.min() < 0 or values.max() >= size:
            came = f"indices from {values.min()} to {values.max()}"
            raise _checks.bad(f"permutations[{group!r}]", came, f"0 to {size - 1}", "Number the neurons from 0.")


def _check_bijection(group: str, index: np.ndarray) -> None:
    repeated = np.flatnonzero(np.bincount(index, minlength=index.size) > 1)
    if repeated.size:
        raise _checks.bad(
            f"permutations[{group!r}]",
            f"an index array that repeats neurons {repeated[:3].tolist()}",
            f"each of 0 to {index.size - 1} once",
            "A semi-matching is no permutation: apply it with `select`, or match with `one_to_one`.",
        )
