"""The permutation symmetry of networks: inferred, verified, applied; and the activations it lets one read."""

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
