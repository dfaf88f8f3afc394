"""Records of matchings, in which `x[i]` and `y[i]` are partners: bijections, injections and many-to-one matches."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from evojax_align import _checks
from evojax_align._types import Array, ArrayLike, Bool, Float, Int


@struct.dataclass
class Matching:
    """A bijection: every neuron of both sides is used once.

    Attributes:
        x: indices of the neurons of x; `x[i]` and `y[i]` are partners.
        y: indices of the neurons of y.
        valid: whether both are permutations, for use under a trace; otherwise an invalid result raises an error.

    Example:
        >>> import jax.numpy as jnp, evojax_align as ea
        >>> scores = jnp.array([[0.5, 1.0], [0.75, 0.5]])
        >>> m = ea.matching.one_to_one(scores)
        >>> scores[m.x, m.y].tolist(), bool(m.valid)
        ([1.0, 0.75], True)
    """

    x: Int[Array, "*batch p"]
    y: Int[Array, "*batch p"]
    valid: Bool[Array, "*batch"]


@struct.dataclass
class Injection:
    """A one-to-one matching of all neurons of the narrower side with some of the wider side.

    Attributes:
        x: indices of the neurons of x; `x[i]` and `y[i]` are partners.
        y: indices of the neurons of y.

    Example:
        >>> import jax.numpy as jnp, evojax_align as ea
        >>> m = ea.matching.injective(jnp.array([[0.1, 0.9], [0.2, 0.8], [0.7, 0.3]]))
        >>> m.x.tolist(), m.y.tolist()
        ([2, 0], [0, 1])
    """

    x: Int[Array, "*batch n"]
    y: Int[Array, "*batch n"]


@struct.dataclass
class SemiMatching:
    """Each neuron of one side with its best partner on the other, which may repeat: not a bijection.

    Attributes:
        x: indices of the neurons of x; `x[i]` and `y[i]` are partners.
        y: indices of the neurons of y.

    Example:
        >>> import jax.numpy as jnp, evojax_align as ea
        >>> m = ea.matching.semi(jnp.array([[0.1, 0.9], [0.2, 0.8], [0.7, 0.3]]))
        >>> m.x.tolist(), m.y.tolist()
        ([0, 1, 2], [1, 1, 0])
    """

    x: Int[Array, "*batch n"]
    y: Int[Array, "*batch n"]


def checked(
    x: Int[Array, "*batch p"], y: Int[Array, "*batch p"], known: Bool[Array, "*batch"], argument: str = "scores"
) -> Matching:
    """A checked matching: an invalid one raises an error for concrete values, and sets a flag under a trace.

    Args:
        x: one side.
        y: the other.
        known: whether the scores of its pairs are not NaN.
        argument: the name of the argument in errors.
    """
    valid = _are_permutations(x, y)
    if _checks.is_concrete(valid) and not np.asarray(valid).all():
        raise RuntimeError("the matching is not a permutation; this is a bug of the library, please report its scores")
    refuse_unknown(known, argument)
    return Matching(x=x.astype(jnp.int32), y=y.astype(jnp.int32), valid=valid & known)


def refuse_unknown(known: Bool[ArrayLike, "*batch"], argument: str) -> None:
    """Raise an error for a matching with NaN scores, unless values are traced."""
    if _checks.is_concrete(known) and not np.asarray(known).all():
        fix = "Look for NaN in the activations or parameters that they come from."
        raise _checks.bad(argument, "NaN as the score of partners", "numbers", fix)


@jax.jit
def numbers_chosen(
    scores: Float[Array, "*batch p q"],
    x: Int[Array, "*batch n"],
    y: Int[Array, "*batch n"],
    dead_x: Bool[Array, "*batch p"] | None,
    dead_y: Bool[Array, "*batch q"] | None,
) -> Bool[Array, "*batch"]:
    """Whether the score of every pair of partners is not NaN; pairs of dead neurons need no score."""
    return are_numbers(jnp.asarray(scores), x, y, dead_x, dead_y, jnp)


def are_numbers(scores: Any, x: Any, y: Any, dead_x: Any, dead_y: Any, numbers: Any) -> Any:
    """Like `numbers_chosen`, with the module of the arrays."""
    rows = numbers.take_along_axis(scores, x[..., :, None], axis=-2)
    known = ~numbers.isnan(numbers.take_along_axis(rows, y[..., :, None], axis=-1)[..., 0])
    if dead_x is not None and dead_y is not None:
        of_x, of_y = (
            numbers.take_along_axis(numbers.asarray(dead), side, axis=-1) for dead, side in ((dead_x, x), (dead_y, y))
        )
        known |= of_x & of_y
    return known.all(axis=-1)


@jax.jit
def _are_permutations(*indices: Array) -> Array:
    sides = jnp.sort(jnp.stack(indices), axis=-1)
    return jnp.all(sides == jnp.broadcast_to(jnp.arange(sides.shape[-1]), sides.shape), axis=(0, -1))


def check_scores(shape: tuple[int, ...], *, square: bool) -> None:
    """Raise an error for empty scores, and for a bijection if they are not square."""
    if len(shape) != 2 or 0 in shape or (square and shape[0] != shape[1]):
        expected = "[p, p] with p of at least 1" if square else "[p, q], neither 0"
        fix = "Match networks of equal width, or use `injective` or `semi`." if square else "Pass a matrix of scores."
        raise _checks.bad("scores", f"shape {shape}", expected, fix)


def check_dead(name: str, dead: Bool[Array, "*shape"] | None, *shape: int) -> None:
    """Raise an error for a mask of dead neurons of another shape."""
    if dead is not None and jnp.shape(dead) != shape:
        raise _checks.bad(name, f"shape {jnp.shape(dead)}", str(shape), "Pass one flag for each neuron.")


def cleaned(scores: Any, numbers: Any = jnp) -> Any:
    """Finite scores [p, q], in float32 or better: infinities become the extreme finite scores, NaN is below all.

    `numbers` is the module of the array: `jax.numpy` or `numpy`.
    """
    scores = numbers.asarray(scores, jnp.promote_types(jnp.result_type(scores), jnp.float32))
    finite = numbers.isfinite(scores)
    lowest = numbers.min(scores, where=finite, initial=np.inf)
    highest = numbers.max(scores, where=finite, initial=-np.inf)
    lowest, highest = (numbers.where(numbers.isfinite(v), v, 0.0) for v in (lowest, highest))
    clipped = numbers.clip(scores, lowest, highest)
    return numbers.where(numbers.isnan(scores), below(lowest, highest), clipped)


def below(lowest: Any, highest: Any) -> Any:
    """A score so low that a best matching has no pair with it that an exchange of two partners would avoid."""
    return lowest - (highest - lowest) - 1.0


def ordered(
    rank: Int[Array, " p"], dead: Bool[Array, " p"], paired_dead: Int[Array, ""], *, first: bool
) -> Int[Array, " p"]:
    """The order of one side: pairs by rank, then unpaired neurons by index, then paired dead neurons.

    Args:
        rank: the position of each neuron's pair, or -1 for unpaired and dead neurons.
        dead: mask of dead neurons.
        paired_dead: number of pairs of dead neurons, which are formed in index order.
        first: put the unpaired neurons before the pairs instead, as in the authors' code.
    """
    size = rank.size
    index = jnp.arange(size)
    left_over = index - size if first else index + size
    last = dead & (jnp.cumsum(dead) <= paired_dead)
    return jnp.argsort(jnp.where(last, index + 2 * size, jnp.where(rank >= 0, rank, left_over)))
