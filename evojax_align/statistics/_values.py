"""Records common to the tests, and errors for values that cannot be tested."""

import dataclasses
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from jaxtyping import ArrayLike, Bool, Real

from evojax_align import _checks
from evojax_align._types import Float

Values: TypeAlias = Sequence[float] | Real[ArrayLike, "n"]
"""Numbers in one dimension: a list, or an array of NumPy or JAX."""

Outcomes: TypeAlias = Sequence[int] | Bool[ArrayLike, "n"] | Values
"""Whether each sample is classified correctly, as booleans or as numbers 0 and 1."""

ALTERNATIVES = ("two-sided", "less", "greater")


@dataclasses.dataclass(frozen=True)
class Test:
    """The outcome of a test.

    Attributes:
        name: "Wilcoxon", "sign", "McNemar" or "Mann-Whitney".
        statistic: the statistic of the test, described in its docstring.
        p: probability, under the hypothesis of no difference, of a statistic at least as extreme.
        n: number of pairs without ties; for unpaired tests, the total number of values.

    Example:
        >>> import evojax_align as ea
        >>> test = ea.statistics.sign_test([1.0, 2.0, 3.0, 4.0], [0.0, 0.0, 0.0, 4.0], alternative="two-sided")
        >>> test.name, test.p, test.n
        ('sign', 0.25, 3)
    """

    name: str
    statistic: float
    p: float
    n: int


@dataclasses.dataclass(frozen=True)
class Interval:
    """An estimate and the interval around it.

    Attributes:
        estimate: the estimate, such as a mean or a proportion.
        low: lower end of the interval.
        high: upper end.
        n: number of values.
        level: confidence, for instance 0.95.

    Example:
        >>> import evojax_align as ea
        >>> interval = ea.statistics.mean_interval([1.0, 2.0, 3.0])
        >>> interval.estimate, round(interval.low, 2), round(interval.high, 2), interval.n
        (2.0, -0.48, 4.48, 3)
    """

    estimate: float
    low: float
    high: float
    n: int
    level: float


def vector(argument: str, values: Values, *, least: int = 1) -> Float[np.ndarray, "n"]:
    _checks.refuse_trace("a test of evojax_align.statistics", "pass NumPy arrays.", values)
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or len(array) < least:
        fix = "Pass one value for each." if least else "Flatten it first."
        raise _checks.bad(argument, f"shape {array.shape}", f"one dimension with at least {least} values", fix)
    if np.isnan(array).any():
        raise _checks.bad(
            argument,
            f"{int(np.isnan(array).sum())} values that are NaN",
            "numbers",
            "Leave out failed evaluations with their pairs, or count them as the worst value.",
        )
    return array


def paired(x: Values, y: Values) -> tuple[Float[np.ndarray, "n"], Float[np.ndarray, "n"]]:
    x, y = vector("x", x), vector("y", y)
    if len(x) != len(y):
        raise _checks.bad("x, y", f"{len(x)} and {len(y)} values", "one of both for every pair", "Pair them first.")
    return x, y


def probability(argument: str, value: float) -> None:
    if not 0 < value < 1:
        raise _checks.bad(argument, value, "a number between 0 and 1", "Pass 0.05 or 0.95, for instance.")
