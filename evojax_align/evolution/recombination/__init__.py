"""Mixed genetic and gradient evolution (Cooke & de Alfaro), and measures of diversity."""

from evojax_align.evolution.recombination import diversity
from evojax_align.evolution.recombination.recombination import Recombination
from evojax_align.evolution.recombination.records import RecombinationInfo, RecombinationOffspring, RecombinationState

__all__ = ["Recombination", "RecombinationInfo", "RecombinationOffspring", "RecombinationState", "diversity"]
