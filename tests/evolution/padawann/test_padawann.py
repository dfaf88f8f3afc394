"""The genetic algorithm that prunes networks with shared weights, on two small tasks."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import evojax_align as ea
from evojax_align import pruning
from evojax_align.evolution import Padawann, fitness, selection
from evojax_align.evolution.padawann import padawann as module
from evojax_align.lab import checkpoint
from evojax_align.pruning import Task

NET = ea.models.MLP(hidden=(10, 8), classes=3, output_bias=True, start="fan_in")
X = jax.random.normal(jax.random.key(11), (30, 6))
TASKS = (Task(X, jnp.arange(30) % 3), Task(-X[:20], (jnp.arange(20) + 1) % 3))
PARAMS = [NET.init(jax.random.key(seed), X) for seed in (0, 1)]
SYNAPSES = pruning.find(PARAMS[0])
KEPT = [pruning.basis(SYNAPSES, params) for params in PARAMS]
ONE, TWO = ea.population.stack(KEPT[:1]), ea.population.stack(KEPT)
GENES = ea.crossover.neuron_genes(PARAMS[0], spec=ea.symmetry.infer(NET.apply, PARAMS[0], X))
FULL = 6 * 10 + 10 * 8 + 8 * 3


def algorithm(**settings):
    return Padawann(NET.apply, SYNAPSES, **{"size": 8, "tournament": 3} | settings)


def generations(p, key, count, state=None, ancestors=ONE):
    first = 0 if state is None else int(state.generation)
    state = p.init(key, ancestors, TASKS) if state is None else state
    found = []
    for number in range(first, first + count):
        state, bred = p.step(jax.random.fold_in(key, number), state, TASKS)
        found.append((state, bred))
    return found


def assert_same(a, b):
    for p, q in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_array_equal(p, q)


VARIANTS = {
    "default": {},
    "code": {"crossover": "none", "untouched": 1},
    "uniform": {"crossover": "uniform", "among": "living", "elitism": 0.0},
    "structured": {"whole_clusters": True, "share": 0.1, "culling": 0.0},
    "as the thesis": {"whole_clusters": True, "layers": "one", "between": "layers", "share": 0.1},
    "genes": {"genes": GENES, "biases": "shared", "over": "mean"},
    "ensemble": {"over": "ensemble", "fitness": "worst", "edges": 0.5, "values": (0.1, 1.0)},
    "best parent": {"parents": "best", "fitness": "product", "chunk": 7},
}
FAST = ("default", "genes", "ensemble")
VARIED = [pytest.param(name, marks=() if name in FAST else pytest.mark.slow) for name in VARIANTS]


@pytest.mark.slow
@pytest.mark.parametrize("name", VARIED)
def test_a_run_that_was_saved_goes_on_to_the_same_bits(name, key, tmp_path):
    p = algorithm(**VARIANTS[name])
    whole = generations(p, key, 6)[-1][0]
    half = generations(p, key, 3)[-1][0]
    checkpoint.save(tmp_path / "half.npz", half, {})
    restored, _ = checkpoint.load(tmp_path / "half.npz", half)
    assert_same(whole, generations(algorithm(**VARIANTS[name]), key, 3, restored)[-1][0])


@pytest.mark.parametrize("name", VARIED)
def test_the_champion_never_gets_worse_and_is_what_it_says(name, key):
    p = algorithm(**VARIANTS[name])
    before = -np.inf
    for state, _ in generations(p, key, 5):
        champion = state.champion
        assert float(champion.fitness) >= before and float(champion.fitness) >= float(state.members.fitness[0])
        before = float(champion.fitness)
        assert int(champion.synapses) == int(pruning.total(SYNAPSES, champion.masks))
        again = pruning.rollouts(
            p.apply, SYNAPSES, pruning.masked(champion.masks, champion.kept), p.values, TASKS[1], biases=p.biases
        )
        np.testing.assert_allclose(again.accuracy, champion.rollouts.accuracy[1], rtol=1e-6)
        assert 0 <= int(state.found) <= int(state.generation)
        assert (np.diff(np.asarray(state.members.fitness)) <= 0).all()


@pytest.mark.slow
def test_the_best_stay_as_they_are_and_are_not_judged_again(key):
    p = algorithm(size=10)
    (before, _), (after, bred) = generations(p, key, 2)
    assert bred.fitness.shape == (7,)
    old, new = (np.asarray(state.members.fitness) for state in (before, after))
    assert set(np.concatenate([old[:3], np.asarray(bred.fitness)]).tolist()) == set(new.tolist())


@pytest.mark.slow
def test_children_of_one_parent_lose_exactly_their_share_and_nothing_comes_back(key):
    p = algorithm(crossover="none", among="living", share=0.1)
    (before, _), (_, bred) = generations(p, key, 2)
    counts = before.members.synapses[bred.parents[:, 0]]
    assert bred.synapses.tolist() == [int(n) - round(0.1 * int(n)) for n in counts]
    assert (bred.parents[:, 0] == bred.parents[:, 1]).all() and not bred.crossed.any()
    new = module._bred(p, key, before)
    for number, parent in enumerate(new.parents[:, 0]):
        child, old = (ea.population.take(of, i) for of, i in ((new.masks, number), (before.members.masks, parent)))
        assert all((~c | o).all() for c, o in zip(jax.tree.leaves(child), jax.tree.leaves(old), strict=True))


def flat(masks, number):
    return np.concatenate([np.ravel(of[number]) for of in SYNAPSES.of(masks).values()])


@pytest.mark.slow
@pytest.mark.parametrize("crossover", ["one_point", "uniform"])
def test_a_child_of_two_has_every_synapse_from_one_of_them(crossover, key):
    p = algorithm(crossover=crossover, rate=1.0)
    state = generations(p, key, 4)[-1][0]
    new = module._bred(dataclasses.replace(p, share=0.0), key, state)
    assert new.crossed.all()
    mixed = 0
    for number, (a, b) in enumerate(new.parents):
        child, first, second = flat(new.masks, number), flat(state.members.masks, a), flat(state.members.masks, b)
        assert np.isin(child[first == second], first[first == second]).all()
        assert (child[first == second] == first[first == second]).all()
        from_second = (child == second)[first != second]
        mixed += 0 < from_second.mean() < 1 if from_second.size else 0
        if crossover == "one_point":
            assert (np.diff(from_second.astype(int)) >= 0).all()
    assert mixed


def test_a_cut_between_layers_takes_whole_layers_of_each_parent(key):
    p = algorithm(between="layers", rate=1.0)
    state = generations(p, key, 4)[-1][0]
    new = module._bred(dataclasses.replace(p, share=0.0), key, state)
    kinds = set()
    for number, (a, b) in enumerate(new.parents):
        child, parents = (SYNAPSES.of(masks) for masks in (new.masks, state.members.masks))
        of_b = [bool((child[path][number] == parents[path][b]).all()) for path in child]
        of_a = [bool((child[path][number] == parents[path][a]).all()) for path in child]
        assert all(p or q for p, q in zip(of_a, of_b, strict=True))
        assert of_a[0] and of_b[-1]  # the first layer is of the first parent, the last one of the second
        kinds.add(tuple(of_a))
    assert len(kinds) > 1


@pytest.mark.slow
def test_with_genes_weights_biases_and_masks_come_from_the_same_ancestor(key):
    p = algorithm(genes=GENES, crossover="uniform", rate=1.0, share=0.0)
    state = p.init(key, TWO, TASKS)
    new = module._bred(p, key, state)
    for number, couple in enumerate(new.parents):
        parents = [ea.population.take(state.members.kept, i) for i in couple]
        child = ea.population.take(new.kept, number)
        index = jax.tree.leaves(GENES.index)
        for gene in range(len(GENES.names)):
            same = [
                all(
                    (np.asarray(c)[i == gene] == np.asarray(q)[i == gene]).all()
                    for c, q, i in zip(jax.tree.leaves(child), jax.tree.leaves(of), index, strict=True)
                )
                for of in parents
            ]
            assert any(same)


def test_the_first_generation_is_of_all_ancestors_in_turn_pruned_once_but_for_the_untouched(key):
    p = algorithm(untouched=2, share=0.1, fitness="mean")
    state = p.init(key, TWO, TASKS)
    assert sorted(state.members.synapses.tolist()) == [FULL - round(0.1 * FULL)] * 6 + [FULL] * 2
    weights = np.asarray(state.members.kept["params"]["output"]["kernel"])
    counts = [int((weights == np.asarray(of["params"]["output"]["kernel"])).all(axis=(1, 2)).sum()) for of in KEPT]
    assert counts == [4, 4]
    few = jax.tree.map(lambda m: m.at[0, 0].set(False), pruning.full_masks(ONE))
    started = p.init(key, ONE, TASKS, masks=few)
    assert not np.asarray(started.members.masks["params"]["hidden_0"]["kernel"])[:, 0].any()


@pytest.mark.slow
@pytest.mark.parametrize("over", ["best", "mean", "ensemble"])
def test_networks_that_fail_are_never_parents_nor_champions(over, key):
    broken = jax.tree.map(lambda leaf: jnp.full_like(leaf, jnp.nan), PARAMS[0])
    kept = [pruning.basis(SYNAPSES, params, magnitudes="own") for params in (broken, PARAMS[1])]
    p = algorithm(crossover="none", over=over, tournament=1)
    before = p.init(key, ea.population.stack(kept), TASKS).members.fitness
    assert jnp.isnan(before).sum() == p.size // 2
    for state, bred in generations(p, key, 3, ancestors=ea.population.stack(kept)):
        assert jnp.isfinite(state.champion.fitness) and jnp.isfinite(bred.fitness).all()
        fit = jnp.isfinite(state.members.fitness)
        assert fit[: int(fit.sum())].all()


@pytest.mark.slow
def test_only_the_pool_has_children_or_the_best_alone(key):
    culled = [bred.parents for _, bred in generations(algorithm(culling=0.5, tournament=1), key, 4)]
    assert int(jnp.max(jnp.stack(culled))) == algorithm(culling=0.5).pool - 1
    alone = [bred.parents for _, bred in generations(algorithm(parents="best"), key, 2)]
    assert not jnp.stack(alone).any()


@pytest.mark.slow
def test_one_program_judges_all_generations(key):
    module._step.clear_cache()
    generations(algorithm(size=9), key, 3)
    assert module._step._cache_size() == 1


@pytest.mark.parametrize(("culling", "pool"), [(0.8, 4), (0.9, 2), (0.3, 14), (0.0, 20)])
def test_shares_of_members_are_whole_numbers_whatever_floating_point_makes_of_them(culling, pool):
    assert algorithm(size=20, culling=culling).pool == pool
    assert algorithm(size=10, elitism=0.3).elites == 3


def test_fitness_of_several_tasks_is_what_its_docstring_says():
    accuracy = jnp.array([0.9, 0.4])
    assert float(fitness.joint("ratio", accuracy, (50, 10))) == pytest.approx(1.3 / 0.7)
    assert float(fitness.joint("mean", accuracy, (50, 10))) == pytest.approx(0.65)
    assert float(fitness.joint("worst", accuracy, (50, 10))) == pytest.approx(0.4)
    assert float(fitness.joint("product", accuracy, (50, 10))) == pytest.approx(0.6)
    assert float(fitness.joint("ratio", jnp.ones(2), (50, 10))) == pytest.approx(2 / 0.01)
    one_wrong = fitness.joint("ratio", jnp.array([0.98, 1.0]), (50, 10))
    assert float(one_wrong) < 2 / 0.01
    assert jnp.isnan(fitness.joint("ratio", jnp.array([0.98, jnp.nan]), (50, 10)))
    assert jnp.isnan(fitness.joint("worst", jnp.array([0.98, jnp.nan]), (50, 10)))


@pytest.mark.slow
def test_edges_and_values_count_as_asked(key):
    state = generations(algorithm(edges=0.0), key, 1)[-1][0]
    plain, accuracy = state.members.fitness[0], state.members.rollouts.accuracy[0]
    kept, masks = (jax.tree.map(lambda leaf: leaf[:1], of) for of in (state.members.kept, state.members.masks))
    best = jnp.max(accuracy, axis=-1)
    assert float(plain) == pytest.approx(float(jnp.sum(best) / jnp.sum(1 - best)), rel=1e-5)
    counted = module._evaluated(algorithm(edges=2.0), kept, masks, TASKS)[1][0]
    assert float(counted - plain) == pytest.approx(2 * (1 - int(state.members.synapses[0]) / FULL), rel=1e-4)
    mean = module._evaluated(algorithm(over="mean", fitness="mean"), kept, masks, TASKS)[1][0]
    assert float(mean) == pytest.approx(float(jnp.mean(accuracy)), rel=1e-5)
    together = module._evaluated(algorithm(over="ensemble", fitness="mean"), kept, masks, TASKS)[1][0]
    assert float(together) == pytest.approx(float(jnp.mean(state.members.rollouts.ensemble[0])), rel=1e-5)


@pytest.mark.slow
def test_tournaments_are_won_by_the_fittest_drawn_and_by_chance_among_one(key):
    marks = jnp.array([0.1, jnp.nan, 0.9, 0.5])
    winners = np.asarray(selection.tournaments(key, marks, 2, 8000))
    shares = np.bincount(winners, minlength=4) / 8000
    np.testing.assert_allclose(shares, [3 / 16, 0, 8 / 16, 5 / 16], atol=0.02)  # two that failed: the fittest of all
    alone = np.bincount(np.asarray(selection.tournaments(key, marks, 1, 8000)), minlength=4) / 8000
    np.testing.assert_allclose(alone, [0.25, 0, 0.5, 0.25], atol=0.02)
    with pytest.raises(ValueError, match="tournament: got 0"):
        selection.tournaments(key, marks, 0, 3)


def test_bad_settings_are_refused_by_name(key):
    for settings, match in (
        ({"share": 1.5}, "share: got 1.5"),
        ({"values": ()}, "values: got"),
        ({"values": (0.0, 1.0)}, "values: got"),
        ({"elitism": 1.0}, "elitism, culling: got"),
        ({"culling": 1.0}, "elitism, culling: got"),
        ({"crossover": "two_point"}, "crossover: got 'two_point'"),
        ({"genes": GENES, "crossover": "none"}, "genes: got"),
        ({"between": "layers", "crossover": "uniform"}, "between: got 'layers' with crossover='uniform'"),
        ({"between": "layers", "genes": GENES}, "between: got 'layers' .* and genes"),
        ({"layers": "one"}, "layers: got 'one' without whole clusters"),
        ({"untouched": 9}, "untouched: got 9"),
        ({"edges": -1.0}, "edges: got -1"),
        ({"fitness": "sum"}, "fitness: got 'sum'"),
        ({"tournament": 0}, "tournament: got 0"),
    ):
        with pytest.raises(ValueError, match=match):
            algorithm(**settings)
    with pytest.raises(ValueError, match="tasks: got none"):
        algorithm().init(key, ONE, [])
    with pytest.raises(ValueError, match=r"tasks\[0\]: got labels from 0 to 2"):
        algorithm().init(key, ONE, [dataclasses.replace(TASKS[0], outputs=jnp.array([0, 1]))])
    with pytest.raises(ValueError, match=r"tasks\[1\]: got outputs from 0 to 7; expected 0 to 2"):
        algorithm().init(key, ONE, [TASKS[0], dataclasses.replace(TASKS[0], outputs=jnp.array([0, 1, 7]))])
    with pytest.raises(ValueError, match="masks: got"):
        algorithm().init(key, ONE, TASKS, masks=pruning.full_masks(TWO))


def squares(outputs, y):
    return (outputs[:, 0] - y) ** 2


@pytest.mark.slow
def test_a_regression_has_minus_the_mean_loss_as_fitness(key):
    tasks = Task(X, X[:, 0]), Task(-X[:20], X[:20, 1])
    p = algorithm(loss=squares, fitness="worst")
    state = p.init(key, ONE, tasks)
    for number in range(2):
        state, _ = p.step(jax.random.fold_in(key, number), state, tasks)
    champion = state.champion
    sparse = jax.tree.map(lambda mask, leaf: mask * leaf, champion.masks, champion.kept)
    expected = [
        max(
            -float(jnp.mean(squares(NET.apply(pruning.at_value(SYNAPSES, sparse, v), task.x), task.y)))
            for v in p.values
        )
        for task in tasks
    ]
    assert float(champion.fitness) == pytest.approx(min(expected), rel=1e-4)
    assert champion.rollouts.accuracy is None
    with pytest.raises(ValueError, match="fitness: got 'ratio'"):
        algorithm(loss=squares)
    with pytest.raises(ValueError, match="over: got 'ensemble'"):
        algorithm(loss=squares, fitness="mean", over="ensemble")
