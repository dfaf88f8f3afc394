"""Pairwise correlation of neurons (Li et al. 2015; Uriot & Izzo 2020, section 3.3)."""

import jax

from evojax_align import _checks
from evojax_align._types import Array, Float
from evojax_align.similarity.moments import Moments, check_pair, check_values, correlations, moments, scales


def correlation(x: Float[Array, "n p"], y: Float[Array, "n q"]) -> Float[Array, "p q"]:
    """The correlation of every neuron of x with every neuron of y.

    Args:
        x: activations, one column per neuron.
        y: activations on the same samples.

    Returns:
        Entries in [-1, 1]; 0 in the rows and columns of dead neurons; `correlation(y, x)` is its transpose.

    Raises:
        ValueError: for no samples, unequal samples, and, outside a trace, for NaN or no live neuron.

    Example:
        >>> import jax.numpy as jnp, evojax_align as ea
        >>> x = jnp.array([[0.0, 1.0], [1.0, 1.0], [2.0, 1.0]])
        >>> ea.similarity.correlation(x, -x).round(5).tolist()
        [[-1.0, 0.0], [0.0, 0.0]]
    """
    check_pair(x, y)
    scores, m = _correlation(x, y)
    check_values(m)
    return scores


def correlation_of(m: Moments) -> Float[Array, "p q"]:
    """Like `correlation`, from moments that may have been streamed.

    Example:
        >>> import jax, evojax_align as ea
        >>> x = jax.random.normal(jax.random.key(0), (10, 2))
        >>> m = ea.similarity.merge(ea.similarity.moments(x[:4], -x[:4]), ea.similarity.moments(x[4:], -x[4:]))
        >>> ea.similarity.correlation_of(m).diagonal().round(3).tolist()
        [-1.0, -1.0]
    """
    return correlations(m.cross, *scales(m))


def within_correlations(m: Moments, side: str) -> Float[Array, "p p"]:
    """The correlations among the neurons of one network; `side` is "x" or "y".

    Example:
        >>> import jax.numpy as jnp, evojax_align as ea
        >>> x = jnp.array([[0.0, 0.0], [1.0, -1.0], [2.0, -2.0]])
        >>> ea.similarity.within_correlations(ea.similarity.moments(x, x), "x").round(3).tolist()
        [[1.0, -1.0], [-1.0, 1.0]]
    """
    _checks.one_of("side", side, ("x", "y"))
    sums = m.within_x if side == "x" else m.within_y
    if sums is None:
        raise _checks.bad("m", "moments without covariances", "moments(x, y, within=True)", "Compute them.")
    scale = scales(m)[side == "y"]
    return correlations(sums, scale, scale)


@jax.jit
def _correlation(x: Array, y: Array) -> tuple[Array, Moments]:
    m = moments(x, y, within=False)
    return correlation_of(m), m
