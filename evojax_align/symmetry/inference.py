"""Reading a network's permutation symmetry from its trace."""

from collections.abc import Iterator, Mapping

from evojax_align._types import Apply, PyTree
from evojax_align.symmetry.classes import BY_DESIGN, Classes, Reason
from evojax_align.symmetry.following import Labels, label
from evojax_align.symmetry.layout import Factors, Layout, Segments, groups_in
from evojax_align.symmetry.nesting import nested
from evojax_align.symmetry.spec import Frozen, PermutationSpec
from evojax_align.symmetry.trace import trace_network

COLLECTIONS = ("params", "batch_stats", "state")
"""Where Flax and Haiku keep what a network is made of: no part of a name."""


def infer(apply: Apply, params: PyTree, x: PyTree) -> PermutationSpec:
    """Find the groups of neurons that can be permuted without changing the network's function.

    The network is traced, not run. Data, outputs, and all that an operation without a rule touches stay fixed.

    Args:
        apply: `apply(params, x)`; anything that JAX can trace.
        params: arrays, or `jax.ShapeDtypeStruct`s: only their shapes are used.
        x: a batch of inputs, or its shape; its axes are never permuted.

    Returns:
        A `PermutationSpec`, with `verify(spec, apply, params, x, key=key)` near zero.

    Example:
        >>> import jax.numpy as jnp
        >>> apply = lambda p, x: jnp.tanh(x @ p["in"]) @ p["out"]
        >>> params = {"in": jnp.ones((3, 5)), "out": jnp.ones((5, 2))}
        >>> dict(infer(apply, params, jnp.ones((4, 3))).groups)
        {'in': 5}
    """
    return describe(label(trace_network(apply, params, x)))


def layout(classes: Classes, names: Mapping[int, str], node: int | None) -> Layout:
    """How the named groups lie along an axis."""
    if node is None or not any(atom in names for atom in classes.atoms(node)):
        return None
    parts = classes.parts(node)
    if parts is None:
        return names[classes.find(node)]
    kind = Segments if parts.segments else Factors
    pieces = classes.pieces(node, classes.size(node), segments=parts.segments)
    return kind(tuple((layout(classes, names, part), size) for part, size in pieces))


def describe(labels: Labels) -> PermutationSpec:
    """Turn labels into a specification: name the classes that hold axes of parameters and are not frozen."""
    network, classes = labels.network, labels.classes
    equations = labels.programs[0].equations
    first_use = {value: place for place, eqn in reversed(list(enumerate(equations))) for value in eqn.inputs}
    first_use |= {value: len(equations) for value in network.trace.outputs if value not in first_use}
    used = [i for i, value in enumerate(network.params) if value in first_use]
    order = sorted(used, key=lambda i: (first_use[network.params[i]], i))
    axes = [
        (leaf, axis, node) for leaf in order for axis, node in enumerate(labels.leaf_axes[leaf]) if node is not None
    ]

    inside = nested(labels)
    names, of_axis = _Names(labels, axes, inside).given()
    in_parameters = dict.fromkeys(atom for *_, node in axes for atom in classes.atoms(node))
    sizes = {names[atom]: classes.size(atom) for atom in in_parameters if atom in names}
    frozen: dict[Reason, list[tuple[str, int]]] = {}
    for leaf, axis, node in axes:
        why = classes.why_frozen(node)
        if not any(atom in names for atom in classes.atoms(node)) and why is not None and why[0] not in BY_DESIGN:
            frozen.setdefault(why, []).append((network.paths[leaf], axis))
    live = {leaf for leaf, *_ in axes}
    summed = frozenset().union(*(classes.origins(use.node) for use in labels.uses if not use.from_data))
    spec_axes, units = {}, {}
    for leaf, (path, nodes) in enumerate(zip(network.paths, labels.leaf_axes, strict=True)):
        spec_axes[path] = tuple(layout(classes, names, node) if leaf in live else None for node in nodes)
        feeding = [j for j, node in enumerate(nodes) if leaf in live and node is not None and node not in summed]
        feeding = [j for j in feeding if nodes[j] is not None and classes.find(nodes[j]) in of_axis]  # pyright: ignore
        if feeding:
            units[path] = (feeding[-1], of_axis[classes.find(nodes[feeding[-1]])])  # pyright: ignore
    held = {group for of_leaf in spec_axes.values() for entry in of_leaf for group in groups_in(entry)}
    return PermutationSpec(
        groups={name: size for name, size in sizes.items() if name in held},
        axes=spec_axes,
        units=units,
        frozen=tuple(Frozen(name, source, tuple(of)) for (name, source), of in frozen.items()),
        parents={names[inner]: names[outer] for inner, outer in inside.items() if inner in names and outer in names},
    )


class _Names:
    """Names a person understands, from the paths of the parameters.

    A class is named after the module of the first leaf that feeds it, or that leaf, or that leaf and axis; a class with
    groups inside after what all its leaves have in common; a part of an axis after that axis.
    """

    def __init__(self, labels: Labels, axes: list[tuple[int, int, int]], inside: Mapping[int, int]) -> None:
        self._classes, self._inside = labels.classes, inside
        summed = frozenset().union(*(labels.classes.origins(u.node) for u in labels.uses if not u.from_data))
        self._axes = sorted(axes, key=lambda entry: entry[2] in summed)  # what feeds, before what is fed
        self._feeding = {labels.classes.find(node) for *_, node in axes if node not in summed}
        paths = labels.network.paths
        collections = all(path.split("/")[0] in COLLECTIONS for path in paths)
        suffix = "/value" if all(path.endswith("/value") for path in paths) else ""  # of flax.nnx
        self._paths = [(path.partition("/")[2] if collections else path).removesuffix(suffix) for path in paths]
        self._taken: set[str] = set()

    def given(self) -> tuple[dict[int, str], dict[int, str]]:
        """Names of the free atoms, and of every class that is a whole axis of a parameter."""
        of_axis: dict[int, str] = {}
        names: dict[int, str] = {}
        for outer in dict.fromkeys(self._inside.values()):
            first = self._first_path(outer)
            shared = self._shared_module(outer)
            names[outer] = self._first_free(iter((shared, first.rpartition("/")[0] or first, f"{first}.outer")))
        whole = list(dict.fromkeys(self._classes.find(node) for *_, node in self._axes))
        whole.sort(key=lambda root: (not self._classes.is_free(root), root not in self._feeding))  # who chooses first
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
        """The leaves that have the atom on some axis."""
        return [leaf for leaf, _, node in self._axes if atom in self._classes.atoms(node)]

    def _first_path(self, atom: int) -> str:
        return next((self._paths[leaf] for leaf in self._holding(atom)), "")

    def _shared_module(self, atom: int) -> str:
        """What the modules of all leaves that have the atom share."""
        modules = [self._paths[leaf].split("/")[:-1] for leaf in self._holding(atom)]
        shared = [names[0] for names in zip(*modules, strict=False) if len(set(names)) == 1] if modules else []
        return "/".join(shared)

    def _is_group(self, atom: int) -> bool:
        is_atom = self._classes.parts(atom) is None
        return is_atom and self._classes.why_frozen(atom) is None and self._classes.size(atom) > 1

    def _candidates(self, leaf: int, axis: int) -> Iterator[str]:
        path = self._paths[leaf]
        yield path.rpartition("/")[0] or path
        yield path
        yield f"{path}[{axis}]"

    def _parts(self, node: int | None, name: str) -> Iterator[tuple[int, str]]:
        """The atoms below an axis, with names that say where they lie."""
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
