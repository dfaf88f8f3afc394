"""The layout of groups of neurons along one axis, as data.

An axis may be one group; nothing that can be permuted; concatenated segments; or factors, like the digits of a number:
rows, columns and channels that were flattened, or heads and their channels.
"""

import dataclasses
from collections.abc import Iterator
from typing import TypeAlias

import numpy as np


@dataclasses.dataclass(frozen=True)
class Segments:
    """Concatenated parts.

    Attributes:
        parts: layout and length of each part.
    """

    parts: tuple[tuple["Layout", int], ...]


@dataclasses.dataclass(frozen=True)
class Factors:
    """Factors of an axis, the outermost first; its length is the product of theirs.

    Attributes:
        parts: layout and length of each part.
    """

    parts: tuple[tuple["Layout", int], ...]


Layout: TypeAlias = str | Segments | Factors | None
"""A group's name if the axis is that group, None if nothing on it can be permuted, or a composed layout."""


@dataclasses.dataclass(frozen=True)
class Occurrence:
    """One occurrence of a group along an axis.

    Attributes:
        neuron: for each index of the axis, the neuron that it belongs to; -1 for none.
        step: for each index of the axis, the distance to the corresponding index of the next neuron.
    """

    group: str
    neuron: np.ndarray
    step: np.ndarray


def occurrences(layout: Layout, size: int) -> list[Occurrence]:
    """The occurrences of groups along an axis of this length."""
    if layout is None:
        return []
    if isinstance(layout, str):
        return [Occurrence(layout, np.arange(size), np.ones(size, int))]
    found: list[Occurrence] = []
    if isinstance(layout, Segments):
        start = 0
        for part, length in layout.parts:
            for inner in occurrences(part, length):
                neuron, step = np.full(size, -1), np.zeros(size, int)
                neuron[start : start + length], step[start : start + length] = inner.neuron, inner.step
                found.append(Occurrence(inner.group, neuron, step))
            start += length
        return found
    after = size
    for part, length in layout.parts:
        after //= length
        before = size // (after * length)
        for inner in occurrences(part, length):
            neuron, step = (np.tile(np.repeat(of, after), before) for of in (inner.neuron, inner.step))
            found.append(Occurrence(inner.group, neuron, step * after))
    return found


def groups_in(layout: Layout) -> Iterator[str]:
    """The names of the groups along an axis, once for each occurrence."""
    if isinstance(layout, str):
        yield layout
    elif layout is not None:
        for part, _ in layout.parts:
            yield from groups_in(part)


def length_of(layout: Layout) -> int | None:
    """The length that a composed axis must have."""
    if isinstance(layout, Segments):
        return sum(size for _, size in layout.parts)
    if isinstance(layout, Factors):
        return int(np.prod([size for _, size in layout.parts]))
    return None


def marked(layout: Layout, group: str, size: int = 0) -> str:
    """A composed layout in lengths, with a star before those of one group: `3 x *4 + 3 x *4 + 12`."""
    if isinstance(layout, Segments):
        return " + ".join(marked(part, group, size) for part, size in layout.parts)
    if isinstance(layout, Factors):
        parts = ((marked(part, group, size), isinstance(part, Segments)) for part, size in layout.parts)
        return " x ".join(f"({text})" if of_segments else text for text, of_segments in parts)
    return f"*{size}" if layout == group else f"{size}"
