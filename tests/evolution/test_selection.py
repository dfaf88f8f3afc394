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
