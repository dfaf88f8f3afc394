"""The papers' networks, as Flax modules."""

from evojax_align.models.mlp import MLP

__all__ = ["MLP"]
