"""Tasks of networks that are evaluated at several shared weights at once: rewards from a key, a network and data."""

import dataclasses

import jax
import jax.numpy as jnp
from flax import struct

from evojax_align import _checks, training
from evojax_align._types import Array, Float, Loss, PRNGKey, PyTree
from evojax_align.evolution._sharding import varying
from evojax_align.evolution.wann.graph import Forward

__all__ = [
    "Classification",
    "Pole",
    "SwingUp",
]

SCALES = ("sum", "relative")


@dataclasses.dataclass(frozen=True)
class Classification:
    """Minus the mean loss on samples drawn anew in each generation, the same for all members.

    Data is (x, y), or a sequence of such pairs, the tasks of one network.

    Args:
        batch: samples of each task; all of them if there are fewer.
        scale: how losses of several tasks become one. "sum" adds them up, as the thesis does, so that a task of large
            losses drowns the others; "relative" adds their logarithms up, so that half the loss is worth the same on
            each: for losses above 0.
        loss: `loss(outputs, targets)`, one number for each sample, for tasks that are no classification; softmax
            cross-entropy with integer labels by default. Where it is not finite, or an output is NaN or +infinity, the
            reward is NaN.

    Example:
        >>> import jax, jax.numpy as jnp, evojax_align as ea
        >>> task = ea.evolution.tasks.Classification(batch=4)
        >>> undecided = lambda x: jnp.zeros((1, x.shape[1], 2))  # equal chances of two classes, at one shared weight
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


@struct.dataclass
class Pole:
    """Where a cart is, how fast, the angle of its pole from upright, and how fast that turns: [...].

    At a positive angle the pole leans to where places are smaller: its tip is at place - length * sin(angle).

    Attributes:
        place: of the cart, in metres from the middle of the track.
        speed: of the cart, in metres a second.
        angle: of the pole from upright, in radians.
        turning: angular speed of the pole, in radians a second.

    Example:
        >>> import jax.numpy as jnp, evojax_align as ea
        >>> pole = ea.evolution.tasks.Pole(*jnp.array([0.0, 1.0, 0.0, 0.0]))
        >>> float(ea.evolution.tasks.SwingUp(interval=0.5).moved(pole, jnp.array(0.0)).place)
        0.5
    """

    place: Float[Array, "..."]
    speed: Float[Array, "..."]
    angle: Float[Array, "..."]
    turning: Float[Array, "..."]


@dataclasses.dataclass(frozen=True)
class SwingUp:
    """A cart that has to swing its hanging pole up, and to balance it in the middle of the track.

    A network takes place, speed, cosine and sine of the angle, and turning; it gives the force. Each time step rewards
    how upright the pole and how central the cart is, from 0 to 1; one that leaves the track gets no more.

    Args:
        starts: rollouts, each from another start.
        limit: time steps.
        interval: seconds between them.

    Example:
        >>> import jax, jax.numpy as jnp, evojax_align as ea
        >>> task, idle = ea.evolution.tasks.SwingUp(limit=20), lambda x: jnp.zeros((1, x.shape[1], 1))
        >>> reward = task(jax.random.key(0), idle)
        >>> reward.shape, bool(reward[0] < 1)  # a pole that hangs earns almost nothing
        ((1,), True)
    """

    starts: int = 3
    limit: int = 1000
    interval: float = 0.01

    INPUTS = ("place", "speed", "cosine", "sine", "turning")

    def __post_init__(self) -> None:
        _checks.positive("starts", self.starts)
        _checks.positive("limit", self.limit)
        _checks.above_zero("interval", self.interval)

    def __call__(self, key: PRNGKey, forward: Forward, data: PyTree = None) -> Float[Array, " values"]:
        """The reward of a rollout at each shared weight: the mean over starts; at most `limit`."""
        return jnp.mean(jnp.sum(self.trace(key, forward)[1], axis=0), axis=1)

    def trace(self, key: PRNGKey, forward: Forward) -> tuple[Pole, Float[Array, "time values starts"]]:
        """All that happens: states and rewards at [time, values, starts]."""
        begin = jnp.array([[0.0, 0.0, jnp.pi, 0.0]]) + 0.2 * jax.random.normal(key, (self.starts, 4))
        like = forward(jnp.zeros((1, self.starts, 5), begin.dtype))  # compiled to nothing but its shape
        state = Pole(*(jnp.broadcast_to(column, like.shape[:2]) for column in begin.T))

        def step(carry: tuple[Pole, Array], _: None) -> tuple[tuple[Pole, Array], tuple[Pole, Array]]:
            state, alive = carry
            seen = [state.place, state.speed, jnp.cos(state.angle), jnp.sin(state.angle), state.turning]
            force = jnp.clip(forward(jnp.stack(seen, axis=-1))[..., 0], -1.0, 1.0)
            state = self.moved(state, force)
            upright, central = (jnp.cos(state.angle) + 1) / 2, jnp.cos(state.place / TRACK * jnp.pi / 2)
            central = jnp.maximum(central, 0.0)  # beyond the end of the track
            reward = jnp.where(alive, upright * central, 0.0)
            return (state, alive & (jnp.abs(state.place) <= TRACK)), (state, reward)

        start = varying((state, jnp.ones(like.shape[:2], bool)), (begin, like))
        return jax.lax.scan(step, start, length=self.limit)[1]

    def moved(self, state: Pole, force: Float[Array, "..."]) -> Pole:
        """One time step later, under a force from -1 to 1."""
        sine, cosine = jnp.sin(state.angle), jnp.cos(state.angle)
        push = FORCE * force - FRICTION * state.speed
        pull = MASS_POLE * LENGTH * state.turning**2 * sine
        total = MASS_CART + MASS_POLE
        speed = (4 * push - 2 * pull + 3 * MASS_POLE * GRAVITY * sine * cosine) / (
            4 * total - 3 * MASS_POLE * cosine**2
        )
        turning = (6 * push * cosine - 3 * pull * cosine + 6 * total * GRAVITY * sine) / (
            4 * LENGTH * total - 3 * MASS_POLE * LENGTH * cosine**2
        )
        return Pole(
            state.place + self.interval * state.speed,
            state.speed + self.interval * speed,
            state.angle + self.interval * state.turning,
            state.turning + self.interval * turning,
        )


TRACK, FORCE, FRICTION, GRAVITY = 2.4, 10.0, 0.1, 9.82
MASS_CART, MASS_POLE, LENGTH = 0.5, 0.5, 0.6
