import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, PartitionSpec

from evojax_align.evolution import selection


def test_the_best_come_first_and_the_first_of_equals():
    fitness = jnp.array([0.2, 0.9, 0.5, 0.9])
    assert selection.best(fitness, 3).tolist() == [1, 3, 2]
    many = np.random.default_rng(0).integers(0, 3, 100).astype(np.float32)  # so many that an unstable sort mixes them
    assert selection.best(jnp.asarray(many), 100).tolist() == np.argsort(-many, kind="stable").tolist()


def test_a_failed_evaluation_is_worse_than_any_other():
    fitness = jnp.array([jnp.nan, -5.0, jnp.inf, jnp.nan])
    assert selection.best(fitness, 4).tolist() == [2, 1, 0, 3]


def test_couples_are_two_different_members_and_all_alike_likely(key):
    pool = jnp.array([7, 3, 5])
    couples = np.asarray(selection.couples(key, pool, 6000))
    assert couples.shape == (6000, 2) and (couples[:, 0] != couples[:, 1]).all()
    pairs, counts = np.unique(couples, axis=0, return_counts=True)
    assert len(pairs) == 6 and set(pairs.ravel().tolist()) == {3, 5, 7}
    assert np.abs(counts - 1000).max() < 150


def test_too_small_a_choice_is_refused(key):
    with pytest.raises(ValueError, match="pool: got 1 parents"):
        selection.couples(key, jnp.array([0]), 2)
    with pytest.raises(ValueError, match="count: got 3"):
        selection.best(jnp.zeros(2), 3)
    with pytest.raises(ValueError, match="count: "):
        selection.best(jnp.zeros(2), 0)


def test_selection_is_the_same_under_jit(key):
    fitness = jax.random.normal(key, (9,))
    compiled = jax.jit(lambda f: selection.best(f, 4))(fitness)
    assert compiled.tolist() == selection.best(fitness, 4).tolist()


def plainly(objectives):
    """Fronts by definition: take away those whom nobody left dominates."""
    left, front, number = set(range(len(objectives))), {}, 0
    while left:

        def dominated(i, left=left):
            return any(np.all(objectives[j] >= objectives[i]) and np.any(objectives[j] > objectives[i]) for j in left)

        now = {i for i in left if not dominated(i)}
        front |= dict.fromkeys(now, number)
        left, number = left - now, number + 1
    return [front[i] for i in range(len(objectives))]


@pytest.mark.parametrize("seed", range(3))
def test_fronts_are_found_by_definition(seed):
    objectives = np.random.default_rng(seed).integers(0, 7, (40, 2 + seed % 2)).astype(np.float32)  # with ties
    assert selection.fronts(jnp.asarray(objectives)).tolist() == plainly(objectives)


@pytest.mark.slow
def test_ends_of_a_front_are_least_crowded_and_the_rest_by_its_neighbours():
    objectives = jnp.array([[0.0, 10.0], [1.0, 6.0], [4.0, 5.0], [10.0, 0.0], [0.0, 0.0]])
    front = selection.fronts(objectives)
    assert front.tolist() == [0, 0, 0, 0, 1]
    found = selection.crowding(objectives, front)
    assert np.isinf(found[jnp.array([0, 3, 4])]).all()
    np.testing.assert_allclose(found[1], 4 / 10 + 5 / 10, rtol=1e-6)
    np.testing.assert_allclose(found[2], 9 / 10 + 6 / 10, rtol=1e-6)
    assert selection.by_dominance(objectives).tolist() == [0, 3, 2, 1, 4]


def test_who_failed_is_in_the_last_front():
    objectives = jnp.array([[jnp.nan, jnp.nan], [0.0, 1.0], [jnp.nan, 0.5], [1.0, 0.0]])
    assert selection.fronts(objectives).tolist() == [2, 0, 1, 0]
    assert selection.by_dominance(objectives).tolist()[-1] == 0


def test_fronts_are_found_inside_a_shard_map_and_in_64_bit_mode():
    objectives = np.array([[1.0, 3.0], [2.0, 2.0], [1.0, 1.0], [0.0, 2.0]])
    mesh, spec = jax.make_mesh((1,), ("devices",), axis_types=(AxisType.Auto,)), PartitionSpec("devices")
    found = jax.jit(jax.shard_map(selection.fronts, mesh=mesh, in_specs=spec, out_specs=spec))(jnp.array(objectives))
    assert found.tolist() == [0, 0, 1, 1]
    with jax.enable_x64(True):
        found = selection.fronts(jnp.array(objectives))
        assert found.tolist() == [0, 0, 1, 1] and found.dtype == jnp.int32


competition, attraction = jax.jit(selection.competition), jax.jit(selection.attraction)
proportional = jax.jit(selection.proportional, static_argnums=2)
survivors = jax.jit(selection.survivors, static_argnums=1)


def crowding_by_definition(objectives):
    """Of one front: over all objectives the distance of the neighbours by the range."""
    found = np.zeros(len(objectives))
    for values in objectives.T:
        order = np.argsort(values)
        found[order[[0, -1]]] = np.inf
        for before, member, behind in zip(order, order[1:], order[2:], strict=False):
            found[member] += (values[behind] - values[before]) / np.ptp(values)
    return found


@pytest.mark.parametrize(("seed", "count"), [(0, 1), (1, 10), (2, 17), (3, 30)])
def test_survivors_are_whole_fronts_and_the_least_crowded_of_the_last(seed, count):
    objectives = np.random.default_rng(seed).normal(size=(30, 2 + seed % 2))
    front, expected = np.array(plainly(objectives)), []
    for number in range(front.max() + 1):
        members = np.flatnonzero(front == number)
        crowding = crowding_by_definition(objectives[members])
        expected.append(members[np.argsort(-crowding, kind="stable")])
    found = survivors(jnp.asarray(objectives, jnp.float32), count)
    assert found.tolist() == np.concatenate(expected)[:count].tolist()


def test_who_failed_on_one_objective_survives_last():
    objectives = jnp.array([[jnp.nan, 9.0], [0.0, 0.0], [1.0, 1.0], [9.0, jnp.nan], [-jnp.inf, -jnp.inf]])
    assert survivors(objectives, 3).tolist() == [2, 1, 4]
    assert sorted(survivors(objectives, 5)[3:].tolist()) == [0, 3]
    with pytest.raises(ValueError, match="count: got 6; expected at most 5"):
        selection.survivors(objectives, 6)


SHARED = np.array([[1.0, 1.0, 0.0], [1.0, 0.0, 0.0], [1.0, 0.5, 0.5]], np.float32)
"""Three members on three samples: z is (3, 1.5, 0.5) and the capacity (1, 1, 0.5)."""


def test_three_members_share_what_three_samples_give():
    found = competition(jnp.asarray(SHARED))
    np.testing.assert_allclose(found, [1 / 3 + 1 / 1.5, 1 / 3, 1 / 3 + 0.5 / 1.5 + 0.5 * 0.5 / 0.5], rtol=1e-6)
    assert found.sum() == pytest.approx(1 + 1 + 0.5)


def test_three_members_attract_by_what_the_first_lacks():
    to_second = np.array([1 / 1.5, 0, 0.5 / 1.5 + 0.5 * 0.5 / 0.5])
    np.testing.assert_allclose(attraction(jnp.asarray(SHARED), 1), to_second / to_second.sum(), rtol=1e-6)
    to_first = np.array([0, 0, 1.0])  # only the third scores where the first does not
    np.testing.assert_allclose(attraction(jnp.asarray(SHARED), 0), to_first)


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("capacity", [None, np.array([1.0, 2, 0, 1, 3, 1, 1])])
def test_competition_and_attraction_are_those_of_the_formulas(alpha, capacity):
    s = np.random.default_rng(0).uniform(size=(5, 7)) * (np.random.default_rng(1).uniform(size=(5, 7)) < 0.5)
    s[:, 3] = 0  # nobody scores
    c = s.max(0) if capacity is None else capacity
    with jax.enable_x64(True):
        settings = {"alpha": alpha, "capacity": None if capacity is None else jnp.asarray(capacity)}
        fitness = competition(jnp.asarray(s), **settings)
        mates = [attraction(jnp.asarray(s), first, **settings) for first in range(5)]
    expected, attracted = np.zeros(5), np.zeros((5, 5))
    for j in range(7):
        z = s[:, j].sum()
        for i in range(5):
            if z > 0:
                expected[i] += s[i, j] * c[j] / z**alpha
            for b in range(5):
                if z > 0:
                    attracted[i, b] += c[j] / z**alpha * max(s[b, j] - s[i, j], 0)
    np.testing.assert_allclose(fitness, expected, rtol=1e-10)
    np.testing.assert_allclose(mates, attracted / attracted.sum(1, keepdims=True), rtol=1e-10)


def test_without_competition_fitness_is_the_number_of_samples_solved():
    solved = np.random.default_rng(0).uniform(size=(6, 30)) < 0.4
    assert competition(jnp.asarray(solved), alpha=0).tolist() == solved.sum(1).tolist()
    assert competition(jnp.asarray(solved.astype(int)), alpha=0).tolist() == solved.sum(1).tolist()


def test_a_member_with_a_score_that_is_nan_takes_nothing_and_is_nobodys_mate():
    scores = jnp.asarray(np.vstack([SHARED, [[5.0, jnp.nan, 5.0]]]))
    found = competition(scores)
    assert np.isnan(found).tolist() == [False, False, False, True]
    assert attraction(scores, 1)[3] == 0
    assert selection.best(found, 4).tolist()[-1] == 3
    only = jnp.asarray([[1.0, 0.0], [jnp.nan, 1.0]])
    assert attraction(only, 0).tolist() == [1.0, 0.0]


def test_where_nobody_adds_anything_all_others_are_mates():
    solved = jnp.array([[True, True], [True, False], [False, True], [False, False]])
    np.testing.assert_allclose(attraction(solved, 0), [0, 1 / 3, 1 / 3, 1 / 3], rtol=1e-6)
    assert attraction(solved[:1], 0).tolist() == [1.0]
    np.testing.assert_allclose(attraction(jnp.zeros((3, 2)), 1), [0.5, 0, 0.5])
    assert competition(jnp.zeros((3, 2))).tolist() == [0, 0, 0]


def test_mates_of_many_first_parents_are_found_at_once():
    found = jax.jit(jax.vmap(selection.attraction, (None, 0)))(jnp.asarray(SHARED), jnp.array([2, 0]))
    each = [attraction(jnp.asarray(SHARED), first) for first in (2, 0)]
    np.testing.assert_allclose(found, each, rtol=1e-6)


def test_competition_of_low_precision_is_computed_in_float32():
    scores = jnp.asarray(SHARED, jnp.bfloat16)
    assert competition(scores).dtype == jnp.float32
    np.testing.assert_array_equal(competition(scores), competition(jnp.asarray(SHARED)))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"scores": -jnp.ones((2, 2))}, r"scores: got scores below 0; expected at least 0\. Subtract"),
        ({"scores": jnp.ones((2, 2)), "alpha": -1.0}, r"alpha: got -1\.0; expected one finite number of at least 0"),
    ],
)
def test_scores_and_strengths_below_zero_are_refused(settings, message):
    for choose in (selection.competition, lambda **settings: selection.attraction(first=0, **settings)):
        with pytest.raises(ValueError, match=message):
            choose(**settings)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_members_are_drawn_in_proportion_to_their_fitness(dtype, key):
    fitness = jnp.array([0.0, 1.0, jnp.nan, 3.0, 0.0], dtype)
    counts = np.bincount(proportional(key, fitness, 8000), minlength=5)
    assert counts[[0, 2, 4]].tolist() == [0, 0, 0] and counts[1] == pytest.approx(2000, abs=150)


def test_without_fitness_all_who_did_not_fail_are_drawn_alike(key):
    counts = np.bincount(proportional(key, jnp.array([0.0, jnp.nan, 0.0]), 4000), minlength=3)
    assert counts[1] == 0 and counts[0] == pytest.approx(2000, abs=150)
    assert set(proportional(key, jnp.array([2.0, jnp.inf, jnp.nan, jnp.inf]), 100).tolist()) == {1, 3}
    with pytest.raises(ValueError, match=r"fitness: got -1\.0; expected at least 0"):
        selection.proportional(key, jnp.array([2.0, -1.0, jnp.nan]), 3)
