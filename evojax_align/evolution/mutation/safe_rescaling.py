"""Safe mutation by rescaling (SM-R): noise that changes the outputs by a given amount.

Lehman, Chen, Clune & Stanley (2018), and their code.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from evojax_align import _checks
from evojax_align._tree import floats, normals, nothing
from evojax_align._types import Apply, Array, ArrayLike, Float, PRNGKey, PyTree
from evojax_align.evolution.mutation.gaussian import added

FASTEST = 16.0
"""The largest factor between one trial and the next."""


def mean_square(before: PyTree, after: PyTree) -> Float[Array, ""]:
    """The mean squared difference of two trees of outputs, over all floating-point entries.

    Example:
        >>> import jax.numpy as jnp, evojax_align as ea
        >>> before, after = {"logits": jnp.zeros((2, 2))}, {"logits": jnp.array([[2.0, 0.0], [0.0, 0.0]])}
        >>> float(ea.evolution.mutation.mean_square(before, after))
        1.0
    """
    pairs = list(zip(floats(before)[0], floats(after)[0], strict=True))
    if not pairs:
        raise _checks.bad("before", "no floating-point numbers", "outputs", "Measure integers yourself: measure=.")
    wide = [[leaf.astype(jnp.promote_types(leaf.dtype, jnp.float32)) for leaf in pair] for pair in pairs]
    return sum((jnp.sum(jnp.abs(q - p) ** 2) for p, q in wide), start=jnp.zeros(())) / sum(p.size for p, _ in pairs)


def safe_rescaling(
    key: PRNGKey,
    apply: Apply,
    params: PyTree,
    x: PyTree,
    *,
    divergence: ArrayLike,
    measure: Callable[[Any, Any], Any] = mean_square,
    scale: ArrayLike = 0.1,
    limit: ArrayLike = 10.0,
    tolerance: ArrayLike = 0.01,
    rounds: int = 20,
) -> PyTree:
    """Add Gaussian noise to one network, scaled so that its outputs change by a given divergence (SM-R).

    One direction N(0, I) is drawn. A line search finds the t for which params + t N(0, I) has the divergence. It
    alternates between extrapolation, as if the divergence grew with t², and bisection on a logarithmic scale.

    Args:
        key: a random key.
        apply: the network.
        params: its parameters.
        x: typical inputs of the network, such as a sample of those on which its fitness is evaluated.
        divergence: the desired change of the outputs.
        measure: the divergence of outputs, `measure(before, after)`; the mean squared difference by default, as in most
            experiments of Lehman et al. For a policy, it may be the Kullback-Leibler divergence of its actions.
        scale: standard deviation of the noise at the start of the search.
        limit: the largest standard deviation that is tried.
        tolerance: the search ends at this relative distance from the divergence.
        rounds: largest number of trials, each of which runs the network on all inputs.

    Returns:
        A tree like the parameters: the trial with the divergence nearest to the desired one, by ratio. If no trial
        changes the outputs, the noise has standard deviation `scale`. Leaves that are not floating-point are not
        changed. Derivatives with respect to the parameters treat the noise as a constant.

    Raises:
        ValueError: for an invalid divergence, scale, limit, tolerance or number of rounds, or a measure that does not
            return one number.

    Example:
        >>> import jax, jax.numpy as jnp, evojax_align as ea
        >>> apply = lambda params, x: jnp.tanh(x @ params["w"])
        >>> params, x = {"w": jnp.ones((3, 2))}, jax.random.normal(jax.random.key(0), (50, 3))
        >>> mutant = ea.evolution.mutation.safe_rescaling(jax.random.key(1), apply, params, x, divergence=0.01)
        >>> found = ea.evolution.mutation.mean_square(apply(params, x), apply(mutant, x))
        >>> bool(abs(found / 0.01 - 1) < 0.02)
        True

    References:
        Lehman, J., Chen, J., Clune, J. and Stanley, K. O. (2018). Safe mutations for deep and recurrent neural networks
        through output gradients. GECCO.
    """
    key = _checks.key("key", key)
    _checks.positive("rounds", rounds)
    settings = {"divergence": divergence, "scale": scale, "limit": limit, "tolerance": tolerance}
    for name, value in settings.items():
        _checks.above_zero(name, _checks.number(name, value))
    if not callable(measure):
        fix = "Pass lambda before, after: ..., or leave it out."
        raise _checks.bad("measure", repr(measure)[:80], "a function measure(before, after)", fix)
    leaves, put = floats(params)
    noise = normals(key, leaves)
    fixed, x = jax.lax.stop_gradient((params, x))
    before = _checks.traced(lambda apply: apply, apply, fixed, x)
    still, put_still = floats(fixed)

    def diverged(t: Array) -> Array:
        moved = put_still([added(leaf, t * of) for leaf, of in zip(still, noise, strict=True)])
        found = measure(before, apply(moved, x))
        if jnp.shape(found) != ():
            fix = "Take the mean over samples and outputs."
            raise _checks.bad("measure", f"shape {jnp.shape(found)}", "one number", fix)
        return jnp.asarray(found)

    varying = nothing((fixed, x, before, noise)).astype(float)
    target, first, last = (
        jax.lax.stop_gradient(jnp.asarray(value, float)) + varying for value in (divergence, scale, limit)
    )
    t = _search(diverged, target, jnp.minimum(first, last), last, tolerance, rounds)
    return put([added(leaf, t * of) for leaf, of in zip(leaves, noise, strict=True)])


def _search(
    diverged: Callable[[Array], Array], target: Array, start: Array, limit: Array, tolerance: ArrayLike, rounds: int
) -> Array:
    """The t in [0, limit] at which a mostly increasing function with value 0 at 0 comes nearest to the target."""

    def unfinished(state: tuple[Array, ...]) -> Array:
        number, *_, gap = state
        return (number < rounds) & (gap > jnp.log1p(tolerance))

    def trial(state: tuple[Array, ...]) -> tuple[Array, ...]:
        number, t, low, high, best, gap = state
        found = diverged(t).astype(t.dtype)
        found = jnp.where(jnp.isnan(found), jnp.inf, jnp.abs(found))  # NaN counts as too large a change
        off = jnp.abs(jnp.log(found / target))
        best, gap = jnp.where(off < gap, t, best), jnp.minimum(off, gap)
        low, high = jnp.where(found < target, t, low), jnp.where(found < target, high, t)
        guess = t * jnp.clip(jnp.sqrt(target / found), 1 / FASTEST, FASTEST)
        closed = (low > 0) & (high < jnp.inf)
        middle = jnp.sqrt(jnp.where(closed, low, 1.0)) * jnp.sqrt(jnp.where(closed, high, 1.0))
        fits = (low < guess) & (guess < high) & (number % 2 == 0)
        step = jnp.minimum(jnp.where(closed & ~fits, middle, guess), limit)
        number = jnp.where(step == t, rounds, number + 1)  # no further t to try
        return number, step, low, high, best, gap

    zero = 0 * start  # varies over devices as the other carries do
    state = nothing(start), start, zero, zero + jnp.inf, start, zero + jnp.inf
    return jax.lax.while_loop(unfinished, trial, state)[4]
