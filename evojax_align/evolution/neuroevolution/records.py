"""The records of the genetic algorithm: its state, and the statistics of a generation."""

from typing import Any

import jax.numpy as jnp
from flax import struct

from evojax_align import population
from evojax_align._types import Array, Bool, Float, Int, PyTree
from evojax_align.evolution.selection import failed_last


@struct.dataclass
class Births:
    """The parents and operators of the networks to be evaluated.

    Attributes:
        parents: indices of both parents in the previous population; for founders and elites, their own index twice.
        crossed: whether the child is a recombination of both parents, or has only the first.
        aligned: whether the second parent was aligned with the first.
        kinship: generations since the last common ancestor of both parents, 0 for one parent only, -1 for none; all
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
    """The state: a population, its evaluation, and the best network so far. It is all that a checkpoint needs.

    Attributes:
        members: the population, best first once it is evaluated.
        fitness: fitness of each member; NaN for a failed evaluation, or before the first.
        scores: scores of each member, if any operator uses them; otherwise None.
        states: inputs that each member received, if any operator uses them; otherwise None.
        champion: the network of the highest fitness of all that were evaluated.
        champion_fitness: its fitness; -inf before the first evaluation.
        generation: number of populations that were evaluated; 0 before the founders are.
        evaluations: number of networks that were evaluated.
        ancestors: for each pair of members, the generation in which their last common ancestor had children, -1 for
            none; None if lineages are not recorded.
        births: births of the networks from the last call of `ask`.
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
        """The member of the highest fitness, which may differ from the champion if the fitness is noisy."""
        return population.take(self.members, jnp.argmax(failed_last(self.fitness)))


@struct.dataclass
class NeuroevolutionInfo:
    """Statistics of one generation.

    Attributes:
        fitness: fitness of the networks that were evaluated.
        births: their parents and operators.
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
