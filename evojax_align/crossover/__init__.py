"""Recombination of two networks. Pure functions of one pair; lift them with `population.map`."""

from evojax_align.crossover.arithmetic import arithmetic, average, lerp
from evojax_align.crossover.genes import (
    Genes,
    block_genes,
    blocks,
    layer_genes,
    layers,
    mix,
    neuron_genes,
    neurons,
)
from evojax_align.crossover.line import line
from evojax_align.crossover.one_point import one_point
from evojax_align.crossover.spherical import spherical, spherical_split
from evojax_align.crossover.uniform import uniform

__all__ = [
    "Genes",
    "arithmetic",
    "average",
    "block_genes",
    "blocks",
    "layer_genes",
    "layers",
    "lerp",
    "line",
    "mix",
    "neuron_genes",
    "neurons",
    "one_point",
    "spherical",
    "spherical_split",
    "uniform",
]
