"""Gradient descent for one network and, lifted, for a population.

`step` and `epoch` are of one network; `init`, `step_epoch` and `finish` of a population, and `fit` is all of them.
"""

import dataclasses
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct
from jax.sharding import Mesh

from evojax_align import _checks, population
from evojax_align._types import Apply, Array, ArrayLike, Bool, Float, Int, Key, PRNGKey, PyTree

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
    """One network in training, with all that its next epochs need; of a population, with a leading axis."""

    key: Key[Array, "..."]
    epoch: Int[Array, "..."]
    """Epochs done."""
    params: PyTree
    moments: PyTree
    """State of the optimiser."""
    best_params: PyTree
    """None where the best are not kept."""
    best_loss: Float[Array, "..."]
    best_epoch: Int[Array, "..."]
    active: Bool[Array, "..."]
    """False once the validation loss has not fallen for `patience` epochs."""
    history: dict[str, Float[Array, "... epochs"]]
    """Metrics of every epoch by name; NaN where it has not come, or the member had stopped."""


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
    shuffle: bool = True,
) -> tuple[PyTree, PyTree, tuple[Float[Array, ""], Float[Array, ""]]]:
    """One pass of one network over all samples, in an order drawn from the key, or without `shuffle` as they lie.

    The last batch is as small as it falls; no sample is left out and none is seen twice.

    Returns:
        New parameters, new optimiser state, and the means of loss and accuracy over the samples.
    """
    order = jax.random.permutation(key, y.shape[0]) if shuffle else jnp.arange(y.shape[0])
    order, weights = _batches(order, min(batch_size, y.shape[0]))

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
    data: Iterable[Any],
    optimizer: optax.GradientTransformation,
    *,
    epochs: int,
    batch_size: int,
    key: PRNGKey,
    validation: Iterable[Any] | None = None,
    patience: int | None = None,
    keep_best: bool = False,
    on_epoch: Callable[[int, dict[str, np.ndarray]], None] | None = None,
    shuffle: bool = True,
    mesh: Mesh | None = None,
) -> tuple[PyTree, History]:
    """Train every member of a population, in one compiled call an epoch.

    Main arguments:
        apply: the network, giving logits [samples, classes].
        pop: the population.
        data: inputs and integer labels, shared by all members; each sees them in an order of its own, unless
            `shuffle` is off.
        optimizer: any optax optimiser; its state starts fresh.
        epochs: passes over the data, at most.
        batch_size: samples a step.
        key: split into one key per member, and one per epoch of it.

    Other arguments:
        validation: inputs and labels that are evaluated after every epoch.
        patience: stop a member when its validation loss has not fallen for this many epochs.
        keep_best: return every member's parameters of its lowest validation loss, not its last.
        shuffle: draw another order of the samples for every member and epoch, instead of taking them as they lie.
        mesh: shares the members out over its devices (see `population.map`). On a CPU, one device for each core
            trains members side by side: `jax.config.update("jax_num_cpu_devices", cores)` before anything runs, and
            `mesh=jax.make_mesh((cores,), ("members",))`.
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
        validation = tuple(validation)
        check_labels("validation", apply, member, *jax.tree.map(jnp.asarray, validation))
    for name, value in (("patience", patience), ("keep_best", keep_best or None)):
        if value is not None and validation is None:
            raise _checks.bad(name, value, "validation data beside it", "Pass validation=(x, y).")
    for name, value in (("epochs", epochs), ("batch_size", batch_size), ("patience", patience or 1)):
        _checks.positive(name, value)

    members = init(pop, optimizer, epochs=epochs, key=key, validated=validation is not None, keep_best=keep_best)
    for number in range(epochs):
        members = step_epoch(
            apply,
            members,
            (x, y),
            optimizer,
            batch_size=batch_size,
            validation=validation,
            patience=patience,
            shuffle=shuffle,
            mesh=mesh,
        )
        if on_epoch is not None:
            on_epoch(number + 1, {name: np.asarray(rows[:, number]) for name, rows in members.history.items()})
        if patience is not None and not np.asarray(members.active).any():
            break
    return finish(members)


def init(
    pop: PyTree,
    optimizer: optax.GradientTransformation,
    *,
    epochs: int,
    key: PRNGKey | Key[Array, " members"],
    validated: bool = False,
    keep_best: bool = False,
) -> Member:
    """A population about to be trained for at most `epochs` epochs, on validation data or not (see `fit`).

    The key may also be an array of keys, one for each member, which then trains as it would in any other population.
    """
    keys = key if jnp.ndim(key) else jax.random.split(key, population.size(pop))
    return _init(optimizer, pop, keys, epochs, validated, keep_best)


def step_epoch(
    apply: Apply,
    members: Member,
    data: Iterable[Any],
    optimizer: optax.GradientTransformation,
    *,
    batch_size: int,
    validation: Iterable[Any] | None = None,
    patience: int | None = None,
    shuffle: bool = True,
    mesh: Mesh | None = None,
) -> Member:
    """One more epoch of every member, in one compiled call: the step that `fit` repeats.

    The members given are used up: their memory goes to the result.
    """
    x, y = jax.tree.map(jnp.asarray, tuple(data))
    if validation is not None:
        validation = jax.tree.map(jnp.asarray, tuple(validation))
    return _step_epoch(apply, optimizer, members, x, y, validation, batch_size, patience, shuffle, mesh)


def finish(members: Member) -> tuple[PyTree, History]:
    """The trained population, of each member the best parameters where they were kept, and the history."""
    ran = max(1, int(np.max(np.asarray(members.epoch))))
    history = {name: rows[:, :ran] for name, rows in members.history.items()}
    return members.params if members.best_params is None else members.best_params, History(
        loss=history["loss"],
        accuracy=history["accuracy"],
        validation_loss=history.get("validation_loss"),
        validation_accuracy=history.get("validation_accuracy"),
        best_epoch=members.best_epoch,
    )


@partial(jax.jit, static_argnames=("optimizer", "epochs", "validated", "keep_best"))
def _init(
    optimizer: optax.GradientTransformation, pop: PyTree, keys: Array, epochs: int, validated: bool, keep_best: bool
) -> Member:
    names = ("loss", "accuracy", *(("validation_loss", "validation_accuracy") if validated else ()))

    def start(params: PyTree, key: PRNGKey) -> Member:
        return Member(
            key=key,
            epoch=jnp.array(0, jnp.int32),
            params=params,
            moments=optimizer.init(params),
            best_params=params if keep_best else None,
            best_loss=jnp.array(jnp.inf, jnp.float32),
            best_epoch=jnp.array(0, jnp.int32),
            active=jnp.array(True),
            history={name: jnp.full(epochs, jnp.nan, jnp.float32) for name in names},
        )

    return population.map(start, pop, keys)


@partial(jax.jit, static_argnames=("apply", "optimizer", "batch_size", "patience", "shuffle", "mesh"), donate_argnums=2)
def _step_epoch(
    apply: Apply,
    optimizer: optax.GradientTransformation,
    members: Member,
    x: PyTree,
    y: Array,
    validation: tuple[PyTree, Array] | None,
    batch_size: int,
    patience: int | None,
    shuffle: bool,
    mesh: Mesh | None,
) -> Member:
    def train(member: Member) -> Member:
        key = jax.random.fold_in(member.key, member.epoch)
        settings = {"batch_size": batch_size, "key": key, "shuffle": shuffle}
        params, moments, (loss, accuracy) = epoch(apply, optimizer, member.params, member.moments, x, y, **settings)
        found = {"loss": loss, "accuracy": accuracy}
        if validation is not None:
            found["validation_loss"], found["validation_accuracy"] = evaluate(apply, params, *validation)
        history = {name: rows.at[member.epoch].set(found[name]) for name, rows in member.history.items()}
        member = dataclasses.replace(member, params=params, moments=moments, history=history)
        if validation is None:
            member = dataclasses.replace(member, best_epoch=member.epoch)
        else:
            member = _judged(member, found["validation_loss"], patience)
        return dataclasses.replace(member, epoch=member.epoch + 1)

    def one(member: Member) -> Member:
        return train(member) if patience is None else jax.lax.cond(member.active, train, lambda m: m, member)

    return population.map(one, members, mesh=mesh)


def _judged(member: Member, loss: Array, patience: int | None) -> Member:
    """Keep the best; a loss that is NaN is never better."""
    better = loss < member.best_loss
    best_epoch = jnp.where(better, member.epoch, member.best_epoch)
    best_params = None
    if member.best_params is not None:
        best_params = jax.tree.map(lambda new, old: jnp.where(better, new, old), member.params, member.best_params)
    return dataclasses.replace(
        member,
        best_params=best_params,
        best_loss=jnp.where(better, loss, member.best_loss),
        best_epoch=best_epoch,
        active=jnp.array(True) if patience is None else member.epoch - best_epoch < patience,
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
