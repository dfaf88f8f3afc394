"""What several studies share: means of what is known, and curves of finished seeds."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import ArrayLike

from evojax_align import lab


def known_mean(values: ArrayLike, axis: int | None = -1) -> np.ndarray:
    """The mean along an axis of the values that are known; NaN where none is."""
    values = np.asarray(values, float)
    known = np.isfinite(values)
    count, total = known.sum(axis), np.where(known, values, 0).sum(axis)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def average(values: ArrayLike) -> float | None:
    """The mean of the known values for a table, rounded; None if none is known."""
    return lab.finite(known_mean(values, None))


def finished(curves: Mapping[str, Any]) -> dict[str, Any]:
    """Curves for a figure, arrays [seeds, ...] or tuples of them, without seeds and arms of which nothing is known."""
    kept = {}
    for name, curve in curves.items():
        parts = curve if isinstance(curve, tuple) else (curve,)
        rows = np.isfinite(parts[0]).reshape(len(parts[0]), -1).any(axis=1)
        if rows.any():
            kept[name] = tuple(part[rows] for part in parts) if isinstance(curve, tuple) else curve[rows]
    return kept
