"""Lamarckian evolution of convolutional architectures (Prellberg & Kramer 2018): genomes, inheritance and crossover."""

from evojax_align.evolution.lamarckian.genome import Block, Exhausted, Genome, Space
from evojax_align.evolution.lamarckian.inheritance import inherit
from evojax_align.evolution.lamarckian.lamarckian import Lamarckian
from evojax_align.evolution.lamarckian.records import Individual, LamarckianOffspring, LamarckianState, SearchHistory
from evojax_align.evolution.lamarckian.splicing import splice

__all__ = [
    "Block",
    "Exhausted",
    "Genome",
    "Individual",
    "Lamarckian",
    "LamarckianOffspring",
    "LamarckianState",
    "SearchHistory",
    "Space",
    "inherit",
    "splice",
]
