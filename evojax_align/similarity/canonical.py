"""Canonical correlation analysis of two sets of neurons: plain, of principal directions (SVCCA), and with a ridge.

Uriot & Izzo 2020, section 3.2 and equation (2); SVCCA: Raghu et al. 2017; canonical ridge: Vinod 1976.

On a CPU, the decompositions are those of LAPACK, with one thread (see `one_blas_thread`).
"""

import jax
import jax.numpy as jnp
from flax import struct

from evojax_align import _checks
from evojax_align._types import Array, Bool, Float, Int
from evojax_align.similarity.blas import one_blas_thread
from evojax_align.similarity.moments import (
    Moments,
    check_pair,
    check_values,
    correlations,
    finite,
    moments,
    product,
    scales,
)

FLOOR = {"float32": 1e-6, "float64": 1e-12}
"""Directions with less than this fraction of the largest variance are rounding noise (about 1e-8 for float32)."""


@struct.dataclass
class CanonicalDirections:
    """Canonical directions, for centred columns of unit variance, by decreasing correlation.

    Weights, loadings and correlations of directions beyond the numerical rank are zero.

    Attributes:
        weights_x: canonical weights of each neuron of x, one column per direction; the variates have unit variance.
        weights_y: likewise for y.
        correlations: canonical correlations, from 0 to 1, in decreasing order.
        loadings_x: correlation of each neuron of x with each canonical variate of x.
        loadings_y: likewise for y.
        rank_x: number of directions of x that were used: its numerical rank, at most `rank`.
        rank_y: likewise for y.
        dead_x: neurons that are constant over the samples; their weights are zero.
        dead_y: likewise for y.
        all_finite: False if any activation was NaN or infinite; its neuron then counts as dead.

    Example:
        >>> import jax, jax.numpy as jnp, evojax_align as ea
        >>> x = jax.random.normal(jax.random.key(0), (50, 2))
        >>> with_dead = jnp.concatenate([x, jnp.ones((50, 1))], axis=1)
        >>> found = ea.similarity.cca(with_dead, x)
        >>> found.weights_x.shape, int(found.rank_x), found.dead_x.tolist()
        ((3, 2), 2, [False, False, True])
    """

    weights_x: Float[Array, "*batch p k"]
    weights_y: Float[Array, "*batch q k"]
    correlations: Float[Array, "*batch k"]
    loadings_x: Float[Array, "*batch p k"]
    loadings_y: Float[Array, "*batch q k"]
    rank_x: Int[Array, "*batch"]
    rank_y: Int[Array, "*batch"]
    dead_x: Bool[Array, "*batch p"]
    dead_y: Bool[Array, "*batch q"]
    all_finite: Bool[Array, "*batch"]


def cca(
    x: Float[Array, "n p"], y: Float[Array, "n q"], rank: int | None = None, ridge: float | Array = 0.0
) -> CanonicalDirections:
    """Canonical correlation analysis: the linear combinations of x and of y with the largest correlations.

    With the correlation matrices C, it solves (C_xx + ridge)^(-1/2) C_xy (C_yy + ridge)^(-1/2) = U S V^T, and the
    weights are (C_xx + ridge)^(-1/2) U and (C_yy + ridge)^(-1/2) V.

    Args:
        x: activations, one column per neuron.
        y: activations on the same samples.
        rank: number of principal directions of each set that are kept first (SVCCA); all by default.
        ridge: added to the diagonal of the correlation matrices.

    Returns:
        `CanonicalDirections` with k = min(p, q), or k = `rank`. Without a ridge the variates
        `standardised(x) @ weights_x` have unit variance, are uncorrelated, and correlate with those of y by
        `correlations`. The sign of each direction is such that the largest weight of x is positive.

    Raises:
        ValueError: for no more samples than neurons (every correlation would be 1), unless `ridge` is positive or
            `rank` is below the number of samples; for a rank outside 1..min(p, q); for a negative ridge; and, outside
            a trace, for NaN or no live neuron.

    Example:
        >>> import jax, evojax_align as ea
        >>> x = jax.random.normal(jax.random.key(0), (100, 3))
        >>> bool((ea.similarity.cca(x, 2 * x[:, ::-1] + 1).correlations > 0.999).all())
        True
    """
    check_pair(x, y)
    check_rank(rank, jnp.shape(x)[1], jnp.shape(y)[1])
    if _checks.is_concrete(ridge):
        ridge = check_ridge(ridge)
    check_samples(jnp.shape(x)[0], max(jnp.shape(x)[1], jnp.shape(y)[1]), rank, ridge)
    m = _moments(x, y)
    check_values(m)
    if not _checks.is_concrete(m, ridge):
        return _cca_of(m, rank, ridge)
    with one_blas_thread():
        return jax.block_until_ready(_cca_of(m, rank, ridge))


def cca_of(m: Moments, rank: int | None = None, ridge: float | Array = 0.0) -> CanonicalDirections:
    """Like `cca`, from moments that may have been streamed.

    Example:
        >>> import jax, evojax_align as ea
        >>> x = jax.random.normal(jax.random.key(0), (50, 2))
        >>> first, second = ea.similarity.moments(x[:30], -x[:30]), ea.similarity.moments(x[30:], -x[30:])
        >>> ea.similarity.cca_of(ea.similarity.merge(first, second)).correlations.round(3).tolist()
        [1.0, 1.0]
    """
    if m.within_x is None or m.within_y is None:
        raise _checks.bad("m", "moments without within_x", "moments(x, y, within=True)", "Compute them for CCA.")
    scale_x, scale_y = scales(m)
    whiten_x, rank_x = _directions(correlations(m.within_x, scale_x, scale_x), rank, ridge)
    whiten_y, rank_y = _directions(correlations(m.within_y, scale_y, scale_y), rank, ridge)
    between = correlations(m.cross, scale_x, scale_y)
    u, s, vt = _svd(product(product(whiten_x.basis.T, between), whiten_y.basis))
    real = jnp.arange(s.size) < jnp.minimum(rank_x, rank_y)
    u, v = jnp.where(real[None], u, 0.0), jnp.where(real[None], vt.T, 0.0)
    weights_x = product(whiten_x.basis, u)
    largest = jnp.take_along_axis(weights_x, jnp.argmax(jnp.abs(weights_x), axis=0, keepdims=True), axis=0)
    sign = jnp.where(largest < 0, -1.0, 1.0)  # [1, k]
    return CanonicalDirections(
        weights_x=weights_x * sign,
        weights_y=product(whiten_y.basis, v) * sign,
        correlations=jnp.where(real, jnp.clip(s, 0.0, 1.0), 0.0),
        loadings_x=whiten_x.loadings(u * sign),
        loadings_y=whiten_y.loadings(v * sign),
        rank_x=rank_x,
        rank_y=rank_y,
        dead_x=m.dead_x,
        dead_y=m.dead_y,
        all_finite=finite(m),
    )


def structure_scores(result: CanonicalDirections) -> Float[Array, "p q"]:
    """Similarity of neurons in the space of canonical variates: sum over k of rho_k l_x[:, k] l_y[:, k]^T.

    For collinear neurons, loadings are stable and weights are not. Matching these scores by `one_to_one` therefore
    recovers known permutations under noise that Algorithm 1 does not recover.

    Example:
        >>> import jax, jax.numpy as jnp, evojax_align as ea
        >>> x = jax.random.normal(jax.random.key(0), (100, 3))
        >>> scores = ea.similarity.structure_scores(ea.similarity.cca(x, x[:, jnp.array([2, 0, 1])]))
        >>> ea.matching.one_to_one(scores).y.tolist()
        [1, 2, 0]
    """
    return product(result.loadings_x * result.correlations[None], result.loadings_y.T)


def deflated(weights: Float[Array, "p k"]) -> Float[Array, "p k"]:
    """The part of each direction's weights that is orthogonal to all earlier directions, with unit norm.

    These are the weights of implementations that deflate the data after each direction, such as `x_weights_` of
    scikit-learn's `CCA`, by which the authors of safe crossover matched neurons. They apply to the deflated data.
    Neurons of little variance, whose canonical weights are large, have less influence in them.

    Example:
        >>> import jax.numpy as jnp, evojax_align as ea
        >>> directions = ea.similarity.deflated(jnp.array([[2.0, 1.0], [1.0, 3.0], [0.0, 1.0]]))
        >>> bool(jnp.allclose(directions.T @ directions, jnp.eye(2), atol=1e-5))
        True
    """
    dtype, weights = weights.dtype, weights.astype(jnp.promote_types(weights.dtype, jnp.float32))
    length = jnp.linalg.norm(weights, axis=0)
    real = length > 0  # the others are last
    q, r = jnp.linalg.qr(weights / jnp.where(real, length, 1.0)[None])
    return jnp.where(real[None], q * jnp.where(jnp.diagonal(r) < 0, -1.0, 1.0)[None], 0.0).astype(dtype)


@struct.dataclass
class _Whitening:
    basis: Array  # [p, k]: principal directions / sqrt(variance + ridge)
    outward: Array  # [p, k]: principal directions * variance / sqrt(variance + ridge)
    kept: Array  # [k]: variance / (variance + ridge)

    def loadings(self, u: Array) -> Array:
        variance = jnp.sum(self.kept[:, None] * u**2, axis=0)
        return product(self.outward, u) * jax.lax.rsqrt(jnp.where(variance > 0, variance, 1.0))[None]


def _directions(matrix: Array, rank: int | None, ridge: float | Array) -> tuple[_Whitening, Array]:
    variances, directions = jnp.linalg.eigh(matrix, symmetrize_input=False)
    if rank is not None:
        variances, directions = variances[-rank:], directions[:, -rank:]
    keep = variances > FLOOR[str(matrix.dtype)] * variances[-1]
    variances = jnp.where(keep, variances, 0.0)
    scale = jnp.where(keep, jax.lax.rsqrt(jnp.where(keep, variances + ridge, 1.0)), 0.0)
    live = jnp.diagonal(matrix) > 0
    directions = jnp.where(live[:, None] & keep[None], directions, 0.0)
    whitening = _Whitening(
        basis=directions * scale[None],
        outward=directions * (variances * scale)[None],
        kept=variances * scale**2,
    )
    return whitening, jnp.sum(keep)


def _svd(matrix: Array) -> tuple[Array, Array, Array]:
    """The thin SVD, with a fallback on a CPU: LAPACK's divide and conquer can fail if many singular values are almost
    equal, as for a network and its own copy."""

    def by_lapack(m: Array) -> tuple[Array, Array, Array]:
        u, s, vt = jnp.linalg.svd(m, full_matrices=False)
        return u, s, vt

    def on_cpu(m: Array) -> tuple[Array, Array, Array]:
        found = by_lapack(m)
        return jax.lax.cond(jnp.all(jnp.isfinite(found[1])), lambda _: found, _svd_by_eigh, m)

    return jax.lax.platform_dependent(matrix, cpu=on_cpu, default=by_lapack)


def _svd_by_eigh(matrix: Array) -> tuple[Array, Array, Array]:
    """The thin SVD by the eigenvectors of M^T M: it always succeeds and is about as fast. Singular values below 1e-3
    have errors of up to 1e-3 (in float32), which suffices for correlations."""
    if matrix.shape[0] < matrix.shape[1]:
        u, s, vt = _svd_by_eigh(matrix.T)
        return vt.T, s, u.T
    _, v = jnp.linalg.eigh(product(matrix.T, matrix), symmetrize_input=False)
    v = v[:, ::-1]  # largest first, so that QR makes the small ones orthogonal to them
    u, r = jnp.linalg.qr(product(matrix, v))  # r is diagonal up to rounding
    s = jnp.diag(r)
    order = jnp.argsort(-jnp.abs(s))
    return (u * jnp.where(s < 0, -1.0, 1.0)[None])[:, order], jnp.abs(s)[order], v.T[order]


# Two programs, so that values are checked before anything is decomposed.
_moments = jax.jit(moments)
_cca_of = jax.jit(cca_of, static_argnames="rank")


def check_rank(rank: int | None, p: int, q: int) -> None:
    """Raise an error for more directions than these widths have."""
    if rank is None:
        return
    _checks.positive("rank", rank)
    if rank > min(p, q):
        raise _checks.bad("rank", rank, f"at most the smaller width, {min(p, q)}", "Lower it, or leave it out.")


def check_ridge(ridge: float | Array) -> float:
    """Return a concrete ridge if it is valid."""
    _checks.number("ridge", ridge, "a finite number of at least 0", "Pass ridge=0 for plain CCA.")
    if not ridge >= 0:
        raise _checks.bad("ridge", ridge, "a finite number of at least 0", "Pass ridge=0 for plain CCA.")
    return float(ridge)


def check_samples(samples: int, width: int, rank: int | None, ridge: float | Array) -> None:
    """Raise an error for data on which every canonical correlation would be 1."""
    has_ridge = not _checks.is_concrete(ridge) or bool(ridge > 0)
    if samples <= width and not has_ridge and not (rank is not None and rank < samples):
        raise _checks.bad(
            "x",
            f"{samples} samples for {width} neurons",
            "more samples than neurons, since otherwise every canonical correlation is 1",
            "Use more samples, pass ridge > 0, or a rank below the number of samples.",
        )
