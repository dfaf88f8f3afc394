"""Weight agnostic neural networks (Gaier & Ha 2019), and their graphs."""

from evojax_align.evolution.wann import graph
from evojax_align.evolution.wann.expression import Expressed, express
from evojax_align.evolution.wann.wann import Wann, WannInfo, WannState

__all__ = ["Expressed", "Wann", "WannInfo", "WannState", "express", "graph"]
