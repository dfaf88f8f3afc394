"""Tests and intervals behind the claims: host functions in float64, on finished arrays.

Paired tests take one value per pair for each of two methods and say in `alternative` what is claimed of the
first: `wilcoxon(aligned, naive, alternative="less")` asks whether the aligned loss is smaller. A test returns a
`Test`, an estimate with its interval an `Interval`.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import ArrayLike, Real
from scipy import stats

from evojax_align import _checks
from evojax_align._types import Float, Int

Values: TypeAlias = Sequence[float] | Real[ArrayLike, "n"]
"""Numbers in one dimension: a list, or an array of NumPy or JAX."""

ALTERNATIVES = ("two-sided", "less", "greater")
LARGEST_CORRELATION = 1 - np.finfo(np.float64).eps
"""Correlations are clipped here, so that log(1 - rho^2) is -35 or so where it would be infinite."""
ROUNDING = 1e-5
"""By how much a correlation may leave [0, 1]: the rounding of float32, in which it may have been computed."""
EXACT_PAIRS = 50
"""Up to this number of untied pairs the signed-rank test is exact; 2^50 sign patterns are counted in int64."""
RESAMPLED_AT_ONCE = 1_000_000
"""Values drawn in one piece by the bootstrap, so that memory does not grow with the number of resamples."""


@dataclasses.dataclass(frozen=True)
class Test:
    """The outcome of a test."""

    name: str
    """"Wilcoxon" or "sign"."""
    statistic: float
    """What the docstring of the test says."""
    p: float
    """Probability, under the hypothesis of no difference, of a statistic at least as extreme."""
    n: int
    """Number of pairs that count: those that do not tie."""


@dataclasses.dataclass(frozen=True)
class Interval:
    """An estimate and the interval around it."""

    estimate: float
    low: float
    high: float
    n: int
    """Number of values that it rests on."""
    level: float
    """Confidence, for instance 0.95."""


@dataclasses.dataclass(frozen=True, eq=False)
class Bartlett:
    """How many canonical correlations are significant, and the tests that say so."""

    count: int
    """Number of tests before the first that is not significant."""
    statistics: Float[np.ndarray, "k"]
    """Test k asks whether the correlations after the first k are all zero; this is its chi-square statistic."""
    degrees: Int[np.ndarray, "k"]
    """Its degrees of freedom."""
    p_values: Float[np.ndarray, "k"]
    """Its p value."""


def bartlett(
    correlations: Sequence[float] | Float[ArrayLike, "m"], samples: int, p: int, q: int, *, level: float = 0.05
) -> Bartlett:
    """Bartlett's sequential test for the number of significant canonical correlations.

    For k = 0, 1, ..., min(p, q) - 1 the hypothesis that all correlations after the first k are zero is tested by

        -(n - 1 - (p + q + 1) / 2) * sum_{j > k} log(1 - rho_j^2)  ~  chi^2 with (p - k)(q - k) degrees,

    and the first hypothesis that is not refused ends the count. A correlation of one is clipped to just below it.
    The test takes samples to be independent and normal; activations are neither, so read the count as a scale.

    Args:
        correlations: canonical correlations in any order, all min(p, q) of them. More are ignored: beyond the
            ranks, the smallest are rounding.
        samples: number n of samples that they were computed from.
        p: numerical rank of the first view, or the number of directions kept of it.
        q: the same of the second view.
        level: significance level of each test.

    Returns:
        A `Bartlett`; `count` is 0 when `p_values[0] >= level` and min(p, q) when all are below.

    Raises:
        ValueError: p or q below 1, too few samples for a positive factor, fewer than min(p, q) correlations, or
            one outside [0, 1] by more than rounding.

    Example:
        Lengths and breadths of the heads of the first and second sons of 25 families (Mardia, Kent and Bibby 1979):

        >>> bartlett([0.7885, 0.0537], samples=25, p=2, q=2).count
        1

    References:
        Bartlett, M. S. (1941). The statistical significance of canonical correlations. Biometrika 32, 29-37.
    """
    p, q, samples = _checks.positive("p", p), _checks.positive("q", q), _checks.positive("samples", samples)
    _probability("level", level)
    tests = min(p, q)
    rho = np.sort(_vector("correlations", correlations))[::-1]
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
            "Pass canonical correlations, which are never negative.",
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
    p_values = stats.chi2.sf(statistics, degrees)
    refused = p_values < level
    count = tests if refused.all() else int(np.argmin(refused))
    return Bartlett(count, statistics, degrees, p_values)


def wilcoxon(x: Values, y: Values, *, alternative: str) -> Test:
    """Wilcoxon's signed-rank test of paired values.

    The differences x - y that are not zero are ranked by size, ties sharing the mean of their ranks; the
    statistic is the sum of the ranks of the positive ones, W+. Up to 50 differences, p is exact given the
    ranks, with or without ties; beyond, it is the normal approximation with the variance corrected for ties.

    Args:
        x: one value per pair. Infinite values are allowed, and tie with each other.
        y: the values that they are paired with.
        alternative: "less" (claims that x is smaller than y), "greater" or "two-sided".

    Returns:
        A `Test`; p is 1 where all pairs tie. W+ of (x, y) and of (y, x) add up to n(n + 1) / 2.

    Raises:
        ValueError: a value is NaN, there are no pairs, or their numbers differ.

    Example:
        >>> wilcoxon([0.2, 0.3, 0.1, 0.2, 0.2], [0.3, 0.5, 0.4, 0.6, 0.7], alternative="less")
        Test(name='Wilcoxon', statistic=0.0, p=0.03125, n=5)

    References:
        Wilcoxon, F. (1945). Individual comparisons by ranking methods. Biometrics Bulletin 1, 80-83.
    """
    _checks.one_of("alternative", alternative, ALTERNATIVES)
    x, y = _paired(x, y)
    untied = x != y
    differences = x[untied] - y[untied]
    n = len(differences)
    if n == 0:
        return Test("Wilcoxon", 0.0, 1.0, 0)
    ranks = stats.rankdata(np.abs(differences))
    statistic = float(np.sum(ranks[differences > 0]))
    if n <= EXACT_PAIRS:
        p = _signed_rank_p(statistic, ranks, alternative)
    else:
        outcome: Any = stats.wilcoxon(differences, alternative=alternative)
        p = float(outcome.pvalue)
    return Test("Wilcoxon", statistic, p, n)


def _signed_rank_p(statistic: float, ranks: Float[np.ndarray, "n"], alternative: str) -> float:
    """The exact p value given the ranks: SciPy's own is exact only without ties, or for very few pairs."""
    doubled = np.rint(2 * ranks).astype(int)  # ranks of ties are halves
    patterns = np.zeros(doubled.sum() + 1, dtype=np.int64)  # [s]: sign patterns with W+ = s / 2
    patterns[0] = 1
    for rank in doubled:
        patterns[rank:] = patterns[rank:] + patterns[:-rank]
    at = round(2 * statistic)
    less, greater = (float(tail.sum() / 2.0 ** len(ranks)) for tail in (patterns[: at + 1], patterns[at:]))
    return {"less": less, "greater": greater, "two-sided": min(1.0, 2 * min(less, greater))}[alternative]


def sign_test(x: Values, y: Values, *, alternative: str) -> Test:
    """The sign test of paired values: the number of pairs with x > y against a fair coin.

    The statistic is that number; pairs that tie are dropped, and p is exact, from the binomial distribution with
    n trials and probability 1/2. It asks only how often, never by how much, so no outlier moves it.

    Args:
        x: one value per pair.
        y: the values that they are paired with.
        alternative: "less" (claims that x is smaller than y), "greater" or "two-sided".

    Returns:
        A `Test`; p is 1 where all pairs tie. `win_share` gives the share itself.

    Raises:
        ValueError: a value is NaN, there are no pairs, or their numbers differ.

    Example:
        >>> sign_test([0.2, 0.3, 0.1, 0.2, 0.2], [0.3, 0.5, 0.4, 0.6, 0.1], alternative="less")
        Test(name='sign', statistic=1.0, p=0.1875, n=5)

    References:
        Dixon, W. J. and Mood, A. M. (1946). The statistical sign test. J. Am. Stat. Assoc. 41, 557-566.
    """
    _checks.one_of("alternative", alternative, ALTERNATIVES)
    x, y = _paired(x, y)
    above, n = int(np.sum(x > y)), int(np.sum(x != y))
    p = float(stats.binomtest(above, n, 0.5, alternative=alternative).pvalue) if n else 1.0
    return Test("sign", float(above), p, n)


def win_share(x: Values, y: Values, *, alternative: str, level: float = 0.95) -> Interval:
    """The share of all pairs that bear the claim out, with its Wilson interval; a tie does not.

    Args:
        x: one value per pair.
        y: the values that they are paired with.
        alternative: "less" counts the pairs with x < y, "greater" those with x > y.
        level: confidence of the interval.

    Returns:
        An `Interval`; the shares of "less" and "greater" add up to one where no pair ties.

    Raises:
        ValueError: a value is NaN, there are no pairs, or their numbers differ.

    Example:
        >>> win_share([0.2, 0.3, 0.1, 0.2, 0.2], [0.3, 0.5, 0.4, 0.6, 0.1], alternative="less").estimate
        0.8
    """
    _checks.one_of("alternative", alternative, ("less", "greater"))
    x, y = _paired(x, y)
    won = x < y if alternative == "less" else x > y
    return proportion_interval(int(np.sum(won)), len(won), level=level)


def proportion_interval(successes: int, n: int, *, level: float = 0.95) -> Interval:
    """Wilson's interval for a proportion.

    Its ends are the proportions that a score test at this level would just not refuse. It stays within [0, 1]
    and has a width even at 0 and n successes, and its coverage is nearer to the level than that of the exact
    interval of Clopper and Pearson, which is too wide.

    Args:
        successes: out of n.
        n: number of trials.
        level: confidence of the interval.

    Returns:
        An `Interval` whose estimate is successes / n.

    Raises:
        ValueError: n is below 1, or `successes` is not between 0 and n.

    Example:
        >>> interval = proportion_interval(197, 200)
        >>> round(interval.low, 3), round(interval.high, 3)
        (0.957, 0.995)

    References:
        Brown, L. D., Cai, T. T. and DasGupta, A. (2001). Interval estimation for a binomial proportion.
        Statistical Science 16, 101-133.
    """
    n = _checks.positive("n", n)
    _probability("level", level)
    if not 0 <= successes <= n or successes != int(successes):
        raise _checks.bad("successes", successes, f"an integer from 0 to n = {n}", "Count the successes among the n.")
    low, high = stats.binomtest(int(successes), n).proportion_ci(level, method="wilson")
    return Interval(float(successes / n), float(low), float(high), n, level)


def bootstrap_interval(
    values: Values,
    *,
    seed: int,
    statistic: Callable[..., Any] = np.mean,
    level: float = 0.95,
    resamples: int = 10_000,
) -> Interval:
    """The percentile bootstrap interval of a statistic.

    The values are drawn n at a time with replacement; the ends are the (1 - level) / 2 and (1 + level) / 2
    quantiles of the statistic over the draws. Percentiles are chosen over BCa because they exist for every
    statistic and every sample, a constant one or a median too, and keep the statistic's range. The price: for fewer
    than 20 values or so the interval is somewhat too narrow, and for one value, or equal ones, it is a point.

    Args:
        values: independent and finite.
        seed: the same seed gives the same interval in every process.
        statistic: reduces an axis, called as `statistic(array, axis=axis)`: `np.mean`, `np.median`, `np.std`.
        level: confidence of the interval.
        resamples: number of draws.

    Returns:
        An `Interval` whose estimate is the statistic of the values themselves.

    Raises:
        ValueError: there is no value, or one is NaN or infinite.

    Example:
        >>> bootstrap_interval([0.25, 0.25, 0.25], seed=0)
        Interval(estimate=0.25, low=0.25, high=0.25, n=3, level=0.95)

    References:
        Efron, B. (1979). Bootstrap methods: another look at the jackknife. Annals of Statistics 7, 1-26.
    """
    _probability("level", level)
    _checks.positive("resamples", resamples)
    values = _vector("values", values)
    _checks.all_finite("values", values)
    n = len(values)
    generator = np.random.default_rng(seed)
    rows = max(1, RESAMPLED_AT_ONCE // n)
    draws = [
        np.asarray(statistic(values[generator.integers(n, size=(min(rows, resamples - start), n))], axis=1))
        for start in range(0, resamples, rows)
    ]
    low, high = np.quantile(np.concatenate(draws), [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(statistic(values, axis=0)), float(low), float(high), n, level)


def holm(p_values: Values) -> Float[np.ndarray, "n"]:
    """Holm's correction of the p values of several claims that are tested together.

    With p_(1) <= ... <= p_(m), the i-th smallest becomes max over j <= i of min(1, (m - j + 1) p_(j)). Calling
    those below a level significant errs on any true hypothesis with at most that probability, however they depend.

    Args:
        p_values: one for each claim, in any order; none gives none.

    Returns:
        The corrected p values in the same order, none smaller than before.

    Raises:
        ValueError: one is NaN or outside [0, 1].

    Example:
        >>> holm([0.01, 0.04, 0.03]).tolist()
        [0.03, 0.06, 0.06]

    References:
        Holm, S. (1979). A simple sequentially rejective multiple test procedure. Scand. J. Statistics 6, 65-70.
    """
    p = _vector("p_values", p_values, least=0)
    if np.any((p < 0) | (p > 1)):
        raise _checks.bad("p_values", f"values from {p.min():g} to {p.max():g}", "values in [0, 1]", "Pass p values.")
    order = np.argsort(p, kind="stable")
    corrected = np.empty_like(p)
    corrected[order] = np.maximum.accumulate(np.minimum(1, np.arange(len(p), 0, -1) * p[order]))
    return corrected


def _vector(argument: str, values: Values, *, least: int = 1) -> Float[np.ndarray, "n"]:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or len(array) < least:
        mend = "Pass one value for each." if least else "Flatten it first."
        raise _checks.bad(argument, f"shape {array.shape}", f"one dimension with at least {least} values", mend)
    if np.isnan(array).any():
        raise _checks.bad(
            argument,
            f"{int(np.isnan(array).sum())} values that are NaN",
            "numbers",
            "Leave failed evaluations out, with their pairs, or count them as the worst value.",
        )
    return array


def _paired(x: Values, y: Values) -> tuple[Float[np.ndarray, "n"], Float[np.ndarray, "n"]]:
    x, y = _vector("x", x), _vector("y", y)
    if len(x) != len(y):
        raise _checks.bad("x, y", f"{len(x)} and {len(y)} values", "one of each for every pair", "Pair them first.")
    return x, y


def _probability(argument: str, value: float) -> None:
    if not 0 < value < 1:
        raise _checks.bad(argument, value, "a number between 0 and 1", "Pass 0.05 or 0.95, for instance.")
