"""Inheritance of weights: the initial variables of a mutated network from those of its parent.

By the rule of Prellberg & Kramer 2018, section 3.3, tensors of unchanged shape are inherited. Their future work is also
implemented: wider and deeper networks that initially compute the parent's function (Net2Net, Chen et al. 2016).
Variables are those of `models.BlockCNN`. Host functions, in NumPy: shapes change often, and nothing should be compiled
for each of them.
"""

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy

from evojax_align import _checks
from evojax_align._types import PRNGKey, PyTree
from evojax_align.evolution.lamarckian.genome import Block, Genome

INHERIT = ("none", "shape", "function")
Variables = dict[str, Any]
"""The variables of one piece, on the host: `{"params": {...}, "batch_stats": {...}}`."""


def inherit(
    rule: str,
    parent: Genome,
    child: Genome,
    variables: PyTree,
    fresh: PyTree,
    *,
    key: PRNGKey,
    noise: float = 0.1,
    epsilon: float = 1e-3,
) -> PyTree:
    """The initial variables of a child, inherited from its parent.

    Blocks are identified by their identities. Tensors that the rule does not inherit are the fresh ones.

    Args:
        rule: "none" inherits nothing. "shape" inherits every tensor of the same shape in a block that the parent has.
            "function" also preserves the function, in inference mode, if a block has more filters or a larger
            window, or is added with no fewer filters than the block before it (before the first block: than twice the
            channels). New filters are copies; the weights of the next block are divided randomly among the copies. An
            added block computes the identity, with the statistics of rectified normal values. If filters are removed,
            those whose weights have the smallest norm are removed; a smaller window is the centre of the larger one.
        parent: the genome of the parent.
        child: a genome made from it by one or several mutations.
        variables: the variables of the parent.
        fresh: newly drawn variables of the child.
        key: draws which filters are copied, and the fractions of their weights.
        noise: variation of the fractions, so that copies do not receive equal gradients: the fractions are proportional
            to numbers around 1 with this standard deviation.
        epsilon: the epsilon of the network's normalisation.

    Returns:
        A tree like `fresh`.

    Raises:
        NeedsValues: (a `TypeError`) if it is traced.

    Example:
        >>> import jax, jax.numpy as jnp, evojax_align as ea
        >>> parent = ea.evolution.Genome((ea.evolution.Block(0, 4, 3, 1),))
        >>> child, x = parent.replaced(0, filters=8), jnp.ones((1, 6, 6))
        >>> small, large = (ea.models.BlockCNN(genome.architecture, classes=2) for genome in (parent, child))
        >>> known, fresh = small.init(jax.random.key(0), x), large.init(jax.random.key(1), x)
        >>> variables = ea.evolution.inherit("function", parent, child, known, fresh, key=jax.random.key(2))
        >>> bool(jnp.allclose(large.apply(variables, x), small.apply(known, x), atol=1e-5))
        True
    """
    _checks.refuse_trace("inherit", "pass its result to the compiled function that trains.", key, variables, fresh)
    key = _checks.key("key", key)
    _checks.one_of("inherit", rule, INHERIT)
    if rule == "none":
        return fresh
    known = _known(parent, variables)
    if rule == "function":
        channels = known[parent.blocks[0].identity]["params"]["conv"]["kernel"].shape[2]
        known = _Growth(parent, known, channels, np.random.default_rng(_seed(key)), noise, epsilon).into(child)
    found = {}
    for kind, pieces in fresh.items():
        found[kind] = {}
        for name, leaves in pieces.items():
            own = known.get(_identity(child, name), {}).get(kind)
            found[kind][name] = leaves if own is None else _taken(own, leaves)
    return found


def _known(genome: Genome, variables: PyTree) -> dict[int | str, Variables]:
    """The variables of each piece by its block's identity, and "head"."""
    known: dict[int | str, Variables] = {}
    for kind, pieces in variables.items():
        for name, leaves in pieces.items():
            known.setdefault(_identity(genome, name), {})[kind] = jax.tree.map(np.asarray, leaves)
    return known


def _identity(genome: Genome, name: str) -> int | str:
    """The identity of the block of a piece."""
    return name if name == "head" else genome.blocks[int(name.removeprefix("block_"))].identity


def _taken(own: Mapping[str, Any], leaves: PyTree) -> PyTree:
    """Fresh leaves, or the parent's if they have the same path and shape."""
    old = {_checks.path_string(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(own)}

    def choose(path: tuple, leaf: Any) -> Any:
        mine = old.get(_checks.path_string(path))
        return leaf if mine is None or mine.shape != jnp.shape(leaf) else jnp.asarray(mine, leaf.dtype)

    return jax.tree_util.tree_map_with_path(choose, leaves)


def _seed(key: PRNGKey) -> list[int]:
    return [int(word) for word in np.asarray(jax.random.key_data(key)).ravel()]


class _Growth:
    """A network whose blocks are changed one after the other, with weights that preserve its function."""

    def __init__(
        self,
        parent: Genome,
        known: dict[int | str, Variables],
        channels: int,
        random: np.random.Generator,
        noise: float,
        epsilon: float,
    ) -> None:
        self._blocks, self._channels = list(parent.blocks), channels
        self._known = {identity: jax.tree.map(np.array, own) for identity, own in known.items()}
        self._random, self._noise, self._epsilon = random, noise, epsilon
        self._before = {after: before for before, after in _links(parent)}
        self._biased = "bias" in known[parent.blocks[0].identity]["params"]["conv"]

    def into(self, child: Genome) -> dict[int | str, Variables]:
        """The variables of the child's blocks; those after a removed block may have other shapes."""
        wanted = {block.identity: block for block in child.blocks}
        self._blocks = [block for block in self._blocks if block.identity in wanted]
        for place, block in enumerate(child.blocks):
            if place == len(self._blocks) or self._blocks[place].identity != block.identity:
                self._add(place, block)
        for place, block in enumerate(child.blocks):
            self._filters(place, block.filters)
            self._window(place, block.window)
        return self._known

    def _add(self, place: int, block: Block) -> None:
        """Add an identity block: non-negative inputs pass unchanged, an image as its positive and negative parts."""
        count = self._blocks[place - 1].filters if place else 2 * self._channels
        before, after = self._beside(place)
        if self._before.get(after) == before:
            self._before |= {block.identity: before, after: block.identity}
        self._blocks.insert(place, Block(block.identity, count, block.window, block.stride))
        middle = block.window // 2
        if place:
            kernel = np.zeros((block.window, block.window, count, count), np.float32)
            kernel[middle, middle] = np.eye(count)
            norm = self._known[self._blocks[place - 1].identity]["params"]["norm"]
            mean, variance = rectified(norm["bias"], norm["scale"])
        else:
            kernel = np.zeros((block.window, block.window, self._channels, count), np.float32)
            kernel[middle, middle] = np.concatenate([np.eye(self._channels), -np.eye(self._channels)], axis=1)
            mean, variance = np.zeros(count), np.ones(count)
            self._next(place, lambda weights: np.concatenate([weights, -weights], axis=-2))
        norm = {"scale": np.sqrt(variance + self._epsilon), "bias": mean}
        bias = {"bias": np.zeros(count)} if self._biased else {}
        own = {"params": {"conv": {"kernel": kernel, **bias}, "norm": norm}}
        self._known[block.identity] = own | {"batch_stats": {"norm": {"mean": mean, "var": variance}}}

    def _filters(self, place: int, count: int) -> None:
        """Copy some filters, or remove those of the smallest norm."""
        block = self._blocks[place]
        own, now = self._known[block.identity], block.filters
        if count > now:
            index = np.concatenate([np.arange(now), self._random.integers(0, now, count - now)])
            share = np.maximum(1 + self._noise * self._random.normal(size=count), 0.1)
            share /= np.bincount(index, share, minlength=now)[index]
        elif count < now:
            order = np.lexsort((-np.abs(own["params"]["norm"]["scale"]), -self._norms(own)))
            index, share = np.sort(order[:count]), np.ones(count)
        else:
            return
        self._known[block.identity] = jax.tree.map(lambda leaf: leaf[..., index], own)
        self._next(place, lambda weights: weights[..., index, :] * share[:, None])
        self._blocks[place] = Block(block.identity, count, block.window, block.stride)

    def _beside(self, place: int) -> tuple[int | None, int | str]:
        """The identities of the pieces before and at this position."""
        before = self._blocks[place - 1].identity if place else None
        return before, self._blocks[place].identity if place < len(self._blocks) else "head"

    def _norms(self, own: Variables) -> np.ndarray:
        """The norm of each filter, including the scale of its normalisation."""
        scale = np.abs(own["params"]["norm"]["scale"]) / np.sqrt(own["batch_stats"]["norm"]["var"] + self._epsilon)
        return np.sqrt(np.sum(own["params"]["conv"]["kernel"] ** 2, axis=(0, 1, 2))) * scale

    def _window(self, place: int, side: int) -> None:
        """Pad the window with zeros, or keep only its centre."""
        block = self._blocks[place]
        conv = self._known[block.identity]["params"]["conv"]
        more = (side - block.window) // 2
        if more > 0:
            conv["kernel"] = np.pad(conv["kernel"], [(more, more), (more, more), (0, 0), (0, 0)])
        elif more < 0:
            conv["kernel"] = conv["kernel"][-more:more, -more:more]
        self._blocks[place] = Block(block.identity, block.filters, side, block.stride)

    def _next(self, place: int, change: Callable[[np.ndarray], np.ndarray]) -> None:
        """Change the incoming weights of the next piece, if it has the same predecessor as in the parent."""
        _, after = self._beside(place + 1)
        if self._before.get(after) != self._blocks[place].identity:
            return
        layer = self._known[after]["params"]["output" if after == "head" else "conv"]
        layer["kernel"] = change(layer["kernel"])


def _links(genome: Genome) -> list[tuple[int | None, int | str]]:
    """Each piece with its predecessor; None before the first block."""
    pieces = [None, *(block.identity for block in genome.blocks), "head"]
    return list(pairwise(pieces))


def rectified(mean: np.ndarray, deviation: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of rectified normal values."""
    deviation = np.maximum(np.abs(deviation), 1e-6)
    ratio = mean / deviation
    below, density = scipy.stats.norm.cdf(ratio), scipy.stats.norm.pdf(ratio)
    first = mean * below + deviation * density
    second = (mean**2 + deviation**2) * below + mean * deviation * density
    return first, np.maximum(second - first**2, 0.0)
