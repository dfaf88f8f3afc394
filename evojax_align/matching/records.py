"""What a matching is: `x[i]` and `y[i]` are partners. A bijection and a many-to-one match are different types."""

import jax.numpy as jnp
import numpy as np
from flax import struct

from evojax_align import _checks
from evojax_align._types import Array, Bool, Float, Int


@struct.dataclass
class Matching:
    """A bijection: every neuron of both sides is used once."""

    x: Int[Array, " p"]
    """Indices of the neurons of x; `x[i]` and `y[i]` are partners."""
    y: Int[Array, " p"]
    valid: Bool[Array, ""]
    """Whether both are permutations, for callers under a trace; elsewhere an invalid result raises an error."""


@struct.dataclass
class SemiMatching:
    """Each neuron of one side with its best partner on the other, which may repeat: not a bijection."""

    x: Int[Array, " n"]
    y: Int[Array, " n"]


def checked(x: Array, y: Array) -> Matching:
    """A matching whose two sides were looked at: an error where values are known, a flag where they are not."""
    valid = is_permutation(x) & is_permutation(y)
    if _checks.is_concrete(valid) and not bool(jnp.all(valid)):
        raise RuntimeError("the matching is no permutation; this is an error of the library, please report its scores")
    return Matching(x=x, y=y, valid=valid)


def is_permutation(index: Int[Array, "*batch p"]) -> Bool[Array, "*batch"]:
    """Whether an index array holds each of 0..p-1 once."""
    return jnp.all(jnp.sort(index, axis=-1) == jnp.arange(index.shape[-1]).reshape((1,) * (index.ndim - 1) + (-1,)), -1)


def check_scores(scores: Float[Array, "p q"], *, square: bool) -> None:
    """Refuse scores without neurons, or, for a bijection, of unequal sides."""
    shape = jnp.shape(scores)
    if len(shape) != 2 or 0 in shape or (square and shape[0] != shape[1]):
        expected = "[p, p] with p of at least 1" if square else "[p, q], neither 0"
        mend = "Match networks of equal width, or use `semi`." if square else "Pass a matrix of scores."
        raise _checks.bad("scores", f"shape {shape}", expected, mend)


def cleaned(scores: Float[Array, "p q"]) -> Float[Array, "p q"]:
    """Finite scores in [0, range + 1], in the same order: NaN lies below all, infinities count as the extremes.

    Adding a constant to all scores changes no matching.
    """
    scores = jnp.asarray(scores, jnp.promote_types(jnp.result_type(scores), jnp.float32))
    finite = jnp.isfinite(scores)
    highest = jnp.max(scores, where=finite, initial=-np.inf)
    lowest = jnp.min(scores, where=finite, initial=np.inf)
    highest, lowest = (jnp.where(jnp.isfinite(v), v, 0.0) for v in (highest, lowest))
    return jnp.where(jnp.isnan(scores), 0.0, jnp.clip(scores, lowest, highest) - lowest + 1.0)


def dead_or_none(name: str, dead: Bool[Array, " p"] | None, size: int) -> Bool[Array, " p"]:
    """The mask of dead neurons; all alive by default."""
    if dead is None:
        return jnp.zeros(size, bool)
    if jnp.shape(dead) != (size,):
        raise _checks.bad(name, f"shape {jnp.shape(dead)}", f"({size},)", "Give one flag for each neuron.")
    return jnp.asarray(dead, bool)


def ordered(rank: Int[Array, " p"], dead: Bool[Array, " p"], paired_dead: Int[Array, ""], first: bool) -> Array:
    """The order of one side: pairs made so far by rank; then the left over by index; dead paired with dead last.

    Args:
        rank: the position of each neuron's pair, or -1 for those left over.
        dead: which neurons are dead.
        paired_dead: how many dead neurons both sides have; that many, in index order, pair among themselves.
        first: put the left over before the pairs instead, as the authors' code does.
    """
    size = rank.size
    index = jnp.arange(size)
    last = dead & (rank < 0) & (jnp.cumsum(dead & (rank < 0)) <= paired_dead)
    left_over = index - size if first else index + size
    return jnp.argsort(jnp.where(last, index + 2 * size, jnp.where(rank >= 0, rank, left_over)))
