"""Networks whose weights share one magnitude, evaluated at several values of it on several tasks.

More or less can be shared than in the thesis: `basis` computes what a network keeps of its own weights, and `at_value`
multiplies it by a value that all synapses share.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from evojax_align import _checks, _devices, population
from evojax_align._tree import leaves_by_path, with_leaves
from evojax_align._types import Apply, Array, ArrayLike, Bool, Float, Int, Loss, PRNGKey, PyTree
from evojax_align.pruning.choosing import uniform_scores
from evojax_align.pruning.synapses import Synapses
from evojax_align.training._checking import check_data
from evojax_align.training.evaluation import log_mean_probabilities
from evojax_align.training.scoring import CHUNK, in_chunks, measures

SIGNS = ("kept", "discarded", "random")
MAGNITUDES = ("shared", "own", "random")
BIASES = ("kept", "shared")


@struct.dataclass
class Task:
    """Inputs and targets, and for a classification the outputs of the network that are the logits of its classes.

    Attributes:
        x: inputs, any pytree with samples along the leading axis.
        y: targets, likewise: integer labels, or what the loss takes; None if the loss needs none.
        outputs: for each class, the index of its logit; None for all outputs in order. A task can thus have fewer
            classes than the network has outputs, its own outputs, or another bijection between classes and outputs.

    Example:
        >>> import jax.numpy as jnp, evojax_align as ea
        >>> task = ea.pruning.Task(jnp.zeros((1, 3)), jnp.array([0]), outputs=jnp.array([3, 1]))
        >>> task.logits(jnp.array([[10.0, 11.0, 12.0, 13.0]])).tolist()
        [[13.0, 11.0]]
    """

    x: PyTree
    y: PyTree = None
    outputs: Int[Array, " classes"] | None = None

    def logits(self, outputs: PyTree) -> PyTree:
        """The logits of the task's classes; all outputs, of any structure, if `outputs` of the task is None."""
        chosen = self.outputs
        return outputs if chosen is None else jax.tree.map(lambda leaf: jnp.take(leaf, chosen, axis=-1), outputs)


@struct.dataclass
class Answers:
    """The predictions of a network for every sample at each shared value.

    Attributes:
        classes: the classes of the largest logits, [values, n, ...]; None if a loss was given.
        ensemble: the classes of the largest mean probability over the values, [n, ...]; None if a loss was given.
        losses: the loss of every sample, softmax cross-entropy by default; NaN if the network failed.
        finite: whether no output is NaN or +infinity, and the loss is finite.

    Example:
        >>> import jax.numpy as jnp, evojax_align as ea
        >>> params, task = {"w": jnp.array([[1.0, -1.0]])}, ea.pruning.Task(jnp.ones((1, 1)), jnp.array([0]))
        >>> found = ea.pruning.answers(lambda p, x: x @ p["w"], ea.pruning.find(params), params, (1.0, -1.0), task)
        >>> found.classes.tolist(), found.finite.tolist()
        ([[0], [1]], [[True], [True]])
    """

    classes: Any
    ensemble: Any
    losses: Float[Array, "values n"]
    finite: Bool[Array, "values n"]


@struct.dataclass
class Rollouts:
    """Loss and accuracy of a network at each shared value, and the accuracy of all of them together.

    Attributes:
        accuracy: an array like the loss, NaN where the loss is; None if a loss was given.
        loss: mean loss, softmax cross-entropy by default; NaN if an output is NaN or +infinity for some sample, or its
            loss is not finite.
        ensemble: accuracy of the largest mean probability over the values; NaN if the loss is NaN at one of them, and
            None if a loss was given.

    Example:
        >>> import jax.numpy as jnp, evojax_align as ea
        >>> params, task = {"w": jnp.array([[1.0, -1.0]])}, ea.pruning.Task(jnp.ones((1, 1)), jnp.array([0]))
        >>> found = ea.pruning.rollouts(lambda p, x: x @ p["w"], ea.pruning.find(params), params, (1.0, -1.0), task)
        >>> found.accuracy.tolist()
        [1.0, 0.0]
    """

    accuracy: Any
    loss: Float[Array, "... values"]
    ensemble: Any


def basis(
    synapses: Synapses,
    params: PyTree,
    *,
    signs: str = "kept",
    magnitudes: str = "shared",
    biases: str = "kept",
    key: PRNGKey | None = None,
) -> PyTree:
    """Compute what a network keeps of its weights, to be multiplied by a shared value (see `at_value`).

    Args:
        synapses: the leaves that are weights; the others are biases.
        params: parameters of one network.
        signs: "kept"; "discarded", so that all weights are positive; or "random", drawn independently.
        magnitudes: "shared", so that only the sign is kept; "own"; or "random", those of normal draws.
        biases: "kept" for unchanged biases, or "shared", so that only their signs are kept.
        key: a random key for random signs or magnitudes.

    Returns:
        A tree like the parameters. A weight of 0 stays 0. Leaves of which only signs are kept have the dtype int8.

    Raises:
        ValueError: for an unknown option, or a random option without a key.

    Example:
        >>> import jax.numpy as jnp, evojax_align as ea
        >>> params = {"bias": jnp.array([0.5, 0.5]), "kernel": jnp.array([[0.3, -2.0], [0.0, 1.0]])}
        >>> kept = ea.pruning.basis(ea.pruning.find(params), params)
        >>> kept["kernel"].tolist(), kept["bias"].tolist()
        ([[1, -1], [0, 1]], [0.5, 0.5])
    """
    _checks.one_of("signs", signs, SIGNS)
    _checks.one_of("magnitudes", magnitudes, MAGNITUDES)
    _checks.one_of("biases", biases, BIASES)
    if key is None and "random" in (signs, magnitudes):
        raise _checks.bad("key", None, "a random key", "Pass key=jax.random.key(0).")
    weights = synapses.of(params)
    kept = {path: jnp.sign(leaf) for path, leaf in weights.items()}
    if signs == "discarded":
        kept = {path: jnp.abs(leaf) for path, leaf in kept.items()}
    if key is not None:
        key_signs, key_sizes = jax.random.split(_checks.key("key", key))
        if signs == "random":
            coins = uniform_scores(key_signs, synapses, params)
            kept = {path: jnp.abs(leaf) * jnp.where(coins[path] < 0.5, -1, 1) for path, leaf in kept.items()}
        if magnitudes == "random":
            lots = uniform_scores(key_sizes, synapses, params)
            kept = {path: leaf * _half_normal(lots[path]).astype(leaf.dtype) for path, leaf in kept.items()}
    if magnitudes == "own":
        kept = {path: leaf * jnp.abs(weights[path]) for path, leaf in kept.items()}
    if magnitudes == "shared":
        kept = {path: leaf.astype(jnp.int8) for path, leaf in kept.items()}
    if biases == "shared":
        others = {path: leaf for path, leaf in leaves_by_path(params).items() if path not in weights}
        kept |= {path: jnp.sign(leaf).astype(jnp.int8) for path, leaf in others.items()}
    return with_leaves(params, kept)


def at_value(synapses: Synapses, kept: PyTree, value: Float[ArrayLike, ""] | float, *, biases: str = "kept") -> PyTree:
    """The parameters of a network at one shared value: what `basis` kept, times the value.

    Args:
        synapses: the leaves that are weights.
        kept: what `basis` kept of one network, masked.
        value: the shared value.
        biases: "kept" for unchanged biases, or "shared", which are multiplied too.

    Example:
        >>> import jax.numpy as jnp, evojax_align as ea
        >>> params = {"bias": jnp.array([0.5, 0.5]), "kernel": jnp.array([[0.3, -2.0], [0.0, 1.0]])}
        >>> synapses = ea.pruning.find(params)
        >>> ea.pruning.at_value(synapses, ea.pruning.basis(synapses, params), 2.0)["kernel"].tolist()
        [[2.0, -2.0], [0.0, 2.0]]
    """
    _checks.one_of("biases", biases, BIASES)
    value = jnp.asarray(value)
    shared = leaves_by_path(kept) if biases == "shared" else synapses.of(kept)
    return with_leaves(kept, {path: leaf * value for path, leaf in shared.items()})


def answers(
    apply: Apply,
    synapses: Synapses,
    kept: PyTree,
    values: Float[ArrayLike, " values"] | Sequence[float],
    task: Task,
    *,
    biases: str = "kept",
    loss: Loss | None = None,
    chunk: int = CHUNK,
) -> Answers:
    """The predictions of one network for the samples of a task at several shared values.

    Args:
        apply: the network; its outputs are logits, or what the loss takes.
        synapses: the leaves that are weights.
        kept: what `basis` kept of the network, masked.
        values: the shared values.
        task: the inputs, their targets and the outputs of the classes.
        biases: as in `at_value`.
        loss: `loss(outputs, targets)`, one number for each sample; softmax cross-entropy with labels by default.
        chunk: samples at a time.

    Returns:
        `Answers`; at each value, those of the parameters from `at_value`.

    Raises:
        ValueError: for no samples, targets that do not fit, or a loss that does not return one number for each sample.

    Example:
        >>> import jax.numpy as jnp, evojax_align as ea
        >>> params = {"w": jnp.array([[0.3, -2.0]])}
        >>> synapses = ea.pruning.find(params)
        >>> task = ea.pruning.Task(jnp.array([[1.0], [-1.0]]), jnp.array([0, 1]))
        >>> kept = ea.pruning.basis(synapses, params)
        >>> ea.pruning.answers(lambda params, x: x @ params["w"], synapses, kept, (1.0, -1.0), task).classes.tolist()
        [[0, 1], [1, 0]]
    """
    x, y = jax.tree.map(jnp.asarray, (task.x, task.y))
    values = jnp.asarray(values)

    def outputs_at(value: ArrayLike, kept: PyTree, x: PyTree) -> PyTree:
        return task.logits(apply(at_value(synapses, kept, value, biases=biases), x))

    check_data("task", partial(outputs_at, 1.0), kept, x, y, loss, chunk=chunk)

    def of_samples(samples: tuple[PyTree, PyTree]) -> tuple[Array, ...]:
        x, y = _devices.split(samples)

        def at(value: Array) -> tuple[Array, PyTree]:
            outputs = outputs_at(value, kept, x)
            return measures(outputs, y, loss=loss)["loss"], outputs if loss is None else None

        losses, logits = population.map(at, values)
        if loss is not None:
            return (losses.T,)
        classes = jnp.swapaxes(jnp.argmax(logits, axis=-1), 0, 1)
        return losses.T, classes, jnp.argmax(log_mean_probabilities(logits), axis=-1)

    losses, *chosen = in_chunks(of_samples, (x, y), chunk=chunk)
    classes, ensemble = chosen or (None, None)
    classes = None if classes is None else jnp.swapaxes(classes, 0, 1)
    return Answers(classes, ensemble, losses.T, ~jnp.isnan(losses.T))


def rollouts(
    apply: Apply,
    synapses: Synapses,
    kept: PyTree,
    values: Float[ArrayLike, " values"] | Sequence[float],
    task: Task,
    *,
    biases: str = "kept",
    loss: Loss | None = None,
    chunk: int = CHUNK,
) -> Rollouts:
    """Score one network on a task at several shared values; arguments are those of `answers`.

    Returns:
        `Rollouts`; at each value, the result of `training.evaluate` for the parameters from `at_value`.

    Raises:
        ValueError: as `answers`.

    Example:
        >>> import jax.numpy as jnp, evojax_align as ea
        >>> params = {"w": jnp.array([[0.3, -2.0]])}
        >>> synapses = ea.pruning.find(params)
        >>> task = ea.pruning.Task(jnp.array([[1.0], [-1.0]]), jnp.array([0, 1]))
        >>> kept = ea.pruning.basis(synapses, params)
        >>> ea.pruning.rollouts(lambda params, x: x @ params["w"], synapses, kept, (1.0, -1.0), task).accuracy.tolist()
        [1.0, 0.0]

        For a regression, with a loss:

        >>> line, squares = ea.pruning.Task(jnp.arange(2.0), jnp.arange(2.0)), lambda outputs, y: (outputs - y) ** 2
        >>> params = {"w": jnp.ones((1, 1))}
        >>> apply, synapses = lambda params, x: x * params["w"][0, 0], ea.pruning.find(params)
        >>> ea.pruning.rollouts(apply, synapses, params, (1.0, 2.0), line, loss=squares).loss.tolist()
        [0.0, 0.5]
    """
    found = answers(apply, synapses, kept, values, task, biases=biases, loss=loss, chunk=chunk)
    means = jnp.mean(found.losses, axis=1)
    if loss is not None:
        return Rollouts(None, means, None)
    y, failed = jnp.asarray(task.y), ~jnp.all(found.finite, axis=1)
    right = jnp.mean(found.classes == y[None], axis=range(1, found.classes.ndim))
    return Rollouts(
        jnp.where(failed, jnp.nan, right), means, jnp.where(failed.any(), jnp.nan, jnp.mean(found.ensemble == y))
    )


def _half_normal(lots: Float[Array, "..."]) -> Float[Array, "..."]:
    """Magnitudes of normal draws, computed from uniform ones."""
    return jnp.sqrt(2.0) * jax.scipy.special.erfinv(lots)
