"""Sparse networks: masks beside the parameters, pruning to exact numbers, and what is left of a network.

Masks are trees like the parameters, of booleans. `training` keeps at 0 what they hold at 0.
"""

from evojax_align._tree import masked
from evojax_align.pruning.choosing import at_random, keep_largest, largest, magnitude
from evojax_align.pruning.extraction import Extract, extract
from evojax_align.pruning.paths import connected
from evojax_align.pruning.synapses import Census, Synapses, census, find, full_masks, scaled, settled, total

__all__ = [
    "Census",
    "Extract",
    "Synapses",
    "at_random",
    "census",
    "connected",
    "extract",
    "find",
    "full_masks",
    "keep_largest",
    "largest",
    "magnitude",
    "masked",
    "scaled",
    "settled",
    "total",
]
