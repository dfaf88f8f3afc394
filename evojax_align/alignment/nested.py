"""Matching of nested groups: heads are matched, and the channels inside each pair of matched heads.

The channels of every head of one network are matched with those of every head of the other. The score of two heads is
the total of their best match, summed over all groups nested in them. Heads are then matched one to one.
"""

from collections.abc import Mapping
from typing import Any, TypeAlias

import jax.numpy as jnp
from flax import struct

from evojax_align._types import Array, Bool, Float, Int
from evojax_align.alignment.method import Method
from evojax_align.alignment.statistics import Relation
from evojax_align.similarity import Moments
from evojax_align.similarity.moments import finite

Partners: TypeAlias = tuple[Int[Array, "*batch n"], Int[Array, "*batch n"], Bool[Array, "*batch"]]
"""Both sides of a match, and whether it is valid."""


@struct.dataclass
class GroupMatch:
    """The partners in one group: `x[i]` of the first network and `y[i]` of the second; many pairs have leading axes.

    Attributes:
        x: neurons of the first network. For a nested group [outer, inner]: the new order of each old outer neuron's.
        y: neurons of the second network, likewise.
        score: correlation of each pair of partners.
        dead_x: number of dead neurons of the first network.
        dead_y: number of dead neurons of the second.
        valid: whether a matching that should be a bijection is one.
        all_finite: whether all activations were finite.

    Example:
        >>> import jax, evojax_align as ea
        >>> network, x = ea.models.MLP(hidden=(4,), classes=2), jax.random.normal(jax.random.key(0), (20, 3))
        >>> a = network.init(jax.random.key(1), x)
        >>> relations = ea.alignment.relate(ea.symmetry.infer(network.apply, a, x), network.apply, a, a, x)
        >>> found = ea.alignment.match(relations)["hidden_0"]
        >>> found.y.tolist(), found.score.round(2).tolist(), int(found.dead_x), bool(found.valid)
        ([0, 1, 2, 3], [1.0, 1.0, 1.0, 1.0], 0, True)
    """

    x: Int[Array, "..."]
    y: Int[Array, "..."]
    score: Float[Array, "..."]
    dead_x: Int[Array, "..."]
    dead_y: Int[Array, "..."]
    valid: Bool[Array, "..."]
    all_finite: Bool[Array, "..."]


def blocks(relation: Relation) -> Relation:
    """For a nested group, the relation of every pair of outer neurons (i, j), with a leading axis of pairs in which j
    varies fastest; any other relation is returned unchanged."""
    m, outer = relation.moments, relation.outer
    if outer is None:
        return relation
    inner = m.mean_x.size // outer

    def of_x(v: Array) -> Array:
        return jnp.repeat(v.reshape(outer, inner), outer, axis=0)

    def of_y(v: Array) -> Array:
        return jnp.tile(v.reshape(outer, inner), (outer, 1))

    def pairs(matrix: Array) -> Array:
        return matrix.reshape(outer, inner, outer, inner).transpose(0, 2, 1, 3)

    def own(matrix: Array) -> Array:
        return pairs(matrix)[jnp.arange(outer), jnp.arange(outer)]

    within_x, within_y = m.within_x, m.within_y
    moments = Moments(
        samples=jnp.full(outer * outer, m.samples),
        mean_x=of_x(m.mean_x),
        mean_y=of_y(m.mean_y),
        square_x=of_x(m.square_x),
        square_y=of_y(m.square_y),
        cross=pairs(m.cross).reshape(-1, inner, inner),
        within_x=None if within_x is None else jnp.repeat(own(within_x), outer, axis=0),
        within_y=None if within_y is None else jnp.tile(own(within_y), (outer, 1, 1)),
    )
    return Relation(moments, relation.samples)


def resolve(
    method: Method, relations: Mapping[str, Relation], partners: Mapping[str, Partners]
) -> dict[str, GroupMatch]:
    """All matches of one pair of networks, from the partners in each group or in each pair of outer neurons.

    Args:
        method: the method that matches the outer neurons.
        relations: the relations of all groups with observed activations.
        partners: the partners in each of them; for an inner group, with a leading axis of pairs of outer neurons.

    Returns:
        A match for each group and for each outer group. For an inner group, `x` [outer, inner] gives for each old outer
        neuron of the first network the old index of the inner neuron at each position, and `y` for the second.
    """
    x, y, valid = {}, {}, {}
    families: dict[str, list[str]] = {}
    for group, relation in relations.items():
        if relation.parent is None:
            x[group], y[group], valid[group] = partners[group]
        else:
            families.setdefault(relation.parent, []).append(group)
    for parent, children in families.items():
        inside = {child: _unfolded(relations[child], partners[child]) for child in children}
        totals = jnp.stack([jnp.sum(scores, axis=-1) for *_, scores in inside.values()]).sum(axis=0)
        best = method.match_outer(totals)
        x[parent], y[parent] = best.x, best.y
        for child, (of_x, of_y, _) in inside.items():
            x[child], y[child] = (_placed(of[best.x, best.y], side) for of, side in ((of_x, best.x), (of_y, best.y)))
        is_valid = jnp.all(jnp.array([best.valid, *(jnp.all(partners[child][2]) for child in children)]))
        valid |= dict.fromkeys((parent, *children), is_valid)
    return matches_of(relations, x, y, valid)


def matches_of(
    relations: Mapping[str, Relation], x: Mapping[str, Array], y: Mapping[str, Array], valid: Mapping[str, Array]
) -> dict[str, GroupMatch]:
    """The matches that correspond to given orders of both networks.

    The scores of an outer group are the means of those inside; the scores of a group without activations are 0.
    """
    found: dict[str, GroupMatch] = {}
    for group, relation in relations.items():
        m, outer = relation.moments, relation.parent
        of_x, of_y = (end_to_end(side[group], None if outer is None else side[outer]) for side in (x, y))
        score = relation.correlations[of_x, of_y].reshape(x[group].shape)
        dead = jnp.sum(m.dead_x), jnp.sum(m.dead_y)
        found[group] = GroupMatch(x[group], y[group], score, *dead, valid[group], finite(m))
    for group in [group for group in x if group not in relations]:
        inside = [found[child].score for child, relation in relations.items() if relation.parent == group]
        totals = sum((jnp.sum(score, axis=-1) for score in inside), jnp.zeros(x[group].shape))
        score = totals / max(1, sum(score.shape[-1] for score in inside))
        none = jnp.zeros((), int)
        found[group] = GroupMatch(x[group], y[group], score, none, none, valid[group], jnp.array(True))
    return found


def by_orders(relations: Mapping[str, Relation], orders: Mapping[str, Array]) -> dict[str, GroupMatch]:
    """The matches in which the first network keeps its order and the second is put into these orders."""
    x = {group: jnp.broadcast_to(jnp.arange(order.shape[-1]), order.shape) for group, order in orders.items()}
    return matches_of(relations, x, orders, dict.fromkeys(orders, jnp.array(True)))


def end_to_end(order: Any, outer: Any | None) -> Any:
    """The old index of the neuron at each position; for a nested group, inner neurons are numbered consecutively."""
    if outer is None:
        return order
    return (outer[:, None] * order.shape[1] + order[outer]).reshape(-1)


def _unfolded(relation: Relation, partners: Partners) -> tuple[Array, Array, Float[Array, "o o n"]]:
    """Partners [outer, outer, inner] on both sides, and their correlations."""
    outer, inner = relation.outer, partners[0].shape[-1]
    x, y = (side.reshape(outer, outer, inner) for side in partners[:2])
    scores = relation.correlations.reshape(outer, inner, outer, inner)
    i, j = jnp.arange(outer)[:, None, None], jnp.arange(outer)[None, :, None]
    return x, y, scores[i, x, j, y]


def _placed(orders: Int[Array, "outer inner"], outer: Int[Array, " outer"]) -> Int[Array, "outer inner"]:
    """Orders of inner neurons, reindexed from the positions of outer neurons to their old indices."""
    return jnp.zeros_like(orders).at[outer].set(orders)
