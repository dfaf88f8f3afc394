"""Bringing the neurons of networks into a common order."""

from evojax_align.alignment.align import Alignment, align, align_pairs, match, rearrange
from evojax_align.alignment.many import ManyAlignment, Reordered, align_many, align_to
from evojax_align.alignment.methods import (
    CCA,
    Correlation,
    DeadOnly,
    Greedy,
    Identity,
    Loadings,
    Method,
    Mutual,
    Semi,
    Weights,
)
from evojax_align.alignment.nested import GroupMatch
from evojax_align.alignment.repair import reestimate, repair
from evojax_align.alignment.statistics import Relation, relate
from evojax_align.alignment.unequal import UnequalAlignment, align_unequal
from evojax_align.alignment.weights import match_weights

__all__ = [
    "CCA",
    "Alignment",
    "Correlation",
    "DeadOnly",
    "Greedy",
    "GroupMatch",
    "Identity",
    "Loadings",
    "ManyAlignment",
    "Method",
    "Mutual",
    "Relation",
    "Reordered",
    "Semi",
    "UnequalAlignment",
    "Weights",
    "align",
    "align_many",
    "align_pairs",
    "align_to",
    "align_unequal",
    "match",
    "match_weights",
    "rearrange",
    "reestimate",
    "relate",
    "repair",
]
