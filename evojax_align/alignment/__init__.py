"""Bringing the neurons of networks into a common order."""

from evojax_align.alignment.align import Alignment, align, align_pairs
from evojax_align.alignment.many import ManyAlignment, align_many
from evojax_align.alignment.pairs import match_pairs, relate_pairs
from evojax_align.alignment.records import GroupMatch, Relation
from evojax_align.alignment.reference import Ordered, align_to
from evojax_align.alignment.repair import reestimate, repair
from evojax_align.alignment.stages import Settings, match_groups, rearrange, relate
from evojax_align.alignment.unequal import UnequalAlignment, align_unequal
from evojax_align.alignment.weights import match_weights

__all__ = [
    "Alignment",
    "GroupMatch",
    "ManyAlignment",
    "Ordered",
    "Relation",
    "Settings",
    "UnequalAlignment",
    "align",
    "align_many",
    "align_pairs",
    "align_to",
    "align_unequal",
    "match_groups",
    "match_pairs",
    "match_weights",
    "rearrange",
    "reestimate",
    "relate",
    "relate_pairs",
    "repair",
]
