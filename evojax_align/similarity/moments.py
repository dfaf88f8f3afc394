"""First and second moments of two sets of neurons over the same samples, for all measures of similarity.

The size of moments depends on widths, not on samples, and the moments of two batches merge exactly into those of both.
Any number of samples can therefore be streamed.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from evojax_align import _checks
from evojax_align._types import Array, Bool, Float

DEAD = 1e-5
"""A neuron is dead if its standard deviation is at most this fraction of its root mean square."""


@struct.dataclass
class Moments:
    """Sums of deviations from the mean over samples.

    Attributes:
        samples: number of samples.
        mean_x: mean of each neuron of x.
        mean_y: mean of each neuron of y.
        square_x: for each neuron of x, the sum of squared deviations.
        square_y: likewise for y.
        cross: for each neuron of x and each of y, the sum of products of deviations.
        within_x: the same sums for all pairs of neurons of x, which only CCA needs; None if not computed.
        within_y: likewise for y.

    Example:
        >>> import jax.numpy as jnp, evojax_align as ea
        >>> x = jnp.array([[0.0, 1.0], [2.0, 1.0]])
        >>> m = ea.similarity.moments(x, x)
        >>> m.mean_x.tolist(), m.square_x.tolist(), m.dead_x.tolist()
        ([1.0, 1.0], [2.0, 0.0], [False, True])
    """

    samples: Float[Array, "*batch"]
    mean_x: Float[Array, "*batch p"]
    mean_y: Float[Array, "*batch q"]
    square_x: Float[Array, "*batch p"]
    square_y: Float[Array, "*batch q"]
    cross: Float[Array, "*batch p q"]
    within_x: Float[Array, "*batch p p"] | None = None
    within_y: Float[Array, "*batch q q"] | None = None

    @property
    def dead_x(self) -> Bool[Array, "*batch p"]:
        """Neurons of x that are constant over the samples, or have values that are not finite."""
        return _dead(self.mean_x, self.square_x, self.samples[..., None])

    @property
    def dead_y(self) -> Bool[Array, "*batch q"]:
        """Neurons of y that are constant over the samples, or have values that are not finite."""
        return _dead(self.mean_y, self.square_y, self.samples[..., None])


def moments(x: Float[Array, "n p"], y: Float[Array, "n q"], *, within: bool = True) -> Moments:
    """Moments of two activation matrices whose rows belong to the same samples.

    Args:
        x: activations, one column per neuron.
        y: likewise.
        within: whether to compute also the covariances within x and within y, which CCA needs.

    Returns:
        `Moments` in float32 or better; `merge` combines those of several batches.

    Example:
        >>> import jax.numpy as jnp, evojax_align as ea
        >>> x = jnp.array([[0.0], [1.0], [2.0]])
        >>> m = ea.similarity.moments(x, 10 * x)
        >>> float(m.samples), m.mean_y.tolist(), m.cross.tolist()
        (3.0, [10.0], [[20.0]])
    """
    x, y = _working(x), _working(y)
    mean_x, mean_y = jnp.mean(x, axis=0), jnp.mean(y, axis=0)
    x, y = x - mean_x[None], y - mean_y[None]
    within_x = product(x.T, x) if within else None
    within_y = product(y.T, y) if within else None
    return Moments(
        samples=jnp.asarray(x.shape[0], x.dtype),
        mean_x=mean_x,
        mean_y=mean_y,
        square_x=jnp.sum(x * x, axis=0) if within_x is None else jnp.diagonal(within_x),
        square_y=jnp.sum(y * y, axis=0) if within_y is None else jnp.diagonal(within_y),
        cross=product(x.T, y),
        within_x=within_x,
        within_y=within_y,
    )


def merge(a: Moments, b: Moments) -> Moments:
    """Moments of the samples of both; equal, up to rounding, to the moments of all samples at once.

    Example:
        >>> import jax, jax.numpy as jnp, evojax_align as ea
        >>> x = jax.random.normal(jax.random.key(0), (10, 2))
        >>> both = ea.similarity.merge(ea.similarity.moments(x[:4], x[:4]), ea.similarity.moments(x[4:], x[4:]))
        >>> bool(jnp.allclose(both.cross, ea.similarity.moments(x, x).cross, atol=1e-4))
        True
    """
    total = a.samples + b.samples
    gap_x, gap_y = b.mean_x - a.mean_x, b.mean_y - a.mean_y
    weight = a.samples * b.samples / total

    def add(of_a: Array | None, of_b: Array | None, gap: Array) -> Array | None:
        return None if of_a is None or of_b is None else of_a + of_b + gap * weight

    return Moments(
        samples=total,
        mean_x=a.mean_x + gap_x * (b.samples / total),
        mean_y=a.mean_y + gap_y * (b.samples / total),
        square_x=a.square_x + b.square_x + gap_x**2 * weight,
        square_y=a.square_y + b.square_y + gap_y**2 * weight,
        cross=a.cross + b.cross + jnp.outer(gap_x, gap_y) * weight,
        within_x=add(a.within_x, b.within_x, jnp.outer(gap_x, gap_x)),
        within_y=add(a.within_y, b.within_y, jnp.outer(gap_y, gap_y)),
    )


def pool(places: list[Moments]) -> Moments:
    """Moments of neurons observed at several values of a trace, each standardised, concatenated along the samples.

    A neuron that is dead at one of them counts as its mean there.

    Example:
        >>> import jax, jax.numpy as jnp, evojax_align as ea
        >>> x = jax.random.normal(jax.random.key(0), (10, 2))
        >>> here, there = ea.similarity.moments(x, x), ea.similarity.moments(100 * x, -x)
        >>> found = ea.similarity.correlation_of(ea.similarity.pool([here, there]))  # the means of 1 and -1
        >>> bool(jnp.allclose(found.diagonal(), 0, atol=1e-3))
        True
    """
    if len(places) == 1:
        return places[0]
    return jax.tree.map(lambda *sums: sum(sums), *map(_standardised, places))


def product(a: Float[Array, "m n"], b: Float[Array, "n o"]) -> Float[Array, "m o"]:
    """A matrix product at full precision, which scores need on every device."""
    return jnp.matmul(a, b, precision=jax.lax.Precision.HIGHEST)


def scales(m: Moments) -> tuple[Float[Array, " p"], Float[Array, " q"]]:
    """Factors that scale every live neuron to a sum of squares of one; 0 for dead neurons."""
    return _scale(m.square_x, m.dead_x), _scale(m.square_y, m.dead_y)


def finite(m: Moments) -> Bool[Array, ""]:
    """Whether all activations were finite."""
    return jnp.all(jnp.isfinite(m.square_x)) & jnp.all(jnp.isfinite(m.square_y))


def check_pair(x: Array, y: Array) -> None:
    """Raise an error for matrices without samples or neurons, or of different samples."""
    for name, value in (("x", x), ("y", y)):
        if jnp.ndim(value) != 2 or 0 in jnp.shape(value):
            fix = "Pass activations, one column per neuron."
            raise _checks.bad(name, f"shape {jnp.shape(value)}", "[samples, neurons], neither 0", fix)
    if jnp.shape(x)[0] != jnp.shape(y)[0]:
        came = f"{jnp.shape(x)[0]} and {jnp.shape(y)[0]} samples"
        raise _checks.bad("x, y", came, "the same samples in both", "Run both networks on the same inputs.")


def check_values(m: Moments) -> None:
    """Raise an error, outside a trace, for activations that are not finite, and for a set of dead neurons only."""
    for name, square, dead in (("x", m.square_x, m.dead_x), ("y", m.square_y, m.dead_y)):
        if not _checks.is_concrete(square):
            continue
        if not np.isfinite(np.asarray(square)).all():
            first = int(np.argmin(np.isfinite(np.asarray(square))))
            fix = "Drop this network, or train it again with a smaller learning rate."
            raise _checks.bad(name, f"NaN or infinite activations of neuron {first}", "finite values", fix)
        if np.asarray(dead).all():
            raise _checks.bad(
                name,
                f"{dead.size} neurons that are all dead (constant over the samples)",
                "at least one whose activation differs between samples",
                "Use more samples, or another network: a layer without live neurons cannot be aligned.",
            )


def _working(x: Array) -> Array:
    return jnp.asarray(x, jnp.promote_types(jnp.result_type(x), jnp.float32))


def _dead(mean: Array, square: Array, samples: Array) -> Array:
    variance = square / samples
    return ~(variance > DEAD**2 * (mean**2 + variance))  # also true for NaN


def _scale(square: Array, dead: Array) -> Array:
    return jnp.where(dead, 0.0, jax.lax.rsqrt(jnp.where(dead, 1.0, square)))


def _standardised(m: Moments) -> Moments:
    """The moments of columns that are centred and scaled to a mean square of one, if they are alive."""
    of_x, of_y = scales(m)

    def scaled(sums: Array | None, rows: Array, columns: Array) -> Array | None:
        return None if sums is None else correlations(sums, rows, columns) * m.samples

    def square(old: Array, scale: Array) -> Array:
        of_dead = jnp.where(jnp.isfinite(old), 0.0, old)  # values that are not finite must stay so
        return jnp.where(scale > 0, m.samples, of_dead)

    return dataclasses.replace(
        m,
        mean_x=jnp.zeros_like(m.mean_x),
        mean_y=jnp.zeros_like(m.mean_y),
        square_x=square(m.square_x, of_x),
        square_y=square(m.square_y, of_y),
        cross=scaled(m.cross, of_x, of_y),
        within_x=scaled(m.within_x, of_x, of_x),
        within_y=scaled(m.within_y, of_y, of_y),
    )


def correlations(sums: Float[Array, "p q"], rows: Float[Array, " p"], columns: Float[Array, " q"]) -> Array:
    """Sums of products of deviations, scaled to correlations; rows and columns of dead neurons are 0."""
    live = (rows > 0)[:, None] & (columns > 0)[None, :]
    return jnp.where(live, jnp.clip(sums * rows[:, None] * columns[None, :], -1.0, 1.0), 0.0)
