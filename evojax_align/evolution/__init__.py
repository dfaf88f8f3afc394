"""Evolutionary algorithms, each a pair of pure functions `init` and `step`, and the operators they are made of."""

from evojax_align.evolution import fitness, mutation, selection, tasks
from evojax_align.evolution.evaluation import Evaluation
from evojax_align.evolution.lamarckian import (
    Block,
    Exhausted,
    Genome,
    Individual,
    Lamarckian,
    LamarckianOffspring,
    LamarckianState,
    SearchHistory,
    Space,
    inherit,
    splice,
)
from evojax_align.evolution.padawann import Padawann, PadawannInfo, PadawannOffspring, PadawannState, Topology
from evojax_align.evolution.parent_alignment import ParentAlignment
from evojax_align.evolution.recombination import (
    Recombination,
    RecombinationInfo,
    RecombinationOffspring,
    RecombinationState,
    diversity,
)
from evojax_align.evolution.synthesis import (
    Encoding,
    Synthesis,
    SynthesisInfo,
    SynthesisOffspring,
    SynthesisState,
    encoding,
)
from evojax_align.evolution.wann import Expressed, Wann, WannInfo, WannState, express, graph

__all__ = [
    "Block",
    "Encoding",
    "Evaluation",
    "Exhausted",
    "Expressed",
    "Genome",
    "Individual",
    "Lamarckian",
    "LamarckianOffspring",
    "LamarckianState",
    "Padawann",
    "PadawannInfo",
    "PadawannOffspring",
    "PadawannState",
    "ParentAlignment",
    "Recombination",
    "RecombinationInfo",
    "RecombinationOffspring",
    "RecombinationState",
    "SearchHistory",
    "Space",
    "Synthesis",
    "SynthesisInfo",
    "SynthesisOffspring",
    "SynthesisState",
    "Topology",
    "Wann",
    "WannInfo",
    "WannState",
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
