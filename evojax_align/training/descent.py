"""Gradient descent of one network: a step, and an epoch of steps; masked parameters stay at 0."""

from functools import partial

import jax
import jax.numpy as jnp
import optax

from evojax_align import _checks, _devices
from evojax_align._compiling import watch
from evojax_align._tree import masked
from evojax_align._types import Apply, Array, Float, Loss, Metrics, PRNGKey, PyTree
from evojax_align.training.evaluation import batches, taken
from evojax_align.training.scoring import Score, score


def step(
    apply: Apply,
    params: PyTree,
    opt_state: PyTree,
    x: PyTree,
    y: PyTree,
    optimizer: optax.GradientTransformation,
    *,
    weights: Float[Array, " n"] | None = None,
    masks: PyTree = None,
    key: PRNGKey | None = None,
    loss: Loss | None = None,
    metrics: Metrics | None = None,
) -> tuple[PyTree, PyTree, Score]:
    """One training step of one network: return new parameters, new optimiser state, and the score before the step.

    With masks (a tree like the parameters), gradients and updates are 0 where they are False: parameters that are 0
    stay 0, and so do their moments. With a key, the network is called as `apply(params, x, key)`, for random operations
    in training such as dropout.

    Example:
        >>> import jax, jax.numpy as jnp, optax, evojax_align as ea
        >>> apply, sgd = lambda params, x: x @ params["w"], optax.sgd(0.1)
        >>> params, x, y = {"w": jnp.zeros((4, 3))}, jnp.ones((6, 4)), jnp.arange(6) % 3
        >>> params, opt_state, score = ea.training.step(apply, params, sgd.init(params), x, y, sgd)
        >>> bool(jnp.isclose(score.loss, jnp.log(3)))  # before the step: three classes, equal logits
        True
    """
    _checks.descent("optimizer", optimizer)
    noise: tuple = () if key is None else (_checks.key("key", key),)

    def network(params: PyTree, x: PyTree) -> PyTree:
        return apply(params, x, *noise)

    def lost(params: PyTree) -> tuple[Array, Score]:
        found = score(network, params, x, y, weights=weights, loss=loss, metrics=metrics)
        return found.loss, found

    (_, found), gradient = jax.value_and_grad(lost, has_aux=True)(params)
    gradient = gradient if masks is None else masked(masks, gradient)
    updates, opt_state = optimizer.update(gradient, opt_state, params)
    updates = updates if masks is None else masked(masks, updates)
    return optax.apply_updates(params, updates), opt_state, found


def epoch(
    apply: Apply,
    params: PyTree,
    opt_state: PyTree,
    x: PyTree,
    y: PyTree,
    optimizer: optax.GradientTransformation,
    *,
    batch_size: int,
    key: PRNGKey,
    shuffle: bool = True,
    masks: PyTree = None,
    noisy: bool = False,
    loss: Loss | None = None,
    metrics: Metrics | None = None,
) -> tuple[PyTree, PyTree, Score]:
    """Train one network for one epoch, in an order drawn from the key, or without `shuffle` in data set order.

    The last batch may be smaller; every sample is used exactly once. Masks are those of `step`. If `noisy`, the network
    is called as `apply(params, x, key)`, with another key in every step.

    Returns:
        New parameters, new optimiser state, and the score: means over the samples, each before its step.

    Example:
        >>> import jax, jax.numpy as jnp, optax, evojax_align as ea
        >>> apply, sgd = lambda params, x: x @ params["w"], optax.sgd(0.1)
        >>> params, x, y = {"w": jnp.zeros((4, 3))}, jnp.ones((6, 4)), jnp.arange(6) % 3
        >>> settings = {"batch_size": 2, "key": jax.random.key(0)}
        >>> params, opt_state, score = ea.training.epoch(apply, params, sgd.init(params), x, y, sgd, **settings)
        >>> score.loss.shape
        ()
    """
    _checks.descent("optimizer", optimizer)
    key, count = _checks.key("key", key), jax.tree.leaves(x)[0].shape[0]
    key, *of_noise = jax.random.split(key) if noisy else (key,)
    order = jax.random.permutation(key, count) if shuffle else jnp.arange(count)
    order, weights = batches(order, min(batch_size, count))

    def body(state: tuple[PyTree, PyTree], batch: tuple) -> tuple[tuple[PyTree, PyTree], Score]:
        index, of_sample, *noise = batch
        (inputs, targets), of_sample = _devices.split((taken((x, y), index), of_sample))
        settings = {"weights": of_sample, "masks": masks, "key": noise[0] if noise else None}
        settings |= {"loss": loss, "metrics": metrics}
        params, opt_state, found = step(apply, *state, inputs, targets, optimizer, **settings)
        return (params, opt_state), jax.tree.map(lambda mean: mean * jnp.sum(of_sample).astype(mean.dtype), found)

    noise = [jax.random.split(k, order.shape[0]) for k in of_noise]
    (params, opt_state), sums = jax.lax.scan(body, (params, opt_state), (order, weights, *noise))
    return params, opt_state, jax.tree.map(lambda of_batch: jnp.sum(of_batch) / count, sums)


def descend(
    apply: Apply,
    params: PyTree,
    x: PyTree,
    y: PyTree,
    optimizer: optax.GradientTransformation,
    *,
    epochs: int,
    batch_size: int,
    key: PRNGKey,
    shuffle: bool = True,
    masks: PyTree = None,
    noisy: bool = False,
    loss: Loss | None = None,
) -> tuple[PyTree, Float[Array, ""]]:
    """Train one network for several epochs in one compiled program, from an initial optimiser state (see `epoch`).

    Returns:
        New parameters, and the mean loss of the last epoch.

    Example:
        >>> import jax, jax.numpy as jnp, optax, evojax_align as ea
        >>> apply, sgd = lambda params, x: x @ params["w"], optax.sgd(0.1)
        >>> params, x, y = {"w": jnp.zeros((4, 3))}, jnp.ones((6, 4)), jnp.arange(6) % 3
        >>> settings = {"epochs": 5, "batch_size": 2, "key": jax.random.key(0)}
        >>> params, loss = ea.training.descend(apply, params, x, y, sgd, **settings)
        >>> params["w"].shape, loss.shape
        ((4, 3), ())
    """
    _checks.network(apply)
    _checks.descent("optimizer", optimizer)
    _checks.arrays("params", params)
    _checks.positive("epochs", epochs)
    watch("training.descend", (params, x, y), apply=apply, optimizer=optimizer, loss=loss)
    x, y = jax.tree.map(jnp.asarray, (x, y))
    key = _checks.key("key", key)
    return _descend(apply, params, x, y, optimizer, key, masks, epochs, batch_size, shuffle, noisy, loss)


@partial(jax.jit, static_argnames=("apply", "optimizer", "epochs", "batch_size", "shuffle", "noisy", "loss"))
def _descend(
    apply: Apply,
    params: PyTree,
    x: PyTree,
    y: PyTree,
    optimizer: optax.GradientTransformation,
    key: PRNGKey,
    masks: PyTree,
    epochs: int,
    batch_size: int,
    shuffle: bool,
    noisy: bool,
    loss: Loss | None,
) -> tuple[PyTree, Float[Array, ""]]:
    def one(found: tuple[PyTree, PyTree], key: PRNGKey) -> tuple[tuple[PyTree, PyTree], Array]:
        settings = {"batch_size": batch_size, "key": key, "shuffle": shuffle, "masks": masks, "noisy": noisy}
        params, opt_state, means = epoch(apply, *found, x, y, optimizer, **settings, loss=loss)
        return (params, opt_state), means.loss

    (params, _), losses = jax.lax.scan(one, (params, optimizer.init(params)), jax.random.split(key, epochs))
    return params, losses[-1]
