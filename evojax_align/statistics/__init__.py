"""Tests and intervals for claims: host functions of arrays, in float64.

Paired tests take one value per pair for each of two methods; `alternative` is the claim about the first:
`wilcoxon(aligned, naive, alternative="less")` tests whether the aligned loss is smaller. A test returns a `Test`, an
estimate with its interval an `Interval`.
"""

from evojax_align.statistics._values import Interval, Test
from evojax_align.statistics.aggregate import (
    interquartile_mean,
    performance_profile,
    rank_biserial,
    stratified_interval,
)
from evojax_align.statistics.canonical import Bartlett, bartlett
from evojax_align.statistics.intervals import bootstrap_interval, mean_interval, proportion_interval, win_share
from evojax_align.statistics.multiple import holm
from evojax_align.statistics.samples import mann_whitney, mcnemar, paired_t, sign_test, wilcoxon

__all__ = [
    "Bartlett",
    "Interval",
    "Test",
    "bartlett",
    "bootstrap_interval",
    "holm",
    "interquartile_mean",
    "mann_whitney",
    "mcnemar",
    "mean_interval",
    "paired_t",
    "performance_profile",
    "proportion_interval",
    "rank_biserial",
    "sign_test",
    "stratified_interval",
    "wilcoxon",
    "win_share",
]
