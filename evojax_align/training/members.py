"""The training of a population: `init`, `step_epoch` and `finish`, and `fit`, which is all of them."""

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
from evojax_align._compiling import watch
from evojax_align._tree import leaves_by_path, masked
from evojax_align._types import Apply, Array, Bool, Float, Int, Key, Loss, PRNGKey, PyTree
from evojax_align.training.descent import epoch
from evojax_align.training.evaluation import evaluate
from evojax_align.training.scoring import check_data


@struct.dataclass
class History:
    """What every member went through; NaN in the epochs after it had stopped.

    Attributes:
        loss: mean loss over the epoch's batches, each before its step.
        accuracy: an array like the loss; None where a loss was given.
        validation_loss: none without validation data.
        best_epoch: the epoch, from 0, of the lowest validation loss; the last one without validation data.
    """

    loss: Float[Array, "members epochs"]
    accuracy: Any
    validation_loss: Float[Array, "members epochs"] | None
    validation_accuracy: Float[Array, "members epochs"] | None
    best_epoch: Int[Array, " members"]


@struct.dataclass
class Member:
    """One network in training, with all that its next epochs need; of a population, with a leading axis.

    Attributes:
        epoch: epochs done.
        opt_state: state of the optimiser.
        best_params: none where the best are not kept.
        active: false once the validation loss has not fallen for `patience` epochs.
        history: metrics of every epoch by name; NaN where it has not come, or the member had stopped.
        masks: of the parameters, False where they are and stay 0; None where all may be learnt.
    """

    key: Key[Array, "..."]
    epoch: Int[Array, "..."]
    params: PyTree
    opt_state: PyTree
    best_params: PyTree
    best_loss: Float[Array, "..."]
    best_epoch: Int[Array, "..."]
    active: Bool[Array, "..."]
    history: dict[str, Float[Array, "... epochs"]]
    masks: PyTree = None


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
    masks: PyTree = None,
    noisy: bool = False,
    mesh: Mesh | None = None,
    loss: Loss | None = None,
) -> tuple[PyTree, History]:
    """Train every member of a population, in one compiled call an epoch.

    Main arguments:
        apply: the network, giving logits [samples, classes], or whatever `loss` takes.
        pop: the population.
        data: inputs and targets, shared by all members; each sees them in an order of its own, unless `shuffle` is
            off. Targets are integer labels, or whatever `loss` takes: any pytree, or None.
        optimizer: any optax optimiser; its state starts fresh. Make it once: programs are compiled for this very
            object.
        epochs: passes over the data, at most.
        batch_size: samples a step.
        key: split into one key per member, and one per epoch of it.

    Other arguments:
        validation: inputs and targets that are evaluated after every epoch.
        patience: stop a member when its validation loss has not fallen for this many epochs.
        keep_best: return every member's parameters of its lowest validation loss, not its last.
        shuffle: draw another order of the samples for every member and epoch, instead of data set order.
        masks: a population like `pop`, False where a parameter is 0 and stays 0 (see `pruning`).
        noisy: call the network as `apply(params, x, key)` while it learns, as one with dropout needs
            (`models.MnistNet`); it is judged as `apply(params, x)`.
        mesh: shares the members out over its devices (see `population.map`). On a CPU, one device for each core
            trains members in parallel: `jax.config.update("jax_num_cpu_devices", cores)` before anything runs, and
            `mesh=jax.make_mesh((cores,), ("members",))`.
        loss: `loss(outputs, targets)`, one number for each sample; softmax cross-entropy by default.
        on_epoch: called after every epoch with its number, from 1, and the metrics of the members, on the host.

    Returns:
        The trained population and its `History`. A member's result does not depend on who else is in the population.

    Raises:
        ValueError: for no data, data that are not finite, targets that do not fit, or early stopping without validation
            data.

    Example:
        >>> import jax, jax.numpy as jnp, optax
        >>> import evojax_align as ea
        >>> network, optimizer = ea.models.MLP((8,), 3), optax.adam(1e-2)
        >>> x, y = jax.random.normal(jax.random.key(0), (30, 4)), jnp.arange(30) % 3
        >>> pop = ea.population.init(lambda key: network.init(key, x), jax.random.key(1), 2)
        >>> pop, history = fit(network.apply, pop, (x, y), optimizer, epochs=3, batch_size=10, key=jax.random.key(2))
        >>> history.loss.shape
        (2, 3)
    """
    _checks.refuse_trace("fit", "inside, use training.descend for one network, and population.map for many.", pop, data)
    _checks.network(apply)
    _checks.descent("optimizer", optimizer)
    key, member = _checks.key("key", key), population.take(pop, 0)
    data = _checked("data", apply, member, data, loss)
    validation = None if validation is None else _checked("validation", apply, member, validation, loss)
    for name, value in (("patience", patience), ("keep_best", keep_best or None)):
        if value is not None and validation is None:
            raise _checks.bad(name, value, "validation data beside it", "Pass validation=(x, y).")
    for name, value in (("epochs", epochs), ("batch_size", batch_size), ("patience", patience or 1)):
        _checks.positive(name, value)

    watch("training.fit", (pop, data), apply=apply, optimizer=optimizer, loss=loss)
    validated = validation is not None
    members = init(
        pop, optimizer, epochs=epochs, key=key, validated=validated, keep_best=keep_best, masks=masks, loss=loss
    )
    for number in range(epochs):
        members = step_epoch(
            apply,
            members,
            data,
            optimizer,
            batch_size=batch_size,
            validation=validation,
            patience=patience,
            shuffle=shuffle,
            noisy=noisy,
            mesh=mesh,
            loss=loss,
        )
        if on_epoch is not None:
            on_epoch(number + 1, {name: np.asarray(rows[:, number]) for name, rows in members.history.items()})
        if patience is not None and not np.asarray(members.active).any():
            break
    return finish(members)


def _checked(
    argument: str, apply: Apply, params: PyTree, data: Iterable[Any], loss: Loss | None
) -> tuple[PyTree, PyTree]:
    """Inputs and targets as arrays; those that are not finite, or do not fit the network, are refused."""
    x, y = jax.tree.map(jnp.asarray, tuple(data))
    check_data(argument, apply, params, x, y, loss)
    if _checks.is_concrete((x, y)):
        _checks.all_finite(argument, (x, y), "Leave these samples out, or fill them in.")
    return x, y


def init(
    pop: PyTree,
    optimizer: optax.GradientTransformation,
    *,
    epochs: int,
    key: PRNGKey | Key[Array, " members"],
    validated: bool = False,
    keep_best: bool = False,
    masks: PyTree = None,
    loss: Loss | None = None,
) -> Member:
    """A population about to be trained for at most `epochs` epochs, on validation data or not (see `fit`).

    The key may also be an array of keys, one for each member, which then trains as it would in any other population.
    """
    if masks is not None:
        check_masks("masks", masks, pop)
    key = _checks.key("key", key, several=True)
    keys = key if jnp.ndim(key) else jax.random.split(key, population.size(pop))
    return _init(optimizer, pop, keys, masks, epochs, validated, keep_best, loss is None)


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
    some_idle: bool = False,
    noisy: bool = False,
    mesh: Mesh | None = None,
    loss: Loss | None = None,
) -> Member:
    """One more epoch of every member, in one compiled call: the step that `fit` repeats.

    The buffers of the members given are donated to the result. With `some_idle`, those whose `active` is False
    are left as they are, which on a CPU costs nothing: so one compiled program serves populations of several sizes.
    """
    x, y = jax.tree.map(jnp.asarray, tuple(data))
    if validation is not None:
        validation = jax.tree.map(jnp.asarray, tuple(validation))
    if mesh is not None and _checks.is_concrete(members):
        members = population.spread(members, mesh)
    settings = batch_size, patience, shuffle, some_idle, noisy, mesh, loss
    return _step_epoch(apply, optimizer, members, x, y, validation, *settings)


def finish(members: Member) -> tuple[PyTree, History]:
    """The trained population, of each member the best parameters where they were kept, and the history."""
    ran = max(1, int(np.max(np.asarray(members.epoch))))
    history = {name: rows[:, :ran] for name, rows in members.history.items()}
    return members.params if members.best_params is None else members.best_params, History(
        loss=history["loss"],
        accuracy=history.get("accuracy"),
        validation_loss=history.get("validation_loss"),
        validation_accuracy=history.get("validation_accuracy"),
        best_epoch=members.best_epoch,
    )


@partial(jax.jit, static_argnames=("optimizer", "epochs", "validated", "keep_best", "labelled"))
def _init(
    optimizer: optax.GradientTransformation,
    pop: PyTree,
    keys: Array,
    masks: PyTree,
    epochs: int,
    validated: bool,
    keep_best: bool,
    labelled: bool,
) -> Member:
    of_epoch = ("loss", "accuracy") if labelled else ("loss",)
    names = (*of_epoch, *(f"validation_{name}" for name in of_epoch if validated))

    def start(params: PyTree, key: PRNGKey, masks: PyTree = None) -> Member:
        params = params if masks is None else masked(masks, params)
        return Member(
            key=key,
            epoch=jnp.array(0, jnp.int32),
            params=params,
            opt_state=optimizer.init(params),
            best_params=params if keep_best else None,
            best_loss=jnp.array(jnp.inf, jnp.float32),
            best_epoch=jnp.array(0, jnp.int32),
            active=jnp.array(True),
            history={name: jnp.full(epochs, jnp.nan, jnp.float32) for name in names},
            masks=masks,
        )

    return population.map(start, pop, keys, *([] if masks is None else [masks]))


@partial(
    jax.jit,
    static_argnames=("apply", "optimizer", "batch_size", "patience", "shuffle", "some_idle", "noisy", "mesh", "loss"),
    donate_argnums=2,
)
def _step_epoch(
    apply: Apply,
    optimizer: optax.GradientTransformation,
    members: Member,
    x: PyTree,
    y: PyTree,
    validation: tuple[PyTree, PyTree] | None,
    batch_size: int,
    patience: int | None,
    shuffle: bool,
    some_idle: bool,
    noisy: bool,
    mesh: Mesh | None,
    loss: Loss | None,
) -> Member:
    def train(member: Member) -> Member:
        key = jax.random.fold_in(member.key, member.epoch)
        settings = {"batch_size": batch_size, "key": key, "shuffle": shuffle}
        settings |= {"masks": member.masks, "noisy": noisy, "loss": loss}
        params, opt_state, score = epoch(apply, optimizer, member.params, member.opt_state, x, y, **settings)
        found = {"loss": score.loss, "accuracy": score.accuracy}
        if validation is not None:
            judged = evaluate(apply, params, *validation, loss=loss)
            found |= {"validation_loss": judged.loss, "validation_accuracy": judged.accuracy}
        history = {
            name: rows.at[member.epoch].set(found[name].astype(rows.dtype)) for name, rows in member.history.items()
        }
        member = dataclasses.replace(member, params=params, opt_state=opt_state, history=history)
        if validation is None:
            member = dataclasses.replace(member, best_epoch=member.epoch)
        else:
            member = _judged(member, found["validation_loss"], patience)
        return dataclasses.replace(member, epoch=member.epoch + 1)

    def one(member: Member) -> Member:
        if patience is None and not some_idle:
            return train(member)
        return jax.lax.cond(member.active, train, lambda m: m, member)

    return population.map(one, members, mesh=mesh)


def _judged(member: Member, loss: Array, patience: int | None) -> Member:
    """Keep the best; a loss that is NaN is never better."""
    loss = loss.astype(member.best_loss.dtype)
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


def check_masks(argument: str, masks: PyTree, params: PyTree) -> None:
    """Refuse masks that are not booleans in the shapes of the parameters; an error names the leaf."""
    ours, theirs = leaves_by_path(masks), leaves_by_path(params)
    for path in [*theirs, *ours]:
        mask, leaf = ours.get(path), theirs.get(path)
        if (
            mask is None
            or leaf is None
            or jnp.shape(mask) != jnp.shape(leaf)
            or not jnp.issubdtype(jnp.result_type(mask), jnp.bool_)
        ):
            came = "nothing" if mask is None else f"{jnp.result_type(mask)} of shape {jnp.shape(mask)}"
            expected = "no such leaf" if leaf is None else f"booleans of shape {jnp.shape(leaf)}, as in the parameters"
            fix = "Begin with `pruning.full_masks(params)`."
            raise _checks.bad(argument, f"{came} at the leaf {path!r}", expected, fix)
