"""The permutation symmetry of a network, as data."""

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType

import jax


@dataclasses.dataclass(frozen=True)
class Frozen:
    """Axes of parameters that could not be permuted because of one operation."""

    primitive: str
    """Name of the primitive, or "constant" for an array written into the network."""
    source: str
    """File, line and function that used it."""
    axes: tuple[tuple[str, int], ...]
    """(path, axis) of every parameter axis that it froze."""


@jax.tree_util.register_static
@dataclasses.dataclass(frozen=True, eq=True)
class PermutationSpec:
    """Which axes of which parameters run over the same neurons.

    Permuting all the axes of one group by the same permutation leaves the function of the network unchanged. A
    specification is hashable and static under JAX's transformations: close over it, or pass it through `jit`.
    """

    groups: Mapping[str, int]
    """Number of neurons of each group. Empty where nothing can be permuted."""
    axes: Mapping[str, tuple[str | None, ...]]
    """For each leaf path, the group of each of its axes; None where the axis belongs to no group."""
    units: Mapping[str, tuple[int, str]] = dataclasses.field(default_factory=dict)
    """For each leaf that feeds units, (axis, name): the axis that runs over the units that it feeds (for a dense
    kernel and its bias, the outputs) and the name that all leaves feeding the same units share."""
    frozen: tuple[Frozen, ...] = ()
    """What could not be permuted because of an operation, and which."""

    def __post_init__(self) -> None:
        for field in ("groups", "axes", "units"):
            object.__setattr__(self, field, MappingProxyType(dict(getattr(self, field))))

    def __hash__(self) -> int:
        return hash((tuple(self.groups.items()), tuple(self.axes.items()), tuple(self.units.items()), self.frozen))

    def __str__(self) -> str:
        lines = []
        for group, size in self.groups.items():
            members = [
                f"{path}[{axis}]"
                for path, names in self.axes.items()
                for axis, name in enumerate(names)
                if name == group
            ]
            lines.append(f"{group}  {size} neurons  {', '.join(members)}")
        for freeze in self.frozen:
            members = ", ".join(f"{path}[{axis}]" for path, axis in freeze.axes)
            lines.append(f"frozen by {freeze.primitive} at {freeze.source}  {members}")
        return "\n".join(lines) or "no axis can be permuted"
