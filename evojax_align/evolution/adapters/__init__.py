"""Adapters for related packages. Each needs its extra, which is imported only when it is used.

| package | here | extra |
|---|---|---|
| gymnax | `Gymnax`, an environment as a task | `gymnax` |
| evosax | `Strategy`, an algorithm with the interface of `Neuroevolution`; `problem`, a fitness function | `evosax` |
| QDax | `variation`, aligned crossover for emitters; `mutation` | `qdax` |
| Gymnasium | no adapter is needed: `ask` and `tell`, as below | `gymnax` installs it |

Environments of Gymnasium run outside JAX. Their fitness is measured between `ask` and `tell`:

    >>> import gymnasium, jax, jax.numpy as jnp, numpy as np, evojax_align as ea
    >>> network = ea.models.MLP(hidden=(8,), classes=2)
    >>> environment, act = gymnasium.make("CartPole-v1", max_episode_steps=50), jax.jit(network.apply)
    >>> def reward(params, seed):
    ...     seen, _ = environment.reset(seed=seed)
    ...     total, ended = 0.0, False
    ...     while not ended:
    ...         action = int(np.argmax(act(params, seen[None])))
    ...         seen, gained, terminated, truncated, _ = environment.step(action)
    ...         total, ended = total + gained, terminated or truncated
    ...     return total
    >>> ga = ea.evolution.Neuroevolution(size=6, mutation=0.5)
    >>> state = ga.init(jax.random.key(0), lambda key: network.init(key, jnp.zeros((1, 4))))
    >>> for generation in range(2):
    ...     key_ask, key_tell = jax.random.split(jax.random.key(generation))
    ...     members, state = ga.ask(key_ask, state)
    ...     rewards = [reward(params, generation) for params in ea.population.unstack(members)]
    ...     state, info = ga.tell(key_tell, members, rewards, state)
    >>> int(state.generation), bool(8 <= state.champion_fitness <= 50)
    (2, True)
"""

from evojax_align.evolution.adapters.evosax import Strategy, StrategyInfo, StrategyState
from evojax_align.evolution.adapters.evosax_problems import ProblemFitness, problem
from evojax_align.evolution.adapters.gymnax import Gymnax, GymnaxState
from evojax_align.evolution.adapters.qdax import Mutating, Variation, mutation, variation

__all__ = [
    "Gymnax",
    "GymnaxState",
    "Mutating",
    "ProblemFitness",
    "Strategy",
    "StrategyInfo",
    "StrategyState",
    "Variation",
    "mutation",
    "problem",
    "variation",
]
