"""The search: its rule to the letter, its budget, its memory, and what it inherits."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from evojax_align import _checks
from evojax_align.evolution import Genome, Lamarckian, LamarckianState, Space
from evojax_align.lab import checkpoint
from evojax_align.models import BlockCNN

SPACE = Space(filters=(2, 3, 4, 6))
ADAM = optax.adam(1e-2)


def network(blocks):
    return BlockCNN(blocks, classes=3, momentum=0.9)


@pytest.fixture(scope="module")
def images():
    y = jnp.arange(24) % 3
    return jax.random.normal(jax.random.key(0), (24, 4, 4)) + y[:, None, None], y


def search(**settings):
    settings = {"epochs": 1, "batch_size": 12, "budget": 8} | settings
    return Lamarckian(network, SPACE, ADAM, **settings)


def played(algorithm, images, fitness, key=None):
    """A whole search in which nobody trains: the n-th network has the n-th fitness. All states, in order."""
    key, fitness, states = jax.random.key(5) if key is None else key, map(float, fitness), []
    offspring = algorithm.first(key, images)
    state = algorithm.empty()
    while True:
        grown = [(child.variables, next(fitness), 0.5) for child in offspring]
        state, _ = algorithm.choose(key, state, offspring, grown)
        states.append(state)
        if algorithm.done(state):
            return states
        key = jax.random.fold_in(key, len(states))
        offspring = algorithm.breed(key, state, images)


def by_the_letter(fitness, follows, length):
    """Algorithm 1, as it is written: which network each one was a mutation of, and which is returned."""
    tried, parents = iter(range(1, len(fitness))), {}

    def evolve(a, count, nested):
        while count != 0:
            number = next(tried, None)
            if number is None:
                return a, True
            parents[number] = a
            if fitness[number] > fitness[a]:
                a = number
            elif not nested and follows(number):
                c, ended = evolve(number, length, True)
                if ended:
                    return a, True
                a = c if fitness[c] > fitness[a] else a
            count -= 1
        return a, False

    end, _ = evolve(0, -1, False)
    return parents, end


@pytest.mark.slow
@pytest.mark.parametrize("rate", [0.0, 0.6, 1.0])
def test_niching_is_the_algorithm_of_the_paper(images, rate):
    count, length = 24, 3
    fitness = np.random.default_rng(1).random(count).round(2).tolist()
    algorithm = search(budget=count, niche_rate=rate, niche_length=length)
    states = played(algorithm, images, fitness)
    history = states[-1].history
    entered = {len(state.history.fitness) - 1 for state in states if int(state.niche) == length}
    parents, end = by_the_letter(fitness, lambda number: number in entered, length)
    assert dict(enumerate(history.parents[:, 0].tolist())) == {0: -1, **parents}
    assert int(states[-1].members[0].number) == end
    outside = {n for n in range(1, count) if not history.niche[n] and fitness[n] <= fitness[history.parents[n, 0]]}
    assert entered <= outside and (rate < 1 or entered == outside)
    assert bool(entered) == (rate > 0)
    inside = {number for number in range(count) if history.niche[number]}
    assert all(number + 1 in inside for number in entered if number + 1 < count)


@pytest.mark.nightly
def test_niches_are_entered_as_often_as_the_rate_says(images):
    entered = outside = 0
    for number in range(12):
        algorithm = search(budget=12, niche_rate=0.3, niche_length=1)
        states = played(algorithm, images, -np.arange(12.0), jax.random.key(number))  # each is worse than all before
        entered += sum(int(state.niche) > 0 for state in states)
        outside += int(np.sum(states[-1].history.niche[1:] == 0))
    assert outside > 90 and abs(entered / outside - 0.3) < 0.15


def test_a_failed_network_is_the_worst(images):
    fitness = [np.nan, np.nan, 0.2, np.nan, 0.1, 0.3]
    states = played(search(budget=6, niche_rate=0.0), images, fitness)
    assert [int(state.members[0].number) for state in states] == [0, 0, 2, 2, 2, 5]
    assert [int(state.champion.number) for state in states] == [0, 0, 2, 2, 2, 5]
    np.testing.assert_array_equal(states[-1].history.best, [np.nan, np.nan, 0.2, 0.2, 0.2, 0.3])


def test_plus_keeps_the_fittest_and_never_gets_worse(images):
    fitness = np.random.default_rng(0).random(13).round(2).tolist()
    algorithm = search(scheme="plus", size=3, children=2, budget=13)
    states = played(algorithm, images, fitness)
    for state in states:
        known = state.history.fitness
        kept = sorted((float(member.fitness) for member in state.members), reverse=True)
        assert kept == sorted(known, reverse=True)[:3]
    assert np.all(np.diff(states[-1].history.best) >= 0)


def test_ageing_lets_the_oldest_go_however_fit(images):
    fitness = [0.9, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]
    states = played(search(scheme="ageing", size=3, children=2), images, fitness)
    numbers = [[int(member.number) for member in state.members] for state in states]
    assert numbers == [[0, 1, 2], [2, 3, 4], [4, 5, 6], [5, 6, 7]]
    assert int(states[-1].champion.number) == 0


def test_winners_of_tournaments_are_parents(images):
    algorithm = search(scheme="ageing", size=4, tournament=40, budget=9)
    states = played(algorithm, images, [0.3, 0.1, 0.8, 0.2, 0.0, 0.0, 0.0, 0.0, 0.0])
    assert states[-1].history.parents[4:7, 0].tolist() == [2, 2, 2]


@pytest.mark.parametrize(
    "settings",
    [
        {"epochs": 3, "budget": 20},
        {"scheme": "plus", "size": 2, "children": 3, "crossover": 0.5, "budget": 12},
        {"scheme": "ageing", "size": 3, "children": 2, "crossover": 0.5, "matching": "order", "budget": 12},
    ],
)
def test_no_network_is_evaluated_twice_and_the_budget_is_never_exceeded(images, settings):
    algorithm = search(**settings)
    fitness = np.random.default_rng(2).random(40)
    last = played(algorithm, images, fitness)[-1]
    architectures = last.history.architectures
    assert len(set(architectures)) == len(architectures) == len(last.history.fitness)
    assert algorithm.budget - algorithm.epochs < last.epochs <= algorithm.budget
    np.testing.assert_array_equal(np.diff(last.history.epochs), algorithm.epochs)
    with pytest.raises(ValueError, match=r"^state: got"):
        algorithm.breed(jax.random.key(0), last, images)


@pytest.mark.slow
def test_crossover_has_two_different_parents(images):
    algorithm = search(scheme="plus", size=3, children=4, crossover=1.0, budget=15)
    last = played(algorithm, images, np.random.default_rng(3).random(15))[-1]
    crossed = last.history.parents[:, 1] >= 0
    assert crossed.any()
    assert (last.history.parents[crossed, 0] != last.history.parents[crossed, 1]).all()


@pytest.mark.slow
@pytest.mark.parametrize("inherit", ["shape", "function", "none"])
def test_a_search_that_is_saved_and_read_again_goes_on_to_the_same_bits(images, tmp_path, inherit):
    algorithm = search(budget=6, inherit=inherit, niche_rate=1.0, niche_length=2)
    state = algorithm.init(jax.random.key(1), images, images)
    number = 0
    while not algorithm.done(state):
        number += 1
        if number == 3:
            checkpoint.save(tmp_path / "state.npz", state, {})
        state, _ = algorithm.step(jax.random.fold_in(jax.random.key(2), number), state, images, images)
    again, _ = checkpoint.load(tmp_path / "state.npz", build=LamarckianState.of)
    for rest in (3, 4, 5):
        again, _ = algorithm.step(jax.random.fold_in(jax.random.key(2), rest), again, images, images)
    assert jax.tree.structure(again) == jax.tree.structure(state)
    for ours, theirs in zip(jax.tree.leaves(again), jax.tree.leaves(state), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_the_champion_at_a_mark_is_kept_and_no_individual_is_stored_twice(images, tmp_path):
    fitness = [0.1, 0.3, 0.2, 0.5, 0.4, 0.6]
    states = played(search(budget=6, marks=(2, 5, 6), niche_rate=0.0), images, fitness)
    kept = [[int(one.number) for one in state.marked] for state in states]
    assert kept == [[0, 0, 0], [1, 1, 1], [1, 1, 1], [1, 3, 3], [1, 3, 3], [1, 3, 5]]
    for state in states:
        numbers = [int(one.number) for one in state.individuals]
        assert sorted(set(numbers)) == numbers
    checkpoint.save(tmp_path / "state.npz", states[1], {})
    assert len(states[1].individuals) == 1 and states[1].members == (states[1].champion,)
    again, _ = checkpoint.load(tmp_path / "state.npz", build=LamarckianState.of)
    assert int(again.champion.number) == 1 and len(again.marked) == 3


def test_children_begin_with_their_parent_s_weights(images):
    algorithm = search(budget=4)
    state = algorithm.init(jax.random.key(1), images, images)
    old, kept = state.members[0].variables["params"]["block_0"], 0
    for number in range(8):
        (child,) = algorithm.breed(jax.random.key(number), state, images)
        for place, block in enumerate(child.genome.blocks):
            new = child.variables["params"][f"block_{place}"]
            same = [path for path in (("conv", "kernel"), ("norm", "scale")) if block.identity == 0]
            for layer, leaf in same:
                if new[layer][leaf].shape == old[layer][leaf].shape:
                    np.testing.assert_array_equal(new[layer][leaf], old[layer][leaf])
                    kept += 1
    assert kept >= 8


def test_what_is_grown_has_learnt(images):
    algorithm = search(budget=4, epochs=4)
    (child,) = algorithm.first(jax.random.key(1), images)
    ((variables, fitness, loss),) = algorithm.evaluate([child], images, images)
    assert 0 <= fitness <= 1 and loss < np.log(3) * 1.5
    assert not np.allclose(variables["params"]["head"]["output"]["bias"], 0)


def test_what_diverged_has_no_fitness(images):
    algorithm = dataclasses.replace(search(), optimizer=optax.sgd(1e30))
    state = algorithm.init(jax.random.key(1), images, images)
    assert np.isnan(state.champion.fitness)
    assert Genome.of(state.champion.genes).blocks


@pytest.mark.parametrize(
    ("argument", "settings"),
    [
        ("epochs", {"epochs": 0}),
        ("inherit", {"inherit": "lamarck"}),
        ("scheme", {"scheme": "comma"}),
        ("niche_rate", {"niche_rate": 1.5}),
        ("noise", {"noise": -0.1}),
        ("size, children, crossover", {"size": 3}),
        ("size", {"scheme": "plus", "crossover": 0.5}),
        ("children", {"scheme": "ageing", "size": 2, "children": 2}),
        ("budget", {"epochs": 9}),
    ],
)
def test_settings_that_make_no_search_are_refused(argument, settings):
    with pytest.raises(ValueError, match=f"^{argument}: got"):
        search(**settings)


def test_every_method_that_looks_at_values_refuses_to_be_traced_by_name(images, key, unchecked):
    algorithm = search()
    offspring = algorithm.first(key, images)
    state, _ = algorithm.choose(key, algorithm.empty(), offspring, [(offspring[0].variables, 0.5, 0.5)])
    x, y = images
    calls = {
        "init": lambda traced: algorithm.init(key, (traced, y), images),
        "first": lambda traced: algorithm.first(key, (traced, y)),
        "step": lambda traced: algorithm.step(key, state, images, (traced, y)),
        "breed": lambda traced: algorithm.breed(key, state, (traced, y)),
        "evaluate": lambda traced: algorithm.evaluate(offspring, (traced, y), images),
        "judge": lambda traced: algorithm.judge(offspring, [offspring[0].variables], [0.5], (traced, y)),
        "choose": lambda traced: algorithm.choose(key, state, offspring, [(traced, 0.5, 0.5)]),
        "done": lambda traced: algorithm.done(dataclasses.replace(state, identities=traced[0, 0, 0])),
    }
    for name, call in calls.items():
        with pytest.raises(_checks.NeedsValues, match=rf"^Lamarckian\.{name} needs concrete values"):
            jax.eval_shape(call, x)


@pytest.mark.slow
def test_a_search_of_networks_for_a_regression_has_minus_the_loss_as_fitness(images):
    x, y = images[0], images[0].mean(axis=(1, 2))
    algorithm = search(budget=3, loss=lambda outputs, y: (outputs[:, 0] - y) ** 2)
    state = algorithm.init(jax.random.key(1), (x, y), (x, y))
    while not algorithm.done(state):
        state, _ = algorithm.step(jax.random.key(state.epochs), state, (x, y), (x, y))
    champion = state.champion
    outputs = network(Genome.of(champion.genes).architecture).apply(champion.variables, x)
    assert float(champion.fitness) == pytest.approx(-float(jnp.mean((outputs[:, 0] - y) ** 2)), rel=1e-4)
    assert float(champion.fitness) == max(state.history.fitness)
    with pytest.raises(TypeError, match="loss"):
        search(loss="squares")
