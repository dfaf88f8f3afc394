"""Scores of a network or an ensemble on a data set, and batches of samples."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from evojax_align import _devices, population
from evojax_align._types import Apply, Array, ArrayLike, Float, Loss, Metrics, PyTree
from evojax_align.training._checking import check_data
from evojax_align.training.scoring import (
    CHUNK,
    Score,
    in_chunks,
    measures,
    not_finite,
    of_means,
    weighted,
)


def evaluate(
    apply: Apply,
    params: PyTree,
    x: PyTree,
    y: PyTree = None,
    *,
    loss: Loss | None = None,
    metrics: Metrics | None = None,
    chunk: int = CHUNK,
) -> Score:
    """Score one network on a whole data set, `chunk` samples at a time.

    Args:
        apply: the network. Its outputs may be any pytree if a loss is given.
        params: its parameters.
        x: inputs, any pytree with samples along the leading axis.
        y: targets, likewise; integer labels for the default loss, and None if the loss needs none.
        loss: `loss(outputs, targets)`, one number for each sample; softmax cross-entropy by default.
        metrics: further such functions, by name.
        chunk: samples at a time.

    Returns:
        A `Score`: mean loss, accuracy (None if a loss is given) and metrics.

    Raises:
        ValueError: for no data, targets that do not fit, or a loss that does not return one number for each sample.

    Example:
        >>> import jax.numpy as jnp, evojax_align as ea
        >>> line = lambda p, x: p * x
        >>> squares = lambda outputs, y: (outputs - y) ** 2
        >>> ea.training.evaluate(line, 2.0, jnp.arange(3.0), jnp.arange(3.0), loss=squares).loss.round(3).item()
        1.6670000553131104
    """
    return _evaluate(lambda params, x: (apply(params, x), False), params, x, y, loss, metrics, chunk)


def _evaluate(
    applied: Callable[[PyTree, PyTree], tuple[PyTree, ArrayLike]],
    params: PyTree,
    x: PyTree,
    y: PyTree,
    loss: Loss | None,
    metrics: Metrics | None,
    chunk: int,
) -> Score:
    """`evaluate` of a function that returns outputs, and the samples on which it failed apart from bad outputs."""
    x, y = jax.tree.map(jnp.asarray, (x, y))
    check_data("x, y", lambda params, x: applied(params, x)[0], params, x, y, loss, metrics, chunk=chunk)

    def totals(part: tuple[PyTree, PyTree], weights: Array) -> dict[str, Array]:
        (inputs, targets), weights = _devices.split((part, weights))
        outputs, failed = applied(params, inputs)
        found = measures(outputs, targets, loss=loss, metrics=metrics)
        found = {name: jnp.where(failed, jnp.nan, values) for name, values in found.items()}
        return {name: jnp.sum(weighted(values, weights)) for name, values in found.items()}

    count = jax.tree.leaves(x)[0].shape[0]
    sums = in_chunks(totals, (x, y), chunk=chunk, total=True)
    return of_means({name: value / count for name, value in sums.items()})


def evaluate_ensemble(
    apply: Apply,
    pop: PyTree,
    x: PyTree,
    y: PyTree = None,
    *,
    loss: Loss | None = None,
    metrics: Metrics | None = None,
    combine: Callable[[PyTree], PyTree] | None = None,
    chunk: int = CHUNK,
) -> Score:
    """Score the ensemble of all members of a population.

    Args:
        apply: the network.
        pop: the population.
        x: inputs, as in `evaluate`.
        y: targets, likewise.
        loss: `loss(outputs, targets)`.
        metrics: further such functions, by name.
        combine: maps outputs with a leading axis of members to outputs. By default, logits become the logarithm of the
            mean of all members' probabilities; with another loss, the mean of the outputs is taken.
        chunk: samples at a time.

    Returns:
        A `Score`, NaN if one member has an output that is NaN or +infinity, whatever `combine` returns.

    Example:
        >>> import jax.numpy as jnp, evojax_align as ea
        >>> pop, x, y = jnp.array([1.0, 3.0]), jnp.ones(2), jnp.array([2.0, 3.0])
        >>> line, squares = lambda p, x: p * x, lambda outputs, y: (outputs - y) ** 2
        >>> ea.training.evaluate_ensemble(line, pop, x, y, loss=squares).loss.item()
        0.5
    """
    combine = combine or (log_mean_probabilities if loss is None else _mean)

    def together(pop: PyTree, part: PyTree) -> tuple[PyTree, Array]:
        outputs = population.map(lambda params: apply(params, part), pop)
        failed = jax.vmap(lambda of: not_finite(of, jax.tree.leaves(part)[0].shape[0]))(outputs)
        return combine(outputs), failed.any(axis=0)

    return _evaluate(together, pop, x, y, loss, metrics, chunk)


def log_mean_probabilities(logits: Float[Array, "members n ... classes"]) -> Float[Array, "n ... classes"]:
    """The logarithm of the mean of all members' probabilities."""
    wide = jax.nn.log_softmax(logits.astype(jnp.promote_types(logits.dtype, jnp.float32)))
    return jax.nn.logsumexp(wide, axis=0) - jnp.log(logits.shape[0])


def _mean(outputs: PyTree) -> PyTree:
    return jax.tree.map(lambda leaf: jnp.mean(leaf, axis=0), outputs)


def batches(order: Array, size: int) -> tuple[Array, Array]:
    """Index batches of equal size, and weights that are 0 for the padding of the last batch."""
    padding = -order.size % size
    weights = jnp.concatenate([jnp.ones(order.size), jnp.zeros(padding)])
    filled = jnp.concatenate([order, jnp.zeros(padding, order.dtype)])
    return filled.reshape(-1, size), weights.reshape(-1, size)


def taken(x: PyTree, index: Array) -> PyTree:
    """The samples with these indices."""
    return jax.tree.map(lambda leaf: leaf[index], x)
