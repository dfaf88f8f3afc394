"""What several studies share: how their modules make a study, means of what is known, curves of finished seeds."""

import importlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import ArrayLike

from evojax_align import lab


def study(package: str | None, title: str, description: str | None, **settings: Any) -> lab.Study:
    """The study of a package, by the names that the modules of all studies use."""
    modules = ("config", "study", "claims", "figures")
    config, own, claims, figures = (importlib.import_module(f"{package}.{name}") for name in modules)
    return lab.Study(
        name=str(package).rpartition(".")[2],
        title=title,
        description=description or "",
        presets=config.PRESETS,
        costs=config.COSTS,
        modes=config.MODES,
        cells=own.cells,
        prepare=own.Problem,
        run=own.run,
        merge=own.merge,
        view=claims.View,
        claims=claims.PRIMARY,
        explore=claims.explore,
        tables=claims.tables,
        figures=figures.draw,
        seen=claims.SEEN,
        **settings,
    )


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
