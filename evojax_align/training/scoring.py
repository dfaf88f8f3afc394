"""Scores of a network: a loss, an accuracy for labels, and other metrics by name.

Training, evaluation, sweeps, curves, ensembles, pruning and evolution all use these functions.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct

from evojax_align import _checks
from evojax_align._types import Apply, Array, ArrayLike, Bool, Float, Loss, Metrics, PyTree

CHUNK = 1000
"""Number of samples at a time in evaluation."""


@struct.dataclass
class Score:
    """Loss, accuracy and metrics of a network as means over samples; for several networks, with leading axes.

    All values are NaN if an output of the network is NaN or +infinity, or its loss is not finite.

    Attributes:
        loss: mean loss; the softmax cross-entropy unless another one was given.
        accuracy: fraction of the labels with the largest logit, an array like the loss; None if another loss was given.
        metrics: means of the other metrics, by name.

    Example:
        >>> import jax.numpy as jnp, evojax_align as ea
        >>> logits, labels = jnp.array([[4.0, 0.0], [4.0, 0.0]]), jnp.array([0, 1])
        >>> ea.training.evaluate(lambda params, x: x, None, logits, labels).accuracy.item()
        0.5
    """

    loss: Float[Array, "..."]
    accuracy: Any
    metrics: Mapping[str, Float[Array, "..."]] = struct.field(default_factory=dict)


def cross_entropy(outputs: Float[ArrayLike, "n ... classes"], targets: ArrayLike) -> Float[Array, " n"]:
    """Softmax cross-entropy of logits with integer labels, in float32 or better.

    Args:
        outputs: logits, [n, classes], or [n, time, classes] for a sequence model.
        targets: labels, [n] or [n, time].

    Returns:
        One number for each sample: the mean over its labels.

    Example:
        >>> import jax.numpy as jnp, evojax_align as ea
        >>> ea.training.cross_entropy(jnp.zeros((1, 3, 4)), jnp.array([[0, 1, 3]])).round(3).tolist()
        [1.3860000371932983]
    """
    logits = jnp.asarray(outputs)
    logits = logits.astype(jnp.promote_types(logits.dtype, jnp.float32))
    return _by_sample(optax.softmax_cross_entropy_with_integer_labels(logits, jnp.asarray(targets)))


def hits(outputs: Float[ArrayLike, "n ... classes"], targets: ArrayLike) -> Float[Array, " n"]:
    """The fraction of each sample's labels with the largest logit."""
    right = jnp.argmax(jnp.asarray(outputs), axis=-1) == jnp.asarray(targets)
    return _by_sample(right.astype(jnp.float32))


def measures(
    outputs: PyTree, targets: PyTree, *, loss: Loss | None = None, metrics: Metrics | None = None
) -> dict[str, Float[Array, " n"]]:
    """Loss, accuracy and metrics of each sample, by name, in float32 or better; NaN for samples that failed.

    This function defines a failure: an output that is NaN or +infinity, or a loss that is not finite. A logit of
    -infinity excludes a class. "accuracy" is omitted if a loss is given.

    Example:
        >>> import jax.numpy as jnp, evojax_align as ea
        >>> outputs, targets = jnp.array([1.0, 2.0, jnp.nan]), jnp.array([1.0, 4.0, 0.0])
        >>> ea.training.measures(outputs, targets, loss=lambda outputs, y: (outputs - y) ** 2)["loss"].tolist()
        [0.0, 4.0, nan]
    """
    refuse_names(metrics)
    found = {"loss": (loss or cross_entropy)(outputs, targets)}
    if loss is None:
        found["accuracy"] = hits(outputs, targets)
    found |= {name: metric(outputs, targets) for name, metric in (metrics or {}).items()}
    found = {name: values.astype(jnp.promote_types(values.dtype, jnp.float32)) for name, values in found.items()}
    lost = not_finite(outputs, found["loss"].shape[0]) | ~jnp.isfinite(found["loss"])
    # added, so that gradients pass through it and are NaN where those of the outputs are
    return {name: values + jnp.where(lost, jnp.nan, 0).astype(values.dtype) for name, values in found.items()}


def score(
    apply: Apply,
    params: PyTree,
    x: PyTree,
    y: PyTree = None,
    *,
    weights: Float[Array, " n"] | None = None,
    loss: Loss | None = None,
    metrics: Metrics | None = None,
) -> Score:
    """Score one network on one batch at once; differentiable.

    Args:
        apply: the network.
        params: its parameters.
        x: inputs.
        y: targets.
        weights: weights of the samples in the means; a weight of 0 excludes a sample, whatever its loss (but gradients
            require that its outputs are finite).
        loss: in place of the softmax cross-entropy.
        metrics: more functions like the loss, by name.

    Example:
        >>> import jax.numpy as jnp, evojax_align as ea
        >>> squares, x, y = lambda outputs, y: (outputs - y) ** 2, jnp.ones(2), jnp.array([2.0, 4.0])
        >>> ea.training.score(lambda p, x: p * x, 2.0, x, y, loss=squares, weights=jnp.array([1.0, 3.0])).loss.item()
        3.0
    """
    found = measures(apply(params, x), y, loss=loss, metrics=metrics)
    if weights is None:
        return of_means({name: jnp.mean(values) for name, values in found.items()})
    total = jnp.sum(weights)
    return of_means({name: jnp.sum(weighted(values, weights)) / total for name, values in found.items()})


def weighted(values: Float[Array, " n"], weights: Float[Array, " n"]) -> Float[Array, " n"]:
    """Values times weights, and 0 where the weight is 0, even for NaN."""
    return jnp.where(weights != 0, values * weights.astype(values.dtype), 0)


def of_means(means: Mapping[str, Array]) -> Score:
    """A `Score` from means by the names of `measures`."""
    others = {name: value for name, value in means.items() if name not in ("loss", "accuracy")}
    return Score(means["loss"], means.get("accuracy"), others)


def in_chunks(fn: Callable[..., PyTree], data: PyTree, *, chunk: int = CHUNK, total: bool = False) -> PyTree:
    """Apply a function of some samples to all samples, in equal chunks, so that memory is bounded.

    Args:
        fn: maps samples, along the leading axis of every leaf, to one value for each of them; or with `total`, samples
            and their weights to sums over them. To make the chunks equal, a few samples occur twice, the second time
            with a weight of 0.
        data: all samples.
        chunk: largest number of samples in a call of the function.
        total: whether to add the results instead of concatenating them.

    Returns:
        The result of `fn` for all samples.

    Example:
        >>> import jax.numpy as jnp, evojax_align as ea
        >>> weighted = lambda part, weights: jnp.sum(part * weights)
        >>> ea.training.in_chunks(weighted, jnp.arange(5.0), chunk=2, total=True).item()
        10.0
    """
    count = jnp.shape(jax.tree.leaves(data)[0])[0]
    size = chunk_size(count, chunk)
    parts = max(1, -(-count // _checks.positive("chunk", chunk)))
    if parts == 1:
        return fn(data, jnp.ones(count)) if total else fn(data)

    def cut(leaf: Array) -> Array:
        return jnp.concatenate([leaf, leaf[: parts * size - count]]).reshape(parts, size, *leaf.shape[1:])

    data = jax.tree.map(cut, data)
    if total:
        weights = jnp.where(jnp.arange(parts * size) < count, 1.0, 0.0).reshape(parts, size)
        return jax.tree.map(partial(jnp.sum, axis=0), jax.lax.map(lambda part: fn(*part), (data, weights)))
    found = jax.lax.map(fn, data)
    return jax.tree.map(lambda leaf: leaf.reshape(parts * size, *leaf.shape[2:])[:count], found)


def chunk_size(count: int, chunk: int = CHUNK) -> int:
    """The number of samples in each call of the function in `in_chunks`."""
    return -(-count // max(1, -(-count // _checks.positive("chunk", chunk))))


def refuse_names(metrics: Metrics | None) -> None:
    """Raise an error for metrics without names, and for names of other fields of records."""
    if metrics is not None and not isinstance(metrics, Mapping):
        fix = "Pass metrics={'name': function}."
        raise _checks.bad("metrics", f"a {type(metrics).__name__}", "functions by name", fix)
    for name in ("loss", "accuracy"):
        if name in (metrics or {}):
            raise _checks.bad("metrics", f"the name {name!r}", "other names", "The record has a field of this name.")


def _by_sample(values: Array) -> Float[Array, " n"]:
    """The mean over all axes but the first."""
    return values.reshape(values.shape[0], -1).mean(axis=1) if values.ndim > 1 else values


def not_finite(outputs: PyTree, count: int) -> Bool[Array, " n"]:
    """Whether each sample has an output that is NaN or +infinity; leaves without an axis of samples are ignored."""
    lost = jnp.zeros(count, bool)
    for leaf in jax.tree.leaves(outputs):
        if jnp.issubdtype(leaf.dtype, jnp.inexact) and leaf.shape[:1] == (count,):
            fine = jnp.isfinite(leaf) if jnp.iscomplexobj(leaf) else leaf < jnp.inf
            lost |= ~fine.reshape(count, -1).all(axis=1)
    return lost
