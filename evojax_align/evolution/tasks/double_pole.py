"""Double pole balancing: two poles of different length on one cart, a benchmark of neuroevolution (Wieland 1991).

The system and its parameters are those of Wieland 1991 as used by Gomez & Miikkulainen 1999, with their equations of
motion and the Runge-Kutta method in steps of 0.01 s:

| parameter | value |
|---|---|
| cart | 1 kg, on a track of 2.4 m to either side |
| poles | 0.1 kg and 0.01 kg; half-lengths of 0.5 m and 0.05 m (lengths of 1 m and 0.1 m) |
| friction | 0.0005 N of the cart on the track; 0.000002 N m s of a pole's hinge |
| gravity | 9.8 m/s² |
| force | from -10 N to 10 N, chosen every 0.02 s |
| failure | the cart leaves the track, or a pole leans by more than 36 degrees |
| start | all at rest in the middle of the track; only the long pole leans |

The long pole leans by 0.07 rad (4 degrees) in the published code of NEAT (Stanley & Miikkulainen 2002) and of Shark;
the code of ESP (Gomez) takes the angle as an argument. The inputs are scaled as in NEAT's code: the position by 4.8 m,
speeds by 2 m/s and 2 rad/s, angles by 0.52 rad. Its constant input of 0.5 is omitted, since networks have biases. As in
NEAT's code, and unlike ESP's, there is no smallest force; as in ESP's code, and unlike NEAT's, the cart has friction.

Without velocities, a network could keep the poles up by moving the cart back and forth continually. The fitness of
Gruau, Whitley & Pyeatt 1996 rewards networks that do not do this.

References:
    Gomez, F. and Miikkulainen, R. Solving non-Markovian control tasks with neuroevolution. IJCAI 1999.
    Gruau, F., Whitley, D. and Pyeatt, L. A comparison between cellular encoding and direct encoding for genetic neural
        networks. Genetic Programming 1996.
    Stanley, K. O. and Miikkulainen, R. Evolving neural networks through augmenting topologies. Evolutionary
        Computation 10 (2002).
    Wieland, A. Evolving neural network controllers for unstable systems. IJCNN 1991.
"""

import dataclasses
import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from evojax_align import _checks
from evojax_align._compiling import watch
from evojax_align._types import Array, Bool, Float, Int, PRNGKey, PyTree
from evojax_align.evolution.tasks._integration import runge_kutta
from evojax_align.evolution.tasks.control import Control, check_policy, rollout

MASS_CART, MASSES, HALVES = 1.0, (0.1, 0.01), (0.5, 0.05)
FRICTION_CART, FRICTION_HINGE, GRAVITY = 0.0005, 0.000002, 9.8
FORCE, TRACK, FALLEN, INTERVAL = 10.0, 2.4, math.radians(36), 0.01
SCALE_PLACE, SCALE_SPEED, SCALE_ANGLE = 4.8, 2.0, 0.52
WINDOW, SMALLEST = 100, 1e-3
"""Steps over which movements are summed, and the lower bound of the sum."""
SHARES, RANGES = (0.05, 0.25, 0.5, 0.75, 0.95), (2.16, 1.35, math.radians(3.6), math.radians(8.6))
"""Starts of the generalisation test: fractions of the range from -range to range, for the cart and the long pole."""


@struct.dataclass
class Poles:
    """Position and speed of a cart, and the angles of its two poles from upright, the long one first, and their speeds.

    At a positive angle, a pole leans towards larger positions.

    Attributes:
        place: position of the cart, in metres from the middle of the track, [...].
        speed: speed of the cart, in metres per second, [...].
        angle: angles of the poles, in radians, [..., 2].
        turning: angular speeds of the poles, in radians per second, [..., 2].
        recent: |place| + |speed| + |angle| + |turning| of the cart and the long pole, in each of the last 100 steps,
            [..., 100]; with velocities, [..., 0].

    Example:
        >>> import jax, evojax_align as ea
        >>> state = ea.evolution.tasks.DoublePole().begin(jax.random.key(0))
        >>> state.place.shape, state.angle.round(2).tolist()
        ((1,), [[0.07000000029802322, 0.0]])
    """

    place: Float[Array, "..."]
    speed: Float[Array, "..."]
    angle: Float[Array, "... 2"]
    turning: Float[Array, "... 2"]
    recent: Float[Array, "... window"]


@dataclasses.dataclass(frozen=True)
class DoublePole(Control):
    """Balance two poles of different length on a cart.

    The action is the force on the cart, clipped to [-1, 1] and multiplied by 10 N.

    The fitness is the number of steps of 0.02 s in which the poles stay up. Without velocities it is
    0.1 t / 1000 + 0.9 f for t such steps, where f = 0 for t < 100; otherwise, f is 0.75 divided by the sum of
    |place| + |speed| + |angle| + |turning| of the cart and the long pole over the last 100 steps (at least 0.001).

    Args:
        velocities: whether the speeds of cart and poles are inputs of the network.
        limit: number of time steps; by default 100 000, and 1000 without velocities.
        angle: initial angle of the long pole, in radians.

    Example:
        >>> import jax, jax.numpy as jnp, evojax_align as ea
        >>> task = ea.evolution.tasks.DoublePole()
        >>> idle = task.fitness(lambda params, seen: jnp.zeros((len(seen), 1)))
        >>> float(idle(jax.random.key(0), None).fitness)
        22.0
    """

    velocities: bool = True
    limit: int | None = None
    angle: float = 0.07

    INPUTS = ("place", "speed", "long angle", "long turning", "short angle", "short turning")
    OUTPUTS = 1

    def __post_init__(self) -> None:
        limit = (100_000 if self.velocities else 1000) if self.limit is None else self.limit
        object.__setattr__(self, "limit", _checks.positive("limit", limit))
        if not abs(self.angle) < FALLEN:
            raise _checks.bad("angle", repr(self.angle), "less than 36 degrees, 0.628", "Pass angle=0.07.")
        if not self.velocities:
            object.__setattr__(self, "INPUTS", self.INPUTS[::2])

    def begin(self, key: PRNGKey) -> Poles:
        """One start, always the same, with the long pole at an angle."""
        return self._at(jnp.array([[0.0, 0.0, self.angle, 0.0]]), 0 if self.velocities else WINDOW)

    def _at(self, values: Float[Array, "starts 4"], window: int = 0) -> Poles:
        """States from position, speed, angle and turning of the long pole; the short pole is upright."""
        place, speed, angle, turning = values.T
        nothing = jnp.zeros_like(place)
        angle, turning = jnp.stack([angle, nothing], axis=-1), jnp.stack([turning, nothing], axis=-1)
        return Poles(place, speed, angle, turning, jnp.zeros((*place.shape, window), place.dtype))

    def observe(self, state: Poles) -> Float[Array, "... inputs"]:
        """The inputs of the network."""
        place, angle = state.place[..., None] / SCALE_PLACE, state.angle / SCALE_ANGLE
        if not self.velocities:
            return jnp.concatenate([place, angle], axis=-1)
        speed, turning = state.speed[..., None] / SCALE_SPEED, state.turning / SCALE_SPEED
        long, short = (jnp.stack([angle[..., n], turning[..., n]], axis=-1) for n in (0, 1))
        return jnp.concatenate([place, speed, long, short], axis=-1)

    def advance(
        self, state: Poles, action: Float[Array, "... 1"]
    ) -> tuple[Poles, Float[Array, "..."], Bool[Array, "..."]]:
        """The state 0.02 s later, the reward 1 if the poles are still up, and whether they are."""
        force = FORCE * jnp.clip(action[..., 0], -1.0, 1.0)
        place, speed, angle, turning = state.place, state.speed, state.angle, state.turning
        for _ in range(2):
            values = (place, speed, angle, turning)
            place, speed, angle, turning = runge_kutta(lambda of: derivative(*of, force=force), values, INTERVAL)
        moving = jnp.abs(place) + jnp.abs(speed) + jnp.abs(angle[..., 0]) + jnp.abs(turning[..., 0])
        recent = jnp.concatenate([state.recent, moving[..., None]], axis=-1)[..., 1:]
        up = (jnp.abs(place) <= TRACK) & jnp.all(jnp.abs(angle) <= FALLEN, axis=-1)
        return Poles(place, speed, angle, turning, recent), up.astype(place.dtype), up

    def total(self, state: Poles, rewards: Float[Array, " starts"]) -> Float[Array, " starts"]:
        """The fitness of each episode, from the number of steps in which the poles were up."""
        if self.velocities:
            return rewards
        damped = 0.75 / jnp.maximum(jnp.sum(state.recent, axis=-1), SMALLEST)
        return 0.1 * rewards / 1000 + 0.9 * jnp.where(rewards >= WINDOW, damped, 0.0)

    def balanced(self, policy: Any, params: PyTree, *, limit: int = 100_000) -> Int[Array, ""]:
        """The number of steps for which a policy keeps the poles up; 0 for NaN. 100 000 steps solve the task.

        Args:
            policy: as for `fitness`.
            params: its parameters.
            limit: largest number of steps.

        Example:
            >>> import jax.numpy as jnp, evojax_align as ea
            >>> task = ea.evolution.tasks.DoublePole(velocities=False)
            >>> int(task.balanced(lambda params, seen: 0 * seen[:, :1], None, limit=50))
            22
        """
        return self._steps(policy, params, jnp.array([[0.0, 0.0, self.angle, 0.0]]), limit)[0]

    def generalisation(self, policy: Any, params: PyTree, *, limit: int = 1000) -> Bool[Array, " 625"]:
        """Whether a policy keeps the poles up for 1000 steps, from each of 625 starts.

        Gruau, Whitley & Pyeatt require 200 of them. The starts are all combinations of 5 %, 25 %, 50 %, 75 % and 95 %
        of the ranges from -2.16 m to 2.16 m, from -1.35 m/s to 1.35 m/s, from -3.6 to 3.6 degrees, and from -8.6 to 8.6
        degrees per second, for the cart and the long pole; the short pole is upright.

        Args:
            policy: as for `fitness`; the memory of a recurrent policy is reset at each start.
            params: its parameters.
            limit: number of steps.

        Example:
            >>> import jax.numpy as jnp, evojax_align as ea
            >>> task = ea.evolution.tasks.DoublePole(velocities=False)
            >>> int(task.generalisation(lambda params, seen: 0 * seen[:, :1], None, limit=20).sum())
            575
        """
        grid = np.stack(np.meshgrid(*[np.array(SHARES)] * 4, indexing="ij"), axis=-1).reshape(-1, 4)
        return self._steps(policy, params, jnp.asarray((2 * grid - 1) * np.array(RANGES)), limit) == limit

    def _steps(
        self, policy: Any, params: PyTree, starts: Float[Array, "starts 4"], limit: int
    ) -> Int[Array, " starts"]:
        """The number of steps in which the poles are up, from initial states of the cart and the long pole."""
        check_policy(policy)
        watch("balanced", (params, starts), policy=policy)
        return _counted(dataclasses.replace(self, limit=_checks.positive("limit", limit)), policy, params, starts)

    def links(self, state: Any) -> Float[Array, "... 2 2 2"]:
        """The two poles, from foot to tip; the last axis is (along the track, up)."""
        foot = jnp.stack([state.place, jnp.zeros_like(state.place)], axis=-1)[..., None, :]
        lengths = 2 * _of_poles(HALVES, state.angle)
        tip = foot + jnp.stack([lengths * jnp.sin(state.angle), lengths * jnp.cos(state.angle)], axis=-1)
        return jnp.stack([jnp.broadcast_to(foot, tip.shape), tip], axis=-2)


@partial(jax.jit, static_argnums=(0, 1))
def _counted(task: DoublePole, policy: Any, params: PyTree, starts: Float[Array, "starts 4"]) -> Int[Array, " starts"]:
    """The number of steps in which the poles are up."""
    steps = rollout(task, policy, params, task._at(starts))[0].rewards
    return jnp.where(jnp.isnan(steps), 0, steps).astype(jnp.int32)


def derivative(
    place: Float[Array, "..."],
    speed: Float[Array, "..."],
    angle: Float[Array, "... 2"],
    turning: Float[Array, "... 2"],
    force: Float[Array, "..."],
) -> tuple[Float[Array, "..."], Float[Array, "..."], Float[Array, "... 2"], Float[Array, "... 2"]]:
    """The derivatives of position, speed, angles and angular speeds under a force in newtons.

    A pole of mass m and half-length l obeys 4/3 l a = g sin - x cos - mu / (m l) turning, with a the acceleration of
    its angle and x that of the cart; x follows from the forces on the cart, to which each pole adds
    m l (turning² sin - a cos) - m x.
    """
    masses, halves = _of_poles(MASSES, angle), _of_poles(HALVES, angle)
    sine, cosine = jnp.sin(angle), jnp.cos(angle)
    falling = GRAVITY * sine - FRICTION_HINGE * turning / (masses * halves)
    pulls = masses * (halves * turning**2 * sine - 0.75 * falling * cosine)
    inertia = MASS_CART + jnp.sum(masses * (1 - 0.75 * cosine**2), axis=-1)
    faster = (force - FRICTION_CART * jnp.sign(speed) + jnp.sum(pulls, axis=-1)) / inertia
    return speed, faster, turning, 0.75 / halves * (falling - faster[..., None] * cosine)


def _of_poles(values: tuple[float, float], like: Float[Array, "... 2"]) -> Float[Array, "... 2"]:
    """A number for each pole, in the shape and dtype of another array."""
    return jnp.broadcast_to(jnp.array(values, like.dtype), like.shape)
