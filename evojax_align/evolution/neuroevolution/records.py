"""What the genetic algorithm carries from generation to generation, and what it tells of one."""

from typing import Any

import jax.numpy as jnp
from flax import struct

from evojax_align import population
from evojax_align._types import Array, Bool, Float, Int, PyTree
from evojax_align.evolution.selection import failed_last


@struct.dataclass
class Births:
    """How the networks to be evaluated came about.

    Attributes:
        parents: places of both parents in the population before; of founders and elites their own place twice.
        crossed: whether the child is a recombination of both, or the first one alone.
        aligned: whether the second parent was aligned with the first before.
        kinship: generations since the last common ancestor of both parents, 0 for one parent alone, -1 for none; all
            -1 if lineages are not recorded.

    Example:
        >>> import jax, jax.numpy as jnp, evojax_align as ea
        >>> ga = ea.evolution.Neuroevolution(size=4, children=3)
        >>> state = ga.init(jax.random.key(0), {"w": jnp.arange(4.0)})
        >>> state.births.parents.shape
        (3, 2)
    """

    parents: Int[Array, "*runs children 2"]
    crossed: Bool[Array, "*runs children"]
    aligned: Bool[Array, "*runs children"]
    kinship: Int[Array, "*runs children"]


@struct.dataclass
class NeuroevolutionState:
    """The state: a population, what is known of it, and the best network found. It is all that a checkpoint needs.

    Attributes:
        members: the population, best first once it was evaluated.
        fitness: of each member; NaN where the evaluation failed, or there was none yet.
        scores: of each member, for parts that use them; otherwise None.
        states: inputs that each member saw, for parts that use them; otherwise None.
        champion: the network of the highest fitness that was ever evaluated.
        champion_fitness: its fitness; -inf as long as there is none.
        generation: number of populations that were evaluated; 0 before the founders are.
        evaluations: number of networks that were evaluated.
        ancestors: of each pair of members the generation in which their last common ancestor had children, -1 for
            none; None if lineages are not recorded.
        births: of the networks that `ask` gave last.
        evaluated: whether `init` evaluated the founders.

    Example:
        >>> import jax, jax.numpy as jnp, evojax_align as ea
        >>> ga = ea.evolution.Neuroevolution(size=4)
        >>> state = ga.init(jax.random.key(0), {"w": jnp.arange(4.0)})
        >>> state, _ = ga.step(jax.random.key(1), state, lambda key, params: -params["w"])
        >>> state.champion, int(state.generation), int(state.evaluations)
        ({'w': Array(0., dtype=float32)}, 1, 4)
    """

    members: PyTree
    fitness: Float[Array, "*runs size"]
    scores: Any
    states: Any
    champion: PyTree
    champion_fitness: Float[Array, "*runs"]
    generation: Int[Array, "*runs"]
    evaluations: Int[Array, "*runs"]
    ancestors: Int[Array, "*runs size size"] | None
    births: Births
    evaluated: bool = struct.field(pytree_node=False, default=False)

    @property
    def fittest(self) -> PyTree:
        """The member of the highest fitness, which is another network than the champion where fitness is noisy."""
        return population.take(self.members, jnp.argmax(failed_last(self.fitness)))


@struct.dataclass
class NeuroevolutionInfo:
    """What happened in one generation.

    Attributes:
        fitness: of the networks that were evaluated.
        births: how they came about.
        best: the highest fitness among them.
        mean: the mean fitness of those that did not fail.
        failed: number of them whose fitness is NaN.

    Example:
        >>> import jax, jax.numpy as jnp, evojax_align as ea
        >>> ga = ea.evolution.Neuroevolution(size=4)
        >>> state = ga.init(jax.random.key(0), {"w": jnp.array([0.0, 1.0, 2.0, jnp.nan])})
        >>> _, info = ga.step(jax.random.key(1), state, lambda key, params: params["w"])
        >>> float(info.best), float(info.mean), int(info.failed)
        (2.0, 1.0, 1)
    """

    fitness: Float[Array, "*runs evaluated"]
    births: Births
    best: Float[Array, "*runs"]
    mean: Float[Array, "*runs"]
    failed: Int[Array, "*runs"]
