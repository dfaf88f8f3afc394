"""The permutation symmetry of a network, as data."""

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp
from jax.tree_util import tree_leaves_with_path

from evojax_align import _checks
from evojax_align._types import PyTree
from evojax_align.symmetry.layout import Layout, groups_in, length_of, marked


@dataclasses.dataclass(frozen=True)
class Frozen:
    """Axes of parameters that could not be permuted because of one operation.

    Attributes:
        primitive: name of the primitive; "constant" for a constant array of the network; in `fixed`, "data", "output"
            or "position".
        source: file, line and function of its use.
        axes: (path, axis) of every parameter axis that it froze.

    Example:
        >>> import jax.numpy as jnp, evojax_align as ea
        >>> params, x = {"in": jnp.ones((4, 3)), "out": jnp.ones((3, 2))}, jnp.ones((1, 4))
        >>> apply = lambda p, x: jnp.cumsum(x @ p["in"], axis=1) @ p["out"]  # sums in the order of the neurons
        >>> [(freeze.primitive, freeze.axes) for freeze in ea.symmetry.infer(apply, params, x).frozen]
        [('cumsum', (('in', 1), ('out', 0)))]
    """

    primitive: str
    source: str
    axes: tuple[tuple[str, int], ...]

    def __str__(self) -> str:
        members = ", ".join(f"{path}[{axis}]" for path, axis in self.axes)
        return f"{members} ({self.source})" if self.source else members


@jax.tree_util.register_static
@dataclasses.dataclass(frozen=True, eq=True)
class PermutationSpec:
    """The axes of parameters that run over the same neurons, by group.

    Permuting all the axes of one group by the same permutation leaves the function of the network unchanged. A
    specification is hashable and static under JAX's transformations: close over it, or pass it through `jit`.

    Attributes:
        groups: number of neurons of each group; empty if nothing can be permuted.
        axes: for each leaf path, the layout of each of its axes: a group's name, None for no group, or `Segments` and
            `Factors` of these for a composed axis.
        units: for each leaf that feeds units, (axis, name): the axis over the units that it feeds (for a dense kernel
            and its bias, the outputs), and the common name of all leaves that feed the same units.
        frozen: axes that could not be permuted because of an operation, with the operation.
        fixed: axes whose order is given from outside the network: features of the inputs ("data"), outputs, and
            positions, such as those of a convolution's window ("position").
        parents: for each nested group, its outer group: every outer neuron has its own order of the inner group, whose
            permutations are arrays [neurons of the outer group, neurons of the inner group].

    Example:
        >>> import jax.numpy as jnp, evojax_align as ea
        >>> params, x = {"in": jnp.ones((4, 3)), "out": jnp.ones((3, 2))}, jnp.ones((1, 4))
        >>> spec = ea.symmetry.infer(lambda p, x: jnp.tanh(x @ p["in"]) @ p["out"], params, x)
        >>> dict(spec.groups), spec.axes["in"], spec.axes["out"]
        ({'in': 3}, (None, 'in'), ('in', None))
    """

    groups: Mapping[str, int]
    axes: Mapping[str, tuple[Layout, ...]]
    units: Mapping[str, tuple[int, str]] = dataclasses.field(default_factory=dict)
    frozen: tuple[Frozen, ...] = ()
    fixed: tuple[Frozen, ...] = ()
    parents: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        for field in ("groups", "axes", "units", "parents"):
            object.__setattr__(self, field, MappingProxyType(dict(getattr(self, field))))
        for path, layouts in self.axes.items():
            for layout in layouts:
                for name in groups_in(layout):
                    _checks.one_of(f"axes[{path!r}]", name, self.groups)
        for inner, outer in self.parents.items():
            for name in (inner, outer):
                _checks.one_of("parents", name, self.groups)
            if outer in self.parents:
                came = f"{inner!r} in {outer!r} in {self.parents[outer]!r}"
                raise _checks.bad("parents", came, "one level", "Use one common order for the innermost group.")

    def __hash__(self) -> int:
        fields = (self.groups, self.axes, self.units, self.parents)
        return hash((*(frozenset(of.items()) for of in fields), self.frozen))

    def __reduce__(self) -> tuple[Any, ...]:  # so that a specification can be copied and sent to another process
        fields = (self.groups, self.axes, self.units)
        return type(self), (*map(dict, fields), self.frozen, self.fixed, dict(self.parents))

    def shape_of(self, group: str) -> tuple[int, ...]:
        """The shape of the group's index arrays: [neurons], or [neurons of the outer group, neurons]."""
        outer = self.parents.get(group)
        return (self.groups[group],) if outer is None else (self.groups[outer], self.groups[group])

    def leading(self, params: PyTree, argument: str = "params") -> int:
        """Number of leading axes of the leaves: 0 for one network, 1 for a population.

        Raises:
            ValueError: for parameters that are neither.

        Example:
            >>> import jax.numpy as jnp, evojax_align as ea
            >>> network = {"w": jnp.ones((3, 2))}
            >>> spec = ea.symmetry.infer(lambda p, x: x @ p["w"], network, jnp.ones((1, 3)))
            >>> spec.leading(network), spec.leading(ea.population.stack([network, network]))
            (0, 1)
        """
        shapes = {_checks.path_string(path): jnp.shape(leaf) for path, leaf in tree_leaves_with_path(params)}
        more = {len(shape) - len(self.axes.get(path, ())) for path, shape in shapes.items()}
        count = 1 if more == {1} else 0
        for path, shape in shapes.items():
            self.check_leaf(path, shape[count:], argument)
        return count

    def check_leaf(self, path: str, shape: tuple[int, ...], argument: str = "params") -> None:
        """Raise an error for a leaf of the parameters that this specification does not describe.

        Args:
            path: path of the leaf.
            shape: shape of the leaf.
            argument: the name of the parameters in errors.

        Raises:
            ValueError: for an unknown path, another number of axes, or another number of neurons.
        """
        fix = "Infer the specification from these parameters; over a population, use `population.map`."
        if path not in self.axes:
            raise _checks.bad(argument, f"the leaf {path!r}", "a leaf that the specification describes", fix)
        layouts = self.axes[path]
        expected = tuple(
            self.groups[layout] if isinstance(layout, str) else length_of(layout) or "any" for layout in layouts
        )
        if len(shape) != len(expected) or any(e not in ("any", n) for e, n in zip(expected, shape, strict=True)):
            came = f"shape {shape} at the leaf {path!r}"
            raise _checks.bad(argument, came, f"lengths ({', '.join(map(str, expected))}) of its axes", fix)

    def __str__(self) -> str:
        rows = [("group", "neurons", "axes")]
        for group, size in self.groups.items():
            members = [
                f"{path}[{axis}]" if isinstance(layout, str) else f"{path}[{axis}: {marked(layout, group)}]"
                for path, layouts in self.axes.items()
                for axis, layout in enumerate(layouts)
                if group in groups_in(layout)
            ]
            outer = self.parents.get(group)
            rows.append((group, f"{size}" if outer is None else f"{size} in each {outer}", ", ".join(members)))
        rows += [("frozen", freeze.primitive, str(freeze)) for freeze in self.frozen]
        if not self.groups:
            rows += [("fixed", freeze.primitive, str(freeze)) for freeze in self.fixed]
        if len(rows) == 1:
            return "no axis can be permuted: the outputs depend on no parameter"
        widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
        return "\n".join(f"{row[0]:<{widths[0]}}  {row[1]:<{widths[1]}}  {row[2]}" for row in rows)
