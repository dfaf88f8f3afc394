"""The choice of groups to align, and the reasons for groups that are left unmatched."""

import warnings
from collections.abc import Collection, Mapping

import jax.numpy as jnp

from evojax_align import _checks
from evojax_align._tree import leaves_by_path
from evojax_align._types import PyTree
from evojax_align.alignment.method import Method
from evojax_align.symmetry import PermutationSpec
from evojax_align.symmetry.layout import groups_in


def chosen(spec: PermutationSpec, groups: Collection[str] | None) -> set[str]:
    """The names of the groups to align; a nested group and its outer group must be named together."""
    if groups is None:
        return set(spec.groups)
    if isinstance(groups, str) or not isinstance(groups, Collection):
        names = [groups] if isinstance(groups, str) else sorted(spec.groups)[:1]
        raise _checks.bad("groups", repr(groups), "a list of names", f"Pass groups={names}.")
    groups = set(groups)
    for group in sorted(groups, key=str):
        for freeze in spec.frozen:
            if group not in spec.groups and any(path.startswith(str(group)) for path, _ in freeze.axes):
                came, fix = f"{group!r}, frozen by {freeze.primitive}: {freeze}", "Leave it out; it keeps its order."
                raise _checks.bad("groups", came, f"one of {', '.join(map(repr, spec.groups))}", fix)
        _checks.one_of("groups", group, spec.groups)
    for inner, outer in spec.parents.items():
        if (inner in groups) != (outer in groups):
            came = f"{inner!r} without {outer!r}" if inner in groups else f"{outer!r} without {inner!r}"
            raise _checks.bad("groups", came, "a nested group together with its outer group", "Name both or none.")
    return groups


def unmatched(spec: PermutationSpec, a: PyTree, rest: Collection[str], method: Method) -> dict[str, str]:
    """The reasons why groups without activations cannot be matched by the weights either."""
    leaves = leaves_by_path(a)
    real = {path for path, leaf in leaves.items() if jnp.issubdtype(jnp.result_type(leaf), jnp.inexact)}
    seen = {group for path in real for layout in spec.axes[path] for group in groups_in(layout)}
    found = {}
    for group in spec.groups:
        family = {group, spec.parents.get(group, group), *(g for g, p in spec.parents.items() if p == group)}
        if group in rest and not family <= set(rest):
            found[group] = "no activations of it are read, but those of its outer group, or of a group nested in it"
        elif group in rest and not method.bijective:
            found[group] = "no activations of it are read, and a many-to-one match gives no order to compare weights in"
        elif group in rest and group not in seen:
            found[group] = "no activations of it are read, and no floating-point parameter has an axis of it"
    return found


def warn(spec: PermutationSpec, reasons: Mapping[str, str]) -> None:
    """Warn about the groups that are left as they are."""
    if not spec.groups:
        held = next(iter((*spec.frozen, *spec.fixed)), None)
        why = "its outputs depend on no parameters"
        if held is not None:
            path, axis = held.axes[0]
            where = repr(path) if path else "the parameters"
            source = f" ({held.source})" if held.source else ""
            why = f"axis {axis} of {where} is fixed by {held.primitive}{source}"
            if held.primitive == "random_bits":
                why += "; switch dropout off by the network's mode of inference"
            elif any(of.primitive == "output" for of in spec.fixed):
                why += "; if apply returns more than its outputs, choose them: lambda params, x: apply(params, x)[0]"
        warnings.warn(f"both networks are left as they are, since no axis can be permuted: {why}", stacklevel=3)
    for group, reason in reasons.items():
        warnings.warn(f"the group {group!r} is left as it is: {reason}", stacklevel=3)
