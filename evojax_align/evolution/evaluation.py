"""The record that a fitness function may return instead of one number."""

from typing import Any

from flax import struct

from evojax_align._types import PyTree


@struct.dataclass
class Evaluation:
    """The fitness of one network, and data from its evaluation.

    Attributes:
        fitness: a number; larger is better, and NaN, a failed evaluation, is never selected.
        scores: one number for each sample or each objective, [k]; None if there are none.
        states: inputs of the network during the evaluation, with samples along the leading axis of every leaf. Neurons
            of parents are compared on them. None if none were kept.

    Example:
        >>> import jax.numpy as jnp, evojax_align as ea
        >>> found = ea.evolution.Evaluation(jnp.array(0.5), states=jnp.zeros((8, 3)))
        >>> float(found.fitness), found.scores, found.states.shape
        (0.5, None, (8, 3))
    """

    fitness: Any
    scores: Any = None
    states: PyTree = None
