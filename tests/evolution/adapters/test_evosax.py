"""Strategies of evosax with the interface of `Neuroevolution`, and its problems as fitness functions."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import evojax_align as ea
from evojax_align.evolution import Evaluation, Neuroevolution
from evojax_align.evolution.adapters import Strategy, problem

problems = pytest.importorskip("evosax.problems", reason="evosax (extra `evosax`) is not installed")

ALGORITHMS = {
    "Open_ES": {"deviation": 0.1, "options": {"optimizer": optax.adam(0.05)}},
    "Sep_CMA_ES": {"deviation": 0.2},
    "SimpleGA": {"deviation": 0.1, "params": {"crossover_rate": 0.5}},
}
EACH = pytest.mark.parametrize("name", ALGORITHMS)


def made(name, size=16):
    return Strategy(name, size, **ALGORITHMS[name])


def run(strategy, state, fitness, keys):
    return jax.lax.scan(lambda state, key: strategy.step(key, state, fitness), state, keys)


def quadratic(key, params):
    return -sum(jnp.sum((leaf - 1.0) ** 2) for leaf in jax.tree.leaves(params))


@EACH
def test_a_quadratic_is_climbed_in_a_scan(key, name):
    strategy = made(name)
    state = strategy.init(key, lambda key: {"a": jnp.zeros(3), "b": {"c": jax.random.normal(key, (2, 2))}})
    state, infos = run(strategy, state, quadratic, jax.random.split(jax.random.key(1), 60))
    assert infos.best.shape == (60,) and int(state.generation) == 60 and int(state.evaluations) == 960
    assert float(state.champion_fitness) > 0.2 * float(infos.best[0])
    assert float(quadratic(None, state.champion)) == pytest.approx(float(state.champion_fitness), rel=1e-5)
    assert float(state.champion_fitness) == float(infos.best.max())


@EACH
def test_a_network_improves_and_six_steps_are_two_and_four_after_a_checkpoint(tmp_path, same, key, curve, draw, name):
    strategy, keys = made(name), jax.random.split(jax.random.key(1), 6)
    state = begun = strategy.init(key, draw)
    for key_step in keys[:2]:
        state, info = strategy.step(key_step, state, curve)
    leaves, structure = jax.tree.flatten(state)
    np.savez(tmp_path / "state.npz", *leaves)
    with np.load(tmp_path / "state.npz") as stored:
        state = jax.tree.unflatten(structure, [jnp.asarray(stored[name]) for name in stored.files])
    for key_step in keys[2:]:
        state, info = strategy.step(key_step, state, curve)
    whole, infos = run(strategy, begun, curve, keys)
    assert same(whole, state) and float(info.best) == float(infos.best[-1])
    assert float(state.champion_fitness) > float(infos.best[0])
    ea.crossover.uniform(key, state.champion, draw(key))  # of equal structure, shapes and types


@EACH
def test_ask_and_tell_do_what_a_step_does(same, key, curve, draw, name):
    strategy = made(name)
    state = told = strategy.init(key, draw)
    for key_step in jax.random.split(jax.random.key(1), 3):
        key_ask, key_judge, key_tell = jax.random.split(key_step, 3)
        state, info = strategy.step(key_step, state, curve)
        asked, told = strategy.ask(key_ask, told)
        values = ea.population.map(partial(curve, key_judge), asked)
        told, of_tell = strategy.tell(key_tell, asked, Evaluation(values), told)
        assert same(state, told) and same(info, of_tell)


@EACH
def test_nan_is_the_worst_and_never_the_champion(key, name):
    def fails_on_one_side(key, params):
        return jnp.where(params["w"][0] > 0.3, jnp.nan, -jnp.sum((params["w"] - 1) ** 2))

    strategy = made(name)
    state = strategy.init(key, lambda key: {"w": 0.1 * jax.random.normal(key, (4,))})
    state, infos = run(strategy, state, fails_on_one_side, jax.random.split(jax.random.key(1), 40))
    assert int(infos.failed.sum()) > 10
    assert float(state.champion["w"][0]) <= 0.3 and bool(jnp.isfinite(state.champion_fitness))
    assert float(state.champion_fitness) == float(infos.best.max()) > float(infos.best[0])
    assert float(state.fittest["w"][0]) <= 0.3
    assert all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(state.members))


def test_a_population_never_breeds_from_a_network_that_failed(key):
    strategy = Strategy("SimpleGA", 8, deviation=1e-6)
    founders = {"w": jnp.array([jnp.nan] * 6 + [1.0, 2.0])}  # more than half
    state = strategy.init(key, founders)
    state, info = strategy.step(key, state, lambda key, params: params["w"])
    assert int(info.failed) == 6
    state, info = strategy.step(key, state, lambda key, params: params["w"])
    assert int(info.failed) == 0


def test_founders_of_a_distribution_begin_at_the_first(key):
    founders = {"w": jnp.arange(4.0)[:, None] + 5}
    strategy = Strategy("Sep_CMA_ES", 4, deviation=0.1)
    state = strategy.init(key, founders)
    assert strategy.mean(state)["w"].tolist() == [5.0]
    asked, _ = strategy.ask(key, state)
    assert bool((jnp.abs(asked["w"] - 5) < 0.6).all())


def test_a_deviation_is_that_of_the_first_samples(key):
    for name in ("Open_ES", "Sep_CMA_ES", "SNES"):
        strategy = Strategy(name, 64, deviation=0.05)
        asked, _ = strategy.ask(key, strategy.init(key, lambda key: {"w": jnp.zeros(100)}))
        assert float(asked["w"].std()) == pytest.approx(0.05, rel=0.05)


def test_data_is_handed_over_and_samples_are_averaged(key):
    strategy = Strategy("Open_ES", 4, samples=64)
    state = strategy.init(key, lambda key: {"w": jnp.zeros(2)})
    noisy = lambda key, params, data: data + jax.random.normal(key)
    state, info = strategy.step(key, state, noisy, jnp.array(7.0))
    assert abs(float(info.mean) - 7) < 0.6 and int(state.evaluations) == 256


def test_float64_is_told_in_the_precision_of_the_strategy(key):
    with jax.enable_x64(True):
        strategy = Strategy("SimpleGA", 4, deviation=0.1)
        state = strategy.init(key, lambda key: {"w": jnp.zeros(2, jnp.float32)})
        state, _ = run(
            strategy, state, lambda key, params: -jnp.sum(params["w"].astype(float) ** 2), jax.random.split(key, 3)
        )
    assert state.champion["w"].dtype == jnp.float32


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"algorithm": "SimpleGa"}, "algorithm: got 'SimpleGa'.*Did you mean 'SimpleGA'"),
        ({"algorithm": dict}, "algorithm: got <class 'dict'>"),
        ({"size": 0}, "size: got 0"),
        ({"deviation": -1.0}, "deviation: got -1.0"),
        ({"options": {"optimiser": None}}, "options: got 'optimiser'.*Did you mean 'optimizer'"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Strategy(**{"algorithm": "Open_ES", "size": 4} | settings)


def test_what_only_the_network_shows_is_refused_by_init(key):
    draw = lambda key: {"w": jnp.zeros(2)}
    with pytest.raises(ValueError, match=r"size, options: got 3.*even"):
        Strategy("Open_ES", 3).init(key, draw)
    with pytest.raises(ValueError, match="params: got 'rate'"):
        Strategy("SimpleGA", 4, params={"rate": 0.5}).init(key, draw)
    with pytest.raises(ValueError, match=r"deviation: got 0\.1 for PSO"):
        Strategy("PSO", 4, deviation=0.1).init(key, draw)
    with pytest.raises(ValueError, match="int32 at the leaf 'n'"):
        Strategy("SimpleGA", 4).init(key, lambda key: {"n": jnp.array(1)})
    with pytest.raises(ValueError, match="init_fn: got a population of 3"):
        Strategy("SimpleGA", 4).init(key, {"w": jnp.zeros((3, 2))})


def test_a_population_has_no_mean_and_failures_of_all_are_refused(key):
    strategy = Strategy("SimpleGA", 4)
    state = strategy.init(key, lambda key: {"w": jnp.zeros(2)})
    with pytest.raises(ValueError, match="samples from a distribution"):
        strategy.mean(state)
    with pytest.raises(ValueError, match="NaN for all"):
        strategy.step(key, state, lambda key, params: jnp.nan * params["w"].sum())
    with pytest.raises(ValueError, match="values: got 3 values"):
        strategy.tell(key, state.members, [1.0, 2.0, 3.0], state)


def test_a_problem_is_a_fitness_function_larger_is_better(key):
    sphere = problems.BBOBProblem("sphere", num_dims=3)
    fitness, points = problem(sphere), jax.random.normal(key, (5, 3))
    with jax.numpy_rank_promotion("allow"):
        losses, _, _ = sphere.eval(key, points, sphere.init(key))
    np.testing.assert_allclose([fitness(key, point) for point in points], -losses, rtol=1e-5)
    ga = Neuroevolution(size=16, mutation=0.3)
    state = ga.init(key, sphere.sample)
    state, infos = jax.lax.scan(lambda state, key: ga.step(key, state, fitness), state, jax.random.split(key, 20))
    assert float(infos.best[-1]) > float(infos.best[0])


def test_rewards_of_a_problem_are_not_negated_and_others_have_to_be_told(key):
    class Own:
        def init(self, key):
            return None

        def eval(self, key, solutions, state):
            return solutions.sum(axis=-1), state, {}

    with pytest.raises(ValueError, match="maximise: got None for a Own"):
        problem(Own())
    with pytest.raises(ValueError, match="task: got 3"):
        problem(3)
    assert float(problem(Own(), maximise=True)(key, jnp.ones(3))) == 3
    assert float(problem(Own(), maximise=False)(key, jnp.ones(3))) == -3


def test_a_reinforcement_problem_of_evosax_rewards(key):
    pytest.importorskip("gymnax")
    policy = problems.MLP(layer_sizes=(4, 2))
    fitness = problem(problems.GymnaxProblem("CartPole-v1", policy, episode_length=20, num_rollouts=2))
    assert 5 < float(fitness(key, policy.init(key, jnp.zeros(4), key))) <= 20
