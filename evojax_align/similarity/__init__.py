"""Similarity of the neurons of two networks: matrices of activations in, matrices of scores out."""

from evojax_align.similarity.blas import one_blas_thread
from evojax_align.similarity.canonical import CanonicalDirections, cca, cca_of, deflated, structure_scores
from evojax_align.similarity.moments import Moments, merge, moments, pool
from evojax_align.similarity.pairwise import correlation, correlation_of, within_correlations

__all__ = [
    "CanonicalDirections",
    "Moments",
    "cca",
    "cca_of",
    "correlation",
    "correlation_of",
    "deflated",
    "merge",
    "moments",
    "one_blas_thread",
    "pool",
    "structure_scores",
    "within_correlations",
]
