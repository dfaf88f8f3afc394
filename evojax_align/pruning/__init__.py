"""Sparse networks: masks beside the parameters, pruning to exact numbers, shared weights, and what is left.

Masks are trees like the parameters, of booleans. `training` keeps at 0 what they hold at 0.
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
