"""Classification and regression by networks that are evaluated at several shared weights at once."""

import dataclasses

import jax
import jax.numpy as jnp

from evojax_align import _checks, training
from evojax_align._types import Array, Float, Loss, PRNGKey, PyTree
from evojax_align.evolution.wann.graph import Forward

SCALES = ("sum", "relative")


@dataclasses.dataclass(frozen=True)
class Classification:
    """Minus the mean loss on samples that are redrawn in each generation, the same for all members.

    Data is (x, y), or a sequence of such pairs for several tasks of one network.

    Args:
        batch: number of samples of each task; all of them if there are fewer.
        scale: how the losses of several tasks are combined. "sum" adds them, as in the thesis, so that a task of large
            losses dominates; "relative" adds their logarithms, so that halving the loss has the same value on each
            task, for losses above 0.
        loss: `loss(outputs, targets)`, one number for each sample, for tasks other than classification; softmax
            cross-entropy with integer labels by default. If it is not finite, or an output is NaN or +infinity, the
            reward is NaN.

    Example:
        >>> import jax, jax.numpy as jnp, evojax_align as ea
        >>> task = ea.evolution.tasks.Classification(batch=4)
        >>> undecided = lambda x: jnp.zeros((1, x.shape[1], 2))  # equal logits of two classes, at one shared weight
        >>> rewards = task(jax.random.key(0), undecided, (jnp.zeros((10, 3)), jnp.zeros(10, int)))
        >>> bool(jnp.allclose(rewards, -jnp.log(2)))
        True
    """

    batch: int = 1000
    scale: str = "sum"
    loss: Loss | None = None

    def __post_init__(self) -> None:
        _checks.positive("batch", self.batch)
        _checks.one_of("scale", self.scale, SCALES)
        if self.loss is not None:
            _checks.network(self.loss, "loss")

    def __call__(self, key: PRNGKey, forward: Forward, data: PyTree) -> Float[Array, " values"]:
        """The reward at each shared weight."""
        tasks = [data] if isinstance(data, tuple) and not isinstance(data[0], tuple) else list(data)
        found = []
        for key_task, (x, y) in zip(jax.random.split(key, len(tasks)), tasks, strict=True):
            count = x.shape[0]
            chosen = jax.random.choice(key_task, count, (min(self.batch, count),), replace=False)
            outputs, targets = forward(x[chosen][None]), jax.tree.map(lambda leaf, chosen=chosen: leaf[chosen], y)
            found.append(self._losses(outputs, targets))
        losses = jnp.stack(found)
        return -jnp.sum(jnp.log(losses) if self.scale == "relative" else losses, axis=0)

    def _losses(self, outputs: Float[Array, "values batch outputs"], targets: PyTree) -> Float[Array, " values"]:
        """The mean loss at each shared value."""
        if self.loss is None:
            chances = jax.nn.log_softmax(outputs)
            return -jnp.mean(jnp.take_along_axis(chances, targets[None, :, None], axis=2), axis=(1, 2))
        measured = jax.vmap(lambda of_value: training.measures(of_value, targets, loss=self.loss)["loss"])(outputs)
        return jnp.mean(measured, axis=1)
