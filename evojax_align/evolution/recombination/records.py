"""What a population bred by genes is, and what happens to it."""

import jax
import jax.numpy as jnp
from flax import struct

from evojax_align._types import Array, ArrayLike, Bool, Float, Int, Key, PyTree
from evojax_align.crossover import Genes
from evojax_align.crossover.genes import NO_GENE


@struct.dataclass
class RecombinationState:
    """All that the next generation needs. Selected by score, members are ordered best first on each island.

    Attributes:
        population: the members, networks after their training.
        fitness: share of the judging samples that a member gets right; NaN if its outputs are not finite.
        score: fitness with the bonus for being different; what parents are chosen by.
        ancestors: like the population: the number of the founder that each weight descends from, -1 for weights of no
            gene.
        generation: number of generations so far; 0 for the first.
        founders: number of founders so far: the first generation, then immigrants as they come.

    Example:
        >>> import jax.numpy as jnp, evojax_align as ea
        >>> population, ancestors = {"w": jnp.array([[0.5], [0.25]])}, {"w": jnp.array([[0], [1]])}
        >>> fitness, count = jnp.array([0.75, 0.5]), jnp.array(0, jnp.int32)
        >>> state = ea.evolution.RecombinationState(population, fitness, fitness, ancestors, count, founders=count + 2)
        >>> ea.population.take(state.population, 0)["w"].tolist()  # the best member
        [0.5]
    """

    population: PyTree
    fitness: Float[Array, " n"]
    score: Float[Array, " n"]
    ancestors: PyTree
    generation: Int[Array, ""]
    founders: Int[Array, ""]


@struct.dataclass
class RecombinationOffspring:
    """Children before they have learnt anything.

    Attributes:
        population: the children, networks.
        ancestors: like the population: the number of the founder that each weight descends from.
        parents: places of both parents in the population.
        from_b: which genes came from the second parent.
        hybrid: 1 less the cosine similarity of both parents, once aligned, over all genes.

    Example:
        >>> import jax.numpy as jnp, evojax_align as ea
        >>> population, ancestors = {"w": jnp.ones((1, 2))}, {"w": jnp.array([[0, 1]])}
        >>> parents, from_b = jnp.array([[0, 1]]), jnp.array([[False, True]])
        >>> of_both = parents, from_b, jnp.array([0.5])
        >>> children = ea.evolution.RecombinationOffspring(population, ancestors, *of_both)
        >>> float(children.from_b.mean())  # the share of genes of second parents
        0.5
    """

    population: PyTree
    ancestors: PyTree
    parents: Int[Array, "children 2"]
    from_b: Bool[Array, "children genes"]
    hybrid: Float[Array, " children"]


@struct.dataclass
class Candidates:
    """Children and immigrants before their training, island after island, and how the children came about.

    Attributes:
        population: the networks.
        ancestors: like the population: the number of the founder that each weight descends from.
        hybrid: as in `RecombinationOffspring`; 1 for immigrants.
        keys: of their training.
        parents: places of both parents of each child in the population.
        from_b: which genes of a child came from its second parent.
        mutation: scale of the mutation of each gene.
    """

    population: PyTree
    ancestors: PyTree
    hybrid: Float[Array, " candidates"]
    keys: Key[Array, " candidates"]
    parents: Int[Array, "children 2"]
    from_b: Bool[Array, "children genes"]
    mutation: Float[Array, " genes"]


@struct.dataclass
class RecombinationInfo:
    """What happened in one generation. Candidates are children, then immigrants, of one island after another.

    Attributes:
        parents: places of both parents of each child in the population before.
        from_b: which genes of a child came from its second parent.
        untrained: fitness of the children before their training.
        loss: mean loss in the last epoch of training.
        fitness: of the candidates after their training; NaN if their outputs are not finite.
        score: fitness with the bonus for being different; what survivors are chosen by.
        kept: which candidate became each member.
        mutation: scale of the mutation of each gene.

    Example:
        >>> import jax.numpy as jnp, evojax_align as ea
        >>> parents, from_b, mutation = jnp.array([[0, 1], [1, 0]]), jnp.zeros((2, 3), bool), jnp.zeros(3)
        >>> untrained, loss, fitness = jnp.array([0.25, 0.5]), jnp.array([0.75, 0.5]), jnp.array([0.5, 0.75])
        >>> measured = untrained, loss, fitness, fitness
        >>> info = ea.evolution.RecombinationInfo(parents, from_b, *measured, kept=jnp.array([1, 0]), mutation=mutation)
        >>> info.fitness[info.kept].tolist()  # of the members of the next generation
        [0.75, 0.5]
    """

    parents: Int[Array, "children 2"]
    from_b: Bool[Array, "children genes"]
    untrained: Float[Array, " children"]
    loss: Float[Array, " candidates"]
    fitness: Float[Array, " candidates"]
    score: Float[Array, " candidates"]
    kept: Int[Array, " n"]
    mutation: Float[Array, " genes"]


def founded(members: PyTree, genes: Genes, numbers: Int[Array, " n"]) -> PyTree:
    """The founder of every weight of some fresh networks."""

    def founder(leaf: Array, index: ArrayLike) -> Array:
        of_member = numbers.reshape(-1, *[1] * (leaf.ndim - 1))
        return jnp.where(jnp.asarray(index)[None] == NO_GENE, NO_GENE, jnp.broadcast_to(of_member, leaf.shape))

    return jax.tree.map(founder, members, genes.index)
