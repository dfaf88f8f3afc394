"""Genomes of an architecture search: a sequence of building blocks, the search space, and mutations.

Prellberg & Kramer 2018, section 3.2. All functions here are host functions.
"""

import dataclasses
from collections.abc import Collection, Iterator, Sequence
from typing import TypeAlias

import jax
import numpy as np

from evojax_align import _checks
from evojax_align._types import Int, PRNGKey

Architecture: TypeAlias = tuple[tuple[int, int, int], ...]
"""The filters, window side and stride of each block; with the weights, they determine the outputs of a network."""

KINDS = ("add block", "remove block", "add filters", "remove filters", "change window", "change stride")
"""Mutations, in the order of their frequencies."""


@dataclasses.dataclass(frozen=True)
class Block:
    """A building block: convolution, normalisation, rectifier.

    Attributes:
        identity: the number that identifies its weights in descendants.
        filters: number of filters of the convolution.
        window: side of the square window, in pixels.
        stride: step of the convolution.

    Example:
        >>> import evojax_align as ea
        >>> block = ea.evolution.Block(identity=0, filters=16, window=3, stride=1)
        >>> ea.evolution.Genome((block,)).architecture
        ((16, 3, 1),)
    """

    identity: int
    filters: int
    window: int
    stride: int


@dataclasses.dataclass(frozen=True)
class Genome:
    """A sequence of blocks. Two genomes of the same architecture may differ in the identities of blocks.

    Attributes:
        blocks: the building blocks, from the input to the head.

    Example:
        >>> import evojax_align as ea
        >>> genome = ea.evolution.Genome((ea.evolution.Block(0, 16, 3, 1), ea.evolution.Block(1, 32, 3, 2)))
        >>> genome.genes.tolist(), ea.evolution.Genome.of(genome.genes) == genome
        ([[0, 16, 3, 1], [1, 32, 3, 2]], True)
        >>> genome.replaced(1, filters=64).architecture
        ((16, 3, 1), (64, 3, 2))
    """

    blocks: tuple[Block, ...]

    @property
    def architecture(self) -> Architecture:
        """The architecture: the genome without identities."""
        return tuple((block.filters, block.window, block.stride) for block in self.blocks)

    @property
    def genes(self) -> Int[np.ndarray, "blocks 4"]:
        """The genome as an array; `Genome.of` is the inverse."""
        return np.array([dataclasses.astuple(block) for block in self.blocks], np.int32).reshape(-1, 4)

    @classmethod
    def of(cls, genes: Int[np.ndarray, "blocks 4"]) -> "Genome":
        """The genome of an array: identity, filters, window and stride of each block."""
        return cls(tuple(Block(*map(int, row)) for row in genes))

    def replaced(self, number: int, **changes: int) -> "Genome":
        """A copy of the genome with other settings of one block."""
        block = dataclasses.replace(self.blocks[number], **changes)
        return Genome((*self.blocks[:number], block, *self.blocks[number + 1 :]))


class Exhausted(_checks.BadInput):
    """Every possible next network has already been evaluated.

    Example:
        >>> import jax, evojax_align as ea
        >>> space = ea.evolution.Space(filters=(8,), windows=(3,))
        >>> try:
        ...     space.first(jax.random.key(0), seen={((8, 3, 1),)})
        ... except ea.evolution.Exhausted:
        ...     print("all are known")
        all are known
    """


@dataclasses.dataclass(frozen=True)
class Space:
    """The architectures that a search may visit, and the frequencies of mutations.

    Main arguments:
        filters: numbers of filters, ascending.
        windows: sides of the square windows, odd.
        strides: strides of the convolutions.
        halvings: largest number of blocks with a stride above 1.
        longest: largest number of blocks; None for no limit.
        frequencies: relative frequency of each of `KINDS`.

    Example:
        >>> import jax, evojax_align as ea
        >>> space = ea.evolution.Space(filters=(8, 16))
        >>> genome = space.first(jax.random.key(0))
        >>> kind, child = space.mutate(jax.random.key(1), genome, seen={genome.architecture}, identity=1)
        >>> child.architecture != genome.architecture
        True
    """

    filters: tuple[int, ...] = (16, 32, 64, 96, 128, 192, 256)
    windows: tuple[int, ...] = (1, 3, 5)
    strides: tuple[int, ...] = (1, 2)
    halvings: int = 3
    longest: int | None = None
    frequencies: tuple[float, ...] = (3, 3, 2, 2, 2, 1)

    def __post_init__(self) -> None:
        for name in ("filters", "windows", "strides"):
            values = getattr(self, name)
            if not values or list(values) != sorted(set(values)) or not all(v == int(v) and v > 0 for v in values):
                expected = "different positive integers, ascending"
                raise _checks.bad(name, values, expected, f"The paper takes {getattr(Space, name)}.")
        if any(window % 2 == 0 for window in self.windows):
            raise _checks.bad("windows", self.windows, "odd sides", "A window needs a central pixel.")
        if self.strides[0] != 1 or self.halvings < 0:
            came = f"{self.strides} and {self.halvings}"
            raise _checks.bad("strides, halvings", came, "1 among the strides, and at least 0", "Add the stride 1.")
        if len(self.frequencies) != len(KINDS) or min(self.frequencies) < 0 or not sum(self.frequencies) > 0:
            expected = f"one number of at least 0 for each of {KINDS}, not all 0"
            raise _checks.bad("frequencies", self.frequencies, expected, "The paper takes (3, 3, 2, 2, 2, 1).")
        if self.longest is not None:
            _checks.positive("longest", self.longest)

    def first(self, key: PRNGKey, seen: Collection[Architecture] = (), identity: int = 0) -> Genome:
        """A single block of stride 1, with filters and window drawn from those that have not been seen."""
        _refuse_trace("Space.first", key)
        free = [
            Genome((Block(identity, filters, window, 1),))
            for filters in self.filters
            for window in self.windows
            if ((filters, window, 1),) not in seen
        ]
        if not free:
            came = f"{len(self.filters) * len(self.windows)} single blocks, all of them evaluated"
            raise Exhausted(
                str(_checks.bad("space", came, "one that has not been evaluated", "Use fewer members, or more sets."))
            )
        return free[int(draw(key, np.ones(len(free))))]

    def mutate(
        self, key: PRNGKey, genome: Genome, *, seen: Collection[Architecture], identity: int
    ) -> tuple[str, Genome]:
        """Draw a mutation of a genome whose architecture has not been seen; return its kind and the new genome.

        The kind is drawn by frequency, then block and new setting uniformly. Draws that change nothing, are not
        allowed or have been seen are rejected; this is implemented as one draw among the others.

        Args:
            key: a random key.
            genome: the genome of the parent.
            seen: architectures that have been evaluated.
            identity: the identity of the block, if one is added.

        Raises:
            Exhausted: (a `ValueError`) if all possible mutations have been seen.
            ValueError: for a genome outside this space.
        """
        _refuse_trace("Space.mutate", key)
        if not self.allows(genome):
            raise _checks.bad("genome", genome.architecture, "one of this space", "Enlarge the sets of the space.")
        drawn = [
            (kind, child, weight / len(children))
            for kind, weight in zip(KINDS, self.frequencies, strict=True)
            for children in [list(self._children(kind, genome, identity))]
            for child in children
            if weight and child is not None and child.architecture not in seen
        ]
        if not drawn:
            came = f"a network of {len(genome.blocks)} blocks all of whose mutations have been evaluated"
            fix = "Enlarge the space: more filters or windows, or a larger `longest`."
            raise Exhausted(str(_checks.bad("space", came, "a mutation that has not been evaluated", fix)))
        kind, child, _ = drawn[draw(key, np.array([weight for *_, weight in drawn]))]
        return kind, child

    def allows(self, genome: Genome) -> bool:
        """Whether a genome is in this space."""
        sets = {"filters": self.filters, "window": self.windows, "stride": self.strides}
        known = all(getattr(block, name) in values for block in genome.blocks for name, values in sets.items())
        return known and self._fits(genome)

    def _fits(self, genome: Genome) -> bool:
        count, halvings = len(genome.blocks), sum(block.stride > 1 for block in genome.blocks)
        return 0 < count <= (self.longest or count) and halvings <= self.halvings

    def _children(self, kind: str, genome: Genome, identity: int) -> Iterator[Genome | None]:
        """All possible draws of one kind; None for draws that change nothing or are not allowed."""
        for child in self._draws(kind, genome, identity):
            yield child if child is not None and child != genome and self._fits(child) else None

    def _draws(self, kind: str, genome: Genome, identity: int) -> Iterator[Genome | None]:
        blocks = genome.blocks
        if kind == "add block":
            for place in range(len(blocks) + 1):
                for filters in self.filters:
                    for window in self.windows:
                        new = Block(identity, filters, window, 1)
                        yield Genome((*blocks[:place], new, *blocks[place:]))
            return
        for number, block in enumerate(blocks):
            if kind == "remove block":
                yield Genome((*blocks[:number], *blocks[number + 1 :]))
            elif kind in ("add filters", "remove filters"):
                place = self.filters.index(block.filters) + (1 if kind == "add filters" else -1)
                inside = 0 <= place < len(self.filters)
                yield genome.replaced(number, filters=self.filters[place]) if inside else None
            else:
                name, values = ("window", self.windows) if kind == "change window" else ("stride", self.strides)
                for value in values:
                    yield genome.replaced(number, **{name: value})


def _refuse_trace(name: str, key: PRNGKey) -> None:
    _checks.refuse_trace(name, "it returns a Python object from which networks are built.", key)


def draw(key: PRNGKey, weights: Sequence[float] | np.ndarray) -> int:
    """Draw an index in proportion to weights; on the host, so that their number may vary without compilation."""
    ends = np.cumsum(weights)
    place = float(jax.random.uniform(key)) * ends[-1]
    return int(min(np.searchsorted(ends, place, side="right"), len(ends) - 1))
