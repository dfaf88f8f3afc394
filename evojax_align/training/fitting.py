"""`fit`: the complete training of a population."""

from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh

from evojax_align import _checks, population
from evojax_align._compiling import watch
from evojax_align._types import Apply, Loss, Metrics, PRNGKey, PyTree
from evojax_align.training._checking import check_data
from evojax_align.training.members import History, finish, init, step_epoch


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
    metrics: Metrics | None = None,
) -> tuple[PyTree, History]:
    """Train every member of a population, with one compiled call per epoch.

    Main arguments:
        apply: the network; its outputs are logits [samples, classes], or what `loss` takes.
        pop: the population.
        data: inputs and targets, common to all members; each member has its own order of the samples, unless `shuffle`
            is False. Targets are integer labels, or what `loss` takes: any pytree, or None.
        optimizer: any optax optimiser. Make it once and reuse it: programs are compiled for this object.
        epochs: largest number of passes over the data.
        batch_size: samples in a training step.
        key: a random key, which is split into one key per member and epoch.

    Other arguments:
        validation: inputs and targets that are evaluated after every epoch.
        patience: stop a member when its validation loss has not fallen for this many epochs.
        keep_best: return every member's parameters of its lowest validation loss, not its last.
        shuffle: draw a new order of the samples for every member and epoch, instead of data set order.
        masks: a population like `pop`, False where a parameter is 0 and stays 0 (see `pruning`).
        noisy: call the network as `apply(params, x, key)` in training, as needed for dropout (`models.MnistNet`); it is
            evaluated as `apply(params, x)`.
        mesh: distributes the members over its devices (see `population.map`). On a CPU, one device for each core
            trains members in parallel: `jax.config.update("jax_num_cpu_devices", cores)` before anything runs, and
            `mesh=jax.make_mesh((cores,), ("members",))`.
        loss: `loss(outputs, targets)`, one number for each sample; softmax cross-entropy by default.
        metrics: further such functions, by name; their means are recorded for every epoch, like those of the loss.
        on_epoch: called after every epoch with its number, from 1, and the metrics of the members, on the host.

    Returns:
        The trained population and its `History`. A member's result does not depend on the other members.

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
    _checks.refuse_trace("fit", "inside, use training.descend, lifted by population.map.", pop, data, key)
    _checks.network(apply)
    _checks.descent("optimizer", optimizer)
    key, member = _checks.key("key", key), population.take(pop, 0)
    for name, value in (("patience", patience), ("keep_best", keep_best or None)):
        if value is not None and validation is None:
            raise _checks.bad(name, value, "validation data with it", "Pass validation=(x, y).")
    for name, value in (("epochs", epochs), ("batch_size", batch_size), ("patience", patience or 1)):
        _checks.positive(name, value)
    data = _checked("data", apply, member, data, loss, metrics, batch_size)
    if validation is not None:
        validation = _checked("validation", apply, member, validation, loss, metrics, None)

    watch(
        "training.fit",
        (pop, data),
        apply=apply,
        optimizer=optimizer,
        loss=loss,
        metrics=tuple((metrics or {}).values()),
    )
    validated = validation is not None
    members = init(
        pop,
        optimizer,
        epochs=epochs,
        key=key,
        validated=validated,
        keep_best=keep_best,
        masks=masks,
        loss=loss,
        metrics=metrics,
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
            metrics=metrics,
        )
        if on_epoch is not None:
            came = np.asarray(members.epoch) > number  # members that had stopped have NaN
            found = {name: np.asarray(rows[:, number]) for name, rows in members.history.items()}
            on_epoch(number + 1, {name: np.where(came, values, np.nan) for name, values in found.items()})
        if patience is not None and not np.asarray(members.active).any():
            break
    return finish(members)


def _checked(
    argument: str,
    apply: Apply,
    params: PyTree,
    data: Iterable[Any],
    loss: Loss | None,
    metrics: Metrics | None,
    batch_size: int | None,
) -> tuple[PyTree, PyTree]:
    """Inputs and targets as arrays; values that are not finite, or do not fit the network, raise an error."""
    x, y = jax.tree.map(jnp.asarray, tuple(data))
    check_data(argument, apply, params, x, y, loss, metrics, batch_size=batch_size)
    if _checks.is_concrete((x, y)):
        _checks.all_finite(argument, (x, y), "Leave these samples out, or fill them in.")
    return x, y
