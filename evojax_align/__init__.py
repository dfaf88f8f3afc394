"""Align, recombine and evolve neural networks in JAX.

A network is `apply(params, x)` and a pytree `params`; a population is one pytree with a leading axis.
"""

from evojax_align import (
    alignment,
    attacks,
    crossover,
    data,
    evolution,
    interpolation,
    matching,
    models,
    population,
    pruning,
    similarity,
    statistics,
    symmetry,
    training,
)
from evojax_align._version import VERSION as __version__
from evojax_align.alignment import Alignment, align, align_many, align_pairs, align_unequal

__all__ = [
    "Alignment",
    "__version__",
    "align",
    "align_many",
    "align_pairs",
    "align_unequal",
    "alignment",
    "attacks",
    "crossover",
    "data",
    "evolution",
    "interpolation",
    "matching",
    "models",
    "population",
    "pruning",
    "similarity",
    "statistics",
    "symmetry",
    "training",
]
