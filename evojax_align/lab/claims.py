"""Claims of a paper, decided by tests and never by hand; and the numbers of tables."""

import dataclasses
from collections.abc import Sequence
from typing import SupportsFloat

import numpy as np
from jaxtyping import ArrayLike, Real

from evojax_align.statistics import Interval, Test, holm, wilcoxon, win_share

LEVEL = 0.05
FEWEST = 6
"""Pairs from which on a paired test can say anything, which are tested."""


@dataclasses.dataclass(frozen=True)
class Claim:
    """A statement, what the paper found, what this run found, and the test that decides."""

    id: str
    statement: str
    paper: float | None
    ours: float | None
    interval: tuple[float, float] | None
    n: int
    test: str | None
    p: float | None
    """Of the test alone; the verdict corrects it for the number of claims."""


def claim(name: str, statement: str, paper: float | None, found: Interval, test: Test) -> Claim:
    """A claim with its estimate and its test, which is left out where too few pairs are untied for one."""
    known = (name, statement, paper, found.estimate, (found.low, found.high), found.n)
    return Claim(*known, test.name, test.p) if test.n >= FEWEST else Claim(*known, None, None)


def above(
    name: str,
    statement: str,
    x: Real[np.ndarray, " n"],
    y: Real[np.ndarray, " n"] | float,
    *,
    paper: float | None = None,
) -> Claim:
    """The claim that x is above y, by Wilcoxon's test: one value of each for every repeat, which are paired.

    Repeats in which either is NaN could not be compared, and are left out; with none left, nothing is tested.
    """
    y = np.broadcast_to(y, x.shape)
    known = ~(np.isnan(x) | np.isnan(y))
    if not known.any():
        return Claim(name, statement, paper, None, None, 0, None, None)
    x, y = x[known], y[known]
    return claim(name, statement, paper, win_share(x, y, alternative="greater"), wilcoxon(x, y, alternative="greater"))


def below(
    name: str,
    statement: str,
    x: Real[np.ndarray, " n"],
    y: Real[np.ndarray, " n"] | float,
    *,
    paper: float | None = None,
) -> Claim:
    """The claim that x is below y (see `above`)."""
    return above(name, statement, np.broadcast_to(y, x.shape), x, paper=paper)


def decide(claims: Sequence[Claim], *, level: float = LEVEL) -> list[dict]:
    """The claims as records with their verdicts.

    A claim "holds" if its p value, corrected for the number of tested claims by Holm's method, is below the level;
    "does not hold" if it is not; and is "not tested" without a test, as with too few values for one.
    """
    tested = [c for c in claims if c.p is not None]
    corrected = dict(zip((c.id for c in tested), holm([c.p for c in tested if c.p is not None]), strict=True))
    records = []
    for c in claims:
        verdict = "not tested"
        if c.id in corrected:
            verdict = "holds" if corrected[c.id] < level else "does not hold"
        record = dataclasses.asdict(c) | {"p_corrected": corrected.get(c.id), "verdict": verdict}
        records.append({name: _plain(value) for name, value in record.items()})
    return records


def mean(values: ArrayLike) -> float:
    """A mean for a table, rounded."""
    return rounded(np.mean(values))


def rounded(value: SupportsFloat) -> float:
    """Six digits, so that a table holds what it shows."""
    return float(f"{float(value):.6g}")


def stacked(arrays: Sequence[Real[np.ndarray, "..."]]) -> Real[np.ndarray, "..."]:
    """Arrays of as many axes under one leading axis, each with NaN up to the longest."""
    shape = np.max([array.shape for array in arrays], axis=0)
    return np.stack(
        [
            np.pad(array, [(0, n - m) for n, m in zip(shape, array.shape, strict=True)], constant_values=np.nan)
            for array in arrays
        ]
    )


def _plain(value: object) -> object:
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return rounded(value) if isinstance(value, float) else value
