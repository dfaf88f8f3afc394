"""Sparse networks: masks, pruning to exact numbers of synapses, shared weights, and extraction of dense networks.

Masks are trees of booleans like the parameters. `training` keeps parameters at 0 where the mask is False.
"""

from evojax_align._tree import masked
from evojax_align.pruning.agnostic import Answers, Rollouts, Task, answers, at_value, basis, rollouts
from evojax_align.pruning.choosing import at_random, keep_largest, largest, lose, magnitude
from evojax_align.pruning.extraction import Extract, extract
from evojax_align.pruning.paths import connected
from evojax_align.pruning.synapses import Census, Synapses, census, find, full_masks, scaled, settled, total

__all__ = [
    "Answers",
    "Census",
    "Extract",
    "Rollouts",
    "Synapses",
    "Task",
    "answers",
    "at_random",
    "at_value",
    "basis",
    "census",
    "connected",
    "extract",
    "find",
    "full_masks",
    "keep_largest",
    "largest",
    "lose",
    "magnitude",
    "masked",
    "rollouts",
    "scaled",
    "settled",
    "total",
]
