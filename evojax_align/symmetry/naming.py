"""Readable names of groups, from the paths of the parameters."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

from evojax_align._tree import home
from evojax_align.symmetry.following import Labels

COLLECTIONS = ("params", "batch_stats", "state")
"""Path components of Flax and Haiku that are not part of a name."""

LeafAxis: TypeAlias = tuple[int, int, int]
"""A leaf of the parameters, one of its axes, and the node of that axis."""


def given_names(
    labels: Labels, axes: Sequence[LeafAxis], inside: Mapping[int, int]
) -> tuple[dict[int, str], dict[int, str]]:
    """Names of the groups, and of every class that is an entire axis of a parameter.

    A class is named after the module of the first leaf that feeds it, or after that leaf, or after that leaf and axis;
    a class with nested groups after the common path of the modules of all its leaves; a part of an axis after the axis.
    """
    return _Names(labels, axes, inside).given()


class _Names:
    def __init__(self, labels: Labels, axes: Sequence[LeafAxis], inside: Mapping[int, int]) -> None:
        self._classes, self._inside = labels.classes, inside
        self._axes = sorted(axes, key=lambda entry: entry[2] in labels.fed)  # feeding leaves first
        self._feeding = {labels.classes.find(node) for *_, node in axes if node not in labels.fed}
        paths = labels.network.paths
        collections = all(path.split("/")[0] in COLLECTIONS for path in paths)
        suffix = "/value" if all(path.endswith("/value") for path in paths) else ""  # from flax.nnx
        self._paths = [(path.partition("/")[2] if collections else path).removesuffix(suffix) for path in paths]
        self._taken: set[str] = set()

    def given(self) -> tuple[dict[int, str], dict[int, str]]:
        of_axis: dict[int, str] = {}
        names: dict[int, str] = {}
        for outer in dict.fromkeys(self._inside.values()):
            first = self._first_path(outer)
            shared = self._shared_module(outer)
            names[outer] = self._first_free(iter((shared, home(first), f"{first}.outer")))
        whole = list(dict.fromkeys(self._classes.find(node) for *_, node in self._axes))
        whole.sort(key=lambda root: (not self._classes.is_free(root), root not in self._feeding))  # order of choice
        for root in whole:
            leaf, axis = next((leaf, axis) for leaf, axis, n in self._axes if self._classes.find(n) == root)
            of_axis[root] = names.get(root) or self._first_free(self._candidates(leaf, axis))
        names |= {root: name for root, name in of_axis.items() if self._is_group(root)}
        for root in whole:
            for atom, part in self._parts(root, of_axis[root]):
                if atom not in names and self._is_group(atom):
                    names[atom] = self._first_free(iter((part,)))
        return names, of_axis

    def _holding(self, atom: int) -> list[int]:
        """The leaves with the atom on some axis."""
        return [leaf for leaf, _, node in self._axes if atom in self._classes.atoms(node)]

    def _first_path(self, atom: int) -> str:
        return next((self._paths[leaf] for leaf in self._holding(atom)), "")

    def _shared_module(self, atom: int) -> str:
        """The common path of the modules of all leaves with the atom."""
        modules = [self._paths[leaf].split("/")[:-1] for leaf in self._holding(atom)]
        shared = itertools.takewhile(lambda names: len(set(names)) == 1, zip(*modules, strict=False))
        return "/".join(names[0] for names in shared)

    def _is_group(self, atom: int) -> bool:
        is_atom = self._classes.parts(atom) is None
        return is_atom and self._classes.why_frozen(atom) is None and self._classes.size(atom) > 1

    def _candidates(self, leaf: int, axis: int) -> Iterator[str]:
        path = self._paths[leaf]
        yield home(path)
        yield path
        yield f"{path}[{axis}]"

    def _parts(self, node: int | None, name: str) -> Iterator[tuple[int, str]]:
        """The atoms of an axis, with names of their positions."""
        parts = None if node is None else self._classes.parts(node)
        if node is None or parts is None:
            if node is not None:
                yield self._classes.find(node), name
            return
        start = 0
        pieces = self._classes.pieces(node, self._classes.size(node), segments=parts.segments)
        for number, (part, size) in enumerate(pieces):
            if parts.segments:
                suffix = f"[{start}:{start + size}]"
            else:
                suffix = ".inner" if part is not None and self._classes.find(part) in self._inside else f".{number}"
            yield from self._parts(part, name + suffix)
            start += size

    def _first_free(self, candidates: Iterator[str]) -> str:
        last = ""
        for last in candidates:
            if last and last not in self._taken:
                self._taken.add(last)
                return last
        number = 2
        while f"{last}#{number}" in self._taken:
            number += 1
        self._taken.add(f"{last}#{number}")
        return f"{last}#{number}"
