"""Pruning of networks with shared weights by evolution (Dobreva 2022)."""

from evojax_align.evolution.padawann.padawann import Padawann
from evojax_align.evolution.padawann.records import PadawannInfo, PadawannOffspring, PadawannState, Topology

__all__ = ["Padawann", "PadawannInfo", "PadawannOffspring", "PadawannState", "Topology"]
