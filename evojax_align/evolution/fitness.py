"""The fitness of a network on labelled data."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from evojax_align import _checks, population, training
from evojax_align._types import Apply, Array, Float, Loss, PyTree

__all__ = [
    "accuracies",
    "fitness_of",
    "joint",
]

JOINT = ("ratio", "mean", "worst", "product")


def fitness_of(
    apply: Apply, params: PyTree, x: PyTree, y: PyTree, *, loss: Loss | None = None
) -> tuple[Float[Array, ""], Any]:
    """The fitness of one network, and the classes that it predicts.

    Args:
        apply: the network; its outputs are logits, or what the loss takes.
        params: its parameters.
        x: inputs.
        y: integer labels, or the targets that the loss takes.
        loss: `loss(outputs, targets)`, one number for each sample.

    Returns:
        The accuracy, or minus the mean loss if a loss is given; NaN if an output is NaN or +infinity, or the loss
        is not finite. The predictions are None if a loss is given.

    Example:
        >>> import jax.numpy as jnp, evojax_align as ea
        >>> apply, params = lambda params, x: x @ params["w"], {"w": jnp.eye(2)}
        >>> x, y = jnp.array([[1.0, 0.0], [0.0, 1.0]]), jnp.array([0, 0])
        >>> accuracy, predictions = ea.evolution.fitness.fitness_of(apply, params, x, y)
        >>> float(accuracy), predictions.tolist()
        (0.5, [0, 1])
    """

    def evaluate(part: tuple[PyTree, PyTree]) -> tuple[Any, Array]:
        inputs, targets = part
        outputs = apply(params, inputs)
        found = training.measures(outputs, targets, loss=loss)
        if loss is not None:
            return None, -found["loss"]
        return jnp.argmax(outputs, axis=-1), found["accuracy"]

    predictions, values = training.in_chunks(evaluate, (x, y))
    return jnp.mean(values), predictions


@partial(jax.jit, static_argnames=("apply", "mesh", "loss"))
def accuracies(
    apply: Apply, pop: PyTree, x: PyTree, y: PyTree, *, mesh: Mesh | None = None, loss: Loss | None = None
) -> Float[Array, " n"]:
    """The fitness of every network of a population (see `fitness_of`): accuracies, or minus mean losses.

    Example:
        >>> import jax.numpy as jnp, evojax_align as ea
        >>> apply, pop = lambda params, x: x @ params["w"], {"w": jnp.stack([jnp.eye(2), -jnp.eye(2)])}
        >>> x, y = jnp.array([[1.0, 0.0], [0.0, 1.0]]), jnp.array([0, 1])
        >>> ea.evolution.fitness.accuracies(apply, pop, x, y).tolist()
        [1.0, 0.0]
    """
    return population.map(lambda params: fitness_of(apply, params, x, y, loss=loss)[0], pop, mesh=mesh)


def joint(kind: str, accuracy: Float[Array, " tasks"], samples: Sequence[int]) -> Float[Array, ""]:
    """One fitness from the accuracies on several tasks, NaN if one of them is.

    Args:
        kind: "ratio" is the sum of accuracies divided by the sum of error rates, sum a / sum (1 - a), equation (5.1) of
            the thesis; "mean"; "worst", the accuracy on the worst task; or "product", the geometric mean.
        accuracy: the accuracy on each task, from 0 to 1.
        samples: the number of samples of each task. For "ratio", the errors count as at least half of one sample, so
            that it is finite, and largest without errors.

    Example:
        >>> import jax.numpy as jnp, evojax_align as ea
        >>> accuracy = jnp.array([0.75, 0.25])
        >>> [float(ea.evolution.fitness.joint(kind, accuracy, [100, 100])) for kind in ("ratio", "mean", "worst")]
        [1.0, 0.5, 0.25]
    """
    _checks.one_of("fitness", kind, JOINT)
    if kind == "ratio":
        return jnp.sum(accuracy) / jnp.maximum(jnp.sum(1 - accuracy), 0.5 / max(samples))
    if kind == "product":
        return jnp.prod(accuracy) ** (1 / len(samples))
    return jnp.mean(accuracy) if kind == "mean" else jnp.min(accuracy)
