"""Lamarckian evolution of convolutional architectures (Prellberg & Kramer 2018): genomes, inheritance and crossover."""

from evojax_align.evolution.lamarckian.genome import Block, Exhausted, Genome, Space
from evojax_align.evolution.lamarckian.inheritance import inherit
from evojax_align.evolution.lamarckian.lamarckian import Lamarckian
from evojax_align.evolution.lamarckian.records import History, Individual, Pedigree, Seedling
from evojax_align.evolution.lamarckian.splicing import splice

__all__ = [
    "Block",
    "Exhausted",
    "Genome",
    "History",
    "Individual",
    "Lamarckian",
    "Pedigree",
    "Seedling",
    "Space",
    "inherit",
    "splice",
]
