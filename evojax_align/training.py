"""Gradient descent for one network and, lifted, for a population: a step, an epoch, and `fit`."""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct

from evojax_align import _checks, population
from evojax_align._types import Apply, Array, ArrayLike, Bool, Float, Int, PRNGKey, PyTree

CHUNK = 1000
"""Samples at a time in evaluation."""


@struct.dataclass
class History:
    """What every member went through; NaN in the epochs after it had stopped."""

    loss: Float[Array, "members epochs"]
    """Mean cross-entropy over the epoch's batches, each before its step."""
    accuracy: Float[Array, "members epochs"]
    validation_loss: Float[Array, "members epochs"] | None
    """None without validation data."""
    validation_accuracy: Float[Array, "members epochs"] | None
    best_epoch: Int[Array, " members"]
    """The epoch, from 0, of the lowest validation loss; the last one without validation data."""


@struct.dataclass
class Member:
    """One network in training: all that its next epoch needs."""

    params: PyTree
    moments: PyTree
    """State of the optimiser."""
    best_params: PyTree
    """None where the best are not kept."""
    best_loss: Float[Array, "..."]
    best_epoch: Int[Array, "..."]
    active: Bool[Array, "..."]
    """False once the validation loss has not fallen for `patience` epochs."""


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
    index, weights = _batches(jnp.arange(count), min(chunk, count))

    def totals(part: tuple[Array, Array]) -> tuple[Array, Array]:
        picked, of_sample = part
        loss, accuracy = loss_and_accuracy(apply, params, _take(x, picked), y[picked], of_sample)
        share = jnp.sum(of_sample) / count
        return loss * share, accuracy * share

    losses, accuracies = jax.lax.map(totals, (index, weights))
    return jnp.sum(losses), jnp.sum(accuracies)


def step(
    apply: Apply,
    optimizer: optax.GradientTransformation,
    params: PyTree,
    moments: PyTree,
    x: PyTree,
    y: Int[Array, " n"],
    weights: Float[Array, " n"] | None = None,
) -> tuple[PyTree, PyTree, tuple[Float[Array, ""], Float[Array, ""]]]:
    """One step of one network on one batch: new parameters, new optimiser state, loss and accuracy before it."""
    metrics, gradient = jax.value_and_grad(lambda p: loss_and_accuracy(apply, p, x, y, weights), has_aux=True)(params)
    updates, moments = optimizer.update(gradient, moments, params)
    return optax.apply_updates(params, updates), moments, metrics


def epoch(
    apply: Apply,
    optimizer: optax.GradientTransformation,
    params: PyTree,
    moments: PyTree,
    x: PyTree,
    y: Int[Array, " n"],
    *,
    batch_size: int,
    key: PRNGKey,
) -> tuple[PyTree, PyTree, tuple[Float[Array, ""], Float[Array, ""]]]:
    """One pass of one network over all samples, in an order drawn from the key.

    The last batch is as small as it falls; no sample is left out and none is seen twice.

    Returns:
        New parameters, new optimiser state, and the means of loss and accuracy over the samples.
    """
    order, weights = _batches(jax.random.permutation(key, y.shape[0]), min(batch_size, y.shape[0]))

    def body(state: tuple[PyTree, PyTree], batch: tuple[Array, Array]) -> tuple[tuple[PyTree, PyTree], Array]:
        index, of_sample = batch
        params, moments, metrics = step(apply, optimizer, *state, _take(x, index), y[index], of_sample)
        return (params, moments), jnp.stack(metrics) * jnp.sum(of_sample)

    (params, moments), sums = jax.lax.scan(body, (params, moments), (order, weights))
    loss, accuracy = jnp.sum(sums, axis=0) / y.shape[0]
    return params, moments, (loss, accuracy)


def fit(
    apply: Apply,
    pop: PyTree,
    data: tuple[PyTree, Int[ArrayLike, " n"]],
    optimizer: optax.GradientTransformation,
    *,
    epochs: int,
    batch_size: int,
    key: PRNGKey,
    validation: tuple[PyTree, Int[ArrayLike, " m"]] | None = None,
    patience: int | None = None,
    keep_best: bool = False,
    on_epoch: Callable[[int, dict[str, np.ndarray]], None] | None = None,
) -> tuple[PyTree, History]:
    """Train every member of a population, in one compiled call an epoch.

    Main arguments:
        apply: the network, giving logits [samples, classes].
        pop: the population.
        data: inputs and integer labels, shared by all members; each sees them in an order of its own.
        optimizer: any optax optimiser; its state starts fresh.
        epochs: passes over the data, at most.
        batch_size: samples a step.
        key: split into one key per member, and one per epoch of it.

    Other arguments:
        validation: inputs and labels that are evaluated after every epoch.
        patience: stop a member when its validation loss has not fallen for this many epochs.
        keep_best: return every member's parameters of its lowest validation loss, not its last.
        on_epoch: called after every epoch with its number, from 1, and the metrics of the members, on the host.

    Returns:
        The trained population and its `History`. A member's result does not depend on who else is in the population.

    Raises:
        ValueError: for no data, labels out of range, or early stopping without validation data.
    """
    x, y = jax.tree.map(jnp.asarray, tuple(data))
    member = population.take(pop, 0)
    check_labels("data", apply, member, x, y)
    if validation is not None:
        validation = jax.tree.map(jnp.asarray, tuple(validation))
        check_labels("validation", apply, member, *validation)
    for name, value in (("patience", patience), ("keep_best", keep_best or None)):
        if value is not None and validation is None:
            raise _checks.bad(name, value, "validation data beside it", "Pass validation=(x, y).")
    for name, value in (("epochs", epochs), ("batch_size", batch_size), ("patience", patience or 1)):
        _checks.positive(name, value)

    keys = jax.random.split(key, population.size(pop))
    members = _start(optimizer, pop, keep_best)
    rows: list[dict[str, np.ndarray]] = []
    for number in range(epochs):
        members, metrics = _epoch_of_all(
            apply, optimizer, members, x, y, validation, keys, number, batch_size, patience, keep_best
        )
        if on_epoch is not None or patience is not None:
            metrics = {name: np.asarray(values) for name, values in metrics.items()}
        rows.append(metrics)
        if on_epoch is not None:
            on_epoch(number + 1, metrics)
        if patience is not None and not np.asarray(members.active).any():
            break
    columns = {name: jnp.stack([row[name] for row in rows], axis=1) for name in rows[0]}
    history = History(
        loss=columns["loss"],
        accuracy=columns["accuracy"],
        validation_loss=columns.get("validation_loss"),
        validation_accuracy=columns.get("validation_accuracy"),
        best_epoch=members.best_epoch,
    )
    return members.best_params if keep_best else members.params, history


@partial(jax.jit, static_argnames=("optimizer", "keep_best"))
def _start(optimizer: optax.GradientTransformation, pop: PyTree, keep_best: bool) -> Member:
    def start(params: PyTree) -> Member:
        return Member(
            params=params,
            moments=optimizer.init(params),
            best_params=params if keep_best else None,
            best_loss=jnp.array(jnp.inf, jnp.float32),
            best_epoch=jnp.array(0),
            active=jnp.array(True),
        )

    return population.map(start, pop)


@partial(jax.jit, static_argnames=("apply", "optimizer", "batch_size", "patience", "keep_best"), donate_argnums=2)
def _epoch_of_all(
    apply: Apply,
    optimizer: optax.GradientTransformation,
    members: Member,
    x: PyTree,
    y: Array,
    validation: tuple[PyTree, Array] | None,
    keys: Array,
    number: Array,
    batch_size: int,
    patience: int | None,
    keep_best: bool,
) -> tuple[Member, dict[str, Array]]:
    def train(member: Member, key: PRNGKey) -> tuple[Member, dict[str, Array]]:
        params, moments, (loss, accuracy) = epoch(
            apply,
            optimizer,
            member.params,
            member.moments,
            x,
            y,
            batch_size=batch_size,
            key=jax.random.fold_in(key, number),
        )
        member, metrics = (
            dataclasses.replace(member, params=params, moments=moments),
            {"loss": loss, "accuracy": accuracy},
        )
        if validation is None:
            return dataclasses.replace(member, best_epoch=number), metrics
        of_validation, accuracy = evaluate(apply, params, *validation)
        member = _judged(member, of_validation, number, patience, keep_best)
        metrics |= {"validation_loss": of_validation, "validation_accuracy": accuracy}
        return member, {name: value.astype(member.best_loss.dtype) for name, value in metrics.items()}

    def rest(member: Member, key: PRNGKey) -> tuple[Member, dict[str, Array]]:
        names = ("loss", "accuracy", "validation_loss", "validation_accuracy")
        return member, {name: jnp.full_like(member.best_loss, jnp.nan) for name in names}

    def one(member: Member, key: PRNGKey) -> tuple[Member, dict[str, Array]]:
        return train(member, key) if patience is None else jax.lax.cond(member.active, train, rest, member, key)

    return population.map(one, members, keys)


def _judged(member: Member, loss: Array, number: Array, patience: int | None, keep_best: bool) -> Member:
    """Keep the best; a loss that is NaN is never better."""
    better = loss < member.best_loss
    best_epoch = jnp.where(better, number, member.best_epoch)
    best_params = member.best_params
    if keep_best:
        best_params = jax.tree.map(lambda new, old: jnp.where(better, new, old), member.params, best_params)
    return dataclasses.replace(
        member,
        best_params=best_params,
        best_loss=jnp.where(better, loss, member.best_loss),
        best_epoch=best_epoch,
        active=jnp.array(True) if patience is None else number - best_epoch < patience,
    )


def _batches(order: Array, size: int) -> tuple[Array, Array]:
    """Index batches of equal size, and weights that are 0 where the last one was filled up."""
    padding = -order.size % size
    weights = jnp.concatenate([jnp.ones(order.size), jnp.zeros(padding)])
    filled = jnp.concatenate([order, jnp.zeros(padding, order.dtype)])
    return filled.reshape(-1, size), weights.reshape(-1, size)


def _take(x: PyTree, index: Array) -> PyTree:
    return jax.tree.map(lambda leaf: leaf[index], x)


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
