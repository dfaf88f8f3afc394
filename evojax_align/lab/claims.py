"""Claims: declared before a run, decided by tests over seeds, pairs or trials, and compared with a paper's numbers."""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, SupportsFloat, TypeAlias

import numpy as np
from jaxtyping import ArrayLike

from evojax_align import _checks
from evojax_align.statistics import Interval, holm, mann_whitney, mean_interval, wilcoxon, win_share

LEVEL = 0.05
FEWEST = 6
"""Smallest number of units with which a comparison is tested."""
WIDEST = 4.0
"""An estimate agrees with a paper's number only if its interval is no wider than this many margins."""
RESAMPLES = 2000
Values: TypeAlias = ArrayLike | Sequence[float]
UNITS = ("pairs", "seeds", "trials")


@dataclasses.dataclass(frozen=True)
class Comparison:
    """The result of one run for a claim.

    Attributes:
        ours: the estimate; None if nothing is known.
        interval: its 95 % interval; None if too few values are known.
        n: the number of units.
        test: the name of the test; None if nothing was tested.
        p: one-sided p value of the claim, uncorrected.
        p_reverse: the same for the opposite claim.
    """

    ours: float | None
    interval: tuple[float, float] | None
    n: int
    test: str | None = None
    p: float | None = None
    p_reverse: float | None = None


@dataclasses.dataclass(frozen=True)
class Claim:
    """A statement with a direction, and the comparison that decides it.

    Attributes:
        id: a name, unique within a study.
        statement: a sentence with the quantity, the two sides and the direction.
        unit: the unit of n: "pairs", "seeds" or "trials".
        compare: maps the view of a run's arrays to a `Comparison`, or to None if the run lacks the data for it.
        paper: the paper's numbers, by the key of the experiment that they belong to (see `published` of a view).
        margin: largest distance from the paper's number that counts as agreement.
    """

    id: str
    statement: str
    unit: str
    compare: Callable[[Any], Comparison | None]
    paper: Mapping[str, float] = dataclasses.field(default_factory=dict)
    margin: float | None = None

    def __post_init__(self) -> None:
        _checks.one_of("unit", self.unit, UNITS)
        if self.paper and not (self.margin is not None and self.margin > 0):
            raise _checks.bad(f"margin of {self.id}", self.margin, "a number above 0", "Pass 0.01, for example.")


def paired(x: Values, y: Values, *, ours: Values | None = None) -> Comparison:
    """Compare paired values: the claim is that x is above y.

    Both directions are tested by Wilcoxon's signed-rank test. Units with NaN or infinite x, y or `ours` are ignored;
    with fewer than `FEWEST` other units, no test is made.

    Args:
        x: one value for each unit.
        y: the paired values, or one number for all units.
        ours: values whose mean is the estimate; by default the estimate is the fraction of units with x above y.
    """
    first, second = np.broadcast_arrays(np.asarray(x, float), np.asarray(y, float))
    values = None if ours is None else np.broadcast_to(np.asarray(ours, float), first.shape)
    known = np.isfinite(first) & np.isfinite(second) & (True if values is None else np.isfinite(values))
    first, second = first[known], second[known]
    if not first.size:
        return Comparison(None, None, 0)
    found = _estimated(win_share(first, second, alternative="greater")) if values is None else measured(values[known])
    found = dataclasses.replace(found, n=first.size)
    if first.size < FEWEST:
        return found
    forward, backward = (wilcoxon(first, second, alternative=way) for way in ("greater", "less"))
    return dataclasses.replace(found, test=forward.name, p=forward.p, p_reverse=backward.p)


def unpaired(x: Values, y: Values, *, ours: Values | None = None) -> Comparison:
    """Compare unpaired values: the claim is that x tends to be above y.

    Both directions are tested by the Mann-Whitney test. NaN and infinite values are ignored; with fewer than `FEWEST`
    other values on a side, no test is made. The estimate is the fraction of all pairs (one of x, one of y) with x above
    y, where a tie counts one half, with a bootstrap interval; or the mean of `ours`.
    """
    first, second = (of[np.isfinite(of)] for of in (np.asarray(x, float), np.asarray(y, float)))
    if not (first.size and second.size):
        return Comparison(None, None, 0)
    if ours is None:
        random = np.random.default_rng(0)
        drawn = [_won(random.choice(first, first.size), random.choice(second, second.size)) for _ in range(RESAMPLES)]
        low, high = (float(end) for end in np.quantile(drawn, (0.025, 0.975)))
        found = Comparison(_won(first, second), (low, high), first.size + second.size)
    else:
        found = dataclasses.replace(measured(ours), n=first.size + second.size)
    if min(first.size, second.size) < FEWEST:
        return found
    forward, backward = (mann_whitney(first, second, alternative=way) for way in ("greater", "less"))
    return dataclasses.replace(found, test=forward.name, p=forward.p, p_reverse=backward.p)


def measured(x: Values) -> Comparison:
    """The mean of the finite values with Student's interval, without a test."""
    values = np.asarray(x, float).ravel()
    values = values[np.isfinite(values)]
    if values.size < 2:
        return Comparison(float(values[0]) if values.size else None, None, values.size)
    return _estimated(mean_interval(values))


def declaration(claims: Sequence[Claim]) -> str:
    """The SHA-256 of identifiers, statements, units, paper's numbers and margins of claims."""
    contents = [[c.id, c.statement, c.unit, sorted(c.paper.items()), c.margin] for c in claims]
    return hashlib.sha256(json.dumps(contents).encode()).hexdigest()


def decide(
    primary: Sequence[Claim], explored: Sequence[Claim], view: Any, *, declared: str = "after"
) -> list[dict[str, Any]]:
    """Decide all claims of a run; return records with verdicts, primary claims first.

    Args:
        primary: the declared claims.
        explored: all others.
        view: the argument of `Claim.compare`; its `published` is the key of the paper's numbers, "" if none applies.
        declared: "before" or "after" the run.
    """
    records = [record(c, c.compare(view), view.published, primary=True, declared=declared) for c in primary]
    records += [record(c, c.compare(view), view.published, primary=False, declared="after") for c in explored]
    if len({r["id"] for r in records}) < len(records):
        twice = sorted({r["id"] for r in records if sum(r["id"] == other["id"] for other in records) > 1})
        raise _checks.bad("claims", f"{twice} more than once", "different identifiers", "Rename one of them.")
    return decide_records(records)


def record(
    claim: Claim, found: Comparison | None, published: str, *, primary: bool, declared: str = "after"
) -> dict[str, Any]:
    """One claim as a record without a verdict."""
    found = found or Comparison(None, None, 0)
    known = {
        "id": claim.id,
        "statement": claim.statement,
        "paper": claim.paper.get(published),
        "ours": found.ours,
        "interval": None if found.interval is None else list(found.interval),
        "n": found.n,
        "unit": claim.unit,
        "test": found.test,
        "p": found.p,
        "p_reverse": found.p_reverse,
        "margin": claim.margin if published in claim.paper else None,
        "primary": primary,
        "declared": declared,
    }
    return {name: _plain(value) for name, value in known.items()}


def decide_records(records: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The records with `p_corrected`, `p_reverse_corrected`, `verdict` and `replication`.

    The p values of primary claims are corrected together by Holm's method, where untested claims count too. The p
    values of the other claims are corrected together as well.

    - verdict: "holds" if the corrected p value is below .05, "reversed" if that of the opposite claim is, "undecided"
      if neither is, "not tested" if there is no test.
    - replication: "agrees" if the estimate is within the margin of the paper's number and its interval is no wider than
      four margins; "differs" if the interval, extended by the margin, excludes the paper's number; "undecided"
      otherwise; "no number" if the paper has none.
    """
    decided = [dict(r) for r in records]
    for primary in (True, False):
        family = [r for r in decided if r["primary"] == primary and (primary or r["test"] is not None)]
        for name in ("p", "p_reverse"):
            corrected = holm([1.0 if r.get(name) is None else r[name] for r in family]) if family else []
            for r, value in zip(family, corrected, strict=True):
                r[f"{name}_corrected"] = None if r.get(name) is None else rounded(value)
    for r in decided:
        corrected = [r.setdefault(f"{name}_corrected", None) for name in ("p", "p_reverse")]
        holds, reverse = (value is not None and value < LEVEL for value in corrected)
        tested = r["test"] is not None
        r["verdict"] = "not tested" if not tested else "holds" if holds else "reversed" if reverse else "undecided"
        r["replication"] = replication(r["paper"], r["ours"], r["interval"], r["margin"])
    return decided


def replication(paper: float | None, ours: float | None, interval: Sequence[float] | None, margin: float | None) -> str:
    """Whether an estimate agrees with a paper's number (see `decide_records`)."""
    if paper is None or margin is None:
        return "no number"
    if ours is None or interval is None:
        return "undecided"
    low, high = interval
    margin = margin * (1 + 1e-9)  # decimal numbers are not exact
    if not low - margin <= paper <= high + margin:
        return "differs"
    return "agrees" if abs(ours - paper) <= margin and high - low <= WIDEST * margin else "undecided"


def units_needed(claims: int) -> int:
    """The smallest number of pairs with which Wilcoxon's test, corrected for this many claims, can be significant."""
    n = FEWEST
    while 0.5**n * claims >= LEVEL:
        n += 1
    return n


def mean(values: Values) -> float:
    """A mean for a table, rounded."""
    return rounded(np.mean(np.asarray(values)))


def rounded(value: SupportsFloat) -> float:
    """Round to six digits, for a table."""
    return float(f"{float(value):.6g}")


def finite(value: SupportsFloat) -> float | None:
    """A number for a table; None if it is not finite."""
    return rounded(value) if np.isfinite(float(value)) else None


def _won(x: np.ndarray, y: np.ndarray) -> float:
    return float(np.mean(np.sign(x[:, None] - y[None]) / 2 + 0.5))


def _estimated(found: Interval) -> Comparison:
    return Comparison(found.estimate, (found.low, found.high), found.n)


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return rounded(value) if isinstance(value, float) else value
