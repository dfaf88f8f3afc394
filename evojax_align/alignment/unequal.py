"""Alignment of networks of different widths: the smaller is matched into the larger, so that they can be recombined."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from evojax_align import _checks
from evojax_align._types import Apply, Array, ArrayLike, Float, Int, PyTree
from evojax_align.alignment.groups import warn
from evojax_align.alignment.statistics import Relation, examine, refuse, relate_networks
from evojax_align.matching import injective
from evojax_align.symmetry import PermutationSpec, infer
from evojax_align.symmetry.checking import ensure_symmetry
from evojax_align.symmetry.layout import Layout, Segments

UNMATCHED = ("kept", "dropped")


@struct.dataclass
class UnequalAlignment:
    """Two networks of equal shapes, with corresponding neurons at the same positions.

    Attributes:
        a: parameters of the first network.
        b: parameters of the second.
        places_a: for each group, the old index of the neuron of a at each position; -1 if a has no neuron there.
        places_b: likewise for b.
        scores: correlation of the two neurons at each position; 0 if there is only one.
        reasons: groups that were not matched, with the reason (see `unmatched`).

    Example:
        >>> import jax, evojax_align as ea
        >>> x, small, large = jax.random.normal(jax.random.key(0), (20, 3)), ea.models.MLP((2,)), ea.models.MLP((5,))
        >>> a, b = small.init(jax.random.key(1), x), large.init(jax.random.key(2), x)
        >>> found = ea.alignment.align_unequal(small.apply, a, large.apply, b, x)
        >>> sorted(found.places_a["hidden_0"].tolist()), sorted(found.places_b["hidden_0"].tolist())
        ([-1, -1, -1, 0, 1], [0, 1, 2, 3, 4])
    """

    a: PyTree
    b: PyTree
    places_a: Mapping[str, Int[Array, " n"]]
    places_b: Mapping[str, Int[Array, " n"]]
    scores: Mapping[str, Float[Array, " n"]]
    reasons: tuple[tuple[str, str], ...] = struct.field(pytree_node=False, default=())

    @property
    def unmatched(self) -> dict[str, str]:
        """Groups that could not be matched, with the reason; empty if all were matched."""
        return dict(self.reasons)


def align_unequal(
    apply_a: Apply,
    a: PyTree,
    apply_b: Apply,
    b: PyTree,
    x: PyTree,
    *,
    unmatched: str = "kept",
    chunk: int | None = None,
    positions: int | None = None,
    verify: bool = True,
) -> UnequalAlignment:
    """Bring two networks with layers of different widths to equal shapes, with corresponding neurons aligned.

    In every group, each neuron of the smaller side gets its own partner: dead neurons are matched with dead neurons
    first, the others by largest total correlation (see `matching.injective`). A host function.

    Args:
        apply_a: the first network; it may be the same function as the second if that accepts both.
        a: its parameters.
        apply_b: the second network.
        b: its parameters: a tree of the same structure; leaves may differ in length along the neurons of groups.
        x: inputs on which neurons are compared.
        unmatched: how neurons of the larger side without a partner are treated. "kept" gives the smaller side
            neurons of zero weights at their positions, which change its function only where a normalisation counts
            them; crossover then interpolates from zero. "dropped" removes them, with their contribution to the larger
            side.
        chunk: samples at a time (see `alignment.relate`).
        positions: use at most this many positions of a feature map for each sample.
        verify: check both symmetries on random parameters first.

    Returns:
        An `UnequalAlignment`. With "kept", a network that is in no layer smaller than the other computes the same
        function as before.

    Raises:
        ValueError: for parents that differ in more than the widths of groups, for nested groups that differ in
            number, and as `align`.

    Example:
        >>> import jax, jax.numpy as jnp, evojax_align as ea
        >>> x, small, large = jax.random.normal(jax.random.key(0), (20, 3)), ea.models.MLP((2,)), ea.models.MLP((5,))
        >>> a, b = small.init(jax.random.key(1), x), large.init(jax.random.key(2), x)
        >>> found = ea.alignment.align_unequal(small.apply, a, large.apply, b, x)
        >>> bool(jnp.allclose(large.apply(found.a, x), small.apply(a, x), atol=1e-5))
        True
    """
    _checks.one_of("unmatched", unmatched, UNMATCHED)
    _checks.refuse_trace("align_unequal", "the shapes of its result depend on the matching.", a, b, x)
    spec_a, spec_b = infer(apply_a, a, x), infer(apply_b, b, x)
    _check_comparable(spec_a, spec_b, a, b)
    if verify:
        ensure_symmetry(spec_a, apply_a, a, x)
        ensure_symmetry(spec_b, apply_b, b, x)
    relations = relate_networks(
        (spec_a, apply_a, a), (spec_b, apply_b, b), x, covariances=False, chunk=chunk, positions=positions
    )
    refuse(examine(a, b, relations), a, b, x)
    read = {*relations, *spec_a.parents.values()}
    reasons = {group: "no activations of it are read" for group in spec_a.groups if group not in read}
    warn(spec_a, reasons)
    places_a, places_b, scores = {}, {}, {}
    for group, relation in relations.items():
        if group not in spec_a.parents:
            places_a[group], places_b[group], scores[group] = _matched(relation, keep=unmatched == "kept")
    return UnequalAlignment(
        a=_placed(spec_a, a, places_a),
        b=_placed(spec_b, b, places_b),
        places_a=places_a,
        places_b=places_b,
        scores=scores,
        reasons=tuple(reasons.items()),
    )


def _matched(relation: Relation, *, keep: bool) -> tuple[Array, Array, Array]:
    """Partners in the order of the smaller side, followed by the other neurons of the larger side if kept."""
    correlation = relation.correlations
    found = injective(correlation, dead_x=relation.dead_x, dead_y=relation.dead_y)
    x, y, scores = found.x, found.y, correlation[found.x, found.y]
    if keep:
        p, q = correlation.shape
        of_x, of_y = jnp.setdiff1d(jnp.arange(p), x), jnp.setdiff1d(jnp.arange(q), y)  # one of them is empty
        x = jnp.concatenate([x, of_x, jnp.full(of_y.size, -1)])
        y = jnp.concatenate([y, jnp.full(of_x.size, -1), of_y])
        scores = jnp.concatenate([scores, jnp.zeros(of_x.size + of_y.size)])
    return x, y, scores


def _placed(spec: PermutationSpec, params: PyTree, places: Mapping[str, Array]) -> PyTree:
    """Parameters with the neurons at the given positions; a position without a neuron has zero weights."""
    numbers = {group: np.asarray(index) for group, index in places.items()}

    def gather(path: tuple, leaf: ArrayLike) -> Array:
        leaf = jnp.asarray(leaf)
        for axis, layout in enumerate(spec.axes[_checks.path_string(path)]):
            if layout is not None:
                index = _index(layout, leaf.shape[axis], numbers)
                index = np.where(index < 0, leaf.shape[axis], index)  # out of bounds, filled with zeros
                leaf = jnp.take(leaf, jnp.asarray(index), axis=axis, mode="fill", fill_value=0)
        return leaf

    return jax.tree_util.tree_map_with_path(gather, params)


def _index(layout: Layout, size: int, places: Mapping[str, np.ndarray]) -> np.ndarray:
    """The old index for each new index of an axis; -1 if there is none."""
    if layout is None:
        return np.arange(size)
    if isinstance(layout, str):
        return places.get(layout, np.arange(size))
    parts = [(_index(part, length, places), length) for part, length in layout.parts]
    if isinstance(layout, Segments):
        starts = np.cumsum([0, *(length for _, length in parts)])[:-1]
        moved = [np.where(index < 0, -1, index + start) for (index, _), start in zip(parts, starts, strict=True)]
        return np.concatenate(moved)
    found = np.zeros(1, int)
    for index, length in parts:
        nobody = (found < 0)[:, None] | (index < 0)[None, :]
        found = np.where(nobody, -1, found[:, None] * length + index[None, :]).reshape(-1)
    return found


def _check_comparable(spec_a: PermutationSpec, spec_b: PermutationSpec, a: PyTree, b: PyTree) -> None:
    """Require that the networks differ only in the widths of groups."""
    if jax.tree.structure(a) != jax.tree.structure(b):
        _checks.same_trees("a", a, "b", b)
    if set(spec_a.groups) != set(spec_b.groups) or dict(spec_a.parents) != dict(spec_b.parents):
        alone = sorted(set(spec_a.groups) ^ set(spec_b.groups))
        came = f"groups that only one of them has: {alone}" if alone else "groups with different outer groups"
        raise _checks.bad("a, b", came, "networks that differ only in widths", "Use networks of the same layers.")
    for group in {*spec_a.parents, *spec_a.parents.values()}:
        if spec_a.groups[group] != spec_b.groups[group]:
            came = f"{spec_a.groups[group]} and {spec_b.groups[group]} neurons in the group {group!r}"
            expected = "as many heads, and as many channels in a head, in both"
            raise _checks.bad("a, b", came, expected, "Only plain groups may differ in width.")
    for (path, p), q in zip(jax.tree_util.tree_leaves_with_path(a), jax.tree.leaves(b), strict=True):
        name = _checks.path_string(path)
        for axis, (layout, m, n) in enumerate(zip(spec_a.axes[name], jnp.shape(p), jnp.shape(q), strict=True)):
            if layout is None and m != n:
                came = f"lengths {m} and {n} at axis {axis} of the leaf {name!r}"
                expected = "the same length along axes without a group"
                raise _checks.bad("a, b", came, expected, "Only the widths of groups may differ.")
