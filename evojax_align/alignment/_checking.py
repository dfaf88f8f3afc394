"""Validation of the arguments that all ways of aligning take."""

import jax

from evojax_align import _checks, population
from evojax_align._types import Apply, PyTree
from evojax_align.symmetry import PermutationSpec
from evojax_align.symmetry.checking import check_spec


def check_call(apply: Apply, a: PyTree, b: PyTree, x: PyTree, spec: PermutationSpec | None) -> None:
    """Check the network, the parameters, the inputs and the specification; the error names the argument."""
    _checks.same_trees("a", a, "b", b)
    _checks.network(apply)
    check_spec(spec)
    _checks.inputs("x", x)


def member_shapes(networks: PyTree) -> PyTree:
    """The shapes of one network of a population."""
    population.size(networks)
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), networks)
