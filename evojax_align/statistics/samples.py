"""Paired and unpaired tests of two sets of values; `alternative` is the claim about the first."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy
from jaxtyping import ArrayLike, Real

from evojax_align import _checks
from evojax_align._types import Float
from evojax_align.statistics._values import ALTERNATIVES, Outcomes, Test, Values, paired, vector

EXACT_PAIRS = 50
"""Up to this number of pairs without ties, the signed-rank test is exact; 2^50 sign patterns are counted in int64."""


def wilcoxon(x: Values, y: Values, *, alternative: str) -> Test:
    """Wilcoxon's signed-rank test of paired values.

    The differences x - y that are not zero are ranked by size, ties sharing the mean of their ranks; the
    statistic is the sum of the ranks of the positive ones, W+. Up to 50 differences, p is exact given the
    ranks, with or without ties; beyond, it is the normal approximation with the variance corrected for ties.

    Args:
        x: one value per pair. Infinite values are allowed and tie with each other.
        y: the paired values.
        alternative: "less" (claims that x is smaller than y), "greater" or "two-sided".

    Returns:
        A `Test`; p is 1 if all pairs tie. W+ of (x, y) and of (y, x) sum to n(n + 1) / 2.

    Raises:
        ValueError: a value is NaN, there are no pairs, or their numbers differ.

    Example:
        >>> import evojax_align as ea
        >>> ea.statistics.wilcoxon([0.2, 0.3, 0.1, 0.2, 0.2], [0.3, 0.5, 0.4, 0.6, 0.7], alternative="less")
        Test(name='Wilcoxon', statistic=0.0, p=0.03125, n=5)

    References:
        Wilcoxon, F. (1945). Individual comparisons by ranking methods. Biometrics Bulletin 1, 80-83.
    """
    _checks.one_of("alternative", alternative, ALTERNATIVES)
    x, y = paired(x, y)
    untied = x != y
    differences = x[untied] - y[untied]
    n = len(differences)
    if n == 0:
        return Test("Wilcoxon", 0.0, 1.0, 0)
    ranks = scipy.stats.rankdata(np.abs(differences))
    statistic = float(np.sum(ranks[differences > 0]))
    if n <= EXACT_PAIRS:
        p = _signed_rank_p(statistic, ranks, alternative)
    else:
        outcome: Any = scipy.stats.wilcoxon(differences, alternative=alternative)
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
    """The sign test of paired values, from the number of pairs with x > y.

    The statistic is that number. Pairs that tie are dropped, and p is exact, from the binomial distribution with n
    trials and probability 1/2. The test uses only the signs of differences, not their sizes, so that outliers have no
    influence.

    Args:
        x: one value per pair.
        y: the paired values.
        alternative: "less" (claims that x is smaller than y), "greater" or "two-sided".

    Returns:
        A `Test`; p is 1 if all pairs tie. `win_share` computes the fraction itself.

    Raises:
        ValueError: a value is NaN, there are no pairs, or their numbers differ.

    Example:
        >>> import evojax_align as ea
        >>> ea.statistics.sign_test([0.2, 0.3, 0.1, 0.2, 0.2], [0.3, 0.5, 0.4, 0.6, 0.1], alternative="less")
        Test(name='sign', statistic=1.0, p=0.1875, n=5)

    References:
        Dixon, W. J. and Mood, A. M. (1946). The statistical sign test. J. Am. Stat. Assoc. 41, 557-566.
    """
    _checks.one_of("alternative", alternative, ALTERNATIVES)
    x, y = paired(x, y)
    above, n = int(np.sum(x > y)), int(np.sum(x != y))
    p = float(scipy.stats.binomtest(above, n, 0.5, alternative=alternative).pvalue) if n else 1.0
    return Test("sign", float(above), p, n)


def paired_t(x: Values, y: Values, *, alternative: str) -> Test:
    """Student's t test of paired values, of the hypothesis that the mean of their differences is zero.

    The statistic is that mean divided by its standard error. The p value is exact for normal differences, and
    approximate for many differences of any distribution.

    Args:
        x: one finite value per pair.
        y: the paired values.
        alternative: "less" (claims that x is smaller than y on average), "greater" or "two-sided".

    Returns:
        A `Test` of all pairs; if all differences are equal, p is that of `sign_test`.

    Raises:
        ValueError: a value is not finite, there are no pairs, or their numbers differ.

    Example:
        >>> import evojax_align as ea
        >>> test = ea.statistics.paired_t([0.2, 0.3, 0.1, 0.2, 0.2], [0.3, 0.5, 0.4, 0.6, 0.7], alternative="less")
        >>> round(test.statistic, 3), round(test.p, 5)
        (-4.243, 0.00662)

    References:
        Student (1908). The probable error of a mean. Biometrika 6, 1-25.
    """
    _checks.one_of("alternative", alternative, ALTERNATIVES)
    x, y = paired(x, y)
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise _checks.bad("x, y", "infinite values", "finite ones", "Compare them by `wilcoxon`.")
    if len(set((x - y).tolist())) == 1:
        p = sign_test(x, y, alternative=alternative).p
        return Test("paired t", 0.0 if x[0] == y[0] else float(np.copysign(np.inf, x[0] - y[0])), p, len(x))
    outcome: Any = scipy.stats.ttest_rel(x, y, alternative=alternative)
    return Test("paired t", float(outcome.statistic), float(outcome.pvalue), len(x))


def mcnemar(x: Outcomes, y: Outcomes, *, alternative: str) -> Test:
    """McNemar's test of two classifiers on the same samples.

    The statistic is the number of samples that only the first classifies correctly. Samples that both classify
    correctly, or both incorrectly, are dropped, and p is exact, from the binomial distribution. The test concerns these
    two classifiers on samples of this distribution, not other classifiers from the same training procedure.

    Args:
        x: for each sample, whether the first classifier is right.
        y: the same for the second.
        alternative: "less" (claims that the first is less often right), "greater" or "two-sided".

    Returns:
        A `Test`; p is 1 if both are right on the same samples.

    Raises:
        ValueError: a value is neither true nor false, there are no samples, or their numbers differ.

    Example:
        >>> import evojax_align as ea
        >>> ea.statistics.mcnemar([1, 1, 1, 1, 1, 1, 0], [0, 0, 0, 0, 0, 1, 0], alternative="greater")
        Test(name='McNemar', statistic=5.0, p=0.03125, n=5)

    References:
        McNemar, Q. (1947). Note on the sampling error of the difference between correlated proportions or percentages.
        Psychometrika 12, 153-157.
    """
    for name, values in (("x", x), ("y", y)):
        if not np.isin(np.asarray(values), (0, 1)).all():
            raise _checks.bad(name, "values that are neither 0 nor 1", "whether each sample is right", "Compare first.")
    right = np.asarray(x, np.float64), np.asarray(y, np.float64)
    return dataclasses.replace(sign_test(*right, alternative=alternative), name="McNemar")


def mann_whitney(x: Values, y: Sequence[float] | Real[ArrayLike, "m"], *, alternative: str) -> Test:
    """The Mann-Whitney U test of two unpaired sets of values.

    The statistic is U, the number of pairs of one value of x and one of y with x above y, ties counting one half. p is
    exact for up to eight values on a side without ties, and otherwise the normal approximation, corrected for ties
    and for continuity.

    Args:
        x: one set of values.
        y: the other set, of any length.
        alternative: "less" (claims that x tends to be smaller than y), "greater" or "two-sided".

    Returns:
        A `Test`; p is 1 if all values are equal.

    Raises:
        ValueError: a value is NaN, or there are none.

    Example:
        >>> import evojax_align as ea
        >>> ea.statistics.mann_whitney([0.1, 0.2, 0.3], [0.4, 0.5, 0.6], alternative="less")
        Test(name='Mann-Whitney', statistic=0.0, p=0.05, n=6)

    References:
        Mann, H. B. and Whitney, D. R. (1947). On a test of whether one of two random variables is stochastically
        larger than the other. Annals of Mathematical Statistics 18, 50-60.
    """
    _checks.one_of("alternative", alternative, ALTERNATIVES)
    x, y = vector("x", x), vector("y", y)
    count = len(x) + len(y)
    if len(np.unique(np.concatenate([x, y]))) == 1:
        return Test("Mann-Whitney", len(x) * len(y) / 2, 1.0, count)
    outcome: Any = scipy.stats.mannwhitneyu(x, y, alternative=alternative)
    return Test("Mann-Whitney", float(outcome.statistic), float(outcome.pvalue), count)
