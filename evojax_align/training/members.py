"""The training of a population by epochs: `init`, `step_epoch` and `finish`."""

import dataclasses
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct
from jax.sharding import Mesh

from evojax_align import _checks, _devices, population
from evojax_align._tree import masked
from evojax_align._types import Apply, Array, Bool, Float, Int, Key, Loss, Metrics, PRNGKey, PyTree
from evojax_align.training._checking import check_masks
from evojax_align.training.descent import epoch
from evojax_align.training.evaluation import evaluate
from evojax_align.training.scoring import Score, refuse_names

BUILT_IN = ("loss", "accuracy")
AFTER = "validation_"
"""The prefix of names of records on validation data."""


@struct.dataclass
class History:
    """The records of every member and epoch; NaN in the epochs after a member was stopped.

    Attributes:
        loss: mean loss over the epoch's batches, each before its step.
        accuracy: an array like the loss; None if a loss was given.
        validation_loss: mean loss on the validation data after the epoch; None without validation data.
        validation_accuracy: likewise; also None if a loss was given.
        best_epoch: the epoch, from 0, of the lowest validation loss; the last one without validation data.
        metrics: means of the other metrics, by name, each an array like the loss.
        validation_metrics: likewise on the validation data; empty without them.

    Example:
        >>> import jax, jax.numpy as jnp, optax, evojax_align as ea
        >>> pop, data = {"w": jnp.zeros((2, 4, 3))}, (jnp.ones((6, 4)), jnp.arange(6) % 3)
        >>> settings = {"epochs": 3, "batch_size": 6, "key": jax.random.key(0), "validation": data}
        >>> _, history = ea.training.fit(lambda p, x: x @ p["w"], pop, data, optax.sgd(0.1), **settings)
        >>> history.loss.shape, history.validation_accuracy.shape, history.best_epoch.shape
        ((2, 3), (2, 3), (2,))
    """

    loss: Float[Array, "members epochs"]
    accuracy: Any
    validation_loss: Float[Array, "members epochs"] | None
    validation_accuracy: Float[Array, "members epochs"] | None
    best_epoch: Int[Array, " members"]
    metrics: Mapping[str, Float[Array, "members epochs"]] = struct.field(default_factory=dict)
    validation_metrics: Mapping[str, Float[Array, "members epochs"]] = struct.field(default_factory=dict)


@struct.dataclass
class Member:
    """The training state of one network, or of a population with a leading axis.

    Attributes:
        key: the random key from which the keys of all epochs are derived.
        epoch: number of finished epochs.
        params: parameters after the last epoch.
        opt_state: state of the optimiser.
        best_params: parameters of the lowest validation loss; None if the best are not kept.
        best_loss: the lowest validation loss; infinite without validation data.
        best_epoch: the epoch, from 0, of that loss; the last one without validation data.
        active: False once the validation loss has not fallen for `patience` epochs.
        history: loss, accuracy and metrics of every epoch by name, those on validation data as "validation_loss" and so
            on; infinite for epochs that have not been run (not NaN, for `jax_debug_nans`).
        masks: masks of the parameters, False where they are and stay 0; None if all are trained.

    Example:
        >>> import jax, jax.numpy as jnp, optax, evojax_align as ea
        >>> members = ea.training.init({"w": jnp.ones((2, 4, 3))}, optax.sgd(0.1), epochs=3, key=jax.random.key(0))
        >>> members.epoch.tolist(), members.active.tolist(), members.best_params
        ([0, 0], [True, True], None)
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
    metrics: Metrics | None = None,
) -> Member:
    """The initial training state of a population, for `step_epoch`.

    Args:
        pop: the population.
        optimizer: any optax optimiser.
        epochs: length of the history.
        key: a random key, which is split into one key per member; or an array of keys, one for each member, so that a
            member's training does not depend on its index.
        validated: whether there will be validation data.
        keep_best: keep every member's parameters of its lowest validation loss.
        masks: as in `fit`.
        loss: the loss of all epochs; the record of the accuracy depends on it.
        metrics: the metrics of all epochs.

    Returns:
        The members, before their first epoch.

    Raises:
        ValueError: for masks that do not fit, or a metric with the name of another record.

    Example:
        >>> import jax, jax.numpy as jnp, optax, evojax_align as ea
        >>> pop, adam = {"w": jnp.zeros((2, 4, 3))}, optax.adam(1e-2)
        >>> members = ea.training.init(pop, adam, epochs=5, key=jax.random.key(0))
        >>> sorted(members.history), members.history["loss"].shape, members.epoch.tolist()
        (['accuracy', 'loss'], (2, 5), [0, 0])
    """
    if masks is not None:
        check_masks("masks", masks, pop)
    key = _checks.key("key", key, several=True)
    keys = key if jnp.ndim(key) else jax.random.split(key, population.size(pop))
    return _init(optimizer, pop, keys, masks, epochs, keep_best, _records(loss, metrics, validated))


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
    metrics: Metrics | None = None,
) -> Member:
    """Train every member for one more epoch, in one compiled call: the step that `fit` repeats.

    The buffers of the given members are donated. With `some_idle`, members whose `active` is False are not changed, so
    that one compiled program can be used for populations of several sizes. All other arguments are those of `fit`.

    Members that are not active take no time on a CPU. On an accelerator all members are trained at once. If at most
    half of them are active, only a half is trained, if at most a quarter are, only a quarter, and so on; a program is
    compiled for each of these numbers. The members are then copied instead of donated. Under a trace, and on devices
    of several processes, all are trained.

    Returns:
        The members after the epoch.

    Raises:
        ValueError: for a loss, metrics or validation data for which `init` made no records.

    Example:
        >>> import jax, jax.numpy as jnp, optax, evojax_align as ea
        >>> pop, adam, data = {"w": jnp.zeros((2, 4, 3))}, optax.adam(1e-2), (jnp.ones((6, 4)), jnp.arange(6) % 3)
        >>> members = ea.training.init(pop, adam, epochs=5, key=jax.random.key(0))
        >>> members = ea.training.step_epoch(lambda p, x: x @ p["w"], members, data, adam, batch_size=3)
        >>> members.epoch.tolist(), jnp.isfinite(members.history["loss"]).sum(axis=1).tolist()
        ([1, 1], [1, 1])
    """
    x, y = jax.tree.map(jnp.asarray, tuple(data))
    if validation is not None:
        validation = jax.tree.map(jnp.asarray, tuple(validation))
    _check_records(members, _records(loss, metrics, validation is not None))
    if mesh is not None:
        members = population.spread(members, mesh)
    settings = batch_size, patience, shuffle, some_idle, noisy, mesh, loss, tuple((metrics or {}).items())
    few = _active_ones(members, mesh) if some_idle or patience is not None else None
    if few is not None and not few.size:
        return members
    if few is None:
        return _step_epoch(apply, optimizer, members, x, y, validation, *settings)
    some = _step_epoch(apply, optimizer, population.take(members, few), x, y, validation, *settings)
    found = jax.tree.map(lambda old, new: old.at[few].set(new), members, some)
    return found if mesh is None else population.spread(found, mesh)


def _active_ones(members: Member, mesh: Mesh | None) -> np.ndarray | None:
    """The indices of the active members, filled up to a half, a quarter, ... of all; none if none is active; None to
    train all of them."""
    if _devices.platform(mesh) == "cpu" or not _checks.is_concrete(members) or jax.process_count() > 1:
        return None
    active, multiple = np.asarray(members.active), 1 if mesh is None else _devices.parts(mesh)
    if not active.any():
        return np.zeros(0, int)
    count = active.size
    while count > 1 and -(-count // 2) >= active.sum():
        count = -(-count // 2)
    count = -(-count // multiple) * multiple
    return None if count >= active.size else np.argsort(~active, kind="stable")[:count]


def finish(members: Member) -> tuple[PyTree, History]:
    """The trained population, with the best parameters of each member if they were kept, and the history.

    Example:
        >>> import jax, jax.numpy as jnp, optax, evojax_align as ea
        >>> pop, adam, data = {"w": jnp.zeros((2, 4, 3))}, optax.adam(1e-2), (jnp.ones((6, 4)), jnp.arange(6) % 3)
        >>> members = ea.training.init(pop, adam, epochs=5, key=jax.random.key(0))
        >>> members = ea.training.step_epoch(lambda p, x: x @ p["w"], members, data, adam, batch_size=3)
        >>> trained, history = ea.training.finish(members)
        >>> history.loss.shape  # of the epochs that ran
        (2, 1)
    """
    _checks.refuse_trace("finish", "inside, take `params` and `history` of the members.", members)
    ran = max(1, int(np.max(np.asarray(members.epoch))))
    came = np.asarray(members.epoch)[:, None] > np.arange(ran)[None]
    history = {
        name: jnp.asarray(np.where(came, np.asarray(rows[:, :ran]), np.nan)) for name, rows in members.history.items()
    }
    return members.params if members.best_params is None else members.best_params, History(
        loss=history["loss"],
        accuracy=history.get("accuracy"),
        validation_loss=history.get("validation_loss"),
        validation_accuracy=history.get("validation_accuracy"),
        best_epoch=members.best_epoch,
        metrics={name: rows for name, rows in history.items() if name not in BUILT_IN and not name.startswith(AFTER)},
        validation_metrics={
            name.removeprefix(AFTER): rows
            for name, rows in history.items()
            if name.startswith(AFTER) and name.removeprefix(AFTER) not in BUILT_IN
        },
    )


def _records(loss: Loss | None, metrics: Metrics | None, validated: bool) -> tuple[str, ...]:
    """The names of the records of every epoch."""
    refuse_names(metrics)
    for name in metrics or {}:
        if name.startswith(AFTER):
            fix = f"Records on validation data have names that start with {AFTER!r}."
            raise _checks.bad("metrics", f"the name {name!r}", "other names", fix)
    names = (*(BUILT_IN if loss is None else BUILT_IN[:1]), *sorted(metrics or {}))
    return names + tuple(AFTER + name for name in names if validated)


def _check_records(members: Member, names: tuple[str, ...]) -> None:
    """Raise an error for members that were initialised for another loss, other metrics, or no validation data."""
    if set(members.history) != set(names):
        came = f"a history of {', '.join(sorted(members.history))}"
        fix = "Pass the same loss and metrics to `init` and `step_epoch`, and to `init` validated=True for validation."
        raise _checks.bad("members", came, ", ".join(sorted(names)), fix)


@partial(jax.jit, static_argnames=("optimizer", "epochs", "keep_best", "names"))
def _init(
    optimizer: optax.GradientTransformation,
    pop: PyTree,
    keys: Array,
    masks: PyTree,
    epochs: int,
    keep_best: bool,
    names: tuple[str, ...],
) -> Member:
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
            history={name: jnp.full(epochs, jnp.inf, jnp.float32) for name in names},
            masks=masks,
        )

    return population.map(start, pop, keys, *([] if masks is None else [masks]))


@partial(
    jax.jit,
    static_argnames=(
        "apply",
        "optimizer",
        "batch_size",
        "patience",
        "shuffle",
        "some_idle",
        "noisy",
        "mesh",
        "loss",
        "metrics",
    ),
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
    metrics: tuple[tuple[str, Loss], ...],
) -> Member:
    def train(member: Member) -> Member:
        key = jax.random.fold_in(member.key, member.epoch)
        settings = {"batch_size": batch_size, "key": key, "shuffle": shuffle}
        settings |= {"masks": member.masks, "noisy": noisy, "loss": loss, "metrics": dict(metrics)}
        params, opt_state, score = epoch(apply, member.params, member.opt_state, x, y, optimizer, **settings)
        found = _by_name(score)
        if validation is not None:
            validated_score = evaluate(apply, params, *validation, loss=loss, metrics=dict(metrics))
            found |= {AFTER + name: value for name, value in _by_name(validated_score).items()}
        history = {
            name: rows.at[member.epoch].set(found[name].astype(rows.dtype)) for name, rows in member.history.items()
        }
        member = dataclasses.replace(member, params=params, opt_state=opt_state, history=history)
        if validation is None:
            member = dataclasses.replace(member, best_epoch=member.epoch)
        else:
            member = _with_best(member, found["validation_loss"], patience)
        return dataclasses.replace(member, epoch=member.epoch + 1)

    def one(member: Member) -> Member:
        if patience is None and not some_idle:
            return train(member)
        return jax.lax.cond(member.active, train, lambda m: m, member)

    found = population.map(one, members, mesh=mesh)
    return found if mesh is None else population.spread(found, mesh)


def _by_name(score: Score) -> dict[str, Any]:
    return {"loss": score.loss, "accuracy": score.accuracy, **score.metrics}


def _with_best(member: Member, loss: Array, patience: int | None) -> Member:
    """Keep the best parameters; a loss that is NaN is never better."""
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
