"""Align, recombine and evolve neural networks in JAX.

A network is `apply(params, x)` and a pytree `params`; a population is one pytree with a leading axis.
"""

import importlib as _importlib
from types import ModuleType as _ModuleType

from evojax_align import (
    alignment,
    attacks,
    crossover,
    data,
    evolution,
    interop,
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
    "interop",
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


def __getattr__(name: str) -> _ModuleType:
    """Import `lab` and `plotting`, which need the extra `experiments`, when they are first used."""
    if name in ("lab", "plotting"):
        return _importlib.import_module(f"evojax_align.{name}")
    raise AttributeError(f"module 'evojax_align' has no attribute {name!r}")
