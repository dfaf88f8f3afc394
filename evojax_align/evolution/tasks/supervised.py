"""Classification and regression without gradients, on mini-batches."""

import dataclasses
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from evojax_align import _checks, training
from evojax_align._compiling import watch
from evojax_align._types import Apply, Array, Int, Loss, PRNGKey, PyTree
from evojax_align.evolution.evaluation import Evaluation
from evojax_align.evolution.tasks.control import check_visited


@dataclasses.dataclass(frozen=True)
class Supervised:
    """The accuracy, or minus the mean loss, on a random mini-batch.

    Members that are evaluated with the same key get the same samples.

    Args:
        batch: number of samples of a mini-batch; all samples, in data set order, if there are no more.
        loss: `loss(outputs, targets)`, one number for each sample, for tasks other than classification.

    Example:
        >>> import jax, jax.numpy as jnp, evojax_align as ea
        >>> fitness = ea.evolution.tasks.Supervised(batch=4).fitness(lambda params, x: x * params)
        >>> x = jax.nn.one_hot(jnp.arange(30) % 3, 3)
        >>> found = fitness(jax.random.key(0), jnp.array(1.0), (x, jnp.arange(30) % 3))
        >>> float(found.fitness), found.scores.tolist()
        (1.0, [1.0, 1.0, 1.0, 1.0])
    """

    batch: int = 1000
    loss: Loss | None = None

    def __post_init__(self) -> None:
        _checks.positive("batch", self.batch)
        if self.loss is not None:
            _checks.network(self.loss, "loss")

    def fitness(self, apply: Apply, *, visited: int = 0) -> "SupervisedFitness":
        """The fitness function of a network, `fitness(key, params, data)`: see `SupervisedFitness`."""
        return SupervisedFitness(self, apply, visited)

    def draw(self, key: PRNGKey, count: int) -> Int[Array, " batch"]:
        """Draw the indices of a mini-batch without replacement, all samples with equal probability.

        One sample is drawn from each of `batch` equal parts of the data, starting at a random index. Unlike a random
        permutation, that takes no time for the samples that are not drawn.

        Args:
            key: a random key.
            count: number of samples in the data.

        Example:
            >>> import jax, evojax_align as ea
            >>> drawn = ea.evolution.tasks.Supervised(batch=10).draw(jax.random.key(0), 25)
            >>> len(set(drawn.tolist())), int(drawn.max()) < 25
            (10, True)
        """
        if count <= self.batch:
            return jnp.arange(count)
        key_first, key_within = jax.random.split(_checks.key("key", key))
        ends = jnp.array([part * count // self.batch for part in range(self.batch + 1)], jnp.int32)
        within = jax.random.randint(key_within, (self.batch,), ends[:-1], ends[1:])
        return (jax.random.randint(key_first, (), 0, count) + within) % count


@dataclasses.dataclass(frozen=True)
class SupervisedFitness:
    """The fitness function of a network in a task `Supervised`, as a function of a key, parameters and data (x, y).

    Two instances are equal if their tasks and networks are; a jitted function that takes them as a static argument is
    then compiled once.

    The fitness is NaN if an output is NaN or +infinity, or a loss is not finite. `scores` are the fitness of each
    sample: 0 or 1, or minus its loss.

    Args:
        task: the task, with batch size and loss.
        apply: the network, `apply(params, x)`; its outputs are logits, or what the loss takes.
        visited: number of inputs, the first of the batch, to return as `states`; with 0, `states` is None.

    Example:
        >>> import evojax_align as ea
        >>> apply, task = lambda params, x: x, ea.evolution.tasks.Supervised(batch=100)
        >>> task.fitness(apply) == ea.evolution.tasks.Supervised(batch=100).fitness(apply)
        True
    """

    task: Supervised
    apply: Apply
    visited: int = 0

    def __post_init__(self) -> None:
        _checks.network(self.apply)
        check_visited(self.visited)

    def __call__(self, key: PRNGKey, params: PyTree, data: tuple[PyTree, PyTree]) -> Evaluation:
        """The evaluation of one network."""
        data = _pair(data)
        watch("fitness", (params, data), apply=self.apply, loss=self.task.loss)
        return _evaluated(self, _checks.key("key", key), params, data)


@partial(jax.jit, static_argnums=0)
def _evaluated(fitness: SupervisedFitness, key: PRNGKey, params: PyTree, data: tuple[PyTree, PyTree]) -> Evaluation:
    """The evaluation of one network on a mini-batch."""
    task, visited = fitness.task, fitness.visited
    chosen = task.draw(key, jax.tree.leaves(data)[0].shape[0])
    x, y = jax.tree.map(lambda leaf: leaf[chosen], data)

    def scores(part: tuple[PyTree, PyTree]) -> Array:
        found = training.measures(fitness.apply(params, part[0]), part[1], loss=task.loss)
        return found["accuracy"] if task.loss is None else -found["loss"]

    values = training.in_chunks(scores, (x, y))
    return Evaluation(jnp.mean(values), values, jax.tree.map(lambda leaf: leaf[:visited], x) if visited else None)


def _pair(data: Any) -> tuple[PyTree, PyTree]:
    """Inputs and targets."""
    if not isinstance(data, tuple | list) or len(data) != 2:
        came = f"{len(data)} values" if isinstance(data, tuple | list) else type(data).__name__
        raise _checks.bad("data", came, "inputs and targets", "Pass data=(x, y).")
    x, y = data
    _checks.inputs("data", x)
    counts = {jnp.shape(leaf)[:1] for leaf in jax.tree.leaves((x, y))}
    if len(counts) != 1:
        shapes = [jnp.shape(leaf) for leaf in jax.tree.leaves((x, y))]
        raise _checks.bad("data", f"shapes {shapes[:6]}", "as many targets as inputs", "Pass data=(x, y).")
    return x, y
