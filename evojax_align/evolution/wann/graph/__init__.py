"""Networks whose topology is free: any nodes, any connections between them without a cycle, all of one weight.

Everything has a fixed capacity, so that a population of graphs is one pytree and one program serves them all. Nodes are
numbered: the inputs, the bias, the outputs, then hidden nodes as they come.
"""

from evojax_align.evolution.wann.graph.operators import change, connect, cross, enable, split
from evojax_align.evolution.wann.graph.running import ACTIVATIONS as ACTIVATIONS
from evojax_align.evolution.wann.graph.running import Forward as Forward
from evojax_align.evolution.wann.graph.running import apply, forward
from evojax_align.evolution.wann.graph.structure import Graph, enlarge, layered, minimal

__all__ = [
    "Graph",
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
]
