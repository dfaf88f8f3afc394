"""Evolutionary algorithms, each a pair of pure functions `init` and `step`, and the operators they are made of."""

from evojax_align.evolution import diversity, encoding, fitness, mutation, selection
from evojax_align.evolution.encoding import Encoding
from evojax_align.evolution.lineage import Births, Newborns, Sparse
from evojax_align.evolution.ordering import Ordering
from evojax_align.evolution.padawann import Bred, Offspring, Padawann, Topologies, Topology
from evojax_align.evolution.recombination import Recombination
from evojax_align.evolution.records import Brood, Info, State
from evojax_align.evolution.synthesis import Synthesis

__all__ = [
    "Births",
    "Bred",
    "Brood",
    "Encoding",
    "Info",
    "Newborns",
    "Offspring",
    "Ordering",
    "Padawann",
    "Recombination",
    "Sparse",
    "State",
    "Synthesis",
    "Topologies",
    "Topology",
    "diversity",
    "encoding",
    "fitness",
    "mutation",
    "selection",
]
