"""Adversarial examples: inputs that are changed within a small distance so that a network errs on them.

Functions of one network; lift them with `population.map`. To measure how an attack on one network transfers to others,
evaluate their accuracy on the inputs that it returns (`training.evaluate`).
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from evojax_align import _checks
from evojax_align._types import Apply, Array, ArrayLike, Float, Loss, PRNGKey, PyTree
from evojax_align.training._checking import check_data
from evojax_align.training.scoring import CHUNK, cross_entropy, in_chunks, not_finite

__all__ = [
    "fgsm",
    "pgd",
]

Bounds = tuple[float, float] | None
"""Smallest and largest value of an input, or None for no bounds."""


def fgsm(
    apply: Apply,
    params: PyTree,
    x: Float[ArrayLike, "n ..."],
    y: PyTree,
    *,
    epsilon: ArrayLike,
    bounds: Bounds = (0.0, 1.0),
    spare_errors: bool = False,
    loss: Loss | None = None,
    chunk: int = CHUNK,
) -> Float[Array, "n ..."]:
    """The fast gradient sign method: x + epsilon sign(d loss / d x).

    Args:
        apply: the network; its outputs are logits, or what `loss` takes, and each sample's depend only on that sample.
        params: its parameters.
        x: inputs.
        y: labels, or the targets that `loss` takes.
        epsilon: the step, in units of the inputs.
        bounds: the inputs stay within these.
        spare_errors: do not change samples that the network already misclassifies, as Cooke and de Alfaro do.
        loss: `loss(outputs, targets)`, one number for each sample; softmax cross-entropy by default.
        chunk: samples at a time.

    Returns:
        The changed inputs; none of their values is further from x than epsilon.

    Raises:
        ValueError: for an epsilon below 0, wrong bounds, inputs outside of them, or labels that do not fit.

    Example:
        >>> import jax.numpy as jnp, evojax_align as ea
        >>> apply, params = lambda params, x: x @ params["w"], {"w": jnp.eye(2)}
        >>> x, y = jnp.array([[0.75, 0.5]]), jnp.array([0])
        >>> moved = ea.attacks.fgsm(apply, params, x, y, epsilon=0.25)
        >>> moved.tolist(), apply(params, x).argmax(1).tolist(), apply(params, moved).argmax(1).tolist()
        ([[0.5, 0.75]], [0], [1])

    References:
        Goodfellow, I., Shlens, J. and Szegedy, C. (2015). Explaining and harnessing adversarial examples. ICLR.
    """
    _check(apply, params, x, y, epsilon, bounds, spare_errors, loss, chunk)

    def attack(x: Array, y: PyTree) -> Array:
        return _within(x + epsilon * jnp.sign(_uphill(apply, params, x, y, loss)), bounds)

    return _chunked(_skipping_errors(apply, params, attack) if spare_errors else attack, x, y, chunk)


def pgd(
    apply: Apply,
    params: PyTree,
    x: Float[ArrayLike, "n ..."],
    y: PyTree,
    *,
    epsilon: ArrayLike,
    key: PRNGKey,
    steps: int = 10,
    step_size: ArrayLike | None = None,
    bounds: Bounds = (0.0, 1.0),
    spare_errors: bool = False,
    loss: Loss | None = None,
    chunk: int = CHUNK,
) -> Float[Array, "n ..."]:
    """Projected gradient descent: many small steps of `fgsm` from a random start, never further away than epsilon.

    Args:
        apply: the network; its outputs are logits, or what `loss` takes, and each sample's depend only on that sample.
        params: its parameters.
        x: inputs.
        y: labels, or the targets that `loss` takes.
        epsilon: the largest change of a value.
        key: draws the start within epsilon.
        steps: number of steps.
        step_size: length of a step; by default 2.5 epsilon / steps, with which any point can be reached.
        bounds: the inputs stay within these.
        spare_errors: do not change samples that the network already misclassifies.
        loss: `loss(outputs, targets)`, one number for each sample; softmax cross-entropy by default.
        chunk: samples at a time.

    Returns:
        The changed inputs; none of their values is further from x than epsilon.

    Raises:
        ValueError: as `fgsm`, and for fewer than one step.

    Example:
        >>> import jax, jax.numpy as jnp, evojax_align as ea
        >>> apply, params = lambda params, x: x @ params["w"], {"w": jnp.eye(2)}
        >>> x, y = jnp.array([[0.75, 0.5]]), jnp.array([0])
        >>> moved = ea.attacks.pgd(apply, params, x, y, epsilon=0.25, key=jax.random.key(0))
        >>> bool(jnp.allclose(moved, jnp.array([[0.5, 0.75]]))), apply(params, moved).argmax(1).tolist()
        (True, [1])

    References:
        Madry, A. et al. (2018). Towards deep learning models resistant to adversarial attacks. ICLR.
    """
    _check(apply, params, x, y, epsilon, bounds, spare_errors, loss, chunk)
    key = _checks.key("key", key)
    _checks.positive("steps", steps)
    if step_size is not None and _checks.is_concrete(step_size):
        _checks.above_zero("step_size", float(np.asarray(step_size)))
    length = 2.5 * jnp.asarray(epsilon) / steps if step_size is None else jnp.asarray(step_size)
    moved = jax.random.uniform(key, jnp.shape(x), jnp.asarray(x).dtype, -1, 1) * epsilon

    def attack(x: Array, y: PyTree, moved: Array) -> Array:
        def climb(_: ArrayLike, found: Array) -> Array:
            found = found + length * jnp.sign(_uphill(apply, params, found, y, loss))
            return _within(jnp.clip(found, x - epsilon, x + epsilon), bounds)

        return jax.lax.fori_loop(0, steps, climb, _within(x + moved, bounds))

    return _chunked(_skipping_errors(apply, params, attack) if spare_errors else attack, x, y, chunk, moved)


def _uphill(apply: Apply, params: PyTree, x: Array, y: PyTree, loss: Loss | None) -> Array:
    """The gradient of every sample's loss with respect to its inputs."""
    return jax.grad(lambda x: jnp.sum((loss or cross_entropy)(apply(params, x), y)))(x)


def _within(x: Array, bounds: Bounds) -> Array:
    return x if bounds is None else jnp.clip(x, *bounds)


def _skipping_errors(apply: Apply, params: PyTree, attack: Callable[..., Array]) -> Callable[..., Array]:
    def spared(x: Array, y: Array, *more: Array) -> Array:
        logits = apply(params, x)
        right = (jnp.argmax(logits, axis=-1) == y) & ~not_finite(logits, len(logits))
        return jnp.where(right.reshape(-1, *[1] * (x.ndim - 1)), attack(x, y, *more), x)

    return spared


def _chunked(attack: Callable[..., Array], x: ArrayLike, y: PyTree, chunk: int, *more: Array) -> Array:
    return in_chunks(lambda part: attack(*part), (*jax.tree.map(jnp.asarray, (x, y)), *more), chunk=chunk)


def _check(
    apply: Apply,
    params: PyTree,
    x: ArrayLike,
    y: PyTree,
    epsilon: ArrayLike,
    bounds: Bounds,
    spare_errors: bool,
    loss: Loss | None,
    chunk: int,
) -> None:
    if not jnp.issubdtype(jnp.result_type(x), jnp.floating):
        fix = "Pass jnp.asarray(x, jnp.float32), scaled as the network was trained."
        raise _checks.bad(
            "x", f"inputs of type {jnp.result_type(x)}", "floating-point inputs, which have gradients", fix
        )
    check_data("x, y", apply, params, jnp.asarray(x), jax.tree.map(jnp.asarray, y), loss, chunk=chunk)
    if spare_errors and loss is not None:
        raise _checks.bad("spare_errors", True, "False with a loss, as only labels can be wrong", "Leave it out.")
    if jnp.ndim(epsilon) or (_checks.is_concrete(epsilon) and not np.asarray(epsilon) >= 0):
        raise _checks.bad("epsilon", epsilon, "one number of at least 0", "It is a distance in units of the inputs.")
    if bounds is None:
        return
    low, high = bounds
    if not low <= high:
        raise _checks.bad("bounds", bounds, "(smallest, largest)", "Swap them, or pass None for no bounds.")
    if _checks.is_concrete(x) and np.size(x):
        least, most = np.asarray(x).min(), np.asarray(x).max()
        if low <= least and most <= high:
            return
        came = f"inputs from {least:g} to {most:g}"
        raise _checks.bad("x", came, f"values within bounds={bounds}", "Pass the bounds of your inputs, or None.")
