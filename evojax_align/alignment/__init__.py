"""Bringing the neurons of networks into a common order."""

from evojax_align.alignment.align import Alignment, align, align_pairs
from evojax_align.alignment.pairs import match_pairs, relate_pairs
from evojax_align.alignment.records import GroupMatch, Relation
from evojax_align.alignment.stages import Settings, match, rearrange, relate

__all__ = [
    "Alignment",
    "GroupMatch",
    "Relation",
    "Settings",
    "align",
    "align_pairs",
    "match",
    "match_pairs",
    "rearrange",
    "relate",
    "relate_pairs",
]
