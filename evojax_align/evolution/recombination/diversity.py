"""Measures of diversity in a population: by genes, by descent, and by predicted classes."""

import jax
import jax.numpy as jnp
import numpy as np

from evojax_align import _checks, population
from evojax_align._types import Array, ArrayLike, Float, Int, PyTree
from evojax_align.crossover import Genes
from evojax_align.crossover.genes import NO_GENE

__all__ = [
    "clusters",
    "cosines",
    "disagreement",
    "effective_alleles",
    "mean_of_pairs",
    "principal_components",
    "scored",
    "within_pairs",
]

BONUSES = ("none", "cosine", "hybrid", "sharing", "novelty")
NICHE = 0.5
"""Members whose distance is above this do not share a niche."""
NEAREST = 5
"""Number of nearest members by predictions from which novelty is computed."""


def cosines(pop: PyTree, genes: Genes) -> Float[Array, "genes n n"]:
    """The cosine similarity of every two members, gene by gene.

    Args:
        pop: a population.
        genes: genes of one member. Leaves that are None in both `pop` and `genes.index` are ignored.

    Returns:
        Symmetric matrices with ones on the diagonal; a gene of zeros has similarity 0, also with itself.

    Example:
        >>> import jax.numpy as jnp, evojax_align as ea
        >>> pop = {"w": jnp.array([[1.0, 0.0], [2.0, 0.0], [0.0, 3.0]])}
        >>> genes = ea.crossover.layer_genes(ea.population.take(pop, 0))
        >>> ea.evolution.diversity.cosines(pop, genes)[0].tolist()
        [[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    """
    return _gram(_by_gene(pop, genes))


def within_pairs(a: PyTree, b: PyTree, genes: Genes) -> Float[Array, " genes"]:
    """The cosine similarity of two members, gene by gene.

    Example:
        >>> import jax.numpy as jnp, evojax_align as ea
        >>> a = {"hidden": {"w": jnp.array([1.0, 0.0])}, "output": {"w": jnp.array([2.0])}}
        >>> b = {"hidden": {"w": jnp.array([0.0, 1.0])}, "output": {"w": jnp.array([4.0])}}
        >>> ea.evolution.diversity.within_pairs(a, b, ea.crossover.layer_genes(a)).tolist()
        [0.0, 1.0]
    """
    return _gram(_by_gene(population.stack([a, b]), genes))[:, 0, 1]


def mean_of_pairs(matrices: Float[Array, "... n n"]) -> Float[Array, "..."]:
    """The mean over all pairs of two different members.

    Example:
        >>> import jax.numpy as jnp, evojax_align as ea
        >>> float(ea.evolution.diversity.mean_of_pairs(jnp.array([[1.0, 0.5], [0.25, 1.0]])))
        0.375
    """
    n = matrices.shape[-1]
    return (matrices.sum((-2, -1)) - jnp.trace(matrices, axis1=-2, axis2=-1)) / max(1, n * (n - 1))


def clusters(matrices: Float[Array, "... n n"], *, threshold: float = 0.9) -> Int[Array, "..."]:
    """The number of clusters of members under single linkage: two members with a similarity of at least `threshold`
    are in one cluster.

    Example:
        >>> import jax.numpy as jnp, evojax_align as ea
        >>> alike = jnp.array([[1.0, 0.95, 0.2], [0.95, 1.0, 0.3], [0.2, 0.3, 1.0]])
        >>> int(ea.evolution.diversity.clusters(alike)), int(ea.evolution.diversity.clusters(alike, threshold=0.25))
        (2, 1)
    """
    n = matrices.shape[-1]
    linked = (matrices >= threshold) | jnp.broadcast_to(jnp.eye(n, dtype=bool), matrices.shape)
    for _ in range(max(1, int(np.ceil(np.log2(max(2, n)))))):
        linked = jnp.matmul(linked.astype(jnp.float32), linked.astype(jnp.float32)) > 0
    first = jnp.argmax(linked, axis=-1)
    return jnp.sum(first == jnp.broadcast_to(jnp.arange(n), first.shape), axis=-1)


def effective_alleles(ancestors: PyTree, genes: Genes) -> Float[Array, " genes"]:
    """The effective number of founders of each gene: 1 / probability that two random members share the founder.

    That is 1 if all members inherited the gene from one founder, and n if all have different founders. The probability
    is computed for each weight and averaged over the gene, because permuted neurons may bring several founders into
    one gene.

    Args:
        ancestors: a population of trees like the parameters with the number of the founder of each weight. Weights
            of -1, which are redrawn in every child, are ignored; a gene of only such weights has n founders.
        genes: genes of one member.

    Example:
        >>> import jax.numpy as jnp, evojax_align as ea
        >>> of_one, of_two = jnp.zeros((4, 1), int), jnp.array([[0], [0], [1], [1]])
        >>> ancestors = {"hidden": {"w": of_one}, "output": {"w": of_two}}
        >>> genes = ea.crossover.layer_genes(ea.population.take(ancestors, 0))
        >>> ea.evolution.diversity.effective_alleles(ancestors, genes).tolist()
        [1.0, 2.0]
    """
    count = population.size(ancestors)
    order, filled, _ = _layout(genes)
    flat = _flat(ancestors, genes)
    same = jax.lax.map(lambda mine: jnp.sum(flat == mine[None], axis=0), flat).sum(axis=0) / count**2
    counted = filled & (flat[0] != NO_GENE)[order]
    chance = jnp.where(counted, same[order], 0).sum(axis=1) / jnp.maximum(counted.sum(axis=1), 1)
    return 1 / jnp.where(chance == 0, 1 / count, chance)


def principal_components(matrix: Float[Array, "n m"], count: int = 2) -> Float[Array, "n count"]:
    """Project the rows of a matrix on their principal components, in float32 or better; the entry of largest absolute
    value in each column is positive.

    Example:
        >>> import jax.numpy as jnp, evojax_align as ea
        >>> rows = jnp.array([[0.0, 0.0, 5.0], [3.0, 4.0, 5.0], [6.0, 8.0, 5.0]])  # on one line, 5 apart
        >>> found = ea.evolution.diversity.principal_components(rows, 1)
        >>> sorted(found[:, 0].round(3).tolist())[::2]
        [-5.0, 5.0]
    """
    matrix = matrix.astype(jnp.promote_types(matrix.dtype, jnp.float32))  # LAPACK has no smaller type
    centred = matrix - matrix.mean(axis=0, keepdims=True)
    left, sizes, _ = jnp.linalg.svd(centred, full_matrices=False)
    found = left[:, :count] * sizes[None, :count]
    largest = jnp.take_along_axis(found, jnp.argmax(jnp.abs(found), axis=0, keepdims=True), axis=0)
    return found * jnp.where(largest < 0, -1, 1)


def disagreement(answers: Int[Array, "n samples"]) -> Float[Array, "n n"]:
    """The fraction of samples on which two members predict different classes.

    Example:
        >>> import jax.numpy as jnp, evojax_align as ea
        >>> ea.evolution.diversity.disagreement(jnp.array([[0, 1, 2, 2], [0, 1, 2, 0]])).tolist()
        [[0.0, 0.25], [0.25, 0.0]]
    """
    return jax.lax.map(lambda mine: jnp.mean(answers != mine[None], axis=1), answers)


def scored(
    bonus: str,
    fitness: Float[Array, " n"],
    weight: ArrayLike,
    *,
    alike: Float[Array, "n n"],
    hybrid: Float[Array, " n"],
    differ: Float[Array, "n n"],
) -> Float[Array, " n"]:
    """Fitness with a bonus for being different.

    Args:
        bonus: "none"; "cosine" adds weight x (1 - mean similarity with all others); "hybrid" adds weight x the
            distance of a child's two parents, in analogy to hybrid vigour; "sharing" divides by (number of members in
            the niche) ^ weight, each weighted by its proximity (Goldberg & Richardson 1987); "novelty" adds weight x
            the mean disagreement with the members of the most similar predictions (after Lehman & Stanley 2011,
            without an archive).
        fitness: fitness of each member.
        weight: weight of the bonus.
        alike: cosine similarity of every two members, over all genes.
        hybrid: for each member, 1 minus the similarity of its parents.
        differ: fraction of samples on which two members predict different classes.

    Returns:
        The score for ranking; NaN exactly if the fitness is NaN. Failed networks have similarity 0 with all others.

    Example:
        >>> import jax.numpy as jnp, evojax_align as ea
        >>> fitness = jnp.array([0.5, 0.5])
        >>> measures = {"alike": jnp.eye(2), "hybrid": jnp.array([0.0, 1.0]), "differ": jnp.zeros((2, 2))}
        >>> ea.evolution.diversity.scored("hybrid", fitness, 0.25, **measures).tolist()
        [0.5, 0.75]
    """
    _checks.one_of("bonus", bonus, BONUSES)
    n = fitness.shape[0]
    alike, hybrid = (jnp.where(jnp.isfinite(of), of, 0) for of in (alike, hybrid))  # for failed networks
    if bonus == "cosine":
        return fitness + weight * (1 - (alike.sum(axis=1) - jnp.diagonal(alike)) / max(1, n - 1))
    if bonus == "hybrid":
        return fitness + weight * hybrid
    if bonus == "sharing":
        near = jnp.clip(1 - (1 - alike) / NICHE, 0, 1)
        return fitness / jnp.maximum(jnp.where(jnp.eye(n, dtype=bool), 1, near).sum(axis=1), 1) ** weight
    if bonus == "novelty":
        others = jnp.sort(jnp.where(jnp.eye(n, dtype=bool), jnp.inf, differ), axis=1)[:, : min(NEAREST, n - 1)]
        return fitness + weight * (others.mean(axis=1) if n > 1 else 0.0)
    return fitness


def _layout(genes: Genes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Indices of each gene's weights in a flat network, padded to equal length; a mask of real ones; their number."""
    flat = np.concatenate([np.ravel(np.asarray(leaf)) for leaf in jax.tree.leaves(genes.index)])
    order = np.argsort(flat, kind="stable")[np.count_nonzero(flat == NO_GENE) :]
    sizes = np.bincount(flat[flat != NO_GENE], minlength=len(genes.names))
    if not sizes.all():
        raise _checks.bad(
            "genes",
            f"no weights of {genes.names[int(np.argmin(sizes))]!r}",
            "weights of every gene",
            "Make the genes from this tree.",
        )
    within = np.arange(sizes.max())
    filled = within < sizes[:, None]
    places = np.cumsum(sizes)[:, None] - sizes[:, None] + np.minimum(within, sizes[:, None] - 1)
    return order[places], filled, sizes


def _by_gene(pop: PyTree, genes: Genes) -> Float[Array, "genes n weights"]:
    """The weights of every gene, padded with zeros to the size of the largest."""
    order, filled, _ = _layout(genes)
    flat = _flat(pop, genes)
    return jnp.where(filled[:, None], jnp.moveaxis(flat[:, order], 1, 0), 0)


def _flat(pop: PyTree, genes: Genes) -> Array:
    """All weights of every member, [n, weights]."""
    leaves, indices = jax.tree.leaves(pop), jax.tree.leaves(genes.index)
    ours, theirs = [leaf.shape[1:] for leaf in leaves], [np.shape(index) for index in indices]
    if ours != theirs:
        raise _checks.bad("genes", f"genes of leaves {theirs}", f"those of {ours}", "Make them from one member.")
    return jnp.concatenate([leaf.reshape(leaf.shape[0], -1) for leaf in leaves], axis=1)


def _gram(of_gene: Float[Array, "genes n weights"]) -> Float[Array, "genes n n"]:
    lengths = jnp.linalg.norm(of_gene, axis=-1, keepdims=True)
    unit = of_gene / jnp.where(lengths == 0, 1, lengths)
    return jnp.einsum("gnw,gmw->gnm", unit, unit, precision=jax.lax.Precision.HIGHEST)
