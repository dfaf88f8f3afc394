"""Layers of both sides, by the names of their tensors and leaves, in the terms of PyTorch."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from evojax_align.interop.kinds import Shape, fits

_ROLES = {
    **dict.fromkeys(("kernel", "w", "weight", "scale", "embedding", "embeddings"), "weight"),
    **dict.fromkeys(("bias", "b", "offset"), "bias"),
    **dict.fromkeys(("mean", "running_mean"), "running_mean"),
    **dict.fromkeys(("var", "running_var"), "running_var"),
}
_COLLECTIONS = ("params", "batch_stats")
_OF_RECURRENT = re.compile(r"(weight|bias)_(ih|hh)(?:_(l\d+(?:_reverse)?))?")
_SAME = ("weight", "scale", "embedding", "embeddings")
_CELLS = (  # layers of inputs and of the hidden state in the order of PyTorch's rows, kind of biases, and who has them
    (("ii", "if", "ig", "io"), ("hi", "hf", "hg", "ho"), "sum_second", ("hi", "hf", "hg", "ho")),
    (("ir", "iz", "in"), ("hr", "hz", "hn"), "gru", ("ir", "iz", "in", "hn")),
    (("i",), ("h",), "sum", ("i",)),
    (("dense_i",), ("dense_h",), "sum_second", ("dense_h",)),  # nnx.OptimizedLSTMCell
)
_ATTENTION = ("query", "key", "value")


class Part(NamedTuple):
    """Leaves of a layer that hold what tensors of these roles hold, and the kind if it is known."""

    roles: tuple[str, ...]
    leaves: tuple[str, ...]
    kind: str | None = None


def of_tensors(names: Mapping[str, Shape]) -> dict[str, dict[str, str]]:
    """Layers of a state dict by name, each with its tensors by role; layer 0 of a recurrent `lstm` is `lstm.l0`."""
    layers: dict[str, dict[str, str]] = {}
    for name in names:
        home, _, last = name.rpartition(".")
        role = last
        if found := _OF_RECURRENT.fullmatch(last):
            role = f"{found[1]}_{found[2]}"
            home = ".".join(filter(None, (home, found[3])))
        layers.setdefault(home, {})[role] = name
    return layers


def of_leaves(paths: Mapping[str, Shape], *, joined: bool) -> dict[str, list[Part]]:
    """Layers of a tree of parameters by path, without the names of Flax's collections.

    With `joined`, the query, key and value of an attention are one layer, as in PyTorch's `MultiheadAttention`.
    """
    homes: dict[str, dict[str, str]] = {}
    for path in paths:
        home, _, last = short(path).rpartition("/")
        homes.setdefault(home, {})[last] = path
    layers: dict[str, list[Part]] = {}
    inside: set[str] = set()
    for parent in sorted({home.rpartition("/")[0] for home in homes}):
        children = {home.rpartition("/")[2].rstrip("_"): home for home in homes if home.rpartition("/")[0] == parent}
        parts = _cell({name: homes[home] for name, home in children.items()})
        if joined and children.keys() >= set(_ATTENTION):
            children = {name: children[name] for name in _ATTENTION}
            parts = _attention([homes[home] for home in children.values()])
        if parts:
            layers[parent] = parts
            inside |= set(children.values())
    for home, leaves in homes.items():
        if home not in inside:
            layers.setdefault(home, []).extend(
                Part((_ROLES.get(last, last),), (path,)) for last, path in leaves.items()
            )
    return layers


def _attention(children: Sequence[Mapping[str, str]]) -> list[Part] | None:
    """The parts of a joined query, key and value, where all have the same leaves."""
    names = set().union(*children)
    if not {"kernel"} <= names <= {"kernel", "bias"} or any(child.keys() != names for child in children):
        return None
    roles = {"kernel": "in_proj_weight", "bias": "in_proj_bias"}
    return [Part((roles[name],), tuple(child[name] for child in children), "rows") for name in sorted(names)]


def _cell(children: Mapping[str, Mapping[str, str]]) -> list[Part] | None:
    """The parts of a recurrent cell of Flax, whose gates are layers of their own or together in one."""
    cell = next((cell for cell in _CELLS if children.keys() == {*cell[0], *cell[1]}), None)
    if cell is None:
        return None
    inputs, hidden, bias, biased = cell
    if any(children[name].keys() != {"kernel", *(("bias",) if name in biased else ())} for name in children):
        return None
    kernels = [tuple(children[name]["kernel"] for name in side) for side in (inputs, hidden)]
    return [
        Part(("weight_ih",), kernels[0], "rows"),
        Part(("weight_hh",), kernels[1], "rows"),
        Part(("bias_ih", "bias_hh"), tuple(children[name]["bias"] for name in biased), bias),
    ]


def short(path: str) -> str:
    """A path without a collection of Flax in front and without the `value` of an nnx variable at the end."""
    parts = path.split("/")
    parts = parts[1:] if parts[0] in _COLLECTIONS and len(parts) > 1 else parts
    return "/".join(parts[:-1] if parts[-1] == "value" and len(parts) > 1 else parts)


def pattern(name: str) -> str:
    """A name with its numbers left out: layers that differ in numbers alone are in the order of these."""
    return re.sub(r"\d+", "#", name)


def number(name: str) -> list[int]:
    """The numbers in a name, by which layers of one pattern are sorted."""
    return [int(digits) for digits in re.findall(r"\d+", name)]


def words(name: str) -> str:
    """A name without its separators, in which the two sides differ."""
    return re.sub(r"[./_]+", " ", name).strip()


def kind_of(path: str, leaf: Shape, tensor: Shape, wanted: str | None = None) -> str | None:
    """How a tensor becomes the leaf, by the leaf's name and the shapes; None if it does not fit."""
    if wanted is not None:
        return wanted if fits(wanted, tensor, leaf, grouped=True) else None
    if len(tensor) < 2 or short(path).rpartition("/")[2] in _SAME:
        kinds = ("same",)
    elif len(tensor) == 2:
        kinds = ("linear",)
    elif "convtranspose" in path.lower().replace("_", ""):
        kinds = ("conv_transpose", "conv")
    else:
        kinds = ("conv", "conv_transpose")
    return next((kind for kind in kinds if fits(kind, tensor, leaf)), None)


def part_kind(
    part: Part, tensors: Mapping[str, Shape], leaves: Mapping[str, Shape], names: Mapping[str, str], wanted: str | None
) -> str | None:
    """The kind of a part of a layer for the tensors of these roles, or None if they do not fit."""
    if not all(role in names for role in part.roles):
        return None
    shapes = [tensors[names[role]] for role in part.roles]
    places = [leaves[leaf] for leaf in part.leaves]
    if part.kind is None:
        return kind_of(part.leaves[0], places[0], shapes[0], wanted)
    if part.kind == "rows":
        rows, *inputs = shapes[0]
        inner = {math.prod(place[: len(inputs)]) for place in places}
        sizes = {math.prod(place[len(inputs) :]) for place in places}
        return part.kind if inner == {math.prod(inputs)} and sizes == {rows / len(places)} else None
    size = sum(place[0] for place in places[:3] if place) if part.kind == "gru" else sum(place[0] for place in places)
    return part.kind if shapes == [(size,), (size,)] else None
