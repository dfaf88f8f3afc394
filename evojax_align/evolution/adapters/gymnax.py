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
        key: of each episode.
        step: how many steps were made.
        state: of the environment.
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

    Where actions are discrete, the policy has an output for each, and the largest is taken. Continuous actions are
    clipped to their bounds. Observations are flattened to one axis and converted to floating point: a network for
    images restores their shape. An episode ends where the environment terminates or truncates it, and at `limit`;
    gymnax begins a new episode then, of which nothing counts.

    Attributes:
        environment: a name that gymnax knows, or an environment, which may be wrapped.
        starts: episodes, each from another key; the fitness is their mean.
        limit: steps after which an episode ends; by default those of the environment.
        params: of the environment; by default its own.
        INPUTS: names of what is observed.
        OUTPUTS: outputs of the policy.

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
                raise _checks.bad("limit", None, "a number of steps", "This environment has none of its own.")
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
        """What the network sees."""
        return state.seen

    def advance(
        self, state: GymnaxState, action: Float[Array, "starts outputs"]
    ) -> tuple[GymnaxState, Float[Array, " starts"], Bool[Array, " starts"]]:
        """One step later. The state of an episode that has ended is its last one, or of a wrapped environment the one
        before."""
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
    """One environment for each name: those of gymnax are equal to themselves alone."""
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
    """How many outputs a policy has."""
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
    """Observations as one vector of floating point."""
    leaves = [jnp.asarray(leaf) for leaf in jax.tree.leaves(seen)]
    kind = jnp.result_type(*(leaf.dtype for leaf in leaves), jnp.float32)
    return jnp.concatenate([leaf.astype(kind).reshape(-1) for leaf in leaves])


def _strict(state: Any) -> Any:
    """Arrays instead of Python numbers, as loops carry them."""
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.result_type(leaf)), state)
