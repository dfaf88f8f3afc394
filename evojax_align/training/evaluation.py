"""How well networks do: loss and accuracy on a batch, on a data set, and of several together."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax

from evojax_align import _checks, population
from evojax_align._types import Apply, Array, ArrayLike, Float, Int, PyTree

CHUNK = 1000
"""Samples at a time in evaluation."""


def loss_and_accuracy(
    apply: Apply, params: PyTree, x: PyTree, y: Int[Array, " n"], weights: Float[Array, " n"] | None = None
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Mean cross-entropy and accuracy of one network on one batch; weights of 0 leave samples out."""
    logits = apply(params, x)
    logits = logits.astype(jnp.promote_types(logits.dtype, jnp.float32))
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, y)
    hits = (jnp.argmax(logits, axis=-1) == y).astype(losses.dtype)
    if weights is None:
        return jnp.mean(losses), jnp.mean(hits)
    total = jnp.sum(weights)
    return jnp.sum(losses * weights) / total, jnp.sum(hits * weights) / total


def evaluate(
    apply: Apply, params: PyTree, x: PyTree, y: Int[ArrayLike, " n"], *, chunk: int = CHUNK
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Mean cross-entropy and accuracy of one network on a whole data set, `chunk` samples at a time."""
    x, y = jax.tree.map(jnp.asarray, x), jnp.asarray(y)
    count = y.shape[0]
    index, weights = batches(jnp.arange(count), min(chunk, count))

    def totals(part: tuple[Array, Array]) -> tuple[Array, Array]:
        picked, of_sample = part
        loss, accuracy = loss_and_accuracy(apply, params, taken(x, picked), y[picked], of_sample)
        share = jnp.sum(of_sample) / count
        return loss * share, accuracy * share

    losses, accuracies = jax.lax.map(totals, (index, weights))
    return jnp.sum(losses), jnp.sum(accuracies)


def evaluate_ensemble(
    apply: Apply, pop: PyTree, x: PyTree, y: Int[ArrayLike, " n"], *, chunk: int = CHUNK
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Mean cross-entropy and accuracy of the mean of all members' probabilities; NaN if a member's are not finite."""

    def chances(part: PyTree) -> Array:
        logits = population.map(lambda params: apply(params, part), pop)
        wide = jax.nn.log_softmax(logits.astype(jnp.promote_types(logits.dtype, jnp.float32)))
        return jax.nn.logsumexp(wide, axis=0) - jnp.log(logits.shape[0])

    found, y = in_chunks(chances, jax.tree.map(jnp.asarray, x), chunk=chunk), jnp.asarray(y)
    accuracy = jnp.where(jnp.isfinite(found).all(), (found.argmax(axis=-1) == y).mean(), jnp.nan)
    return -found[jnp.arange(y.shape[0]), y].mean(), accuracy


def in_chunks(fn: Callable[[PyTree], PyTree], data: PyTree, *, chunk: int = CHUNK) -> PyTree:
    """What a function of some samples gives for all of them, `chunk` at a time, so that memory stays bounded.

    Args:
        fn: from samples to something for each, both along the leading axis of every leaf.
        data: all samples.
        chunk: how many the function sees at a time; the last ones may be fewer.
    """
    count = jnp.shape(jax.tree.leaves(data)[0])[0]
    whole, rest = divmod(count, _checks.positive("chunk", chunk))
    found = []
    if whole:
        parts = jax.tree.map(lambda leaf: leaf[: whole * chunk].reshape(whole, chunk, *leaf.shape[1:]), data)
        flat = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), jax.lax.map(fn, parts))
        found.append(flat)
    if rest or not whole:
        found.append(fn(jax.tree.map(lambda leaf: leaf[whole * chunk :], data)))
    return jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *found)


def check_labels(argument: str, apply: Apply, params: PyTree, x: PyTree, y: Int[Array, " n"]) -> None:
    """Refuse no data, labels that do not belong to the inputs, and labels that the network has no logit for."""
    counts = {jnp.shape(leaf)[:1] for leaf in jax.tree.leaves(x)} | {jnp.shape(y)}
    if len(counts) != 1 or counts == {(0,)} or not jnp.issubdtype(y.dtype, jnp.integer):
        shapes = [jnp.shape(leaf) for leaf in jax.tree.leaves(x)]
        came = f"inputs of shape {shapes} and {y.dtype} labels of shape {y.shape}"
        raise _checks.bad(argument, came, "at least one sample, and one integer label for each", "Check the data set.")
    one = jax.tree.map(lambda leaf: leaf[:1], x)
    classes = _checks.traced(lambda f: partial(jax.eval_shape, f), apply, params, one).shape[-1]
    if _checks.is_concrete(y) and not (0 <= np.asarray(y).min() and np.asarray(y).max() < classes):
        came = f"labels from {np.asarray(y).min()} to {np.asarray(y).max()}"
        raise _checks.bad(argument, came, f"0 to {classes - 1}, for {classes} logits", "Renumber the classes.")


def batches(order: Array, size: int) -> tuple[Array, Array]:
    """Index batches of equal size, and weights that are 0 where the last one was filled up."""
    padding = -order.size % size
    weights = jnp.concatenate([jnp.ones(order.size), jnp.zeros(padding)])
    filled = jnp.concatenate([order, jnp.zeros(padding, order.dtype)])
    return filled.reshape(-1, size), weights.reshape(-1, size)


def taken(x: PyTree, index: Array) -> PyTree:
    """The samples of these numbers."""
    return jax.tree.map(lambda leaf: leaf[index], x)
