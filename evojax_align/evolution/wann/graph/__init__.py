"""Networks of arbitrary acyclic topology with one shared weight.

All arrays have a fixed capacity, so that a population of graphs is one pytree and needs one compiled program. Nodes are
numbered: the inputs, the bias, the outputs, then hidden nodes in the order of their creation.
"""

from evojax_align.evolution.wann.graph.operators import change, connect, cross, enable, split
from evojax_align.evolution.wann.graph.running import ACTIVATIONS as ACTIVATIONS
from evojax_align.evolution.wann.graph.running import Forward as Forward
from evojax_align.evolution.wann.graph.running import Steps, apply, forward, steps_of
from evojax_align.evolution.wann.graph.structure import Graph, enlarge, layered, minimal

__all__ = [
    "Graph",
    "Steps",
    "apply",
    "change",
    "connect",
    "cross",
    "enable",
    "enlarge",
    "forward",
    "layered",
    "minimal",
    "split",
    "steps_of",
]
