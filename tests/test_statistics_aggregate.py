"""Numbers over seeds and tasks, against formulas written out."""

import numpy as np
import pytest

from evojax_align import statistics

VALUES = np.random.default_rng(0).normal(size=(3, 20))


def test_the_interquartile_mean_is_the_mean_of_the_middle_half():
    ordered = np.sort(VALUES, axis=1)
    np.testing.assert_allclose(statistics.interquartile_mean(VALUES, axis=1), ordered[:, 5:15].mean(axis=1))
    assert statistics.interquartile_mean([1.0, 1e9, -1e9, 3.0]) == 2.0
    assert statistics.interquartile_mean([5.0]) == 5.0


def test_seeds_are_drawn_within_each_task():
    shifted = VALUES + np.array([[0.0], [100.0], [200.0]])
    found = statistics.stratified_interval(shifted, seed=0, statistic=np.mean, resamples=500)
    assert found.high - found.low < 1  # tasks drawn too would spread over hundreds
    assert found.low < found.estimate < found.high and found.n == 60
    assert found == statistics.stratified_interval(shifted, seed=0, statistic=np.mean, resamples=500)


def test_a_performance_profile_counts_tasks_alike_and_leaves_unknown_runs_out():
    values = [[1.0, 1.0, np.nan, np.nan], [0.0, 0.0, 0.0, 1.0]]
    np.testing.assert_allclose(statistics.performance_profile(values, [-1.0, 0.5, 1.0]), [1.0, 0.625, 0.0])
    assert (np.diff(statistics.performance_profile(VALUES, np.linspace(-3, 3, 30))) <= 0).all()


def test_the_rank_biserial_correlation_is_what_wilcoxons_statistic_says():
    x, y = VALUES[0], VALUES[1]
    test = statistics.wilcoxon(x, y, alternative="greater")
    expected = 2 * test.statistic / (test.n * (test.n + 1) / 2) - 1
    assert statistics.rank_biserial(x, y) == pytest.approx(expected)
    assert statistics.rank_biserial(y, x) == pytest.approx(-expected)
    assert statistics.rank_biserial(x, x) == 0


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        (lambda: statistics.interquartile_mean([]), "values: got no value"),
        (lambda: statistics.interquartile_mean([1.0, np.nan]), "values: got values that are NaN"),
        (lambda: statistics.stratified_interval([1.0, 2.0], seed=0), "expected .tasks, seeds"),
        (lambda: statistics.performance_profile([[np.nan]], [0.0]), "without a known value"),
        (lambda: statistics.rank_biserial([1.0], [1.0, 2.0]), "x, y: got 1 and 2 values"),
    ],
)
def test_values_that_cannot_be_are_refused(call, complaint):
    with pytest.raises(ValueError, match=complaint):
        call()
