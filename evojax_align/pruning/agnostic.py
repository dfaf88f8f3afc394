"""Networks whose weights share one value but for their signs, judged at several values on several tasks.

What is shared can be more or less than in the thesis: `basis` says what a network keeps of its own, and `at_value`
multiplies it by a value that all synapses share.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import struct

from evojax_align import _checks, population, training
from evojax_align._tree import leaves_by_path, with_leaves
from evojax_align._types import Apply, Array, ArrayLike, Bool, Float, Int, PRNGKey, PyTree
from evojax_align.pruning.choosing import uniform_scores
from evojax_align.pruning.synapses import Synapses

SIGNS = ("kept", "discarded", "random")
MAGNITUDES = ("shared", "own", "random")
BIASES = ("kept", "shared")


@struct.dataclass
class Task:
    """Labelled inputs, and which outputs of the network stand for their classes.

    Attributes:
        outputs: for each class the number of its logit; all of them in their order where None. So a task can have fewer
            classes than the network has outputs, an output layer of its own, or another bijection between classes and
            outputs.

    Example:
        >>> import jax.numpy as jnp, evojax_align as ea
        >>> task = ea.pruning.Task(jnp.zeros((1, 3)), jnp.array([0]), outputs=jnp.array([3, 1]))
        >>> task.logits(jnp.array([[10.0, 11.0, 12.0, 13.0]])).tolist()
        [[13.0, 11.0]]
    """

    x: PyTree
    y: Int[Array, " n"]
    outputs: Int[Array, " classes"] | None = None

    def logits(self, logits: Float[Array, "... outputs"]) -> Float[Array, "... classes"]:
        """Those of the task's classes."""
        return logits if self.outputs is None else jnp.take(logits, self.outputs, axis=-1)


@struct.dataclass
class Answers:
    """What a network says of every sample at each shared value.

    Attributes:
        ensemble: the class of the largest mean probability over the values.
        losses: cross-entropy.
        finite: whether all logits are.
    """

    classes: Int[Array, "values n"]
    ensemble: Int[Array, " n"]
    losses: Float[Array, "values n"]
    finite: Bool[Array, "values n"]


@struct.dataclass
class Rollouts:
    """How well a network does at each shared value, and all of them together.

    Attributes:
        accuracy: naN where an output is not finite.
        loss: mean cross-entropy.
        ensemble: accuracy of the largest mean probability over the values; NaN if an output is not finite at one of
            them.
    """

    accuracy: Float[Array, "... values"]
    loss: Float[Array, "... values"]
    ensemble: Float[Array, "..."]


def basis(
    synapses: Synapses,
    params: PyTree,
    *,
    signs: str = "kept",
    magnitudes: str = "shared",
    biases: str = "kept",
    key: PRNGKey | None = None,
) -> PyTree:
    """What a network keeps of its weights; a shared value multiplies it (see `at_value`).

    Args:
        synapses: which leaves are weights; the others are biases.
        params: of one network.
        signs: "kept"; "discarded", so that all weights are positive; or "random", each by its own coin.
        magnitudes: "shared", so that only the sign is left; "own"; or "random", those of normal draws.
        biases: "kept" as they are, or "shared", so that only their signs are left.
        key: for what is random.

    Returns:
        A tree like the parameters. A weight of 0 stays 0. Where only signs are left, they are of type int8.

    Raises:
        ValueError: for an unknown word, or if something is to be random without a key.

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
        synapses: which leaves are weights.
        kept: of one network, masked.
        value: what all weights share.
        biases: "kept" as they are, or "shared", which are multiplied too.

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
    chunk: int = training.CHUNK,
) -> Answers:
    """What one network says of a task at several shared values.

    Args:
        apply: the network, giving logits.
        synapses: which leaves are weights.
        kept: what `basis` kept of the network, masked.
        values: the shared values.
        task: the inputs, their classes and the outputs that stand for them.
        biases: as in `at_value`.
        chunk: samples at a time.

    Returns:
        `Answers`; at each value those of the parameters `at_value`.

    Example:
        >>> import jax.numpy as jnp, evojax_align as ea
        >>> params = {"w": jnp.array([[0.3, -2.0]])}
        >>> synapses = ea.pruning.find(params)
        >>> task = ea.pruning.Task(jnp.array([[1.0], [-1.0]]), jnp.array([0, 1]))
        >>> kept = ea.pruning.basis(synapses, params)
        >>> ea.pruning.answers(lambda params, x: x @ params["w"], synapses, kept, (1.0, -1.0), task).classes.tolist()
        [[0, 1], [1, 0]]
    """

    def of_samples(samples: tuple[PyTree, Array]) -> tuple[Array, ...]:
        x, y = samples

        def at(value: Array) -> Array:
            logits = task.logits(apply(at_value(synapses, kept, value, biases=biases), x))
            return logits.astype(jnp.promote_types(logits.dtype, jnp.float32))

        logits = jnp.swapaxes(population.map(at, jnp.asarray(values)), 0, 1)
        losses = jax.vmap(training.cross_entropy, in_axes=(1, None), out_axes=1)(logits, y)
        together = jnp.mean(jax.nn.softmax(logits), axis=1)
        finite = jnp.all(jnp.isfinite(logits), axis=-1)
        return jnp.argmax(logits, axis=-1), jnp.argmax(together, axis=-1), losses, finite

    classes, ensemble, losses, finite = training.in_chunks(of_samples, (task.x, task.y), chunk=chunk)
    return Answers(classes.T, ensemble, losses.T, finite.T)


def rollouts(
    apply: Apply,
    synapses: Synapses,
    kept: PyTree,
    values: Float[ArrayLike, " values"] | Sequence[float],
    task: Task,
    *,
    biases: str = "kept",
    chunk: int = training.CHUNK,
) -> Rollouts:
    """Judge one network on a task at several shared values; arguments are those of `answers`.

    Returns:
        `Rollouts`; at each value what `training.evaluate` gives for the parameters `at_value`.

    Example:
        >>> import jax.numpy as jnp, evojax_align as ea
        >>> params = {"w": jnp.array([[0.3, -2.0]])}
        >>> synapses = ea.pruning.find(params)
        >>> task = ea.pruning.Task(jnp.array([[1.0], [-1.0]]), jnp.array([0, 1]))
        >>> kept = ea.pruning.basis(synapses, params)
        >>> ea.pruning.rollouts(lambda params, x: x @ params["w"], synapses, kept, (1.0, -1.0), task).accuracy.tolist()
        [1.0, 0.0]
    """
    found = answers(apply, synapses, kept, values, task, biases=biases, chunk=chunk)
    right = jnp.mean(found.classes == task.y[None], axis=1)
    accuracy = jnp.where(jnp.all(found.finite, axis=1), right, jnp.nan)
    ensemble = jnp.where(jnp.all(found.finite), jnp.mean(found.ensemble == task.y), jnp.nan)
    return Rollouts(accuracy, jnp.mean(found.losses, axis=1), ensemble)


def _half_normal(lots: Float[Array, "..."]) -> Float[Array, "..."]:
    """Magnitudes of normal draws, from uniform ones."""
    return jnp.sqrt(2.0) * jax.scipy.special.erfinv(lots)
