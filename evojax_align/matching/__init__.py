"""Assignment of neurons: scores in, index arrays out. `m.x[i]` and `m.y[i]` are partners."""

from evojax_align.matching.assignment import injective, one_to_one
from evojax_align.matching.best import greedy_index, semi
from evojax_align.matching.canonical import canonical
from evojax_align.matching.mutual import mutual
from evojax_align.matching.records import Injection, Matching, SemiMatching

__all__ = [
    "Injection",
    "Matching",
    "SemiMatching",
    "canonical",
    "greedy_index",
    "injective",
    "mutual",
    "one_to_one",
    "semi",
]
