"""The records of recombination of genes."""

import jax
import jax.numpy as jnp
from flax import struct

from evojax_align._types import Array, ArrayLike, Bool, Float, Int, Key, PyTree
from evojax_align.crossover import Genes
from evojax_align.crossover.genes import NO_GENE


@struct.dataclass
class RecombinationState:
    """The state. With selection by score, members are ordered best first on each island.

    Attributes:
        population: the members: networks after training.
        fitness: accuracy of each member on the evaluation samples; NaN if its outputs are not finite.
        score: fitness with the bonus for diversity, by which parents are selected.
        ancestors: a tree like the population: the number of the founder of each weight, -1 for weights without a gene.
        generation: number of generations so far; 0 for the first.
        founders: number of founders so far: the first generation and all immigrants.

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
    """Children before training.

    Attributes:
        population: the networks of the children.
        ancestors: a tree like the population: the number of the founder of each weight.
        parents: indices of both parents in the population.
        from_b: whether each gene came from the second parent.
        hybrid: 1 minus the cosine similarity of both parents over all genes, after alignment.

    Example:
        >>> import jax.numpy as jnp, evojax_align as ea
        >>> population, ancestors = {"w": jnp.ones((1, 2))}, {"w": jnp.array([[0, 1]])}
        >>> parents, from_b = jnp.array([[0, 1]]), jnp.array([[False, True]])
        >>> of_both = parents, from_b, jnp.array([0.5])
        >>> children = ea.evolution.RecombinationOffspring(population, ancestors, *of_both)
        >>> float(children.from_b.mean())  # the fraction of genes from second parents
        0.5
    """

    population: PyTree
    ancestors: PyTree
    parents: Int[Array, "children 2"]
    from_b: Bool[Array, "children genes"]
    hybrid: Float[Array, " children"]


@struct.dataclass
class Candidates:
    """Children and immigrants before training, island by island, with the parents of the children.

    Attributes:
        population: the networks.
        ancestors: a tree like the population: the number of the founder of each weight.
        hybrid: as in `RecombinationOffspring`; 1 for immigrants.
        keys: random keys of their training.
        parents: indices of both parents of each child in the population.
        from_b: whether each gene of a child came from its second parent.
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
    """Statistics of one generation. Candidates are the children and then the immigrants of each island in turn.

    Attributes:
        parents: indices of both parents of each child in the previous population.
        from_b: whether each gene of a child came from its second parent.
        untrained: fitness of the children before training.
        loss: mean loss in the last epoch of training.
        fitness: fitness of the candidates after training; NaN if their outputs are not finite.
        score: fitness with the bonus for diversity, by which survivors are selected.
        kept: the index of the candidate that became each member.
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
