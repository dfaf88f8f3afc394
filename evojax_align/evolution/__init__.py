"""Evolutionary algorithms, each a pair of pure functions `init` and `step`, and the operators they are made of."""

from evojax_align.evolution import diversity, encoding, fitness, graph, mutation, selection, tasks
from evojax_align.evolution.encoding import Encoding
from evojax_align.evolution.expression import Expressed, express
from evojax_align.evolution.genome import Block, Exhausted, Genome, Space
from evojax_align.evolution.inheritance import inherit
from evojax_align.evolution.lamarckian import Lamarckian
from evojax_align.evolution.lineage import Births, Newborns, Sparse
from evojax_align.evolution.ordering import Ordering
from evojax_align.evolution.padawann import Bred, Offspring, Padawann, Topologies, Topology
from evojax_align.evolution.pedigree import History, Individual, Pedigree, Seedling
from evojax_align.evolution.recombination import Recombination
from evojax_align.evolution.records import Brood, Info, State
from evojax_align.evolution.splicing import splice
from evojax_align.evolution.synthesis import Synthesis
from evojax_align.evolution.wann import Colony, Grown, Wann

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
