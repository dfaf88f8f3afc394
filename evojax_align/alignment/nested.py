"""Groups inside a group: whole heads are matched, and inside two heads their channels.

The channels of every head of one network are matched with those of every head of the other; the score of two heads is
the total of their best match, summed over all groups that live inside. Heads are then matched one to one.
"""

from collections.abc import Mapping
from typing import TypeAlias

import jax.numpy as jnp
from flax import struct

from evojax_align._types import Array, Bool, Float, Int
from evojax_align.alignment.method import Method
from evojax_align.alignment.statistics import Relation
from evojax_align.similarity import Moments, correlation_of
from evojax_align.similarity.moments import finite
from evojax_align.symmetry import PermutationSpec

Partners: TypeAlias = tuple[Int[Array, "*batch n"], Int[Array, "*batch n"], Bool[Array, "*batch"]]
"""Both sides of a match, and whether it is what it should be."""


@struct.dataclass
class GroupMatch:
    """The partners in one group: `x[i]` of the first network and `y[i]` of the second; with leading axes of many pairs.

    Attributes:
        x: of a group inside another, [outer, inner]: for each old outer neuron its inner ones in their new order.
        y: likewise.
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


def _matched(m: Moments, x: Array, y: Array, score: Array, valid: Array) -> GroupMatch:
    return GroupMatch(x, y, score, jnp.sum(m.dead_x), jnp.sum(m.dead_y), valid, finite(m))


def blocks(relation: Relation) -> Relation:
    """Of a group inside another, the relation of every pair of outer neurons (i, j), with a leading axis of pairs, j
    running fastest; any other relation as it is."""
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
    """All matches of one pair, from the partners in each group, or in each pair of outer neurons.

    Args:
        method: what matches the outer neurons.
        relations: of all groups that are read.
        partners: for each of them; for an inner group with a leading axis of pairs of outer neurons.

    Returns:
        A match for each group and for each outer group; of an inner one `x` [outer, inner] says for each old outer
        neuron of the first network the old index of the inner neuron at each place, and `y` for the second.
    """
    found: dict[str, GroupMatch] = {}
    families: dict[str, list[str]] = {}
    for group, relation in relations.items():
        if relation.parent is None:
            x, y, valid = partners[group]
            found[group] = _matched(relation.moments, x, y, relation.correlations[x, y], valid)
        else:
            families.setdefault(relation.parent, []).append(group)
    for parent, children in families.items():
        outer = relations[children[0]].outer or 1
        inside = {child: _unfolded(relations[child], partners[child], outer) for child in children}
        totals = jnp.stack([jnp.sum(scores, axis=-1) for *_, scores in inside.values()]).sum(axis=0)
        count = sum(scores.shape[-1] for *_, scores in inside.values())
        best = method.match_outer(totals)
        x, y = best.x, best.y
        valid = jnp.all(jnp.array([best.valid, *(jnp.all(partners[child][2]) for child in children)]))
        for child, (of_x, of_y, scores) in inside.items():
            orders = _placed(of_x[x, y], x), _placed(of_y[x, y], y)
            found[child] = _matched(relations[child].moments, *orders, scores[x, y], valid)
        none = jnp.zeros((), int)
        found[parent] = GroupMatch(x, y, totals[x, y] / count, none, none, valid, jnp.array(True))
    return found


def by_orders(
    spec: PermutationSpec, relations: Mapping[str, Relation], orders: Mapping[str, Array]
) -> dict[str, GroupMatch]:
    """The matches in which the first network stays and the second is put into these orders.

    A group that no activations tell of has scores of 0.
    """
    found = {}
    for group, y in orders.items():
        x = jnp.broadcast_to(jnp.arange(y.shape[-1]), y.shape)
        none, sure = jnp.zeros((), int), jnp.array(True)
        if group not in relations:
            found[group] = GroupMatch(x, y, jnp.zeros(y.shape), none, none, sure, sure)
            continue
        m, outer = relations[group].moments, spec.parents.get(group)
        if outer is None:
            scores = correlation_of(m)[x, y]
        else:
            heads, inner = jnp.arange(y.shape[0])[:, None], y.shape[1]
            scores = correlation_of(m)[heads * inner + x, orders[outer][:, None] * inner + y[orders[outer]]]
        found[group] = _matched(m, x, y, scores, sure)
    return found


def _unfolded(relation: Relation, partners: Partners, outer: int) -> tuple[Array, Array, Float[Array, "o o n"]]:
    """Partners [outer, outer, inner] on both sides, and their correlations."""
    x, y, _ = partners
    inner = x.shape[-1]
    x, y = x.reshape(outer, outer, inner), y.reshape(outer, outer, inner)
    scores = correlation_of(relation.moments).reshape(outer, inner, outer, inner)
    i, j = jnp.arange(outer)[:, None, None], jnp.arange(outer)[None, :, None]
    return x, y, scores[i, x, j, y]


def _placed(orders: Int[Array, "outer inner"], outer: Int[Array, " outer"]) -> Int[Array, "outer inner"]:
    """Orders of inner neurons, from the places of outer neurons to their old indices."""
    return jnp.zeros_like(orders).at[outer].set(orders)
