"""Mixed genetic and gradient evolution (Cooke & de Alfaro), and measures of diversity."""

from evojax_align.evolution.recombination import diversity
from evojax_align.evolution.recombination.recombination import Recombination
from evojax_align.evolution.recombination.records import Brood, Info, State

__all__ = ["Brood", "Info", "Recombination", "State", "diversity"]
