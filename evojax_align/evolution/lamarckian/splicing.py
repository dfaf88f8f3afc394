"""Crossover of two networks of different architectures: the first layers of one, and the last ones of the other.

Where the one is cut and the other goes on, its filters take the places of those that it knew, by correlation; the
question is that of Prellberg & Kramer 2018, section 5. Host functions, for no two cuts have the same shapes.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from evojax_align import _checks, training
from evojax_align._types import Float, Int, PRNGKey, PyTree
from evojax_align.evolution.lamarckian.genome import Genome, Space, draw
from evojax_align.matching import injective
from evojax_align.similarity import correlation

MATCHINGS = ("correlation", "order")
PLACES = 2000
"""Of all images' maps, on which filters are compared."""
Maps = list[Float[np.ndarray, "places _"]]


def splice(
    key: PRNGKey,
    space: Space,
    genomes: Sequence[Genome],
    networks: Sequence[training.Pieced],
    variables: Sequence[PyTree],
    x: PyTree,
    *,
    matching: str = "correlation",
    identity: int = 0,
) -> tuple[Genome, PyTree] | None:
    """A child of two networks by one cut, such that it computes what the second does from what the first sees.

    Blocks are brought together in order, so that the sum of their similarities is largest: the mean correlation of
    filters, each with a partner of its own. One such couple is drawn: up to its block the child is the first
    network, and what comes after is of the second. There every filter of the second is replaced by its regression on
    its partner, or where it has none by its mean, of which the second's normalisation is told.

    Args:
        key: draws where to cut.
        space: that the child has to be of.
        genomes: of both.
        networks: both.
        variables: of both.
        x: inputs on which they are compared.
        matching: "correlation" as above; "order" brings together blocks and filters by their numbers, as they are.
        identity: given to blocks of the second whose own identity the child has already, and on.

    Returns:
        Genome and variables of the child; None if no cut gives a network of the space that is neither parent.

    Raises:
        NeedsValues: (a `TypeError`) if it is traced.

    Example:
        >>> import jax, numpy as np, evojax_align as ea
        >>> space, x = ea.evolution.Space(filters=(2, 4)), jax.random.normal(jax.random.key(0), (4, 6, 6))
        >>> genomes = [ea.evolution.Genome.of(np.array(of)) for of in ([[0, 2, 3, 1]], [[0, 4, 3, 1], [1, 4, 3, 1]])]
        >>> networks = [ea.models.BlockCNN(genome.architecture, classes=2) for genome in genomes]
        >>> variables = [network.init(jax.random.key(1), x) for network in networks]
        >>> found = ea.evolution.splice(jax.random.key(2), space, genomes, networks, variables, x, matching="order")
        >>> found[0].architecture
        ((2, 3, 1), (4, 3, 1))
    """
    _checks.refuse_trace("splice", "pass what it returns to the program that trains.", key, variables, x)
    key = _checks.key("key", key)
    _checks.one_of("matching", matching, MATCHINGS)
    one, other = (_maps(network, own, x) for network, own in zip(networks, variables, strict=True))
    sizes = [[_size(maps) for maps in of] for of in (one, other)]
    if matching == "order":
        couples = [(n, n) for n in range(min(map(len, sizes))) if sizes[0][n] == sizes[1][n]]
    else:
        one, other = ([_places(maps) for maps in of] for of in (one, other))
        couples = _couples(one, other, sizes)
    cuts = []
    for i, j in couples:
        child = _joined(genomes, i, j, identity)
        if space.allows(child) and child.architecture not in [genome.architecture for genome in genomes]:
            cuts.append((i, j, child))
    if not cuts:
        return None
    i, j, child = cuts[draw(key, np.ones(len(cuts)))]
    if matching == "order":
        partners = _by_number(genomes[0].blocks[i].filters, genomes[1].blocks[j].filters)
    else:
        partners = _partners(one[i], other[j])
    return child, _wired(variables, i, j, len(child.blocks), *partners)


def _maps(network: training.Pieced, variables: PyTree, x: PyTree) -> list[np.ndarray]:
    """What each block gives."""
    return [np.asarray(maps) for name, maps in training.run_pieces(network, variables, x).items() if name != "head"]


def _size(maps: np.ndarray) -> tuple[int, ...]:
    return maps.shape[1:3]


def _places(maps: np.ndarray) -> Float[np.ndarray, "places filters"]:
    """So many places of all images' maps, evenly spread; the same ones for maps of one size."""
    flat = maps.reshape(-1, maps.shape[-1])
    return flat[np.linspace(0, len(flat) - 1, PLACES).astype(int)]


def _correlations(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    return np.asarray(correlation(jnp.asarray(p), jnp.asarray(q)))


def _couples(one: Maps, other: Maps, sizes: list[list[tuple[int, ...]]]) -> list[tuple[int, int]]:
    """Blocks that belong together, in order: the chain of the largest total similarity."""
    score = np.zeros((len(one), len(other)))
    for i, p in enumerate(one):
        for j, q in enumerate(other):
            if sizes[0][i] == sizes[1][j]:
                score[i, j] = _similarity(p, q)
    total = np.zeros((len(one) + 1, len(other) + 1))
    for i, row in enumerate(score):
        for j, value in enumerate(row):
            total[i + 1, j + 1] = max(total[i, j + 1], total[i + 1, j], total[i, j] + value)
    found, i, j = [], len(one), len(other)
    while i and j:
        if total[i, j] == total[i - 1, j]:
            i -= 1
        elif total[i, j] == total[i, j - 1]:
            j -= 1
        else:
            i, j = i - 1, j - 1
            found.append((i, j))
    return found[::-1]


def _similarity(p: np.ndarray, q: np.ndarray) -> float:
    """The mean correlation of the filters of the narrower side with partners of their own; not below 0."""
    if not (p.std(axis=0).any() and q.std(axis=0).any()):
        return 0.0
    scores = _correlations(p, q)
    match = injective(jnp.asarray(scores))
    return max(0.0, float(np.mean(scores[np.asarray(match.x), np.asarray(match.y)])))


def _partners(
    p: np.ndarray, q: np.ndarray
) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"], np.ndarray, np.ndarray]:
    """Couples of filters, and each filter of the second as a slope times its partner and an offset."""
    mean_p, mean_q = p.mean(axis=0, dtype=float), q.mean(axis=0, dtype=float)
    slope, offset = np.zeros(q.shape[1]), mean_q.copy()
    scores = _correlations(p, q)
    match = injective(jnp.asarray(scores))
    x, y = np.asarray(match.x), np.asarray(match.y)
    deviation_p, deviation_q = p.std(axis=0, dtype=float)[x], q.std(axis=0, dtype=float)[y]
    alive = deviation_p > 0
    slope[y] = np.where(alive, np.maximum(scores[x, y], 0) * deviation_q / np.where(alive, deviation_p, 1), 0)
    offset[y] -= slope[y] * mean_p[x]
    return x, y, slope, offset


def _by_number(count: int, other: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Filters as they stand."""
    both = np.arange(min(count, other))
    return both, both, np.ones(other), np.zeros(other)


def _joined(genomes: Sequence[Genome], i: int, j: int, identity: int) -> Genome:
    """The genome of a child, no identity twice."""
    start, rest = genomes[0].blocks[: i + 1], genomes[1].blocks[j + 1 :]
    taken = {block.identity for block in start}
    identity = max(identity, *(block.identity + 1 for genome in genomes for block in genome.blocks))
    blocks = list(start)
    for block in rest:
        if block.identity in taken:
            block = dataclasses.replace(block, identity=identity)
            identity += 1
        blocks.append(block)
    return Genome(tuple(blocks))


def _wired(
    variables: Sequence[PyTree],
    i: int,
    j: int,
    count: int,
    x: np.ndarray,
    y: np.ndarray,
    slope: np.ndarray,
    offset: np.ndarray,
) -> PyTree:
    """The variables of a child, whose first piece of the second network takes what the first one gives."""
    first, second = (jax.tree.map(np.asarray, own) for own in variables)
    found: dict[str, dict[str, Any]] = {kind: {} for kind in first}
    for kind, pieces in found.items():
        pieces |= {f"block_{n}": first[kind][f"block_{n}"] for n in range(i + 1)}
        pieces |= {f"block_{n}": second[kind][f"block_{n - i + j}"] for n in range(i + 1, count)}
        pieces |= {"head": second[kind]["head"]} if "head" in second[kind] else {}
    wide = first["params"][f"block_{i}"]["norm"]["scale"].shape[0]
    name = f"block_{i + 1}" if i + 1 < count else "head"
    layer = "conv" if i + 1 < count else "output"
    kernel = found["params"][name][layer]["kernel"]
    moved = np.zeros((*kernel.shape[:-2], wide, kernel.shape[-1]), kernel.dtype)
    moved[..., x, :] = kernel[..., y, :] * slope[y, None].astype(kernel.dtype)
    found["params"][name] = found["params"][name] | {layer: found["params"][name][layer] | {"kernel": moved}}
    lost = (offset @ kernel.sum(axis=tuple(range(kernel.ndim - 2)))).astype(kernel.dtype)
    if name == "head":
        output = found["params"][name][layer]
        found["params"][name] = {layer: output | {"bias": output["bias"] + lost}}
    else:
        norm = found["batch_stats"][name]["norm"]
        found["batch_stats"][name] = {"norm": norm | {"mean": norm["mean"] - lost}}
    return found
