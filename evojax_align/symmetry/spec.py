"""The permutation symmetry of a network, as data."""

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import jax

from evojax_align import _checks


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
        for path, names in self.axes.items():
            for name in names:
                if name is not None:
                    _checks.one_of(f"axes[{path!r}]", name, self.groups)

    def __hash__(self) -> int:
        return hash((*(frozenset(of.items()) for of in (self.groups, self.axes, self.units)), self.frozen))

    def __reduce__(self) -> tuple[Any, ...]:  # so that a specification can be copied and sent to another process
        return type(self), (dict(self.groups), dict(self.axes), dict(self.units), self.frozen)

    def check_leaf(self, path: str, shape: tuple[int, ...], argument: str = "params") -> None:
        """Refuse a leaf of the parameters that this specification does not describe.

        Args:
            path: of the leaf.
            shape: of the leaf.
            argument: what the caller calls the parameters.

        Raises:
            ValueError: for an unknown path, another number of axes, or another number of neurons.
        """
        mend = "Infer the specification from these parameters; over a population, use `population.map`."
        if path not in self.axes:
            raise _checks.bad(argument, f"the leaf {path!r}", "a leaf that the specification describes", mend)
        expected = tuple("any" if group is None else self.groups[group] for group in self.axes[path])
        if len(shape) != len(expected) or any(e not in ("any", n) for e, n in zip(expected, shape, strict=True)):
            came = f"shape {shape} at the leaf {path!r}"
            raise _checks.bad(argument, came, f"lengths ({', '.join(map(str, expected))}) of its axes", mend)

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
            lines.append(f"frozen by {freeze.primitive} ({freeze.source})  {members}")
        return "\n".join(lines) or "no axis can be permuted"
