"""Axes that must be permuted together: a union-find whose classes may be frozen and may have parts.

An axis is represented by a node, or by `None` if all entries along it are equal, so that no permutation changes it; an
axis of length 1 is always `None`. A class without parts is an atom: any permutation is allowed, the same on every axis
of the class. A class with parts is permuted part by part: segments are concatenated along the axis (a concatenation,
the gates of a recurrent cell), factors are combined like the digits of a number (flattened rows, columns and channels;
heads and their channels). The union of two classes with parts allows what both allow, and is frozen if that is nothing.
"""

import dataclasses
import itertools
import math
from collections.abc import Collection, Iterator, Sequence
from typing import TypeAlias

Axes: TypeAlias = tuple[int | None, ...]
Shape: TypeAlias = tuple[int, ...]
Piece: TypeAlias = tuple[int | None, int]
"""A part: its node and its length."""
Reason: TypeAlias = tuple[str, str]
"""Name of the operation that froze an axis, and its source location."""

BY_DESIGN = ("data", "output", "position")
"""Reasons of frozen axes that are expected and not reported: axes of data, of outputs, and of positions."""


@dataclasses.dataclass(frozen=True)
class Parts:
    """The composition of a class.

    Attributes:
        segments: whether the parts are concatenated segments; otherwise they are factors, the outermost first.
    """

    segments: bool
    pieces: tuple[Piece, ...]


class Conflict(Exception):
    """Two compositions of one axis have no common refinement."""


class Classes:
    """The classes of all axes of one program."""

    def __init__(self) -> None:
        self.at: Reason = ("", "")
        """The operation that is being processed."""
        self._leader: list[int] = []
        self._sizes: list[int] = []
        self._origins: dict[int, frozenset[int]] = {}
        self._frozen: dict[int, Reason] = {}
        self.unused: Collection[int] = ()
        """Indices of unused outputs of the operation that is being processed."""
        self._parts: dict[int, Parts] = {}
        self._parted: dict[int, Reason] = {}  # the operation that gave a class its parts

    def new(self, size: int) -> int | None:
        """A node in a new class; None for a length of 1."""
        return self._node(size) if size != 1 else None

    def fixed(self, size: int, why: str = "position") -> int | None:
        """A node that must not be permuted."""
        node = self.new(size)
        self.freeze(node, (why, self.at[1]))
        return node

    def find(self, node: int) -> int:
        """The representative of the node's class."""
        while self._leader[node] != node:
            self._leader[node] = self._leader[self._leader[node]]
            node = self._leader[node]
        return node

    def size(self, node: int) -> int:
        """The length of the axis."""
        return self._sizes[node]

    def parts(self, node: int) -> Parts | None:
        """The parts of the node's class; None for an atom."""
        return self._parts.get(self.find(node))

    def pieces(self, node: int | None, size: int, *, segments: bool) -> list[Piece]:
        """The parts of one kind of an axis, recursively; an axis without such parts is its own only part."""
        parts = None if node is None else self.parts(node)
        if parts is None or parts.segments != segments:
            return [(node, size)]
        return [piece for part, length in parts.pieces for piece in self.pieces(part, length, segments=segments)]

    def atoms(self, node: int | None) -> Iterator[int]:
        """The atomic classes of the axis."""
        if node is None:
            return
        parts = self.parts(node)
        if parts is None:
            yield self.find(node)
        else:
            for part, _ in parts.pieces:
                yield from self.atoms(part)

    def origins(self, node: int) -> frozenset[int]:
        """The axes from which this one was made."""
        return self._origins.get(node, frozenset((node,)))

    # The following methods change classes.

    def freeze(self, node: int | None, why: Reason) -> None:
        """Require that this axis is not permuted; the first reason is kept, but expected reasons have priority."""
        if node is None:
            return
        root = self.find(node)
        old = self._frozen.get(root)
        if old is None or (why[0] in BY_DESIGN and old[0] not in BY_DESIGN):
            self._frozen[root] = why
        for part, _ in self._parts[root].pieces if root in self._parts else ():
            self.freeze(part, why)  # again, since parts may have been added later

    def order(self, node: int | None) -> None:
        """Require that this axis is not permuted, because the operation depends on its order."""
        if self.is_free(node):
            self.freeze(node, self.at)

    def why_frozen(self, node: int) -> Reason | None:
        """The reason and its source location, or None if any part of the axis may be permuted."""
        reasons = [self._frozen.get(atom) for atom in self.atoms(node)]
        if not reasons:  # an axis that was divided into single entries
            return self._frozen.get(self.find(node)) or self._parted.get(self.find(node))
        if None in reasons:
            return self._frozen.get(self.find(node))
        return next((why for why in reasons if why and why[0] not in BY_DESIGN), reasons[0])

    def is_free(self, node: int | None) -> bool:
        """Whether any part of the axis may be permuted."""
        return any(self._frozen.get(atom) is None for atom in self.atoms(node))

    def unite(self, *nodes: int | None) -> int | None:
        """Require that these axes are permuted together, and return the united axis.

        An axis `None`, along which all entries are equal, imposes no condition. Different axes are united to a new one,
        of the same class, which records its origins.
        """
        distinct = list(dict.fromkeys(node for node in nodes if node is not None))
        if len(distinct) < 2:
            return distinct[0] if distinct else None
        for other in distinct[1:]:
            self._merge(distinct[0], other)
        joined = self._node(self._sizes[distinct[0]])
        self._leader[joined] = self.find(distinct[0])
        self._origins[joined] = frozenset().union(*map(self.origins, distinct))
        return joined

    def segments(self, pieces: Sequence[Piece]) -> int | None:
        """The axis that concatenates these segments."""
        return self._made(True, [piece for piece in pieces if piece[1]])

    def factors(self, pieces: Sequence[Piece]) -> int | None:
        """The axis with these factors, the outermost first."""
        if all(node is None for node, _ in pieces):
            return None
        return self._made(False, [piece for piece in pieces if piece[1] != 1])

    def cut(self, node: int | None, start: int, stop: int) -> int | None:
        """The range of an axis between two indices, as segments; frozen if the axis cannot be cut there."""
        if node is None or (start, stop) == (0, self._sizes[node]):
            return node
        pieces = self.pieces(node, self._sizes[node], segments=True)
        try:
            for place in (start, stop):
                pieces = self._cut_at(pieces, place)
        except Conflict:
            self.freeze(node, self.at)
        if self.find(node) in self._frozen:
            return self._frozen_like(node, stop - start)
        ends = [0, *itertools.accumulate(size for _, size in pieces)]
        return self.segments(pieces[ends.index(start) : ends.index(stop)])

    def split(self, pieces: Sequence[Piece], sizes: Sequence[int]) -> list[int | None]:
        """Divide the same entries, given by factors, into other factors of these lengths, the outermost first.

        Raises:
            Conflict: if they do not fit.
        """
        given = [factor for node, size in pieces for factor in self.pieces(node, size, segments=False)]
        given = [factor for factor in given if factor[1] != 1]
        made: list[int | None] = []
        for rest in sizes:
            chosen: list[Piece] = []
            while rest != 1:
                node, length = given.pop(0)
                if length > rest:
                    outer, inner = self._divided(node, length, rest)
                    given.insert(0, inner)
                    node, length = outer
                if rest % length:
                    raise Conflict
                chosen.append((node, length))
                rest //= length
            made.append(self.factors(chosen))
        return made

    def stop(self, nodes: Sequence[int | None], shapes: Sequence[Shape]) -> list[Axes]:
        """Freeze these axes, which an operation mixes, and make frozen axes for its results.

        If all of them were frozen before, the operation had no effect, and the old reason is kept.
        """
        reasons = [self.why_frozen(node) for node in nodes if node is not None]
        old = [why for why in reasons if why is not None]
        if not old or None in reasons:
            why = self.at
        else:
            why = next((why for why in old if why[0] not in BY_DESIGN), old[0])
        out: list[Axes] = [tuple(self.new(size) for size in shape) for shape in shapes]
        for node in itertools.chain(nodes, *out):
            self.freeze(node, why)
        return out

    def _node(self, size: int) -> int:
        self._leader.append(len(self._leader))
        self._sizes.append(size)
        return len(self._leader) - 1

    def _made(self, segments: bool, pieces: Sequence[Piece]) -> int | None:
        if len(pieces) < 2:
            return pieces[0][0] if pieces else None
        sizes = [size for _, size in pieces]
        node = self._node(sum(sizes) if segments else math.prod(sizes))
        self._parts[node] = Parts(segments, tuple(pieces))
        return node

    def _frozen_like(self, node: int, size: int) -> int | None:
        made = self.new(size)
        self.freeze(made, self._frozen[self.find(node)])
        return made

    def _given_parts(self, node: int | None, segments: bool, sizes: Sequence[int]) -> list[Piece]:
        """Give an atom parts of these lengths, frozen if it is."""
        if node is None:
            return [(None, size) for size in sizes]
        if self.parts(node) is not None:
            raise Conflict
        root = self.find(node)
        pieces: list[Piece] = [(self.new(size), size) for size in sizes]
        self._parts[root] = Parts(segments, tuple(pieces))
        self._parted[root] = self.at
        if root in self._frozen:
            for part, _ in pieces:
                self.freeze(part, self._frozen[root])
        return pieces

    def _cut_at(self, pieces: list[Piece], place: int) -> list[Piece]:
        """Split segments so that one ends at this index."""
        start = 0
        for number, (node, size) in enumerate(pieces):
            if start < place < start + size:
                cut = self._given_parts(node, True, (place - start, start + size - place))
                return [*pieces[:number], *cut, *pieces[number + 1 :]]
            start += size
        return pieces

    def _divided(self, node: int | None, size: int, outer: int) -> list[Piece]:
        """An axis as two factors, with an outer one of this length."""
        if size % outer:
            raise Conflict
        inner = size // outer
        parts = None if node is None else self.parts(node)
        if node is not None and parts is not None and parts.segments:
            same = self.pieces(node, size, segments=True)
            if any(length != inner for _, length in same):
                raise Conflict
            pieces: list[Piece] = [(self.fixed(outer), outer), (self.unite(*(part for part, _ in same)), inner)]
            self._parts[self.find(node)] = Parts(False, tuple(pieces))
            return pieces
        return self._given_parts(node, False, (outer, inner))

    def _merge(self, a: int, b: int) -> None:
        roots = self.find(a), self.find(b)
        if roots[0] == roots[1]:
            return
        if self._sizes[roots[0]] != self._sizes[roots[1]]:
            raise ValueError(f"axes of {self._sizes[roots[0]]} and {self._sizes[roots[1]]} entries cannot be one")
        of_a, of_b = (self._parts.get(root) for root in roots)
        reasons = [self._frozen.pop(root) for root in roots if root in self._frozen]
        try:
            parts = self._refined(of_a, of_b) if of_a and of_b else self._filled(of_a or of_b)
        except Conflict:
            parts = self._filled(of_a)
            for root in roots:
                self.freeze(root, self.at)
                reasons.append(self._frozen.pop(root))
        root, other = sorted(roots)
        self._leader[other] = root
        for old in roots:
            self._parts.pop(old, None)
            if old in self._parted:
                self._parted[root] = self._parted[old]
        if parts is not None:
            self._parts[root] = parts
        for why in reasons:
            self.freeze(root, why)

    def _filled(self, parts: Parts | None) -> Parts | None:
        """The parts of a class that is united with an atom: a part `None` need not be constant on the other axis."""
        if parts is None:
            return None
        for node, _ in parts.pieces:
            if node is not None and (below := self.parts(node)) is not None:
                self._parts[self.find(node)] = self._filled(below)  # pyright: ignore[reportArgumentType]
        return Parts(parts.segments, tuple((self.new(n) if node is None else node, n) for node, n in parts.pieces))

    def _refined(self, a: Parts, b: Parts) -> Parts:
        """The common refinement of two compositions of an axis."""
        if a.segments != b.segments:
            segments, factors = (a, b) if a.segments else (b, a)
            return self._repeated(segments, factors)
        left, right = ([p for n, size in of.pieces for p in self.pieces(n, size, segments=a.segments)] for of in (a, b))
        made: list[Piece] = []
        while left and right:
            (p, of_p), (q, of_q) = left.pop(0), right.pop(0)
            if of_p > of_q:
                (p, of_p), *rest = self._first(p, of_p, of_q, a.segments)
                left = [*rest, *left]
            elif of_q > of_p:
                (q, of_q), *rest = self._first(q, of_q, of_p, a.segments)
                right = [*rest, *right]
            made.append((self.unite(p, q), of_p))
        return Parts(a.segments, tuple(made))

    def _first(self, node: int | None, size: int, first: int, segments: bool) -> list[Piece]:
        """Divide an axis in two: the first segment of this length, or the outermost factor, and the rest."""
        return self._given_parts(node, True, (first, size - first)) if segments else self._divided(node, size, first)

    def _repeated(self, segments: Parts, factors: Parts) -> Parts:
        """Segments of equal length with the same permutation, as the inner factor of a fixed outer one."""
        (outer, count), *rest = factors.pieces
        same = [p for n, size in segments.pieces for p in self.pieces(n, size, segments=True)]
        if len(same) != count or len({size for _, size in same}) != 1:
            raise Conflict
        outer = self.unite(outer, self.fixed(count, self.at[0]))
        return Parts(False, ((outer, count), (self.unite(self.factors(rest), *(part for part, _ in same)), same[0][1])))
