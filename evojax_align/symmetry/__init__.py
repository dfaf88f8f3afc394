"""The permutation symmetry of networks: inference, verification and application; activations of its groups."""

from evojax_align.symmetry.inference import infer
from evojax_align.symmetry.permuting import compose, identity, inverse, permute, random_permutations, select, verify
from evojax_align.symmetry.reading import activations
from evojax_align.symmetry.spec import Frozen, PermutationSpec

__all__ = [
    "Frozen",
    "PermutationSpec",
    "activations",
    "compose",
    "identity",
    "infer",
    "inverse",
    "permute",
    "random_permutations",
    "select",
    "verify",
]
