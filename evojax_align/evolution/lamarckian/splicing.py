"""Crossover of two networks of different architectures: the first layers of one and the last layers of the other.

At the cut, the filters of the first network replace the inputs of the second, matched by correlation. Prellberg &
Kramer 2018, section 5, propose crossover as future work. Host functions, since shapes differ from cut to cut.
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
"""Number of positions, over the feature maps of all images, at which filters are compared."""
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
    """Join the first blocks of one network to the last blocks of another, with filters matched at the cut.

    Blocks are matched in order so that the sum of their similarities is largest; the similarity of two blocks is the
    mean correlation of their filters in a one-to-one matching. One matched pair is drawn. The child consists of the
    first network up to its block and of the second network after its block. At the cut, every filter of the second is
    replaced by its regression on its partner, or without a partner by its mean, and the weights and statistics of the
    next piece are adapted.

    Args:
        key: draws the cut.
        space: the space that must contain the child.
        genomes: the genomes of both networks.
        networks: both networks.
        variables: the variables of both networks.
        x: inputs on which they are compared.
        matching: "correlation" as above; "order" matches blocks and filters by their index.
        identity: the first new identity, for blocks of the second whose own identity the child already has.

    Returns:
        Genome and variables of the child; None if no cut gives a network of the space that differs from both parents.

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
    _checks.refuse_trace("splice", "pass its result to the compiled function that trains.", key, variables, x)
    key = _checks.key("key", key)
    _checks.one_of("matching", matching, MATCHINGS)
    one, other = (_maps(network, own, x) for network, own in zip(networks, variables, strict=True))
    sizes = [[_size(maps) for maps in of] for of in (one, other)]
    if matching == "order":
        pairs = [(n, n) for n in range(min(map(len, sizes))) if sizes[0][n] == sizes[1][n]]
    else:
        one, other = ([_places(maps) for maps in of] for of in (one, other))
        pairs = _matched_blocks(one, other, sizes)
    cuts = []
    for i, j in pairs:
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
    """The outputs of each block."""
    return [np.asarray(maps) for name, maps in training.run_pieces(network, variables, x).items() if name != "head"]


def _size(maps: np.ndarray) -> tuple[int, ...]:
    return maps.shape[1:3]


def _places(maps: np.ndarray) -> Float[np.ndarray, "places filters"]:
    """A sample of positions from all feature maps, evenly spaced; the same positions for maps of one size."""
    flat = maps.reshape(-1, maps.shape[-1])
    return flat[np.linspace(0, len(flat) - 1, PLACES).astype(int)]


def _correlations(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    return np.asarray(correlation(jnp.asarray(p), jnp.asarray(q)))


def _matched_blocks(one: Maps, other: Maps, sizes: list[list[tuple[int, ...]]]) -> list[tuple[int, int]]:
    """The matched pairs of blocks, in order: the chain of largest total similarity."""
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
    """The mean correlation of the filters of the narrower side with their partners, one to one; at least 0."""
    if not (p.std(axis=0).any() and q.std(axis=0).any()):
        return 0.0
    scores = _correlations(p, q)
    match = injective(jnp.asarray(scores))
    return max(0.0, float(np.mean(scores[np.asarray(match.x), np.asarray(match.y)])))


def _partners(
    p: np.ndarray, q: np.ndarray
) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"], np.ndarray, np.ndarray]:
    """Pairs of filters, and for each filter of the second the slope and offset of its regression on its partner."""
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
    """Pair filters by index."""
    both = np.arange(min(count, other))
    return both, both, np.ones(other), np.zeros(other)


def _joined(genomes: Sequence[Genome], i: int, j: int, identity: int) -> Genome:
    """The genome of a child, with unique identities."""
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
    """The variables of a child; the first piece of the second network is adapted to the outputs of the first."""
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
