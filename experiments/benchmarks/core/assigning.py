"""Rows of one-to-one matchings: exact ones by five solvers, and a fast one with its loss of score."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax.numpy as jnp
import numpy as np
from scipy.optimize import linear_sum_assignment

from evojax_align import matching, similarity
from experiments.benchmarks.core.measuring import Row
from experiments.benchmarks.core.peers import lapx_assignment, optax_assignment
from experiments.benchmarks.core.scale import Scale, layers
from experiments.benchmarks.core.ways import Way

KINDS = ("correlations", "random scores")


def assignments(scale: Scale) -> list[Row]:
    """At several sides, the smallest first."""
    return [row_of(side, kind, tuple(SOLVERS)) for side in scale.neurons for kind in KINDS]


def row_of(side: int, kind: str, names: tuple[str, ...]) -> Row:
    """Some solvers on one matrix."""
    share = partial(_share, side, kind)
    ways = tuple(Way(name, partial(_prepared, name, side, kind), share, needs=NEEDED.get(name)) for name in names)
    return Row(f"assignment {side} x {side}, {kind}", f"assignment, {kind}", ways, float(side) ** 3, "cubed neurons")


def scores_of(side: int, kind: str) -> np.ndarray:
    """Correlations of the layers of two networks, or normal numbers."""
    if kind == "correlations":
        x, y = layers(1, 4 * side, side)
        return np.asarray(similarity.correlation(x[0], y[0]))
    return np.random.default_rng(side).standard_normal((side, side), np.float32)


def _prepared(name: str, side: int, kind: str) -> Callable[[], Any]:
    return SOLVERS[name](scores_of(side, kind))


def _share(side: int, kind: str, partners: Any) -> dict[str, Any]:
    """Of the largest total, what the matching reaches."""
    scores = scores_of(side, kind).astype(np.float64)
    rows, columns = linear_sum_assignment(scores, maximize=True)
    x, y = partners if isinstance(partners, tuple) else (rows, partners)
    found, largest = scores[np.asarray(x), np.asarray(y)].sum(), scores[rows, columns].sum()
    return {"share of the largest total": float(found / largest)}


def _ours(engine: str, scores: np.ndarray) -> Callable[[], Any]:
    on_device = jnp.asarray(scores)
    return lambda: matching.one_to_one(on_device, engine=engine).y


def _mutual(scores: np.ndarray) -> Callable[[], Any]:
    on_device = jnp.asarray(scores)
    return lambda: matching.mutual(on_device).y


def _scipy(scores: np.ndarray) -> Callable[[], Any]:
    return lambda: linear_sum_assignment(scores, maximize=True)[1]


SOLVERS: dict[str, Callable[[np.ndarray], Callable[[], Any]]] = {
    "ours": partial(_ours, "host"),
    "ours, compiled": partial(_ours, "compiled"),
    "mutual": _mutual,
    "scipy": _scipy,
    "optax, compiled": optax_assignment,
    "lapx": lapx_assignment,
}
NEEDED = {"lapx": "lap"}
"""The packages of solvers that may be missing."""
