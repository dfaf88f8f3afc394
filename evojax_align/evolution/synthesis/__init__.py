"""Sexual evolutionary synthesis of sparse networks (Chung et al. 2017), and its genetic encoding."""

from evojax_align.evolution.synthesis import encoding
from evojax_align.evolution.synthesis.encoding import Encoding
from evojax_align.evolution.synthesis.records import SynthesisInfo, SynthesisOffspring, SynthesisState
from evojax_align.evolution.synthesis.synthesis import Synthesis

__all__ = ["Encoding", "Synthesis", "SynthesisInfo", "SynthesisOffspring", "SynthesisState", "encoding"]
