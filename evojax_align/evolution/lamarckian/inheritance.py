"""What a network takes over from the one that it is a mutation of.

By the rule of Prellberg & Kramer 2018, section 3.3, tensors whose shape did not change; or, as the authors wish for,
all that keeps the function: wider and deeper networks that begin where their parents are (Net2Net, Chen et al. 2016).
Variables are those of `models.BlockCNN`. Host functions, in NumPy: shapes change all the time, and no program is
compiled for them.
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
"""Of one piece, on the host: `{"params": {...}, "batch_stats": {...}}`."""


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
    """The variables that a child begins with.

    Blocks are known by their identities. Whatever the rule, tensors that it does not give are the fresh ones.

    Args:
        rule: "none" gives nothing. "shape" gives every tensor whose block the parent has, and whose shape is the same.
            "function" keeps the function too, in the mode of inference, where a block has more filters or a larger
            window, or is added with no fewer filters than the block before it (before the first block: than twice the
            channels). New filters are copies, of which the next block takes random shares. An added block passes on
            what it gets, and its statistics are those of rectified normal values. Where filters are removed, those
            whose weights have the least norm go; a smaller window is cut out of the middle of the larger one.
        parent: its genome.
        child: a genome that one mutation made of it, or several.
        variables: of the parent.
        fresh: of the child, newly drawn.
        key: draws which filters are copied, and shares.
        noise: by how much shares differ, so that copies do not learn the same: the standard deviation of what they
            are in proportion to, around 1.
        epsilon: of the network's normalisation.

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
    _checks.refuse_trace("inherit", "pass what it returns to the program that trains.", key, variables, fresh)
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
    """Whose piece this is."""
    return name if name == "head" else genome.blocks[int(name.removeprefix("block_"))].identity


def _taken(own: Mapping[str, Any], leaves: PyTree) -> PyTree:
    """Fresh leaves, or the parent's where they have the same path and shape."""
    old = {_checks.path_string(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(own)}

    def choose(path: tuple, leaf: Any) -> Any:
        mine = old.get(_checks.path_string(path))
        return leaf if mine is None or mine.shape != jnp.shape(leaf) else jnp.asarray(mine, leaf.dtype)

    return jax.tree_util.tree_map_with_path(choose, leaves)


def _seed(key: PRNGKey) -> list[int]:
    return [int(word) for word in np.asarray(jax.random.key_data(key)).ravel()]


class _Growth:
    """A network whose blocks grow and shrink one after the other, with the weights that keep its function."""

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
        """The variables of the child's blocks. Those after a block that was removed may have other shapes."""
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
        """A block that passes on what it gets: positive values already, or both signs of an image by themselves."""
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
        """Copies of some filters, or without those of the least norm."""
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
        """Whose pieces stand before and at this place."""
        before = self._blocks[place - 1].identity if place else None
        return before, self._blocks[place].identity if place < len(self._blocks) else "head"

    def _norms(self, own: Variables) -> np.ndarray:
        """Of each filter, with what its normalisation multiplies it by."""
        scale = np.abs(own["params"]["norm"]["scale"]) / np.sqrt(own["batch_stats"]["norm"]["var"] + self._epsilon)
        return np.sqrt(np.sum(own["params"]["conv"]["kernel"] ** 2, axis=(0, 1, 2))) * scale

    def _window(self, place: int, side: int) -> None:
        """Zeros around the window, or its middle alone."""
        block = self._blocks[place]
        conv = self._known[block.identity]["params"]["conv"]
        more = (side - block.window) // 2
        if more > 0:
            conv["kernel"] = np.pad(conv["kernel"], [(more, more), (more, more), (0, 0), (0, 0)])
        elif more < 0:
            conv["kernel"] = conv["kernel"][-more:more, -more:more]
        self._blocks[place] = Block(block.identity, block.filters, side, block.stride)

    def _next(self, place: int, change: Callable[[np.ndarray], np.ndarray]) -> None:
        """Change how the piece after this place takes what comes, if that is what it took in the parent too."""
        _, after = self._beside(place + 1)
        if self._before.get(after) != self._blocks[place].identity:
            return
        layer = self._known[after]["params"]["output" if after == "head" else "conv"]
        layer["kernel"] = change(layer["kernel"])


def _links(genome: Genome) -> list[tuple[int | None, int | str]]:
    """Each piece, after the one that it takes its inputs from; before the first block there is none."""
    pieces = [None, *(block.identity for block in genome.blocks), "head"]
    return list(pairwise(pieces))


def rectified(mean: np.ndarray, deviation: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of normal values of which the negative ones became 0."""
    deviation = np.maximum(np.abs(deviation), 1e-6)
    ratio = mean / deviation
    below, density = scipy.stats.norm.cdf(ratio), scipy.stats.norm.pdf(ratio)
    first = mean * below + deviation * density
    second = (mean**2 + deviation**2) * below + mean * deviation * density
    return first, np.maximum(second - first**2, 0.0)
