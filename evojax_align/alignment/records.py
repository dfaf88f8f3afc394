"""What the stages of an alignment hand on: how two networks' neurons relate, and which are partners."""

import jax.numpy as jnp
from flax import struct

from evojax_align._types import Array, Bool, Float, Int
from evojax_align.similarity import Moments, correlation_of
from evojax_align.similarity.moments import finite


@struct.dataclass
class Relation:
    """What two networks' activations of one group have in common.

    Attributes:
        moments: `x` is the first network, `y` the second; standardised and pooled where the group is seen at several
            places.
        parent: the group that this one lives in, if it does; neurons are then those of every outer neuron, end to end.
        outer: number of neurons of that group.
    """

    moments: Moments
    samples: int = struct.field(pytree_node=False)
    parent: str | None = struct.field(pytree_node=False, default=None)
    outer: int | None = struct.field(pytree_node=False, default=None)


@struct.dataclass
class GroupMatch:
    """The partners in one group: `x[i]` of the first network and `y[i]` of the second.

    Attributes:
        x: of a group inside another, [outer, inner]: for each old outer neuron its inner ones in their new order.
        score: correlation of each pair of partners.
        dead_x: number of dead neurons.
        valid: whether a matching that should be a bijection is one.
        all_finite: whether all activations were finite.
    """

    x: Int[Array, "..."]
    y: Int[Array, "..."]
    score: Float[Array, "..."]
    dead_x: Int[Array, "..."]
    dead_y: Int[Array, "..."]
    valid: Bool[Array, "..."]
    all_finite: Bool[Array, "..."]


def matched(m: Moments, x: Int[Array, " n"], y: Int[Array, " n"], valid: Bool[Array, ""]) -> GroupMatch:
    """Put what is known of a matching together."""
    return GroupMatch(
        x=x,
        y=y,
        score=correlation_of(m)[x, y],
        dead_x=jnp.sum(m.dead_x),
        dead_y=jnp.sum(m.dead_y),
        valid=valid,
        all_finite=finite(m),
    )
