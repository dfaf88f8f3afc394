"""Swing up a pole that hangs from a cart."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from evojax_align import _checks
from evojax_align._types import Array, Bool, Float, PRNGKey, PyTree
from evojax_align.evolution._sharding import varying
from evojax_align.evolution.tasks.control import Control
from evojax_align.evolution.wann.graph import Forward

TRACK, FORCE, FRICTION, GRAVITY = 2.4, 10.0, 0.1, 9.82
MASS_CART, MASS_POLE, LENGTH = 0.5, 0.5, 0.6


@struct.dataclass
class Pole:
    """Position and speed of a cart, and the angle of its pole from upright and its angular speed: [...].

    At a positive angle, the pole leans towards smaller positions: its tip is at place - length * sin(angle).

    Attributes:
        place: position of the cart, in metres from the middle of the track.
        speed: speed of the cart, in metres per second.
        angle: angle of the pole from upright, in radians.
        turning: angular speed of the pole, in radians per second.

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
class SwingUp(Control):
    """Swing up the pole that hangs from a cart, and balance it in the middle of the track.

    The inputs of a network are position, speed, cosine and sine of the angle, and angular speed; its output is the
    force. The reward of each time step, from 0 to 1, is larger the more upright the pole and the more central the cart
    is. A cart that leaves the track gets no further reward.

    `fitness` is for any policy. The task itself can be called with a network that is evaluated at several shared
    weights at once, as `Wann` does.

    Args:
        starts: number of rollouts, each from another start.
        limit: number of time steps.
        interval: seconds between time steps.

    Example:
        >>> import jax, jax.numpy as jnp, evojax_align as ea
        >>> task, idle = ea.evolution.tasks.SwingUp(limit=20), lambda x: jnp.zeros((1, x.shape[1], 1))
        >>> reward = task(jax.random.key(0), idle)
        >>> reward.shape, bool(reward[0] < 1)  # a hanging pole gets almost no reward
        ((1,), True)
        >>> fitness = task.fitness(lambda params, seen: jnp.zeros((len(seen), 1)))
        >>> bool(jnp.isclose(fitness(jax.random.key(0), None).fitness, reward[0]))
        True
    """

    starts: int = 3
    limit: int = 1000
    interval: float = 0.01

    INPUTS = ("place", "speed", "cosine", "sine", "turning")
    OUTPUTS = 1

    def __post_init__(self) -> None:
        _checks.positive("starts", self.starts)
        _checks.positive("limit", self.limit)
        _checks.above_zero("interval", self.interval)

    def __call__(self, key: PRNGKey, forward: Forward, data: PyTree = None) -> Float[Array, " values"]:
        """The reward of a rollout at each shared weight: the mean over starts; at most `limit`."""
        return jnp.mean(jnp.sum(self.trace(key, forward)[1], axis=0), axis=1)

    def trace(self, key: PRNGKey, act: Forward) -> tuple[Pole, Float[Array, "time values starts"]]:
        """The trajectory at each shared weight: states and rewards at [time, values, starts].

        For the states of any other policy call `fitness(policy).trace(key, params)`. Here the cart moves on beyond the
        end of the track, without reward.

        Args:
            key: a random key.
            act: a network as from `Wann.forward`; its inputs are [1, starts, 5] or [values, starts, 5], its outputs
                [values, starts, 1].
        """
        begin = self.begin(key)
        like = act(self.observe(begin)[None])  # removed by the compiler: only its shape is used
        state = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, like.shape[:2]), begin)

        def step(carry: tuple[Pole, Array], _: None) -> tuple[tuple[Pole, Array], tuple[Pole, Array]]:
            state, alive = carry
            state, reward, on = self.advance(state, act(self.observe(state)))
            reward = jnp.where(alive, reward, 0.0)
            return (state, alive & on), (state, reward)

        start = varying((state, jnp.ones(like.shape[:2], bool)), (begin, like))
        return jax.lax.scan(step, start, length=self.limit)[1]

    def begin(self, key: PRNGKey) -> Pole:
        """Hanging poles near the middle of the track, with small random deviations."""
        begin = jnp.array([[0.0, 0.0, jnp.pi, 0.0]]) + 0.2 * jax.random.normal(key, (self.starts, 4))
        return Pole(*begin.T)

    def observe(self, state: Pole) -> Float[Array, "... 5"]:
        """The inputs of the network."""
        seen = [state.place, state.speed, jnp.cos(state.angle), jnp.sin(state.angle), state.turning]
        return jnp.stack(seen, axis=-1)

    def advance(
        self, state: Pole, action: Float[Array, "... 1"]
    ) -> tuple[Pole, Float[Array, "..."], Bool[Array, "..."]]:
        """Make one time step under a force that is clipped to [-1, 1]."""
        state = self.moved(state, jnp.clip(action[..., 0], -1.0, 1.0))
        upright, central = (jnp.cos(state.angle) + 1) / 2, jnp.cos(state.place / TRACK * jnp.pi / 2)
        central = jnp.maximum(central, 0.0)  # beyond the end of the track
        return state, upright * central, jnp.abs(state.place) <= TRACK

    def links(self, state: Any) -> Float[Array, "... 1 2 2"]:
        """The pole, from foot to tip; the last axis is (along the track, up)."""
        foot = jnp.stack([state.place, jnp.zeros_like(state.place)], axis=-1)
        tip = foot + LENGTH * jnp.stack([-jnp.sin(state.angle), jnp.cos(state.angle)], axis=-1)
        return jnp.stack([foot, tip], axis=-2)[..., None, :, :]

    def moved(self, state: Pole, force: Float[Array, "..."]) -> Pole:
        """The state after one time step under a force from -1 to 1."""
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
