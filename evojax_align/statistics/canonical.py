"""The number of significant canonical correlations."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import scipy
from jaxtyping import ArrayLike

from evojax_align import _checks
from evojax_align._types import Float, Int
from evojax_align.statistics._values import probability, vector

LARGEST_CORRELATION = 1 - np.finfo(np.float64).eps
"""Correlations are clipped here, so that log(1 - rho^2) is about -35 instead of infinite."""
ROUNDING = 1e-5
"""Tolerance of correlations outside [0, 1]: the rounding of float32."""


@dataclasses.dataclass(frozen=True, eq=False)
class Bartlett:
    """The number of significant canonical correlations, and the tests.

    Attributes:
        count: number of tests before the first that is not significant.
        statistics: the chi-square statistics; test k is of the hypothesis that all correlations after the first k are
            zero.
        degrees: the degrees of freedom of each test.
        p_values: the p value of each test.

    Example:
        >>> import evojax_align as ea
        >>> found = ea.statistics.bartlett([0.9, 0.1], samples=100, p=2, q=2)
        >>> found.count, found.degrees.tolist(), (found.p_values < 0.05).tolist()
        (1, [4, 1], [True, False])
    """

    count: int
    statistics: Float[np.ndarray, "k"]
    degrees: Int[np.ndarray, "k"]
    p_values: Float[np.ndarray, "k"]


def bartlett(
    correlations: Sequence[float] | Float[ArrayLike, "m"], samples: int, p: int, q: int, *, level: float = 0.05
) -> Bartlett:
    """Bartlett's sequential test for the number of significant canonical correlations.

    For k = 0, 1, ..., min(p, q) - 1 the hypothesis that all correlations after the first k are zero is tested by

        -(n - 1 - (p + q + 1) / 2) * sum_{j > k} log(1 - rho_j^2)  ~  chi^2 with (p - k)(q - k) degrees,

    and the count ends at the first hypothesis that is not rejected. A correlation of one is clipped to just below it.
    The test assumes independent normal samples. Activations are neither, so use the count only for comparisons.

    Args:
        correlations: canonical correlations in any order, all min(p, q) of them. Further ones are ignored: beyond the
            ranks, the smallest are rounding.
        samples: number n of samples that they were computed from.
        p: numerical rank of the first view, or its number of kept directions.
        q: the same for the second view.
        level: significance level of each test.

    Returns:
        A `Bartlett`; `count` is 0 when `p_values[0] >= level` and min(p, q) when all are below.

    Raises:
        ValueError: p or q below 1, too few samples for a positive factor, fewer than min(p, q) correlations, or
            one outside [0, 1] by more than rounding.

    Example:
        Lengths and breadths of the heads of the first and second sons of 25 families (Mardia, Kent and Bibby 1979):

        >>> import evojax_align as ea
        >>> ea.statistics.bartlett([0.7885, 0.0537], samples=25, p=2, q=2).count
        1

    References:
        Bartlett, M. S. (1941). The statistical significance of canonical correlations. Biometrika 32, 29-37.
    """
    p, q, samples = _checks.positive("p", p), _checks.positive("q", q), _checks.positive("samples", samples)
    probability("level", level)
    tests = min(p, q)
    rho = np.sort(vector("correlations", correlations))[::-1]
    if len(rho) < tests:
        raise _checks.bad(
            "correlations",
            f"{len(rho)} of them",
            f"all min(p, q) = {tests}, for those that are missing would count as zero",
            "Pass p and q as the numbers of directions that were kept.",
        )
    if rho[0] > 1 + ROUNDING or rho[-1] < -ROUNDING:
        raise _checks.bad(
            "correlations",
            f"values from {rho[-1]:.6g} to {rho[0]:.6g}",
            "values in [0, 1]",
            "Pass canonical correlations, which are not negative.",
        )
    factor = samples - 1 - (p + q + 1) / 2
    if factor <= 0:
        raise _checks.bad(
            "samples",
            samples,
            f"more than {1 + (p + q + 1) / 2:g} for p={p} and q={q}",
            "Use more samples or keep fewer directions.",
        )

    rho = np.clip(rho[:tests], 0, LARGEST_CORRELATION)
    terms = np.log1p(-rho) + np.log1p(rho)
    statistics = factor * -np.cumsum(terms[::-1])[::-1]
    k = np.arange(tests)
    degrees = (p - k) * (q - k)
    p_values = scipy.stats.chi2.sf(statistics, degrees)
    refused = p_values < level
    count = tests if refused.all() else int(np.argmin(refused))
    return Bartlett(count, statistics, degrees, p_values)
