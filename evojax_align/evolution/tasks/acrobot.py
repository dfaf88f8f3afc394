"""The acrobot: two links with a motor between them that must swing up (Sutton 1996).

The equations of motion are those of Sutton & Barto's book; those of the paper lack a term. Step, bounds, start and
observations are those of Gym's Acrobot-v1: the Runge-Kutta method in steps of 0.2 s, links of 1 m and 1 kg with the
centre of mass in the middle and a moment of inertia of 1 kg m², gravity of 9.8 m/s², speeds of at most 4 pi and 9 pi
radians per second.

References:
    Sutton, R. S. Generalization in reinforcement learning: successful examples using sparse coarse coding. NIPS 1996.
    Sutton, R. S. and Barto, A. G. Reinforcement learning: an introduction. MIT Press 1998.
"""

import dataclasses
import math

import jax
import jax.numpy as jnp
from flax import struct

from evojax_align import _checks
from evojax_align._types import Array, Bool, Float, PRNGKey
from evojax_align.evolution.tasks._integration import runge_kutta
from evojax_align.evolution.tasks.control import Control

MASS, LENGTH, CENTRE, INERTIA, GRAVITY = 1.0, 1.0, 0.5, 1.0, 9.8
INTERVAL, FASTEST, START, HEIGHT = 0.2, (4 * math.pi, 9 * math.pi), 0.1, 1.0
TORQUES = ("continuous", "discrete")


@struct.dataclass
class Links:
    """The angles and angular speeds of two links.

    Attributes:
        angle: angles in radians, [..., 2]: of the first link from straight down, and of the second from the first.
        turning: angular speeds in radians per second, [..., 2].

    Example:
        >>> import jax, evojax_align as ea
        >>> ea.evolution.tasks.Acrobot(starts=4).begin(jax.random.key(0)).angle.shape
        (4, 2)
    """

    angle: Float[Array, "... 2"]
    turning: Float[Array, "... 2"]


@dataclasses.dataclass(frozen=True)
class Acrobot(Control):
    """Two links that hang from a fixed joint must swing their tip above a line 1 m over that joint.

    The only motor is in the joint between the links. The reward of each step is -1 until the tip is above the line,
    which ends the episode. The inputs of the network are cosine and sine of both angles, and the angular speeds.

    Args:
        starts: number of episodes, each from another start; all angles and speeds are drawn from [-0.1, 0.1].
        limit: number of time steps.
        torque: "continuous" for one output, which is clipped to [-1, 1]; or "discrete" for three outputs, of which the
            largest selects -1, 0 or 1.

    Example:
        >>> import jax, jax.numpy as jnp, evojax_align as ea
        >>> task = ea.evolution.tasks.Acrobot()
        >>> fitness = task.fitness(lambda params, seen: params * seen[:, 5:])
        >>> with_the_motion = fitness(jax.random.key(0), 100.0)  # torque in the direction in which the joint turns
        >>> float(fitness(jax.random.key(0), 0.0).fitness), bool(with_the_motion.fitness > -200)
        (-500.0, True)
    """

    starts: int = 3
    limit: int = 500
    torque: str = "continuous"

    INPUTS = ("first cosine", "first sine", "second cosine", "second sine", "first turning", "second turning")
    OUTPUTS = 1

    def __post_init__(self) -> None:
        _checks.positive("starts", self.starts)
        _checks.positive("limit", self.limit)
        _checks.one_of("torque", self.torque, TORQUES)
        object.__setattr__(self, "OUTPUTS", 3 if self.torque == "discrete" else 1)

    def begin(self, key: PRNGKey) -> Links:
        """Links that hang almost straight down and are almost at rest."""
        angle, turning = jax.random.uniform(key, (2, self.starts, 2), minval=-START, maxval=START)
        return Links(angle, turning)

    def observe(self, state: Links) -> Float[Array, "... 6"]:
        """The inputs of the network."""
        (first, second), turning = jnp.moveaxis(state.angle, -1, 0), state.turning
        seen = jnp.stack([jnp.cos(first), jnp.sin(first), jnp.cos(second), jnp.sin(second)], axis=-1)
        return jnp.concatenate([seen, turning], axis=-1)

    def advance(
        self, state: Links, action: Float[Array, "... outputs"]
    ) -> tuple[Links, Float[Array, "..."], Bool[Array, "..."]]:
        """The state 0.2 s later, the reward -1 or 0, and whether the tip is still below the line."""
        if self.torque == "discrete":
            torque = (jnp.argmax(action, axis=-1) - 1).astype(action.dtype)
        else:
            torque = jnp.clip(action[..., 0], -1.0, 1.0)
        values = runge_kutta(lambda of: derivative(of[0], of[1], torque), (state.angle, state.turning), INTERVAL)
        angle, turning = values
        angle = (angle + jnp.pi) % (2 * jnp.pi) - jnp.pi
        fastest = jnp.broadcast_to(jnp.array(FASTEST, turning.dtype), turning.shape)
        state = Links(angle, jnp.clip(turning, -fastest, fastest))
        below = self.links(state)[..., 1, 1, 1] <= HEIGHT
        return state, jnp.where(below, -1.0, 0.0).astype(angle.dtype), below

    def links(self, state: Links) -> Float[Array, "... 2 2 2"]:
        """The two links, each from its inner to its outer end; the last axis is (right, up)."""
        directions = jnp.cumsum(state.angle, axis=-1)
        along = LENGTH * jnp.stack([jnp.sin(directions), -jnp.cos(directions)], axis=-1)
        outer = jnp.cumsum(along, axis=-2)
        return jnp.stack([outer - along, outer], axis=-2)


def derivative(
    angle: Float[Array, "... 2"], turning: Float[Array, "... 2"], torque: Float[Array, "..."]
) -> tuple[Float[Array, "... 2"], Float[Array, "... 2"]]:
    """The derivatives of angles and angular speeds under a torque at the joint between the links.

    The accelerations solve M a = forces with the mass matrix M of two rods, whose second row is the motor's.
    """
    (first, second), (first_turning, second_turning) = jnp.moveaxis(angle, -1, 0), jnp.moveaxis(turning, -1, 0)
    coupling = MASS * LENGTH * CENTRE
    own = MASS * CENTRE**2 + INERTIA
    both = own + coupling * jnp.cos(second)
    whole = own + both + coupling * jnp.cos(second) + MASS * LENGTH**2
    outer_weight = MASS * CENTRE * GRAVITY * jnp.sin(first + second)
    weight = MASS * (CENTRE + LENGTH) * GRAVITY * jnp.sin(first) + outer_weight
    swing = coupling * jnp.sin(second)
    on_first = swing * second_turning * (second_turning + 2 * first_turning) - weight
    on_second = torque - swing * first_turning**2 - outer_weight
    determinant = whole * own - both**2
    faster = jnp.stack([own * on_first - both * on_second, whole * on_second - both * on_first], axis=-1)
    return turning, faster / determinant[..., None]
