"""Evolution of the weights of any network for any fitness function, without gradients."""

from evojax_align.evolution.neuroevolution.choosing import Fronts, Niches, Selection, Tournament, Truncation
from evojax_align.evolution.neuroevolution.islands import Islands
from evojax_align.evolution.neuroevolution.mating import Aligned
from evojax_align.evolution.neuroevolution.mutating import Gaussian, Mutation, SafeGradient, SafeRescaling
from evojax_align.evolution.neuroevolution.neuroevolution import Neuroevolution
from evojax_align.evolution.neuroevolution.records import Births, NeuroevolutionInfo, NeuroevolutionState

__all__ = [
    "Aligned",
    "Births",
    "Fronts",
    "Gaussian",
    "Islands",
    "Mutation",
    "Neuroevolution",
    "NeuroevolutionInfo",
    "NeuroevolutionState",
    "Niches",
    "SafeGradient",
    "SafeRescaling",
    "Selection",
    "Tournament",
    "Truncation",
]
