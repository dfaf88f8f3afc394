"""Straight and curved paths between two parents, and the networks on them."""

from evojax_align.interpolation.curves import bend, bezier, sweep_curve
from evojax_align.interpolation.lines import Sweep, barrier, sweep, sweep_pairs

__all__ = ["Sweep", "barrier", "bend", "bezier", "sweep", "sweep_curve", "sweep_pairs"]
