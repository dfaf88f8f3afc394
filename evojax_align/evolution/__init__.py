"""Evolutionary algorithms, each a pair of pure functions `init` and `step`, and the operators they are made of."""

from evojax_align.evolution import diversity, fitness, mutation, selection
from evojax_align.evolution.recombination import Recombination
from evojax_align.evolution.records import Brood, Info, State

__all__ = ["Brood", "Info", "Recombination", "State", "diversity", "fitness", "mutation", "selection"]
