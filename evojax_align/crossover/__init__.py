"""Recombination of two networks. Pure functions of one pair; lift them with `population.map`."""

from evojax_align.crossover.arithmetic import arithmetic, average, lerp
from evojax_align.crossover.uniform import neurons, uniform

__all__ = ["arithmetic", "average", "lerp", "neurons", "uniform"]
