"""The genetic algorithm as a whole: equal ways to run it, checkpoints, devices, programs."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import evojax_align as ea
from evojax_align import alignment
from evojax_align.evolution import (
    Aligned,
    Evaluation,
    Fronts,
    Islands,
    Neuroevolution,
    Niches,
    SafeGradient,
    Tournament,
)
from evojax_align.evolution.neuroevolution import generation

CROSSOVERS = ("none", "arithmetic", "spherical", "uniform", "neurons", "layers", "blocks", "one_point", "line")
ALIGNMENTS = {
    "none": "none",
    "mutual": "mutual",
    "correlation": "correlation",
    "weights": alignment.Weights(restarts=1),
    "random": "random",
    "dead neurons": alignment.DeadOnly(),
    "a tenth": Aligned("mutual", share=0.1),
    "every other generation": Aligned("mutual", every=2),
    "the population": Aligned("mutual", of="population", every=2),
    "the founders": Aligned("mutual", of="founders"),
}


FAST = ("neurons", "correlation", "the population")


def some(names):
    """The further cases are for the slow lane."""
    return [name if name in FAST else pytest.param(name, marks=pytest.mark.slow) for name in names]


def run(ga, state, fitness, keys):
    return jax.lax.scan(lambda state, key: ga.step(key, state, fitness), state, keys)[0]


@pytest.mark.parametrize("crossover", some(CROSSOVERS))
def test_ten_steps_are_four_and_six_after_a_checkpoint(tmp_path, same, network, x, curve, draw, crossover):
    ga = Neuroevolution(network.apply, size=6, crossover=crossover, probe=x)
    keys = jax.random.split(jax.random.key(1), 10)
    state = ga.init(jax.random.key(0), draw)
    whole = run(ga, state, curve, keys)
    leaves, structure = jax.tree.flatten(run(ga, state, curve, keys[:4]))
    np.savez(tmp_path / "state.npz", *leaves)
    with np.load(tmp_path / "state.npz") as stored:
        resumed = jax.tree.unflatten(structure, [jnp.asarray(stored[name]) for name in stored.files])
    assert same(whole, run(ga, resumed, curve, keys[4:]))
    assert int(whole.evaluations) == 60


@pytest.mark.slow
@pytest.mark.parametrize("name", some(ALIGNMENTS))
def test_ask_and_tell_do_what_a_step_does(same, network, x, curve, draw, name):
    ga = Neuroevolution(network.apply, size=6, crossover="neurons", alignment=ALIGNMENTS[name], probe=x)
    state = told = ga.init(jax.random.key(0), draw)
    for key in jax.random.split(jax.random.key(1), 4):
        key_ask, key_judge, key_tell = jax.random.split(key, 3)
        state, info = ga.step(key, state, curve)
        asked, told = ga.ask(key_ask, told)
        values = ea.population.map(partial(curve, key_judge), asked)
        told, of_tell = ga.tell(key_tell, asked, values, told)
        assert same(state, told) and same(info, of_tell)
    assert float(state.champion_fitness) == float(jnp.max(state.fitness))


@pytest.mark.slow
def test_generations_in_one_program_are_those_one_by_one(same, network, x, curve, draw):
    ga = Neuroevolution(network.apply, size=6, crossover="neurons", alignment="mutual", probe=x)
    keys = jax.random.split(jax.random.key(1), 5)
    state = ga.init(jax.random.key(0), draw)
    whole = run(ga, state, curve, keys)
    for key in keys:
        state, _ = ga.step(key, state, curve)
    assert same(whole, state)


@pytest.mark.slow
def test_founders_that_were_evaluated_at_once_begin_with_the_first_children(same, curve, draw):
    ga = Neuroevolution(size=6, children=2, elites=6)
    state = ga.init(jax.random.key(0), draw, curve)
    assert int(state.generation) == 1 and int(state.evaluations) == 6
    keys = jax.random.split(jax.random.key(1), 5)
    end = run(ga, state, curve, keys)
    assert int(end.evaluations) == 6 + 10
    late = ga.init(jax.random.key(0), draw)  # the same without a scan
    for key in [jax.random.split(jax.random.key(0))[1], *keys]:
        late, info = ga.step(key, late, curve)
    assert same(end.members, late.members) and info.fitness.shape == (2,)


@pytest.mark.slow
def test_a_new_closure_of_the_same_code_compiles_nothing(network, x, draw):
    ga = Neuroevolution(size=4)

    def fitness_of(target):
        return lambda key, params: -jnp.mean((network.apply(params, x) - target) ** 2)

    state = ga.init(jax.random.key(0), draw)
    ends = []
    for number in range(3):
        state, _ = ga.step(jax.random.key(number), state, fitness_of(x[:, :1] * number))
        ends.append(float(state.champion_fitness))
    compiled = generation.step._cache_size()
    again, _ = ga.step(jax.random.key(3), state, fitness_of(x[:, :1] * 3))
    assert generation.step._cache_size() == compiled
    other, _ = ga.step(jax.random.key(3), state, fitness_of(x[:, :1] * 30))
    assert not (again.fitness == other.fitness).all()  # what is closed over still counts


@pytest.mark.parametrize("kind", ["jit", "scan", "jit in jit"])
def test_what_a_jitted_fitness_closes_over_counts_too(kind):
    def fitness_of(weights):
        inner = jax.jit(lambda w: jnp.sum(w * weights))
        if kind == "scan":
            inner = lambda w: jax.lax.scan(lambda c, _: (c + jax.jit(lambda v: v @ weights)(w), None), 0.0, length=1)[0]
        elif kind == "jit in jit":
            inner = jax.jit(lambda w, of=inner: of(w))
        return lambda key, params: inner(params["w"])

    ga = Neuroevolution(size=2, mutation=0.0)
    state = ga.init(jax.random.key(0), {"w": jnp.array([[1.0, 0.0], [0.0, 1.0]])})
    found = [
        ga.step(jax.random.key(1), state, fitness_of(jnp.array(weights)))[0].fitness.tolist()
        for weights in ([1.0, 2.0], [3.0, 4.0])
    ]
    assert found == [[2.0, 1.0], [4.0, 3.0]]
    compiled = generation.first_step._cache_size()
    ga.step(jax.random.key(1), state, fitness_of(jnp.array([3.0, 4.0])))
    assert generation.first_step._cache_size() == compiled


@pytest.mark.slow
def test_tasks_that_differ_in_a_number_alone_are_other_programs(key):
    policy = ea.models.MLP((4,), 1, output_bias=True)
    ga = Neuroevolution(size=4, mutation=0.1)
    founders = ea.population.init(lambda key: policy.init(key, jnp.zeros((1, 6))), key, 4)
    for angle in (0.07, 0.5):
        fitness = ea.evolution.tasks.DoublePole(angle=angle, limit=50).fitness(policy.apply)
        state, _ = ga.step(key, ga.init(key, founders), fitness)
        alone = [float(fitness(key, params).fitness) for params in ea.population.unstack(state.members)]
        assert state.fitness.tolist() == alone


def test_the_best_of_an_island_outlives_a_migration():
    """Children fail, so that elites alone keep the fitness."""
    ga = Neuroevolution(
        size=6, elites=2, islands=Islands(2, every=1), crossover="none", mutation=lambda key, params: {"w": -1.0}
    )
    state = ga.init(jax.random.key(0), {"w": jnp.array([1.0, 2, 3, 7, 8, 9])})
    for number in range(3):
        state, _ = ga.step(jax.random.key(number), state, lambda key, params: params["w"])
        assert float(state.fitness.max()) == 9.0
        islands = np.asarray(state.fitness).reshape(2, 3)
        np.testing.assert_array_equal(islands, -np.sort(-islands, axis=1))


@pytest.mark.slow
def test_scores_below_zero_are_competed_for_from_the_lowest_of_them(draw, network, x):
    def fitness(key, params):
        losses = (network.apply(params, x)[:, 0] - x[:, 0]) ** 2
        return Evaluation(-losses.mean(), scores=-losses)

    ga = Neuroevolution(size=16, selection=Niches(), mutation=0.05)
    state = ga.init(jax.random.key(0), draw, fitness)
    end = run(ga, state, fitness, jax.random.split(jax.random.key(1), 30))
    assert float(end.fitness.mean()) > 0.7 * float(state.fitness.mean())


@pytest.mark.slow
def test_data_is_an_argument_of_the_program(network, x, draw):
    ga = Neuroevolution(network.apply, size=4, crossover="neurons", alignment="mutual", probe="data", probe_size=8)

    def fitness(key, params, data):
        inputs, targets = data
        return -jnp.mean((network.apply(params, inputs) - targets) ** 2)

    state = ga.init(jax.random.key(0), draw)
    for number in range(3):
        state, _ = ga.step(jax.random.key(number), state, fitness, (x, x[:, :1] * number))
    compiled = generation.step._cache_size()
    ga.step(jax.random.key(5), state, fitness, (x, x[:, :1] ** 2))
    assert generation.step._cache_size() == compiled


@pytest.mark.slow
def test_a_network_that_failed_is_never_selected(draw, curve):
    def failing(key, params):
        value = curve(key, params)
        return jnp.where(value < -1.0, value, jnp.nan)  # most of them fail

    ga = Neuroevolution(size=8, elites=2, mutation=0.5)
    members = ea.population.init(draw, jax.random.key(0), 8)
    members = jax.tree.map(lambda leaf: leaf.at[0].multiply(9.0), members)  # one that does not
    state = ga.init(jax.random.key(0), members)
    for key in jax.random.split(jax.random.key(1), 4):
        worked = np.flatnonzero(~np.isnan(np.asarray(state.fitness)))
        first = int(state.generation) == 0
        state, info = ga.step(key, state, failing)
        assert first or set(np.asarray(info.births.parents).ravel().tolist()) <= set(worked.tolist())
        assert not jnp.isnan(state.fitness[0])
        assert int(info.failed) == int(jnp.isnan(info.fitness).sum())


@pytest.mark.slow
def test_noise_is_averaged_over_samples_and_elites_can_be_evaluated_again():
    def noisy(key, params):
        return params["w"] + jax.random.normal(key)

    ga = Neuroevolution(size=8, elites=2, samples=50, reevaluate=True, mutation=0.0)
    state = ga.init(jax.random.key(0), {"w": jnp.arange(8.0)})
    state, first = ga.step(jax.random.key(1), state, noisy)
    state, second = ga.step(jax.random.key(2), state, noisy)
    assert jnp.std(first.fitness - jnp.arange(8.0)) < 1e-5  # all networks of a generation get the same key
    assert abs(float(first.fitness[7]) - 7) < 1 and float(second.fitness[0]) != float(first.fitness[7])
    assert second.fitness.shape == (8,) and second.births.parents[:2].tolist() == [[0, 0], [1, 1]]
    assert int(state.evaluations) == 800


@pytest.mark.slow
def test_several_objectives_keep_a_front():
    def fitness(key, params):
        w = params["w"]
        return Evaluation(-jnp.sum(w**2), scores=-jnp.stack([jnp.sum(w**2), jnp.sum((w - 2) ** 2)]))

    ga = Neuroevolution(size=16, elites=16, selection=Fronts(), crossover="arithmetic", mutation=0.1)
    state = ga.init(jax.random.key(0), lambda key: {"w": 4 * jax.random.normal(key, (1,))}, fitness)
    state = run(ga, state, fitness, jax.random.split(jax.random.key(1), 30))
    w = jnp.sort(state.members["w"][:, 0])
    assert w[0] < 0.2 and w[-1] > 1.8 and bool(((w > -0.3) & (w < 2.3)).all())
    assert float(jnp.max(jnp.diff(w))) < 0.6  # spread along it


@pytest.mark.slow
def test_competition_keeps_members_that_solve_different_samples():
    def fitness(key, params):
        solved = jnp.abs(params["w"] - jnp.arange(4.0)) < 0.3
        return Evaluation(jnp.mean(solved), scores=solved)

    founders = {"w": jnp.array([[0.0, 9, 9, 9]] * 5 + [[9.0, 1, 9, 9], [9.0, 9, 2, 3], [9.0, 9, 9, 3]])}
    ga = Neuroevolution(size=8, elites=8, children=4, selection=Niches(), crossover="uniform", mutation=0.01)
    state = run(ga, ga.init(jax.random.key(0), founders, fitness), fitness, jax.random.split(jax.random.key(1), 40))
    assert float(state.champion_fitness) == 1.0


@pytest.mark.slow
def test_islands_breed_apart_and_exchange_their_best():
    def fitness(key, params):
        return params["w"]

    founders = {"w": jnp.array([0.0, 1, 2, 3, 100, 101, 102, 103])}
    apart = Neuroevolution(size=8, elites=2, islands=Islands(2, every=0), crossover="arithmetic", mutation=0.0)
    state = run(apart, apart.init(jax.random.key(0), founders), fitness, jax.random.split(jax.random.key(1), 6))
    values = state.members["w"].reshape(2, 4)
    assert bool((values[0] <= 3).all()) and bool((values[1] >= 100).all())
    assert int(state.ancestors[0, 7]) == -1  # unrelated
    joined = Neuroevolution(size=8, elites=2, islands=Islands(2, every=3), crossover="arithmetic", mutation=0.0)
    state = joined.init(jax.random.key(0), founders)
    for number, key in enumerate(jax.random.split(jax.random.key(1), 3), start=1):
        state, _ = joined.step(key, state, fitness)
        values = state.members["w"].reshape(2, 4)
        assert bool((values[0] > 50).any()) == (number == 3)
    assert float(values[0, 0]) == 103.0 and float(values[1, 3]) == float(values[0, 1])
    assert int(state.ancestors[0, 4]) == 3  # the migrant and who stayed are one


def test_elites_that_are_evaluated_again_stay_on_their_island():
    founders = {"w": jnp.array([0.0, 1, 2, 3, 100, 101, 102, 103])}
    parts = dict(crossover="arithmetic", mutation=0.0, islands=Islands(2, every=0))
    ga = Neuroevolution(size=8, elites=4, reevaluate=True, **parts)
    state = ga.init(jax.random.key(0), founders)
    for key in jax.random.split(jax.random.key(1), 4):
        state, info = ga.step(key, state, lambda key, params: params["w"])
        values = state.members["w"].reshape(2, 4)
        assert bool((values[0] <= 3).all()) and bool((values[1] >= 100).all())
    assert float(values[0, 0]) == 3.0 and float(values[1, 0]) == 103.0
    assert info.births.parents[jnp.array([0, 1, 4, 5])].tolist() == [[0, 0], [1, 1], [4, 4], [5, 5]]


def test_migrants_take_the_order_of_neurons_where_they_arrive(network, x, draw):
    params = draw(jax.random.key(0))
    spec = ea.symmetry.infer(network.apply, params, x)
    shuffled = ea.symmetry.permute(spec, params, {"hidden_0": jnp.array([3, 1, 5, 0, 2, 4])})
    founders = ea.population.stack([params] * 3 + [shuffled] * 3)
    islands = Islands(2, every=1, align=True)
    ga = Neuroevolution(network.apply, size=6, elites=2, islands=islands, mutation=0.0, probe=x)
    state, _ = ga.step(jax.random.key(1), ga.init(jax.random.key(0), founders), lambda key, p: jnp.zeros(()))
    kernels = state.members["params"]["hidden_0"]["kernel"]
    assert bool((kernels[:3] == kernels[:1]).all()) and bool((kernels[3:] == kernels[3:4]).all())


@pytest.mark.slow
def test_neurons_are_compared_on_the_states_that_parents_visited(network, x, draw):
    def fitness(key, params):
        value = -jnp.mean(network.apply(params, x) ** 2)
        return Evaluation(value, states=x + 0.1 * value)

    ga = Neuroevolution(network.apply, size=6, crossover="neurons", alignment="mutual", probe="visited")
    state = ga.init(jax.random.key(0), draw)
    for key in jax.random.split(jax.random.key(1), 3):
        state, info = ga.step(key, state, fitness)
    assert state.states.shape == (6, 40, 3) and bool(info.births.aligned.all())
    scanned = ga.init(jax.random.key(0), draw, fitness)
    assert int(run(ga, scanned, fitness, jax.random.split(jax.random.key(1), 3)).generation) == 4


@pytest.mark.slow
def test_aligned_parents_of_a_permuted_lineage_have_children_like_themselves(network, x, draw):
    """Two parents that compute the same function in another order of neurons."""
    params = draw(jax.random.key(0))
    spec = ea.symmetry.infer(network.apply, params, x)
    shuffled = ea.symmetry.permute(spec, params, {"hidden_0": jnp.array([3, 1, 5, 0, 2, 4])})
    founders = ea.population.stack([params, shuffled] * 4)
    distance = {}
    for name in ("correlation", "none", "random"):
        ga = Neuroevolution(network.apply, size=8, crossover="arithmetic", alignment=name, mutation=0.0, probe=x)
        _, told = ga.ask(jax.random.key(3), _evaluated(ga, founders))
        children, _ = ga.ask(jax.random.key(3), _evaluated(ga, founders))
        outputs = ea.population.map(lambda child: network.apply(child, x), children)
        distance[name] = float(jnp.abs(outputs - network.apply(params, x)[None]).max())
        assert bool(told.births.aligned.any()) == (name != "none")
    assert distance["correlation"] < 1e-5 < distance["none"]
    assert distance["random"] > 1e-5


def _evaluated(ga, founders):
    return ga.step(jax.random.key(1), ga.init(jax.random.key(0), founders), lambda key, params: jnp.zeros(()))[0]


def test_it_solves_a_small_problem(curve, draw, network, x):
    ga = Neuroevolution(network.apply, size=32, selection=Tournament(3), elites=4, mutation=0.1)
    state = run(ga, ga.init(jax.random.key(0), draw), curve, jax.random.split(jax.random.key(1), 60))
    assert float(state.champion_fitness) > -0.12
    assert float(curve(None, state.champion)) == pytest.approx(float(state.champion_fitness), abs=1e-6)


def test_safe_mutation_needs_no_more_than_a_probe(network, x, curve, draw):
    ga = Neuroevolution(network.apply, size=6, crossover="none", mutation=SafeGradient(0.05), probe=x)
    state = run(ga, ga.init(jax.random.key(0), draw), curve, jax.random.split(jax.random.key(1), 3))
    assert bool(jnp.isfinite(state.fitness).all())


@pytest.mark.slow
def test_it_runs_for_many_seeds_in_one_program(same, network, x, curve, draw):
    ga = Neuroevolution(network.apply, size=4, crossover="neurons", alignment="mutual", probe=x)

    def whole(seed):
        key = jax.random.key(seed)
        state = ga.init(key, draw)
        return jax.lax.scan(lambda state, key: ga.step(key, state, curve), state, jax.random.split(key, 3))[0].fitness

    many = jax.jit(jax.vmap(whole))(jnp.arange(2))
    assert bool(jnp.allclose(many[1], whole(1), atol=1e-5))


@pytest.mark.slow
def test_a_step_keeps_the_types_of_the_founders_state():
    """A weakly typed leaf would compile every program of several generations twice."""
    ga = ea.evolution.Neuroevolution(size=4, children=2, elites=4)
    fitness = lambda key, params: params["w"]
    first = ga.init(jax.random.key(0), {"w": jnp.arange(4.0)}, fitness)
    second, _ = ga.step(jax.random.key(1), first, fitness)
    before, after = ([str(leaf.aval) for leaf in jax.tree.leaves(state)] for state in (first, second))
    assert before == after


def test_as_many_members_at_once_as_fit_change_nothing_on_a_cpu(same, network, x, curve, draw):
    found = []
    for chunk in (1, "auto"):
        ga = Neuroevolution(network.apply, size=6, crossover="arithmetic", alignment="mutual", probe=x, chunk=chunk)
        state = ga.init(jax.random.key(0), draw)
        found.append(run(ga, state, curve, jax.random.split(jax.random.key(1), 2)))
    assert same(*found)
