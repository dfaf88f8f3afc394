"""Application of permutations to parameters by gather, and checks that the function does not change."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from evojax_align import _checks, population
from evojax_align._types import Apply, Array, ArrayLike, Float, PRNGKey, PyTree
from evojax_align.symmetry.layout import Layout, Occurrence, occurrences
from evojax_align.symmetry.spec import PermutationSpec


def permute(spec: PermutationSpec, params: PyTree, permutations: Mapping[str, Any]) -> PyTree:
    """Permute the neurons of each named group.

    Args:
        spec: the network's symmetry.
        params: parameters of the structure from which the specification was inferred.
        permutations: for each group, an index array; new neuron `i` is old neuron `index[i]`. For a group inside
            another, [outer, inner]: for each old outer neuron, the order of its inner neurons. Groups that are not
            given are not changed.

    Returns:
        Parameters of the same function; permuting them by `inverse(spec, permutations)` restores every bit. The inverse
        is `argsort(index)` for a plain group; for a nested group it also depends on the order of the outer group.

    Raises:
        ValueError: for an unknown group, or an index array that is not a permutation. Under a trace, only shape and
            dtype are checked.

    Example:
        >>> import jax, jax.numpy as jnp, evojax_align as ea
        >>> apply = lambda p, x: jnp.tanh(x @ p["in"]) @ p["out"]
        >>> params, x = {"in": jnp.array([[1.0, 2.0, 3.0]]), "out": jnp.array([[4.0], [5.0], [6.0]])}, jnp.ones((2, 1))
        >>> spec = ea.symmetry.infer(apply, params, x)
        >>> moved = ea.symmetry.permute(spec, params, {"in": jnp.array([2, 0, 1])})
        >>> moved["in"].tolist(), moved["out"].ravel().tolist()
        ([[3.0, 1.0, 2.0]], [6.0, 4.0, 5.0])
        >>> bool(jnp.allclose(apply(moved, x), apply(params, x)))
        True
    """
    for group, index in permutations.items():
        check_order(spec, group, index)
    return select(spec, params, permutations)


def select(spec: PermutationSpec, params: PyTree, indices: Mapping[str, Any]) -> PyTree:
    """Like `permute`, but index arrays may repeat neurons and omit others, as in a semi-matching.

    Args:
        spec: the network's symmetry.
        params: parameters of the structure from which the specification was inferred.
        indices: for each group, an index array of its size. Groups that are not given are not changed.

    Returns:
        Parameters in which new neuron `i` of a group is a copy of old neuron `index[i]`; the function changes
        unless every index array is a permutation.

    Raises:
        ValueError: for an unknown group, an index array of another shape or dtype, or an index out of range. Under a
            trace, an index out of range is clipped.

    Example:
        >>> import jax, jax.numpy as jnp, evojax_align as ea
        >>> apply = lambda p, x: jnp.tanh(x @ p["in"]) @ p["out"]
        >>> params, x = {"in": jnp.array([[1.0, 2.0, 3.0]]), "out": jnp.array([[4.0], [5.0], [6.0]])}, jnp.ones((2, 1))
        >>> spec = ea.symmetry.infer(apply, params, x)
        >>> ea.symmetry.select(spec, params, {"in": jnp.array([2, 2, 1])})["in"].tolist()
        [[3.0, 3.0, 2.0]]
    """
    for group, index in indices.items():
        _check_index(spec, group, index)
    on_host = _checks.on_host((params, dict(indices)))  # NumPy needs no compilation
    given = {group: np.asarray(index) for group, index in indices.items()} if on_host else indices
    if on_host:  # leaves whose groups keep their order are not copied
        given = {group: index for group, index in given.items() if np.any(index != np.arange(index.shape[-1]))}

    def gather(path: tuple[Any, ...], leaf: Any) -> Any:
        name = _checks.path_string(path)
        spec.check_leaf(name, jnp.shape(leaf))
        if not on_host:
            return reorder(leaf, spec.axes[name], given, spec.parents)
        new = reorder(leaf, spec.axes[name], given, spec.parents, np)
        if new is leaf:  # shared with the given parameters
            return leaf if isinstance(leaf, jax.Array) else jnp.asarray(leaf)
        return jax.device_put(new, leaf.sharding if getattr(leaf, "committed", False) else None)

    return jax.tree_util.tree_map_with_path(gather, params)


def reorder(
    array: Any, layouts: Sequence[Layout], indices: Mapping[str, Any], parents: Mapping[str, str], numbers: Any = jnp
) -> Any:
    """Gather the entries of one array along the axes of groups; groups without an index are not changed.

    An inner group is permuted first, for each neuron of the outer group, and then the outer group. `numbers` is the
    module of the arrays: `jax.numpy` or `numpy`.
    """
    shape = jnp.shape(array)
    plain = [layout is None or (isinstance(layout, str) and layout not in parents) for layout in layouts]
    found = [] if all(plain) else [occurrences(of, size) for of, size in zip(layouts, shape, strict=True)]
    late: list[tuple[int, Any]] = []
    for axis, layout in enumerate(layouts):
        if plain[axis]:
            if isinstance(layout, str) and layout in indices:
                late.append((axis, numbers.asarray(indices[layout])))
            continue
        here = found[axis]
        if not any(of.group in indices for of in here):
            continue
        place = np.arange(shape[axis])
        index: Any = place
        across: list[tuple[int, Occurrence, Occurrence]] = []
        for of in here:
            if of.group not in indices:
                continue
            order = numbers.asarray(indices[of.group])
            if of.group not in parents:
                moved = order[of.neuron]
            else:
                outer = _outer_of(of, parents[of.group], axis, found)
                if outer[0] != axis:
                    across.append((outer[0], outer[1], of))
                    continue
                old = outer[1].neuron
                if parents[of.group] in indices:
                    old = numbers.asarray(indices[parents[of.group]])[old]
                moved = order[old, of.neuron]
            index = index + numbers.where(of.neuron >= 0, (moved - of.neuron) * of.step, 0)
        for other, outer, of in across:
            order = numbers.asarray(indices[of.group])
            moved = order[outer.neuron[:, None], of.neuron[None, :]]
            there = (outer.neuron >= 0)[:, None] & (of.neuron >= 0)[None, :]
            inner = numbers.asarray(place)[None, :] + numbers.where(
                there, (moved - of.neuron[None, :]) * of.step[None, :], 0
            )
            array = _take_across(numbers.asarray(array), inner, other, axis, numbers)
        if index is not place:
            late.append((axis, index))
    for axis, index in late:
        array = numbers.take(numbers.asarray(array), index, axis=axis, mode="clip")
    return array


def _outer_of(
    inner: Occurrence, group: str, axis: int, found: Sequence[Sequence[Occurrence]]
) -> tuple[int, Occurrence]:
    """The occurrence of the outer group for an inner one: on the same axis, or else the only other occurrence."""
    here = [of for of in found[axis] if of.group == group and (of.neuron[inner.neuron >= 0] >= 0).all()]
    if here:
        return axis, here[0]
    if segments := [of for of in found[axis] if of.group == group]:
        neuron = np.max([of.neuron for of in segments], axis=0)
        if (neuron[inner.neuron >= 0] >= 0).all():
            return axis, Occurrence(group, neuron, segments[0].step)
    elsewhere = [(i, of) for i, others in enumerate(found) for of in others if of.group == group and i != axis]
    if not elsewhere:
        came = f"an axis over {inner.group!r} without one over {group!r}"
        raise _checks.bad("axes", came, f"{group!r} on every leaf that has {inner.group!r}", "Correct `parents`.")
    other = elsewhere[0][0]
    neuron = np.max([of.neuron for i, of in elsewhere if i == other], axis=0)
    return other, Occurrence(group, neuron, elsewhere[0][1].step)


def _take_across(array: Any, index: Any, outer: int, inner: int, numbers: Any) -> Any:
    """Gather entries along one axis by `index` [outer, inner], separately for each index of another axis."""
    shape = [1] * array.ndim
    shape[outer], shape[inner] = index.shape
    index = (index if outer < inner else index.T).reshape(shape)
    if numbers is np:  # NumPy has no `mode`: an index out of range is an error
        return np.take_along_axis(array, index, axis=inner)
    return jnp.take_along_axis(array, index, axis=inner, mode="clip")


def compose(spec: PermutationSpec, first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Array]:
    """The composition of two permutations: `first`, then `second`.

    Args:
        spec: the network's symmetry.
        first: for each group, an index array; groups that are not given are not changed.
        second: likewise.

    Returns:
        Index arrays of every group such that `permute(spec, p, compose(spec, f, s))` equals
        `permute(spec, permute(spec, p, f), s)`.

    Example:
        >>> import jax, jax.numpy as jnp, evojax_align as ea
        >>> apply = lambda p, x: jnp.tanh(x @ p["in"]) @ p["out"]
        >>> params, x = {"in": jnp.array([[1.0, 2.0, 3.0]]), "out": jnp.array([[4.0], [5.0], [6.0]])}, jnp.ones((2, 1))
        >>> spec = ea.symmetry.infer(apply, params, x)
        >>> first, second = {"in": jnp.array([2, 0, 1])}, {"in": jnp.array([1, 0, 2])}
        >>> once = ea.symmetry.permute(spec, params, ea.symmetry.compose(spec, first, second))
        >>> twice = ea.symmetry.permute(spec, ea.symmetry.permute(spec, params, first), second)
        >>> bool((once["in"] == twice["in"]).all())
        True
    """
    return composed(_complete(spec, first), _complete(spec, second), spec.parents)


def composed(
    first: Mapping[str, Any], second: Mapping[str, Any], parents: Mapping[str, str], numbers: Any = jnp
) -> dict[str, Any]:
    """Like `compose`, for the groups of `second`, with the module of the arrays."""
    found = {}
    for group, order in second.items():
        outer = parents.get(group)
        if outer is None:
            found[group] = first[group][order]
        else:  # neuron k of the outer group in `second` is the old neuron first[outer][k]
            moved = numbers.take_along_axis(first[group][first[outer]], order, axis=-1)
            found[group] = moved[numbers.argsort(first[outer])]
    return found


def inverse(spec: PermutationSpec, permutations: Mapping[str, Any]) -> dict[str, Array]:
    """The inverse permutations: `permute` by both in turn restores every bit.

    Example:
        >>> import jax, jax.numpy as jnp, evojax_align as ea
        >>> apply = lambda p, x: jnp.tanh(x @ p["in"]) @ p["out"]
        >>> params, x = {"in": jnp.array([[1.0, 2.0, 3.0]]), "out": jnp.array([[4.0], [5.0], [6.0]])}, jnp.ones((2, 1))
        >>> spec = ea.symmetry.infer(apply, params, x)
        >>> ea.symmetry.inverse(spec, {"in": jnp.array([2, 0, 1])})["in"].tolist()
        [1, 2, 0]
    """
    given = _complete(spec, permutations)
    found = {}
    for group, index in given.items():
        outer = spec.parents.get(group)
        found[group] = jnp.argsort(index if outer is None else index[given[outer]], axis=-1).astype(jnp.int32)
    return found


def identity(spec: PermutationSpec) -> dict[str, Array]:
    """The identity permutation of every group.

    Example:
        >>> import jax, jax.numpy as jnp, evojax_align as ea
        >>> apply = lambda p, x: jnp.tanh(x @ p["in"]) @ p["out"]
        >>> params, x = {"in": jnp.array([[1.0, 2.0, 3.0]]), "out": jnp.array([[4.0], [5.0], [6.0]])}, jnp.ones((2, 1))
        >>> spec = ea.symmetry.infer(apply, params, x)
        >>> ea.symmetry.identity(spec)["in"].tolist()
        [0, 1, 2]
    """
    return {g: jnp.broadcast_to(jnp.arange(size, dtype=jnp.int32), spec.shape_of(g)) for g, size in spec.groups.items()}


def _complete(spec: PermutationSpec, permutations: Mapping[str, Any]) -> dict[str, Array]:
    for group, index in permutations.items():
        _check_index(spec, group, index)
    return identity(spec) | {group: jnp.asarray(index, jnp.int32) for group, index in permutations.items()}


def random_permutations(spec: PermutationSpec, key: PRNGKey) -> dict[str, Array]:
    """Draw a random permutation of every group.

    Example:
        >>> import jax, jax.numpy as jnp, evojax_align as ea
        >>> apply = lambda p, x: jnp.tanh(x @ p["in"]) @ p["out"]
        >>> params, x = {"in": jnp.array([[1.0, 2.0, 3.0]]), "out": jnp.array([[4.0], [5.0], [6.0]])}, jnp.ones((2, 1))
        >>> spec = ea.symmetry.infer(apply, params, x)
        >>> sorted(ea.symmetry.random_permutations(spec, jax.random.key(0))["in"].tolist())
        [0, 1, 2]
    """
    key = _checks.key("key", key)
    keys = jax.random.split(key, max(1, len(spec.groups)))
    return {
        group: _random_order(of_group, spec.shape_of(group)) for of_group, group in zip(keys, spec.groups, strict=False)
    }


def drawn_orders(spec: PermutationSpec, random: np.random.Generator) -> dict[str, np.ndarray]:
    """Draw a random permutation of every group with NumPy, without compilation."""
    in_place = {group: np.empty(spec.shape_of(group), np.int32) for group in spec.groups}
    for order in in_place.values():
        order[...] = np.arange(order.shape[-1])
    return {group: random.permuted(order, axis=-1) for group, order in in_place.items()}


def _random_order(key: PRNGKey, shape: tuple[int, ...]) -> Array:
    """An independent random order along the last axis, for each index of the others."""
    if len(shape) == 1:
        return jax.random.permutation(key, jnp.arange(shape[0], dtype=jnp.int32))
    lines = jnp.broadcast_to(jnp.arange(shape[-1], dtype=jnp.int32), shape)
    return jax.random.permutation(key, lines, axis=-1, independent=True)


def verify(
    spec: PermutationSpec, apply: Apply, params: PyTree, x: PyTree, *, key: PRNGKey, draws: int = 10
) -> Float[Array, ""]:
    """The largest absolute change of any output over `draws` random permutations of all groups at once.

    Args:
        spec: the symmetry to verify, inferred or written by hand.
        apply: the network.
        params: parameters of one network.
        x: a batch of inputs.
        key: a random key.
        draws: number of random permutations.

    Returns:
        Zero up to the rounding of sums in another order if the symmetry is correct. An output that is not
        floating-point counts as a change of 1 where it differs. NaN if an output is NaN.

    Example:
        >>> import jax, jax.numpy as jnp, evojax_align as ea
        >>> apply = lambda p, x: jnp.tanh(x @ p["in"]) @ p["out"]
        >>> params, x = {"in": jnp.array([[1.0, 2.0, 3.0]]), "out": jnp.array([[4.0], [5.0], [6.0]])}, jnp.ones((2, 1))
        >>> spec = ea.symmetry.infer(apply, params, x)
        >>> bool(ea.symmetry.verify(spec, apply, params, x, key=jax.random.key(0)) < 1e-5)
        True
    """
    key = _checks.key("key", key)

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


def check_order(spec: PermutationSpec, group: str, index: Any, argument: str = "permutations") -> None:
    """Raise an error for an array that is not a permutation of a group; under a trace, values are not checked."""
    _check_index(spec, group, index, argument)
    if _checks.is_concrete(index):
        _check_bijection(f"{argument}[{group!r}]", np.asarray(index))


def _check_index(spec: PermutationSpec, group: str, index: Any, argument: str = "permutations") -> None:
    _checks.one_of(argument, group, spec.groups)
    shape, size = spec.shape_of(group), spec.groups[group]
    dtype = getattr(index, "dtype", None)
    if dtype is None or not jnp.issubdtype(dtype, jnp.integer) or jnp.shape(index) != shape:
        came = type(index).__name__ if dtype is None else f"{dtype} of shape {jnp.shape(index)}"
        wanted = f"an array of {size} integers" if len(shape) == 1 else f"integers of shape {shape}"
        raise _checks.bad(f"{argument}[{group!r}]", came, wanted, "Pass the `x` or the `y` of a matching.")
    if _checks.is_concrete(index):
        values = np.asarray(index)
        if values.min() < 0 or values.max() >= size:
            came = f"indices from {values.min()} to {values.max()}"
            raise _checks.bad(f"{argument}[{group!r}]", came, f"0 to {size - 1}", "Number the neurons from 0.")


def _check_bijection(argument: str, index: np.ndarray) -> None:
    for line in index.reshape(-1, index.shape[-1]):
        repeated = np.flatnonzero(np.bincount(line, minlength=line.size) > 1)
        if repeated.size:
            raise _checks.bad(
                argument,
                f"an index array that repeats neurons {repeated[:3].tolist()}",
                f"each of 0 to {line.size - 1} once",
                "A semi-matching is not a permutation: apply it with `select`, or match with `one_to_one`.",
            )
