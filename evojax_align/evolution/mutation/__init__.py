"""Mutation: pure functions of one network; lift them with `population.map`, and call them under `jax.jit`."""

from evojax_align.evolution.mutation.gaussian import gaussian, isotropic
from evojax_align.evolution.mutation.safe_gradient import safe_gradient, sensitivity
from evojax_align.evolution.mutation.safe_rescaling import mean_square, safe_rescaling

__all__ = [
    "gaussian",
    "isotropic",
    "mean_square",
    "safe_gradient",
    "safe_rescaling",
    "sensitivity",
]
