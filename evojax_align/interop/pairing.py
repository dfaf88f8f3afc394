"""Which layer of a state dict is which layer of a tree of parameters: by names that are given, names that agree, and
shapes."""

from collections.abc import Mapping
from typing import NamedTuple

from evojax_align import _checks
from evojax_align.interop.kinds import Link, Shape
from evojax_align.interop.layers import kind_of, number, of_leaves, of_tensors, part_kind, pattern, short, words


class Given(NamedTuple):
    """What the caller says of tensors and layers of the state dict, by their names."""

    names: Mapping[str, str]
    kinds: Mapping[str, str]

    def kind(self, layer: str, tensor: str) -> str | None:
        """The kind of a tensor, given by its name or, for weights, by that of its layer."""
        return self.kinds.get(tensor, self.kinds.get(layer) if tensor.endswith("weight") else None)


class Pairing:
    """Layers that have no partner yet, and links of those that have one."""

    def __init__(self, tensors: Mapping[str, Shape], leaves: Mapping[str, Shape], given: Given) -> None:
        self.tensors, self.leaves, self.given = tensors, leaves, given
        self.theirs = of_tensors(tensors)
        joined = any("in_proj_weight" in roles for roles in self.theirs.values())
        self.ours = of_leaves(leaves, joined=joined)
        self.links: list[Link] = []
        self.by_names()
        self.by_equal_names()
        self.by_shapes()

    def _links(self, their: str, our: str) -> list[Link] | None:
        """Links of two layers, or None if they do not fit."""
        names, parts = self.theirs[their], self.ours[our]
        if sorted(names) != sorted(role for part in parts for role in part.roles):
            return None
        found = []
        for part in parts:
            wanted = self.given.kind(their, names[part.roles[0]])
            kind = part_kind(part, self.tensors, self.leaves, names, wanted)
            if kind is None:
                return None
            found.append(Link(tuple(names[role] for role in part.roles), part.leaves, kind))
        return found

    def _pair(self, their: str, our: str) -> None:
        found = self._links(their, our)
        if found is None:
            came = f"{their!r} with {self._theirs(their)}, for {our!r} with {self._ours(our)}"
            fix = "Check the widths of both, or pass names={tensor: leaf}, and kinds={tensor: kind} for other axes."
            raise _checks.bad("state, params", came, "layers of equal shapes", fix)
        self.links += found
        del self.theirs[their], self.ours[our]

    def by_names(self) -> None:
        """Pair what the caller names: layers, or single tensors and leaves, of which several may share one leaf."""
        paths = {short(path): path for path in self.leaves}
        shared: dict[str, list[str]] = {}
        layers = []
        for name, target in self.given.names.items():
            leaf = target if target in self.leaves else paths.get(short(target))
            if name in self.tensors and leaf is not None:
                shared.setdefault(leaf, []).append(name)
            elif name in self.theirs and short(f"{target}/").rstrip("/") in self.ours:
                layers.append((name, short(f"{target}/").rstrip("/")))
            elif name in self.tensors or name in self.theirs:
                _checks.one_of(f"names[{name!r}]", target, self.ours if name in self.theirs else self.leaves)
            else:
                _checks.one_of("names", name, [*self.theirs, *self.tensors])
        for leaf, names in shared.items():
            self._share(leaf, names)
        for their, our in layers:
            if their not in self.theirs or our not in self.ours:
                came = f"{their!r} for {our!r}, of which one has a partner already"
                raise _checks.bad("names", came, "each layer once", "Name each layer once, or its tensors.")
            self._pair(their, our)

    def _share(self, leaf: str, names: list[str]) -> None:
        found = set()
        for name in names:
            layer = next(layer for layer, roles in self.theirs.items() if name in roles.values())
            found.add(kind_of(leaf, self.leaves[leaf], self.tensors[name], self.given.kind(layer, name)))
            self.theirs[layer] = {role: tensor for role, tensor in self.theirs[layer].items() if tensor != name}
            if not self.theirs[layer]:
                del self.theirs[layer]
        if len(found) != 1 or None in found:
            came = f"{', '.join(f'{name} {self.tensors[name]}' for name in names)} for {leaf} {self.leaves[leaf]}"
            fix = "Check the shapes, or say how its axes are to be read: kinds={tensor: kind}."
            raise _checks.bad("names", came, "a tensor that becomes the leaf", fix)
        self.links.append(Link(tuple(names), (leaf,), str(found.pop())))
        self.ours = {layer: [part for part in parts if leaf not in part.leaves] for layer, parts in self.ours.items()}
        self.ours = {layer: parts for layer, parts in self.ours.items() if parts}

    def by_equal_names(self) -> None:
        """Pair layers of equal names, where both sides have the same numbers in names of that pattern."""
        sides = []
        for layers in (self.theirs, self.ours):
            of_pattern: dict[str, dict[str, str]] = {}
            for layer in layers:
                of_pattern.setdefault(pattern(words(layer)), {})[words(layer)] = layer
            sides.append(of_pattern)
        for name, theirs in sides[0].items():
            ours = sides[1].get(name, {})
            if theirs.keys() == ours.keys():
                for layer, their in theirs.items():
                    self._pair(their, ours[layer])

    def by_shapes(self) -> None:
        """Pair layers that fit each other alone, and then those that differ from each other in numbers only."""
        numbered: dict[tuple[str, str], list[tuple[str, str]]] = {}
        unsure = set()
        moved = True
        while moved:
            moved = False
            fitting = {
                their: tuple(our for our in self.ours if self._links(their, our) is not None) for their in self.theirs
            }
            classes: dict[tuple[str, ...], list[str]] = {}
            for their, ours in fitting.items():
                classes.setdefault(ours, []).append(their)
            for ours, theirs in classes.items():
                in_order = all(len({pattern(layer) for layer in layers}) == 1 for layers in (ours, theirs))
                if len(ours) == len(theirs) and in_order and all(our in self.ours for our in ours):
                    for their, our in zip(sorted(theirs, key=number), sorted(ours, key=number), strict=True):
                        self._pair(their, our)
                        numbered.setdefault((pattern(their), pattern(our)), []).append((their, our))
                    unsure |= {(pattern(theirs[0]), pattern(ours[0]))} if len(theirs) > 1 else set()
                    moved = True
        for patterns in unsure:
            self._check_order(numbered[patterns])

    def _check_order(self, pairs: list[tuple[str, str]]) -> None:
        """Require that numbers rise on both sides, where the order of some of the layers was taken from them."""
        pairs = sorted(pairs, key=lambda pair: number(pair[0]))
        numbers = [number(our) for _, our in pairs]
        if numbers != sorted(numbers):
            came = ", ".join(f"{their!r} with {our!r}" for their, our in pairs) + ", as shapes demand for some of them"
            fix = "Flax counts layers as they are made, in a nested call from the outside. Pass names={%r: ...}, ...."
            raise _checks.bad("state, params", came, "numbers in the same order on both sides", fix % pairs[0][0])

    def check(self) -> None:
        """Require that everything has a partner."""
        if not self.theirs and not self.ours:
            return
        theirs = "; ".join(f"{layer!r} ({self._theirs(layer)})" for layer in self.theirs) or "none"
        ours = "; ".join(f"{layer!r} ({self._ours(layer)})" for layer in self.ours) or "none"
        came = f"layers without a certain partner. In state: {theirs}. In params: {ours}"
        both = (next(iter(layers), "...") for layers in (self.theirs, self.ours))
        fix = "Pass names={%r: %r}, ...; skip=[...] for what the network does not have; kinds={...} for other axes."
        raise _checks.bad("state, params", came, "one leaf of equal shape for each tensor", fix % tuple(both))

    def _theirs(self, layer: str) -> str:
        return ", ".join(f"{role} {self.tensors[name]}" for role, name in self.theirs[layer].items())

    def _ours(self, layer: str) -> str:
        leaves = [leaf for part in self.ours[layer] for leaf in part.leaves]
        return ", ".join(f"{short(leaf).rpartition('/')[2]} {self.leaves[leaf]}" for leaf in leaves)
