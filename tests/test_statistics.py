import doctest
import itertools
import subprocess
import sys

import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
import scipy.stats

from evojax_align import statistics
from evojax_align.statistics import canonical, intervals, multiple, samples

# R's example for wilcox.test: depression scores of nine patients at the first and the second visit
FIRST = [1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30]
SECOND = [0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29]
ALTERNATIVES = ("two-sided", "less", "greater")


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def unchecked(monkeypatch):
    """Signatures are not enforced, as for a user: what is refused then is refused by the function itself."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


def canonical_correlations(x, y):
    x, y = (np.linalg.qr(view - view.mean(0))[0] for view in (x, y))
    return np.linalg.svd(x.T @ y, compute_uv=False)


def test_every_example_in_a_docstring_runs():
    outcomes = [doctest.testmod(module) for module in (canonical, intervals, multiple, samples)]
    assert all(outcome.attempted and not outcome.failed for outcome in outcomes)


# Bartlett


def test_bartlett_agrees_with_a_calculation_by_hand():
    # head lengths of brothers: factor 25 - 1 - 5/2 = 21.5; log(.37827) = -.97215, log(.99712) = -.00289
    result = statistics.bartlett(np.array([0.7885, 0.0537]), 25, 2, 2)
    np.testing.assert_allclose(result.statistics, [20.963, 0.0621], atol=1e-3)
    np.testing.assert_array_equal(result.degrees, [4, 1])
    np.testing.assert_allclose(result.p_values, [0.00032, 0.8032], atol=1e-4)
    assert result.count == 1


def test_bartlett_counts_nothing_in_95_percent_of_independent_views(rng):
    counts = []
    for _ in range(400):
        correlations = canonical_correlations(rng.normal(size=(300, 5)), rng.normal(size=(300, 4)))
        counts.append(statistics.bartlett(correlations, 300, 5, 4).count)
    assert 0.92 <= np.mean(np.array(counts) == 0) <= 0.98


@pytest.mark.parametrize("shared", [1, 2, 4])
def test_bartlett_counts_the_planted_dimensions_in_most_views(rng, shared):
    counts = []
    for _ in range(100):
        signal = rng.normal(size=(400, shared))
        x, y = (
            np.hstack([signal + 0.5 * rng.normal(size=signal.shape), rng.normal(size=(400, 6 - shared))])
            for _ in range(2)
        )
        counts.append(statistics.bartlett(canonical_correlations(x, y), 400, 6, 6).count)
    assert np.mean(np.array(counts) == shared) >= 0.9
    assert min(counts) >= shared


def test_bartlett_gives_uniform_p_values_on_independent_views(rng):
    p_values = [
        statistics.bartlett(
            canonical_correlations(rng.normal(size=(100, 3)), rng.normal(size=(100, 3))), 100, 3, 3
        ).p_values[0]
        for _ in range(300)
    ]
    assert scipy.stats.kstest(p_values, "uniform").pvalue > 0.01


def test_bartlett_stays_finite_at_correlations_of_one():
    result = statistics.bartlett(np.array([1.0, 1.0, 0.0]), 100, 3, 3)
    assert np.isfinite(result.statistics).all()
    assert result.count == 2


def test_correlations_close_to_one_are_not_clipped():
    result = statistics.bartlett(np.array([0.99999]), 100, 1, 1)
    assert result.statistics[0] == pytest.approx(-(99 - 1.5) * np.log(1 - 0.99999**2))


def test_the_first_test_that_is_not_significant_ends_the_count():
    result = statistics.bartlett(np.full(10, 0.25), 100, 10, 10)
    assert result.p_values[0] > 0.05 > result.p_values[-1]
    assert result.count == 0


def test_a_test_is_significant_where_its_p_value_is_below_the_level():
    correlations = np.array([0.3, 0.1])
    p = statistics.bartlett(correlations, 100, 2, 2).p_values[0]
    assert statistics.bartlett(correlations, 100, 2, 2, level=p * 1.001).count >= 1
    assert statistics.bartlett(correlations, 100, 2, 2, level=p * 0.999).count == 0


def test_bartlett_counts_all_where_all_are_significant():
    assert statistics.bartlett(np.array([0.9, 0.8, 0.7]), 1000, 5, 3).count == 3


def test_bartlett_forgives_the_rounding_of_float32():
    result = statistics.bartlett(jnp.array([1.0000002, 0.5, -1e-7], dtype=jnp.float32), 100, 3, 3)
    expected = statistics.bartlett(np.array([1.0, 0.5, 0.0]), 100, 3, 3)
    np.testing.assert_allclose(result.statistics, expected.statistics, atol=1e-4)


def test_bartlett_takes_correlations_in_any_order_and_ignores_those_beyond_the_ranks():
    expected = statistics.bartlett(np.array([0.9, 0.4, 0.1]), 200, 3, 4)
    shuffled = statistics.bartlett(np.array([0.1, 0.01, 0.9, 0.0, 0.4]), 200, 3, 4)
    np.testing.assert_array_equal(shuffled.statistics, expected.statistics)
    assert shuffled.count == expected.count


def test_a_stricter_level_never_counts_more():
    correlations = np.linspace(0.5, 0.02, 10)
    counts = [statistics.bartlett(correlations, 500, 10, 10, level=level).count for level in (0.2, 0.05, 1e-3, 1e-9)]
    assert counts == sorted(counts, reverse=True)
    assert len(set(counts)) > 1


@pytest.mark.parametrize(
    ("correlations", "samples", "p", "q", "message"),
    [
        ([0.5, 0.4], 3, 2, 2, "samples: got 3; expected more than 3.5 for p=2 and q=2"),
        ([0.5, 1.1], 100, 2, 2, "correlations: got values from 0.5 to 1.1"),
        ([0.5, -0.1], 100, 2, 2, "correlations: got values from -0.1 to 0.5"),
        ([0.5, float("nan")], 100, 2, 2, "correlations: got 1 values that are NaN"),
        ([0.5], 100, 2, 2, "correlations: got 1 of them; expected all min"),
        ([0.5], 100, 0, 2, "p: got 0"),
        ([0.5], 100, 2, 0, "q: got 0"),
    ],
)
def test_bartlett_refuses_what_has_no_meaning(correlations, samples, p, q, message):
    with pytest.raises(ValueError, match=message):
        statistics.bartlett(correlations, samples, p, q)


# Wilcoxon


def test_wilcoxon_agrees_with_r():
    result = statistics.wilcoxon(FIRST, SECOND, alternative="greater")
    assert (result.name, result.statistic, result.n) == ("Wilcoxon", 40, 9)
    assert result.p == pytest.approx(0.01953125)


@pytest.mark.parametrize("alternative", ALTERNATIVES)
@pytest.mark.parametrize("n", [1, 2, 7, 50, 51, 200])
def test_wilcoxon_agrees_with_scipy_without_ties(rng, n, alternative):
    x, y = rng.normal(size=(2, n))
    expected = scipy.stats.wilcoxon(x - y, alternative=alternative)
    assert statistics.wilcoxon(x, y, alternative=alternative).p == pytest.approx(expected.pvalue, rel=1e-9)


@pytest.mark.parametrize("alternative", ALTERNATIVES)
def test_wilcoxon_is_exact_with_ties(rng, alternative):
    differences = rng.integers(-3, 4, size=9)
    ranks = scipy.stats.rankdata(np.abs(differences[differences != 0]))
    seen = ranks[differences[differences != 0] > 0].sum()
    sums = np.array([np.dot(ranks, signs) for signs in itertools.product([0, 1], repeat=len(ranks))])
    less, greater = np.mean(sums <= seen), np.mean(sums >= seen)
    expected = {"less": less, "greater": greater, "two-sided": min(1, 2 * min(less, greater))}[alternative]
    result = statistics.wilcoxon(differences, np.zeros(9, dtype=int), alternative=alternative)
    assert result.n == len(ranks) < 9
    assert result.p == pytest.approx(expected)


def test_the_normal_approximation_takes_over_where_it_is_close(rng, monkeypatch):
    x, y = rng.normal(size=(2, 60)) + np.array([[0.3], [0.0]])
    approximate = statistics.wilcoxon(x, y, alternative="greater").p
    monkeypatch.setattr(samples, "EXACT_PAIRS", 60)
    exact = statistics.wilcoxon(x, y, alternative="greater").p
    assert exact != approximate
    assert approximate == pytest.approx(exact, rel=0.05)


def test_wilcoxon_swaps_its_sides_with_its_arguments(rng):
    x, y = rng.normal(size=(2, 20))
    less = statistics.wilcoxon(x, y, alternative="less")
    greater = statistics.wilcoxon(y, x, alternative="greater")
    assert less.p == greater.p
    assert less.statistic + greater.statistic == 20 * 21 / 2


@pytest.mark.parametrize("test", [statistics.wilcoxon, statistics.sign_test])
@pytest.mark.parametrize("alternative", ALTERNATIVES)
def test_equal_values_speak_for_no_claim(test, alternative):
    result = test(np.full(6, 0.3), np.full(6, 0.3), alternative=alternative)
    assert (result.statistic, result.p, result.n) == (0, 1, 0)


def test_infinite_losses_are_larger_than_others_and_tie_with_each_other():
    x = [0.1, 0.2, 0.3, float("inf")]
    y = [0.2, 0.4, float("inf"), float("inf")]
    result = statistics.wilcoxon(x, y, alternative="less")
    assert (result.statistic, result.n) == (0, 3)
    assert result.p == 1 / 8
    assert statistics.win_share(x, y, alternative="less").estimate == 3 / 4


# the sign test and shares


@pytest.mark.parametrize("alternative", ALTERNATIVES)
def test_the_sign_test_is_the_binomial_test_of_the_untied_pairs(rng, alternative):
    x, y = rng.integers(0, 4, size=(2, 30))
    above, below = int(np.sum(x > y)), int(np.sum(x < y))
    result = statistics.sign_test(x, y, alternative=alternative)
    assert (result.name, result.statistic, result.n) == ("sign", above, above + below)
    assert above + below < 30
    assert result.p == pytest.approx(scipy.stats.binomtest(above, above + below, 0.5, alternative).pvalue)


def test_one_outlier_does_not_move_the_sign_test():
    x = np.arange(6.0)
    p = statistics.sign_test(x, x + 1, alternative="less").p
    assert statistics.sign_test(x, x + np.array([1, 1, 1, 1, 1, 1e6]), alternative="less").p == p == 1 / 64


@pytest.mark.parametrize("alternative", ALTERNATIVES)
def test_students_test_agrees_with_its_formula(rng, alternative):
    x, y = rng.normal(size=9), rng.normal(0.3, size=9)
    found, differences = statistics.paired_t(x, y, alternative=alternative), x - y
    value = differences.mean() / (differences.std(ddof=1) / 3)
    of = scipy.stats.t(8)
    tails = {"less": of.cdf(value), "greater": of.sf(value), "two-sided": 2 * of.sf(abs(value))}
    assert (found.statistic, found.p) == (pytest.approx(value), pytest.approx(tails[alternative])) and found.n == 9


def test_students_test_of_equal_differences_is_the_sign_test():
    assert statistics.paired_t([2.0, 3.0, 4.0], [1.0, 2.0, 3.0], alternative="greater").p == 1 / 8
    assert statistics.paired_t([2.0, 3.0, 4.0], [1.0, 2.0, 3.0], alternative="less").p == 1
    assert statistics.paired_t([2.0, 3.0], [2.0, 3.0], alternative="two-sided").p == 1
    for one, other in (([1.0, 9.0], [0.0, 8.0]), ([9.0, 1.0], [8.0, 0.0])):
        assert statistics.paired_t(one, other, alternative="greater").statistic == np.inf
        assert statistics.paired_t(other, one, alternative="less").statistic == -np.inf
        assert statistics.paired_t(one, one, alternative="two-sided").statistic == 0
    with pytest.raises(ValueError, match="infinite"):
        statistics.paired_t([np.inf, 3.0], [2.0, 3.0], alternative="two-sided")


def test_the_interval_of_a_mean_holds_it_as_often_as_it_says(rng):
    found = [statistics.mean_interval(rng.normal(5, 2, 4), level=0.9) for _ in range(2000)]
    assert np.mean([of.low < 5 < of.high for of in found]) == pytest.approx(0.9, abs=0.02)
    with pytest.raises(ValueError, match="at least 2 values"):
        statistics.mean_interval([1.0])


def test_a_tie_is_no_win_for_either_side():
    x, y = [1.0, 2.0, 3.0, 4.0], [2.0, 2.0, 2.0, 2.0]
    assert statistics.win_share(x, y, alternative="less").estimate == 1 / 4
    assert statistics.win_share(x, y, alternative="greater").estimate == 2 / 4


def test_a_share_of_wins_has_one_direction():
    with pytest.raises(ValueError, match="alternative: got 'two-sided'"):
        statistics.win_share([1.0], [2.0], alternative="two-sided")


def test_the_proportion_interval_agrees_with_wilsons_formula():
    n, z = 200, scipy.stats.norm.ppf(0.975)
    share = 197 / n
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    result = statistics.proportion_interval(197, n)
    assert (result.estimate, result.n, result.level) == (share, n, 0.95)
    np.testing.assert_allclose([result.low, result.high], [centre - half, centre + half])


@pytest.mark.parametrize("successes", [0, 1, 10, 19, 20])
def test_the_proportion_interval_holds_its_estimate_and_has_a_width(successes):
    result = statistics.proportion_interval(successes, 20)
    assert 0 <= result.low <= result.estimate <= result.high <= 1
    assert result.high - result.low > 0.1


def test_the_proportion_interval_widens_with_its_level_and_mirrors_its_successes():
    narrow, wide = (statistics.proportion_interval(7, 20, level=level) for level in (0.8, 0.99))
    assert wide.low < narrow.low < narrow.high < wide.high
    mirrored = statistics.proportion_interval(13, 20, level=0.8)
    np.testing.assert_allclose([1 - mirrored.high, 1 - mirrored.low], [narrow.low, narrow.high])


@pytest.mark.parametrize("successes", [-1, 21])
def test_more_successes_than_trials_are_refused(successes):
    with pytest.raises(ValueError, match=f"successes: got {successes}; expected an integer from 0 to n = 20"):
        statistics.proportion_interval(successes, 20)


# the bootstrap


def test_the_bootstrap_agrees_with_the_normal_interval_of_many_values(rng):
    values = rng.normal(loc=3, size=400)
    result = statistics.bootstrap_interval(values, seed=0)
    half = scipy.stats.norm.ppf(0.975) * values.std() / np.sqrt(400)
    np.testing.assert_allclose([result.low, result.high], values.mean() + half * np.array([-1, 1]), atol=0.01)
    assert result.estimate == pytest.approx(values.mean())


def test_the_bootstrap_agrees_with_the_known_law_of_a_resampled_median(rng):
    n = 101
    values = np.sort(rng.exponential(size=n))
    result = statistics.bootstrap_interval(values, statistic=np.median, seed=0, level=0.9)
    # a resampled median is at most the k-th value where at least 51 of the draws are
    law = scipy.stats.binom.sf((n + 1) // 2 - 1, n, np.arange(1, n + 1) / n)
    assert (result.low, result.high) == tuple(values[np.searchsorted(law, [0.05, 0.95])])


def test_the_bootstrap_covers_the_mean_about_as_often_as_it_says(rng):
    intervals = [
        statistics.bootstrap_interval(rng.exponential(size=40), seed=i, resamples=400, level=0.9) for i in range(300)
    ]
    assert 0.82 <= np.mean([i.low <= 1 <= i.high for i in intervals]) <= 0.95


def test_draws_in_several_pieces_give_the_interval_of_draws_in_one(rng, monkeypatch):
    values = rng.normal(size=50)
    expected = statistics.bootstrap_interval(values, seed=3, resamples=1000)
    monkeypatch.setattr(intervals, "RESAMPLED_AT_ONCE", 50 * 300)
    assert statistics.bootstrap_interval(values, seed=3, resamples=1000) == expected


@pytest.mark.parametrize("values", [[0.1], [0.1] * 7])
def test_one_value_or_equal_values_give_a_point(values):
    result = statistics.bootstrap_interval(values, seed=0)
    assert result.low == result.high == pytest.approx(0.1)


def test_the_bootstrap_depends_on_its_seed_alone(rng):
    values = rng.normal(size=20)
    first, again, other = (statistics.bootstrap_interval(values, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_the_bootstrap_gives_the_same_bits_in_a_fresh_process():
    program = "from evojax_align.statistics import *; print(bootstrap_interval([1., 2., 4., 8.], seed=5))"
    there = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert there.strip() == repr(statistics.bootstrap_interval([1.0, 2.0, 4.0, 8.0], seed=5))


def test_the_bootstrap_refuses_infinite_values():
    with pytest.raises(ValueError, match="values: got 1 values that are NaN or infinite"):
        statistics.bootstrap_interval([1.0, float("inf")], seed=0)


# Holm


@pytest.mark.parametrize(
    ("p_values", "expected"),
    [
        ([0.01, 0.02, 0.03, 0.04], [0.04, 0.06, 0.06, 0.06]),  # R: p.adjust(p, "holm")
        ([0.04, 0.01, 0.03], [0.06, 0.03, 0.06]),
        ([0.5, 0.9], [1.0, 1.0]),
        ([0.2], [0.2]),
        ([], []),
    ],
)
def test_holm_agrees_with_r(p_values, expected):
    np.testing.assert_allclose(statistics.holm(p_values), expected)


def test_holm_refuses_exactly_what_its_sequential_procedure_refuses(rng):
    for _ in range(50):
        p = rng.uniform(size=6) ** 3
        refused = np.zeros(6, dtype=bool)
        for i, claim in enumerate(np.argsort(p)):
            if p[claim] > 0.05 / (6 - i):
                break
            refused[claim] = True
        np.testing.assert_array_equal(statistics.holm(p) <= 0.05, refused)


def test_holm_is_never_below_the_p_values_nor_above_bonferroni(rng):
    p = rng.uniform(size=30) ** 2
    corrected = statistics.holm(p)
    assert (corrected >= p).all()
    assert (corrected <= np.minimum(1, 30 * p)).all()


def test_holm_refuses_what_is_no_probability():
    with pytest.raises(ValueError, match=r"p_values: got values from 0\.1 to 1\.2"):
        statistics.holm([0.1, 1.2])


# the door


PAIRED = (statistics.wilcoxon, statistics.sign_test, statistics.win_share)


@pytest.mark.parametrize("test", PAIRED)
def test_paired_tests_refuse_nan_and_say_what_to_do(test):
    with pytest.raises(ValueError, match=r"y: got 1 values that are NaN.*Leave out failed evaluations"):
        test([1.0, 2.0], [1.0, float("nan")], alternative="less")


@pytest.mark.parametrize("test", PAIRED)
def test_paired_tests_refuse_an_unknown_alternative(test):
    with pytest.raises(ValueError, match="Did you mean 'less'"):
        test([1.0], [2.0], alternative="lesser")


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("test", PAIRED)
@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        ([1.0, 2.0], [1.0], "x, y: got 2 and 1 values"),
        ([], [], r"x: got shape \(0,\)"),
        (np.ones((2, 2)), np.ones((2, 2)), r"x: got shape \(2, 2\); expected one dimension"),
    ],
)
def test_paired_tests_refuse_what_is_not_paired(test, x, y, message):
    with pytest.raises(ValueError, match=message):
        test(x, y, alternative="less")


@pytest.mark.parametrize("level", [0.0, 1.0, 95.0])
def test_a_level_is_a_probability(level):
    for call in (
        lambda: statistics.bartlett([0.5], 100, 1, 1, level=level),
        lambda: statistics.proportion_interval(1, 2, level=level),
        lambda: statistics.bootstrap_interval([1.0], seed=0, level=level),
    ):
        with pytest.raises(ValueError, match="level: got"):
            call()


def test_arrays_of_jax_and_numpy_and_lists_give_the_same(rng):
    x, y = np.float32(rng.normal(size=(2, 10)))
    results = [
        statistics.wilcoxon(kind(x), kind(y), alternative="less")
        for kind in (np.asarray, jnp.asarray, lambda v: v.tolist())
    ]
    assert results[0] == results[1] == results[2]


# Mann-Whitney


def test_mann_whitney_agrees_with_the_count_of_all_orders(rng):
    x, y = rng.normal(size=5), rng.normal(size=4)
    values = np.concatenate([x, y])
    above = sum(a > b for a in x for b in y)
    found = statistics.mann_whitney(x, y, alternative="greater")
    counts = []
    for chosen in itertools.combinations(range(9), 5):
        rest = [i for i in range(9) if i not in chosen]
        counts.append(sum(values[i] > values[j] for i in chosen for j in rest))
    assert (found.name, found.statistic, found.n) == ("Mann-Whitney", above, 9)
    assert found.p == pytest.approx(np.mean(np.array(counts) >= above))


def test_mann_whitney_claims_what_the_alternative_says_and_nothing_of_equal_values():
    low, high = [1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0, 9.0]
    assert statistics.mann_whitney(low, high, alternative="less").p < 0.01
    assert statistics.mann_whitney(low, high, alternative="greater").p > 0.99
    assert statistics.mann_whitney([2.0, 2.0], [2.0], alternative="less") == statistics.Test(
        "Mann-Whitney", 1.0, 1.0, 3
    )
    with pytest.raises(ValueError, match=r"y: "):
        statistics.mann_whitney(low, [], alternative="less")


def test_mcnemar_counts_the_samples_that_one_alone_gets_right():
    x = np.array([1, 1, 1, 1, 0, 0, 1, 0, 1, 1], bool)
    y = np.array([1, 0, 0, 0, 0, 1, 1, 0, 0, 0], bool)
    found = statistics.mcnemar(x, y, alternative="two-sided")
    assert (found.name, found.statistic, found.n) == ("McNemar", 5.0, 6)
    assert found.p == pytest.approx(scipy.stats.binomtest(5, 6).pvalue)
    assert statistics.mcnemar(x, x, alternative="greater").p == 1
    with pytest.raises(ValueError, match="x: got values that are neither 0 nor 1"):
        statistics.mcnemar([0.5, 1.0], [0.0, 1.0], alternative="less")
