"""Control tasks: a network acts on a system step by step until the system fails, or for a number of steps."""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
from flax import struct

from evojax_align import _checks
from evojax_align._compiling import watch
from evojax_align._types import Array, Bool, Float, Int, PRNGKey, PyTree
from evojax_align.evolution._sharding import varying
from evojax_align.evolution.evaluation import Evaluation
from evojax_align.evolution.tasks import visited as observations
from evojax_align.training.scoring import not_finite

Advance: TypeAlias = Callable[[PyTree, Array], tuple[PyTree, Array]]
"""A policy with fixed parameters: from its memory and observations to its new memory and actions."""


class Control:
    """Base class of control tasks. A subclass is a frozen dataclass that describes a system.

    All methods are pure functions of a batch of episodes, the leading axis of every leaf of a state. A subclass defines
    `INPUTS`, the names of the observations; `OUTPUTS`, the number of actions; `limit`, the number of steps after which
    an episode ends; and three methods:

    - `begin(key)`: the initial states of the episodes, [starts, ...];
    - `observe(state)`: the inputs of the network, [starts, inputs];
    - `advance(state, action)`: the next state, the reward of this step [starts], and whether the episode continues
      [starts], from actions [starts, outputs].

    It may define two more: `total`, and `links(state)`, lines that draw the system, [..., links, 2 ends, 2]. The number
    of steps is not fixed, so that `jax.grad` cannot differentiate a fitness.

    Example:
        >>> import dataclasses, jax, jax.numpy as jnp, evojax_align as ea
        >>> @dataclasses.dataclass(frozen=True)
        ... class Hover(ea.evolution.tasks.Control):  # stay near 0 against a constant force
        ...     limit: int = 10
        ...     INPUTS, OUTPUTS = ("place",), 1
        ...
        ...     def begin(self, key):
        ...         return jnp.zeros(2)
        ...
        ...     def observe(self, state):
        ...         return state[:, None]
        ...
        ...     def advance(self, state, action):
        ...         state = state + action[:, 0] + 0.3
        ...         return state, jnp.ones(2), jnp.abs(state) < 1
        >>> fitness = Hover().fitness(lambda params, seen: params * seen)
        >>> [float(fitness(jax.random.key(0), params).fitness) for params in (0.0, -0.5)]
        [4.0, 10.0]
    """

    INPUTS: tuple[str, ...]
    OUTPUTS: int
    limit: Any

    def begin(self, key: PRNGKey) -> Any:
        """The initial states of the episodes."""
        raise NotImplementedError

    def observe(self, state: Any) -> Float[Array, "... inputs"]:
        """The inputs of the network."""
        raise NotImplementedError

    def advance(
        self, state: Any, action: Float[Array, "... outputs"]
    ) -> tuple[Any, Float[Array, "..."], Bool[Array, "..."]]:
        """The state after one step, its reward, and whether the episode continues."""
        raise NotImplementedError

    def total(self, state: Any, rewards: Float[Array, " starts"]) -> Float[Array, " starts"]:
        """The fitness of each episode, from its last state and the sum of its rewards; that sum by default."""
        return rewards

    def fitness(self, policy: Any, *, visited: int = 64) -> "Fitness":
        """The fitness function of a policy: see `Fitness`."""
        return Fitness(self, policy, visited)

    def trace(self, key: PRNGKey, act: Callable[[Any], Any]) -> tuple[Any, Float[Array, "time starts"]]:
        """The trajectory of a policy without memory and with fixed parameters.

        Args:
            key: a random key.
            act: from observations [starts, inputs] to actions [starts, outputs].

        Returns:
            The states after each step, with leading axes [time, starts], and the rewards. After the end of an episode,
            its state does not change and its rewards are 0.
        """
        return _traced(self, partial(_memoryless, lambda _, seen: act(seen), None), (), self.begin(_key(key)))


@dataclasses.dataclass(frozen=True)
class Fitness:
    """The fitness of a policy in a control task, as a function of a key and parameters.

    Two instances are equal if their tasks and policies are; a jitted function that takes them as a static argument is
    then compiled once.

    The fitness is the mean over episodes of the sum of rewards. An action that is NaN or +infinity ends its episode
    and makes the fitness NaN.

    Args:
        task: the control task.
        policy: `apply(params, observations [n, inputs]) -> actions [n, outputs]`, or a module that has such a method.
            A recurrent policy, such as `models.Recurrent`, has the methods `start(n)`, which returns its memory before
            the first step, and `advance(params, memory, observations) -> (memory, actions)`.
        visited: number of observations of each episode to return as `states`; with 0, `states` is None. For a policy
            without memory, they are spread almost evenly over the steps of the episode, and repeated if it has fewer
            steps; [starts x visited, inputs]. For a recurrent policy, they are the sequence from the start of each
            episode, in which the last observation is repeated after its end; [starts, visited, inputs].

    Example:
        >>> import jax, jax.numpy as jnp, evojax_align as ea
        >>> network = ea.models.MLP(hidden=(4,), classes=1)
        >>> task = ea.evolution.tasks.DoublePole()
        >>> fitness = task.fitness(network.apply, visited=16)
        >>> found = fitness(jax.random.key(0), network.init(jax.random.key(1), jnp.zeros((1, len(task.INPUTS)))))
        >>> bool(found.fitness < 200), found.states.shape
        (True, (16, 6))
        >>> fitness == ea.evolution.tasks.DoublePole().fitness(network.apply, visited=16)
        True
    """

    task: Control
    policy: Any
    visited: int = 64

    def __post_init__(self) -> None:
        _hashable("task", self.task, "Write @dataclasses.dataclass(frozen=True) above its class.")
        check_policy(self.policy)
        check_visited(self.visited)

    def __call__(self, key: PRNGKey, params: PyTree) -> Evaluation:
        """The evaluation of one network."""
        watch("fitness", params, policy=self.policy)
        return _evaluated(self, _key(key), params)

    def trace(self, key: PRNGKey, params: PyTree) -> tuple[Any, Float[Array, "time starts"]]:
        """The trajectory of one network, as in `Control.trace`."""
        watch("trace", params, policy=self.policy)
        return _shown(self, _key(key), params)


@partial(jax.jit, static_argnums=0)
def _evaluated(fitness: Fitness, key: PRNGKey, params: PyTree) -> Evaluation:
    """The evaluation of one network."""
    task = fitness.task
    episodes, states = rollout(task, fitness.policy, params, task.begin(key), visited=fitness.visited)
    total = jnp.where(jnp.isnan(episodes.rewards), jnp.nan, task.total(episodes.state, episodes.rewards))
    return Evaluation(jnp.mean(total), states=states)


@partial(jax.jit, static_argnums=0)
def _shown(fitness: Fitness, key: PRNGKey, params: PyTree) -> tuple[Any, Float[Array, "time starts"]]:
    """The trajectory of one network."""
    memory, advance = bound(fitness.policy, params)
    begin = fitness.task.begin(key)
    return _traced(fitness.task, advance, memory(_count(begin)), begin)


def check_visited(visited: int) -> None:
    """Require a number of observations."""
    if isinstance(visited, bool) or not isinstance(visited, int) or visited < 0:
        raise _checks.bad("visited", repr(visited), "an integer of at least 0", "Pass visited=0 for none.")


def check_policy(policy: Any) -> None:
    """Require a policy that is callable and hashable."""
    if not _recurrent(policy) and not callable(policy):
        raise _checks.bad(
            "policy",
            repr(policy)[:80],
            "a function apply(params, observations), or an object with start(n) and advance(params, memory, x)",
            "Pass module.apply, or models.Recurrent(...).",
        )
    _hashable("policy", policy, "Make its class a frozen dataclass, or wrap it once: def policy(params, x): ...")


def _hashable(argument: str, value: Any, fix: str) -> None:
    """Require a hashable value."""
    try:
        hash(value)
    except TypeError as error:
        raise _checks.bad(argument, f"an object without a hash ({error})", "one that can be hashed", fix) from error


def bound(policy: Any, params: PyTree) -> tuple[Callable[[int], PyTree], Advance]:
    """The initial memory of a policy, as a function of the number of episodes, and one step of the policy."""
    if _recurrent(policy):
        return policy.start, partial(policy.advance, params)
    return lambda _: (), partial(_memoryless, getattr(policy, "apply", policy), params)


def _recurrent(policy: Any) -> bool:
    return callable(getattr(policy, "start", None)) and callable(getattr(policy, "advance", None))


def _memoryless(apply: Callable[[PyTree, Array], Array], params: PyTree, memory: PyTree, seen: Array) -> tuple:
    return memory, apply(params, seen)


@struct.dataclass
class Episodes:
    """The episodes of a rollout up to the present step.

    Attributes:
        state: their states, [starts, ...]; the last state of those that have ended.
        memory: memory of the policy, [starts, ...].
        rewards: sums of rewards so far; NaN if an action was NaN or +infinity.
        steps: number of steps so far.
        alive: whether they continue.
    """

    state: Any
    memory: PyTree
    rewards: Float[Array, " starts"]
    steps: Int[Array, " starts"]
    alive: Bool[Array, " starts"]


TOGETHER = 8
"""Steps whose observations are stored at once: under `vmap`, a loop copies its buffer at every update."""


def rollout(task: Control, policy: Any, params: PyTree, begin: Any, *, visited: int = 0) -> tuple["Episodes", Any]:
    """The episodes after all have ended, and the observations described in `Fitness`."""
    memory, advance = bound(policy, params)
    sequences = _recurrent(policy)
    seen = task.observe(begin)
    episodes = _first_episodes(task, advance, memory(_count(begin)), begin)
    rows = jnp.zeros((observations.rows_for(visited, sequences=sequences) if visited else 0, *seen.shape), seen.dtype)

    def goes_on(carry: tuple) -> Array:
        return jnp.any(carry[0].alive) & (carry[1] < task.limit)

    def one(carry: tuple, _: None) -> tuple[tuple, tuple]:
        episodes, step = carry
        episodes = dataclasses.replace(episodes, alive=episodes.alive & (step < task.limit))
        seen = task.observe(episodes.state)
        return (_stepped(task, advance, episodes, seen)[0], step + 1), (seen, step, episodes.alive)

    def several(carry: tuple) -> tuple:
        episodes, step, rows = carry
        now, last = jax.lax.scan(one, (episodes, step), length=min(TOGETHER, rows.shape[0]) if visited else 1)
        if visited:
            rows = observations.written(rows, *last, sequences=sequences)
        return *now, rows

    carry = (episodes, *varying((jnp.array(0, jnp.int32), rows), episodes))
    episodes, _, rows = jax.lax.while_loop(goes_on, several, carry)
    states = None
    if visited:
        states = observations.chosen(rows, episodes.steps, visited, sequences=sequences)
        states = states if sequences else states.reshape(-1, states.shape[-1])
    return episodes, states


def _traced(task: Control, advance: Advance, memory: PyTree, begin: Any) -> tuple[Any, Array]:
    """States and rewards of all steps, [time, starts]."""

    def step(episodes: Episodes, _: None) -> tuple[Episodes, tuple[Any, Array]]:
        episodes, reward = _stepped(task, advance, episodes, task.observe(episodes.state))
        return episodes, (episodes.state, reward)

    return jax.lax.scan(step, _first_episodes(task, advance, memory, begin), length=task.limit)[1]


def _first_episodes(task: Control, advance: Advance, memory: PyTree, begin: Any) -> Episodes:
    """Episodes before their first step."""
    seen, starts = task.observe(begin), _count(begin)
    remembered, action = advance(memory, seen)  # only its shape and varying devices are used
    if jnp.shape(action) != (starts, task.OUTPUTS):
        raise _checks.bad(
            "policy",
            f"actions of shape {jnp.shape(action)} for observations of shape {seen.shape}",
            f"[{starts}, {task.OUTPUTS}]",
            f"Give the network {task.OUTPUTS} output(s) for the {len(task.INPUTS)} inputs of this task.",
        )
    rewards = jnp.zeros(starts, jnp.promote_types(seen.dtype, jnp.float32))
    steps = jnp.zeros(starts, jnp.int32)
    episodes = Episodes(begin, memory, rewards, steps, jnp.ones(starts, bool))
    return varying(episodes, (begin, memory, remembered, action))


def _stepped(task: Control, advance: Advance, episodes: Episodes, seen: Array) -> tuple[Episodes, Array]:
    """The episodes after one more step, and its rewards; ended episodes do not change."""
    alive = episodes.alive
    memory, action = advance(episodes.memory, seen)
    memory = jax.tree.map(lambda new, old: new.astype(old.dtype), memory, episodes.memory)
    failed = alive & not_finite(action, alive.shape[0])
    after, reward, on = task.advance(episodes.state, action.astype(episodes.rewards.dtype))
    state = jax.tree.map(partial(_where, alive & ~failed), after, episodes.state)
    reward = jnp.where(alive, jnp.where(failed, jnp.nan, reward), 0.0).astype(episodes.rewards.dtype)
    steps = episodes.steps + alive.astype(jnp.int32)
    return Episodes(state, memory, episodes.rewards + reward, steps, alive & on & ~failed), reward


def _where(kept: Bool[Array, " starts"], new: Array, old: Array) -> Array:
    """New values for the episodes in `kept`, old values for the others, in the old dtype."""
    return jnp.where(kept.reshape(-1, *(1,) * (old.ndim - 1)), new, old).astype(old.dtype)


def _count(state: Any) -> int:
    """The number of episodes."""
    return jax.tree.leaves(state)[0].shape[0]


def _key(key: PRNGKey) -> PRNGKey:
    return _checks.key("key", key)
