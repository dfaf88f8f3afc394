"""Evolutionary algorithms, each a pair of pure functions `init` and `step`, and the operators they are made of."""

from evojax_align.evolution import fitness, mutation, selection, tasks
from evojax_align.evolution.lamarckian import (
    Block,
    Exhausted,
    Genome,
    History,
    Individual,
    Lamarckian,
    Pedigree,
    Seedling,
    Space,
    inherit,
    splice,
)
from evojax_align.evolution.ordering import Ordering
from evojax_align.evolution.padawann import Bred, Offspring, Padawann, Topologies, Topology
from evojax_align.evolution.recombination import Brood, Info, Recombination, State, diversity
from evojax_align.evolution.synthesis import Births, Encoding, Newborns, Sparse, Synthesis, encoding
from evojax_align.evolution.wann import Colony, Expressed, Grown, Wann, express, graph

__all__ = [
    "Births",
    "Block",
    "Bred",
    "Brood",
    "Colony",
    "Encoding",
    "Exhausted",
    "Expressed",
    "Genome",
    "Grown",
    "History",
    "Individual",
    "Info",
    "Lamarckian",
    "Newborns",
    "Offspring",
    "Ordering",
    "Padawann",
    "Pedigree",
    "Recombination",
    "Seedling",
    "Space",
    "Sparse",
    "State",
    "Synthesis",
    "Topologies",
    "Topology",
    "Wann",
    "diversity",
    "encoding",
    "express",
    "fitness",
    "graph",
    "inherit",
    "mutation",
    "selection",
    "splice",
    "tasks",
]
