"""Layers of both sides, by the names of their tensors and leaves, in the terms of PyTorch."""

import re
from collections.abc import Mapping
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


def of_leaves(paths: Mapping[str, Shape]) -> dict[str, list[Part]]:
    """Layers of a tree of parameters by path, without the names of Flax's collections."""
    homes: dict[str, dict[str, str]] = {}
    for path in paths:
        home, _, last = short(path).rpartition("/")
        homes.setdefault(home, {})[last] = path
    layers: dict[str, list[Part]] = {}
    of_cells: set[str] = set()
    for cell in sorted({home.rpartition("/")[0] for home in homes}):
        children = {home.rpartition("/")[2].rstrip("_"): home for home in homes if home.rpartition("/")[0] == cell}
        if parts := _cell({name: homes[home] for name, home in children.items()}):
            layers[cell] = parts
            of_cells |= set(children.values())
    for home, leaves in homes.items():
        if home not in of_cells:
            layers.setdefault(home, []).extend(
                Part((_ROLES.get(last, last),), (path,)) for last, path in leaves.items()
            )
    return layers


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
        Part(("weight_ih",), kernels[0], "gates"),
        Part(("weight_hh",), kernels[1], "gates"),
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
    if part.kind == "gates":
        rows = sum(place[-1] for place in places)
        of_one = {(shapes[0][-1], place[-1]) for place in places}
        return part.kind if len(shapes[0]) == 2 and rows == shapes[0][0] and of_one == set(places) else None
    size = sum(place[0] for place in places[:3] if place) if part.kind == "gru" else sum(place[0] for place in places)
    return part.kind if shapes == [(size,), (size,)] else None
