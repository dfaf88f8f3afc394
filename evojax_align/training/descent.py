"""Gradient descent of one network: a step, and an epoch of steps; what masks hold at 0 stays there."""

import jax
import jax.numpy as jnp
import optax

from evojax_align._tree import masked
from evojax_align._types import Apply, Array, Float, Int, PRNGKey, PyTree
from evojax_align.training.evaluation import batches, loss_and_accuracy, taken


def step(
    apply: Apply,
    optimizer: optax.GradientTransformation,
    params: PyTree,
    moments: PyTree,
    x: PyTree,
    y: Int[Array, " n"],
    weights: Float[Array, " n"] | None = None,
    masks: PyTree = None,
    key: PRNGKey | None = None,
) -> tuple[PyTree, PyTree, tuple[Float[Array, ""], Float[Array, ""]]]:
    """One step of one network on one batch: new parameters, new optimiser state, loss and accuracy before it.

    With masks (a tree like the parameters), the optimiser sees no gradient where they are False and moves nothing
    there: parameters that are 0 stay 0, and so do their moments. With a key the network is called with it, as
    `apply(params, x, key)`, for what it leaves to chance while it learns.
    """

    noise: tuple = () if key is None else (key,)

    def network(params: PyTree, x: PyTree) -> Array:
        return apply(params, x, *noise)

    metrics, gradient = jax.value_and_grad(lambda p: loss_and_accuracy(network, p, x, y, weights), has_aux=True)(params)
    gradient = gradient if masks is None else masked(masks, gradient)
    updates, moments = optimizer.update(gradient, moments, params)
    updates = updates if masks is None else masked(masks, updates)
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
    masks: PyTree = None,
    noisy: bool = False,
) -> tuple[PyTree, PyTree, tuple[Float[Array, ""], Float[Array, ""]]]:
    """One pass of one network over all samples, in an order drawn from the key, or without `shuffle` as they lie.

    The last batch is as small as it falls; no sample is left out and none is seen twice. Masks are those of `step`. If
    `noisy`, the network is called with a key, another one for every step, as `apply(params, x, key)`.

    Returns:
        New parameters, new optimiser state, and the means of loss and accuracy over the samples.
    """
    key, *of_noise = jax.random.split(key) if noisy else (key,)
    order = jax.random.permutation(key, y.shape[0]) if shuffle else jnp.arange(y.shape[0])
    order, weights = batches(order, min(batch_size, y.shape[0]))

    def body(state: tuple[PyTree, PyTree], batch: tuple) -> tuple[tuple[PyTree, PyTree], Array]:
        index, of_sample, *noise = batch
        params, moments, metrics = step(apply, optimizer, *state, taken(x, index), y[index], of_sample, masks, *noise)
        return (params, moments), jnp.stack(metrics) * jnp.sum(of_sample)

    noise = [jax.random.split(k, order.shape[0]) for k in of_noise]
    (params, moments), sums = jax.lax.scan(body, (params, moments), (order, weights, *noise))
    loss, accuracy = jnp.sum(sums, axis=0) / y.shape[0]
    return params, moments, (loss, accuracy)


def descend(
    apply: Apply,
    optimizer: optax.GradientTransformation,
    params: PyTree,
    x: PyTree,
    y: Int[Array, " n"],
    *,
    epochs: int,
    batch_size: int,
    key: PRNGKey,
    shuffle: bool = True,
    masks: PyTree = None,
    noisy: bool = False,
) -> tuple[PyTree, Float[Array, ""]]:
    """Several epochs of one network in one program, with a fresh state of the optimiser (see `epoch`).

    Returns:
        New parameters, and the mean loss of the last epoch.
    """

    def one(found: tuple[PyTree, PyTree], key: PRNGKey) -> tuple[tuple[PyTree, PyTree], Array]:
        settings = {"batch_size": batch_size, "key": key, "shuffle": shuffle, "masks": masks, "noisy": noisy}
        params, moments, (loss, _) = epoch(apply, optimizer, *found, x, y, **settings)
        return (params, moments), loss

    (params, _), losses = jax.lax.scan(one, (params, optimizer.init(params)), jax.random.split(key, epochs))
    return params, losses[-1]
