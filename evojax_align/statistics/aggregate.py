"""Aggregation over seeds and tasks: interquartile means, their intervals, and performance profiles."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import scipy
from jaxtyping import ArrayLike, Real

from evojax_align import _checks
from evojax_align._types import Float
from evojax_align.statistics._values import Interval, Values, paired, probability, vector


def interquartile_mean(values: Sequence[Any] | Real[ArrayLike, "..."], *, axis: int | None = None) -> Any:
    """The mean of the middle half of the values: a quarter at each end is omitted, rounded down.

    Args:
        values: finite values, such as [tasks, seeds].
        axis: the axis to reduce; None for all.

    Returns:
        A number, or an array without that axis.

    Raises:
        ValueError: a value is NaN or infinite, or there is none.

    Example:
        >>> import evojax_align as ea
        >>> float(ea.statistics.interquartile_mean([0.0, 1.0, 2.0, 100.0]))
        1.5

    References:
        Agarwal, R., Schwarzer, M., Castro, P. S., Courville, A. and Bellemare, M. G. (2021). Deep reinforcement
        learning at the edge of the statistical precipice. NeurIPS.
    """
    values = _finite("values", values)
    return scipy.stats.trim_mean(values, 0.25, axis=axis)


def stratified_interval(
    values: Sequence[Any] | Real[ArrayLike, "tasks seeds"],
    *,
    seed: int,
    statistic: Callable[..., Any] = interquartile_mean,
    level: float = 0.95,
    resamples: int = 2000,
) -> Interval:
    """The percentile bootstrap interval of a statistic over tasks and seeds, with seeds resampled within each task.

    Args:
        values: a finite value for each seed on each task.
        seed: the same seed gives the same interval in every process.
        statistic: a function of all values, called as `statistic(array [tasks, seeds])`.
        level: confidence of the interval.
        resamples: number of bootstrap samples.

    Returns:
        An `Interval` whose n is the number of values; it is a point if all values of each task are equal.

    Raises:
        ValueError: a value is NaN or infinite, or there are not two axes.

    Example:
        >>> import evojax_align as ea
        >>> found = ea.statistics.stratified_interval([[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]], seed=0)
        >>> found.estimate, found.low, found.high, found.n
        (0.5, 0.5, 0.5, 6)

    References:
        Agarwal, R., Schwarzer, M., Castro, P. S., Courville, A. and Bellemare, M. G. (2021). Deep reinforcement
        learning at the edge of the statistical precipice. NeurIPS.
    """
    probability("level", level)
    _checks.positive("resamples", resamples)
    values = _finite("values", values)
    if values.ndim != 2:
        raise _checks.bad("values", f"shape {values.shape}", "[tasks, seeds]", "Pass values[None] for one task.")
    tasks, seeds = values.shape
    generator = np.random.default_rng(seed)
    rows = np.arange(tasks)[:, None]
    drawn = [statistic(values[rows, generator.integers(seeds, size=values.shape)]) for _ in range(resamples)]
    low, high = np.quantile(np.asarray(drawn, float), [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(statistic(values)), float(low), float(high), values.size, level)


def performance_profile(
    values: Sequence[Any] | Real[ArrayLike, "tasks seeds"], thresholds: Values
) -> Float[np.ndarray, " thresholds"]:
    """The fraction of runs with a value above each threshold, with equal weights for all tasks.

    Args:
        values: a value for each seed on each task, on one scale; NaN for a missing run, which is ignored.
        thresholds: the thresholds of the profile.

    Returns:
        Fractions, which do not increase with the threshold.

    Raises:
        ValueError: there are not two axes, or a task has no value.

    Example:
        >>> import evojax_align as ea
        >>> ea.statistics.performance_profile([[0.2, 0.8], [0.6, 0.7]], [0.0, 0.5, 0.9]).tolist()
        [1.0, 0.75, 0.0]

    References:
        Agarwal, R., Schwarzer, M., Castro, P. S., Courville, A. and Bellemare, M. G. (2021). Deep reinforcement
        learning at the edge of the statistical precipice. NeurIPS.
    """
    values, levels = np.asarray(values, float), vector("thresholds", thresholds)
    known = np.isfinite(values)
    if values.ndim != 2 or not values.size or not known.any(axis=1).all():
        came = f"shape {values.shape}, or a task without a known value"
        raise _checks.bad("values", came, "[tasks, seeds] with a value for each task", "Leave that task out.")
    above = (values[..., None] > levels) & known[..., None]
    return np.mean(above.sum(axis=1) / known.sum(axis=1)[:, None], axis=0)


def rank_biserial(x: Values, y: Values) -> float:
    """The effect size of Wilcoxon's signed-rank test: the fraction of rank sums with x > y minus that with x < y.

    Args:
        x: one value per pair.
        y: the paired values.

    Returns:
        A number from -1 (x is below y in every pair) to 1; 0 if all pairs tie. (y, x) gives the opposite sign.

    Raises:
        ValueError: a value is NaN, there are no pairs, or their numbers differ.

    Example:
        >>> import evojax_align as ea
        >>> found = ea.statistics.rank_biserial([3.0, 2.0, 1.0], [0.0, 0.0, 2.0])
        >>> round(found, 3)  # of the ranks 3, 2 and 1, the last has x < y
        0.667

    References:
        Kerby, D. S. (2014). The simple difference formula: an approach to teaching nonparametric correlation.
        Comprehensive Psychology 3.
    """
    x, y = paired(x, y)
    differences = (x - y)[x != y]
    if not differences.size:
        return 0.0
    ranks = scipy.stats.rankdata(np.abs(differences))
    return float(np.sum(ranks * np.sign(differences)) / np.sum(ranks))


def _finite(argument: str, values: Any) -> Float[np.ndarray, "..."]:
    found = np.asarray(values, float)
    if not found.size or not np.isfinite(found).all():
        came = "no value" if not found.size else "values that are NaN or infinite"
        raise _checks.bad(argument, came, "finite numbers", "Leave out failed runs, or count them as the worst value.")
    return found
