"""Confidence intervals."""

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy

from evojax_align import _checks
from evojax_align.statistics._values import Interval, Values, paired, probability, vector

RESAMPLED_AT_ONCE = 1_000_000
"""Values that the bootstrap draws at a time, so that memory does not grow with the number of resamples."""


def win_share(x: Values, y: Values, *, alternative: str, level: float = 0.95) -> Interval:
    """The fraction of pairs that agree with the claim, with Wilson's interval; a tie does not agree.

    Args:
        x: one value per pair.
        y: the paired values.
        alternative: "less" counts the pairs with x < y, "greater" those with x > y.
        level: confidence of the interval.

    Returns:
        An `Interval`; the estimates of "less" and "greater" sum to one if no pair ties.

    Raises:
        ValueError: a value is NaN, there are no pairs, or their numbers differ.

    Example:
        >>> import evojax_align as ea
        >>> ea.statistics.win_share([0.2, 0.3, 0.1, 0.2, 0.2], [0.3, 0.5, 0.4, 0.6, 0.1], alternative="less").estimate
        0.8
    """
    _checks.one_of("alternative", alternative, ("less", "greater"))
    x, y = paired(x, y)
    won = x < y if alternative == "less" else x > y
    return proportion_interval(int(np.sum(won)), len(won), level=level)


def proportion_interval(successes: int, n: int, *, level: float = 0.95) -> Interval:
    """Wilson's interval for a proportion.

    Its ends are the most extreme proportions that a score test at this level does not reject. It is within [0, 1] and
    has a positive width even at 0 and n successes. Its coverage is nearer to the level than that of the exact interval
    of Clopper and Pearson, which is too wide.

    Args:
        successes: number of successes.
        n: number of trials.
        level: confidence of the interval.

    Returns:
        An `Interval` whose estimate is successes / n.

    Raises:
        ValueError: n is below 1, or `successes` is not between 0 and n.

    Example:
        >>> import evojax_align as ea
        >>> interval = ea.statistics.proportion_interval(197, 200)
        >>> round(interval.low, 3), round(interval.high, 3)
        (0.957, 0.995)

    References:
        Brown, L. D., Cai, T. T. and DasGupta, A. (2001). Interval estimation for a binomial proportion.
        Statistical Science 16, 101-133.
    """
    n = _checks.positive("n", n)
    probability("level", level)
    if not 0 <= successes <= n or successes != int(successes):
        raise _checks.bad("successes", successes, f"an integer from 0 to n = {n}", "Count the successes among the n.")
    low, high = scipy.stats.binomtest(int(successes), n).proportion_ci(level, method="wilson")
    return Interval(float(successes / n), float(low), float(high), n, level)


def mean_interval(values: Values, *, level: float = 0.95) -> Interval:
    """Student's interval for the mean of a few values, such as one per trial; wide for very few values.

    Args:
        values: at least two values.
        level: confidence of the interval.

    Returns:
        An `Interval`. It is exact for normal values.

    Raises:
        ValueError: a value is NaN, or there are fewer than two.

    Example:
        >>> import evojax_align as ea
        >>> interval = ea.statistics.mean_interval([0.7, 0.8, 0.75])
        >>> round(interval.low, 3), round(interval.high, 3)
        (0.626, 0.874)
    """
    probability("level", level)
    values = vector("values", values, least=2)
    mean, error = float(np.mean(values)), float(np.std(values, ddof=1)) / len(values) ** 0.5
    reach = float(scipy.stats.t.ppf((1 + level) / 2, len(values) - 1)) * error
    return Interval(mean, mean - reach, mean + reach, len(values), level)


def bootstrap_interval(
    values: Values,
    *,
    seed: int,
    statistic: Callable[..., Any] = np.mean,
    level: float = 0.95,
    resamples: int = 10_000,
) -> Interval:
    """The percentile bootstrap interval of a statistic.

    The n values are resampled with replacement; the ends are the (1 - level) / 2 and (1 + level) / 2 quantiles of the
    statistic over the resamples. Percentiles are used instead of BCa because they exist for every statistic and every
    sample, including medians and constant samples, and stay in the range of the statistic. The disadvantage: for fewer
    than about 20 values, the interval is somewhat too narrow, and for one value, or equal values, it is a point.

    Args:
        values: independent, finite values.
        seed: the same seed gives the same interval in every process.
        statistic: a function called as `statistic(array, axis=axis)`, such as `np.mean`, `np.median` or `np.std`.
        level: confidence of the interval.
        resamples: number of bootstrap samples.

    Returns:
        An `Interval` whose estimate is the statistic of the original values.

    Raises:
        ValueError: there is no value, or one is NaN or infinite.

    Example:
        >>> import evojax_align as ea
        >>> ea.statistics.bootstrap_interval([0.25, 0.25, 0.25], seed=0)
        Interval(estimate=0.25, low=0.25, high=0.25, n=3, level=0.95)

    References:
        Efron, B. (1979). Bootstrap methods: another look at the jackknife. Annals of Statistics 7, 1-26.
    """
    probability("level", level)
    _checks.positive("resamples", resamples)
    values = vector("values", values)
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
