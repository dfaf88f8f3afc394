"""Environments of gymnax as tasks of control.

Lange, R. T. gymnax: A JAX-based reinforcement learning environment library (2022).
"""

import dataclasses
import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from evojax_align import _checks
from evojax_align._types import Array, Bool, Float, Int, Key, PRNGKey
from evojax_align.evolution.adapters._calling import called
from evojax_align.evolution.tasks.control import Control

EXTRA = "gymnax"


@struct.dataclass
class GymnaxState:
    """Episodes of an environment.

    Attributes:
        key: the random key of each episode.
        step: number of steps so far.
        state: state of the environment.
        seen: observations, flattened.

    Example:
        >>> import jax, evojax_align as ea
        >>> state = ea.evolution.adapters.Gymnax("CartPole-v1", starts=3).begin(jax.random.key(0))
        >>> state.seen.shape, state.state.theta.shape
        ((3, 4), (3,))
    """

    key: Key[Array, "*starts"]
    step: Int[Array, "*starts"]
    state: Any
    seen: Float[Array, "*starts inputs"]


@dataclasses.dataclass(frozen=True)
class Gymnax(Control):
    """An environment of gymnax (1.0 or later) as a task, for policies with and without memory.

    For discrete actions, the policy has one output for each, and the action of the largest output is taken. Continuous
    actions are clipped to their bounds. Observations are flattened to one axis and converted to floating point; a
    network for images must restore their shape. An episode ends when the environment terminates or truncates it, or at
    `limit`. gymnax then begins a new episode, which is not counted.

    Attributes:
        environment: a name known to gymnax, or an environment, which may be wrapped.
        starts: number of episodes, each from another key; the fitness is their mean.
        limit: steps after which an episode ends; by default those of the environment.
        params: parameters of the environment; by default its own.
        INPUTS: names of the observations.
        OUTPUTS: number of outputs of the policy.

    Example:
        >>> import jax, jax.numpy as jnp, evojax_align as ea
        >>> task = ea.evolution.adapters.Gymnax("CartPole-v1", starts=4, limit=200)
        >>> network = ea.models.MLP(hidden=(8,), classes=task.OUTPUTS)
        >>> fitness, draw = task.fitness(network.apply), lambda key: network.init(key, jnp.zeros((1, len(task.INPUTS))))
        >>> ga = ea.evolution.Neuroevolution(size=16, mutation=0.5)
        >>> state = ga.init(jax.random.key(0), draw)
        >>> for key in jax.random.split(jax.random.key(1), 5):
        ...     state, info = ga.step(key, state, fitness)
        >>> bool(state.champion_fitness > 100)
        True
    """

    environment: Any
    starts: int = 4
    limit: Any = None
    params: Any = None
    INPUTS: tuple[str, ...] = dataclasses.field(init=False, repr=False, compare=False)
    OUTPUTS: int = dataclasses.field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _checks.positive("starts", self.starts)
        environment, params = self._found()
        limit = self.limit
        if limit is None:
            limit = getattr(params, "max_steps_in_episode", None)
            if limit is None:
                raise _checks.bad("limit", None, "a number of steps", "This environment has no limit.")
        object.__setattr__(self, "limit", _checks.positive("limit", int(limit)))
        shapes = jax.eval_shape(lambda key: _flat(called(environment.reset, key, params)[0]), jax.random.key(0))
        object.__setattr__(self, "INPUTS", tuple(f"observation_{place}" for place in range(shapes.shape[0])))
        object.__setattr__(self, "OUTPUTS", _outputs(environment.action_space(params)))

    def begin(self, key: PRNGKey) -> GymnaxState:
        """The states after a reset with each key."""
        environment, params = self._found()

        def one(key: PRNGKey) -> GymnaxState:
            key_reset, key_steps = jax.random.split(key)
            seen, state = called(environment.reset, key_reset, params)
            return GymnaxState(key_steps, jnp.array(0, jnp.int32), _strict(state), _flat(seen))

        return jax.vmap(one)(jax.random.split(key, self.starts))

    def observe(self, state: GymnaxState) -> Float[Array, "... inputs"]:
        """The inputs of the network."""
        return state.seen

    def advance(
        self, state: GymnaxState, action: Float[Array, "starts outputs"]
    ) -> tuple[GymnaxState, Float[Array, " starts"], Bool[Array, " starts"]]:
        """Make one step. An episode that has ended keeps its last state, or in a wrapped environment the one before."""
        environment, params = self._found()
        space = environment.action_space(params)

        def one(state: GymnaxState, outputs: Array) -> tuple[GymnaxState, Array, Array]:
            key, chosen = jax.random.fold_in(state.key, state.step), _action(space, outputs)
            after, seen, reward, done = _stepped(environment, key, state.state, chosen, params)
            after = GymnaxState(state.key, state.step + 1, _strict(after), seen)
            return after, jnp.asarray(reward, seen.dtype).reshape(()), ~jnp.asarray(done, bool).reshape(())

        return jax.vmap(one)(state, action)

    def _found(self) -> tuple[Any, Any]:
        """The environment and its parameters."""
        package = _checks.extra("gymnax", EXTRA)
        if isinstance(self.environment, str):
            _checks.one_of("environment", self.environment, package.registered_envs)
            environment = _made(self.environment)
        else:
            environment = self.environment
            if not all(callable(getattr(environment, name, None)) for name in ("reset", "step", "action_space")):
                came, fix = repr(environment)[:80], "Pass 'CartPole-v1', or gymnax.make('CartPole-v1')[0]."
                raise _checks.bad("environment", came, "a name, or an environment of gymnax", fix)
        return environment, environment.default_params if self.params is None else self.params


@functools.cache
def _made(name: str) -> Any:
    """One environment for each name, cached: environments of gymnax compare by identity."""
    return _checks.extra("gymnax", EXTRA).make(name)[0]


def _stepped(environment: Any, key: PRNGKey, state: Any, action: Array, params: Any) -> tuple[Any, Array, Array, Array]:
    """The state after a step, its observations, the reward, and whether the episode has ended."""
    plain = _checks.extra("gymnax.environments.environment", EXTRA).Environment
    if isinstance(environment, plain) and type(environment).step is plain.step:  # the same without the new episode
        key = jax.random.split(key)[0]
        seen, after, reward, terminated, _ = called(environment.step_env, key, state, action, params)
        return after, _flat(seen), reward, terminated | called(environment.is_truncated, after, params)
    seen, after, reward, terminated, truncated, info = called(environment.step, key, state, action, params)
    done = terminated | truncated
    after = jax.tree.map(lambda new, old: jnp.where(done, old, new), after, state)
    return after, jnp.where(done, _flat(info.get("final_observation", seen)), _flat(seen)), reward, done


def _outputs(space: Any) -> int:
    """The number of outputs of a policy."""
    if hasattr(space, "n"):
        return int(space.n)
    if hasattr(space, "low") and hasattr(space, "shape"):
        return math.prod(space.shape)
    raise _checks.bad("environment", f"actions in {space!r}"[:120], "discrete or continuous ones", "Wrap it.")


def _action(space: Any, outputs: Float[Array, " outputs"]) -> Array:
    """The action of one episode."""
    if hasattr(space, "n"):
        return jnp.argmax(outputs).astype(space.dtype)
    low, high = (jnp.broadcast_to(jnp.asarray(bound), space.shape) for bound in (space.low, space.high))
    return jnp.clip(outputs.reshape(space.shape), low, high).astype(space.dtype)


def _flat(seen: Any) -> Float[Array, " inputs"]:
    """Observations as one floating-point vector."""
    leaves = [jnp.asarray(leaf) for leaf in jax.tree.leaves(seen)]
    kind = jnp.result_type(*(leaf.dtype for leaf in leaves), jnp.float32)
    return jnp.concatenate([leaf.astype(kind).reshape(-1) for leaf in leaves])


def _strict(state: Any) -> Any:
    """Arrays instead of Python numbers, as the carry of a loop needs."""
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.result_type(leaf)), state)
