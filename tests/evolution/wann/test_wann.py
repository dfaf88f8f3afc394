import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evojax_align import population
from evojax_align.evolution import Wann, graph, selection, tasks
from evojax_align.evolution.wann import wann as module
from evojax_align.evolution.wann.wann import MUTATIONS
from evojax_align.lab import checkpoint


@pytest.fixture(scope="module")
def data():
    x = jax.random.normal(jax.random.key(0), (60, 3))
    return x, (x[:, 0] > x[:, 1]).astype(jnp.int32)


@pytest.fixture(scope="module")
def wann():
    settings = {"size": 30, "hidden": 12, "enabled": 0.5, "tournament": 4}
    return Wann(3, 2, tasks.Classification(batch=40), **settings)


@pytest.fixture(scope="module")
def states(wann, data):
    """Eight generations."""
    found = [wann.init(jax.random.key(1), data)]
    for number in range(8):
        found.append(wann.step(jax.random.key(number + 2), found[-1], data)[0])
    return found


def one(members, place):
    return population.take(members, place)


@pytest.mark.slow
def test_rewards_are_less_the_cross_entropy_at_each_weight_on_samples_that_all_share(wann, data, states):
    members = states[-1].members
    whole = dataclasses.replace(wann, reward=tasks.Classification(batch=60))
    x, y = data
    for place in (0, 13, 29):
        member = one(members, place)
        rewards = whole.reward(jax.random.key(0), whole.forward(member), data)
        chances = jax.nn.log_softmax(graph.forward(member, jnp.array(wann.values), wann.activations)(x[None]))
        plain = jnp.mean(chances[:, jnp.arange(60), y], axis=1)
        np.testing.assert_allclose(rewards, plain, rtol=1e-5)
    part = wann.reward(jax.random.key(3), wann.forward(one(members, 0)), data)
    again = wann.reward(jax.random.key(3), wann.forward(one(members, 0)), data)
    other = wann.reward(jax.random.key(4), wann.forward(one(members, 0)), data)
    np.testing.assert_array_equal(part, again)
    assert np.any(part != other)


@pytest.mark.slow
def test_elites_stay_as_they_are_and_children_differ_in_one_way(wann, data, states):
    before = states[3]
    after, grown = wann.step(jax.random.key(77), before, data)
    assert (wann.pool, wann.elites) == (24, 4) and grown.parents.shape == (26,)
    second = jnp.where(grown.by_size, 1 / jnp.maximum(before.members.connections, 1), jnp.max(before.rewards, axis=1))
    ranked = selection.by_dominance(jnp.stack([before.mean, second], axis=1))
    for place in range(wann.elites):
        for ours, theirs in zip(
            *map(jax.tree.leaves, (one(after.members, place), one(before.members, int(ranked[place])))), strict=True
        ):
            np.testing.assert_array_equal(ours, theirs)
    assert set(grown.parents.tolist()) <= set(ranked[: wann.pool].tolist())
    for child, (parent, kind) in enumerate(zip(grown.parents.tolist(), grown.mutation.tolist(), strict=True)):
        old, new = one(before.members, parent), one(after.members, wann.elites + child)
        more = {"connections": 1, "genes": 1, "hidden": 0}, {"connections": 1, "genes": 2, "hidden": 1}
        more = (*more, {"connections": 1, "genes": 0, "hidden": 0}, {"connections": 0, "genes": 0, "hidden": 0})[kind]
        differences = {name: int(getattr(new, name)) - int(getattr(old, name)) for name in more}
        assert differences in (more, dict.fromkeys(more, 0)), MUTATIONS[kind]
        if MUTATIONS[kind] == "change":
            np.testing.assert_array_equal((new.source, new.target), (old.source, old.target))
            places = np.flatnonzero(new.activation != old.activation)
            assert len(places) == min(int(old.hidden), 1)
            assert all(2 <= place < 2 + int(old.hidden) for place in places)


@pytest.mark.slow
def test_children_of_two_have_the_structure_of_the_better_parent_and_what_their_genes_do_from_either(
    wann, data, states
):
    crossed = dataclasses.replace(wann, crossover=1.0, mutations=(0.0, 0.0, 0.0, 1.0))
    before = states[-1]
    after, grown = crossed.step(jax.random.key(5), before, data)
    own, others = (np.asarray(before.members.enabled)[grown.parents], np.asarray(after.members.enabled)[wann.elites :])
    np.testing.assert_array_equal(
        np.asarray(after.members.innovation)[wann.elites :], np.asarray(before.members.innovation)[grown.parents]
    )
    assert (own != others).any() and (own == others).mean() > 0.5


@pytest.mark.parametrize("by_size", [0.0, 1.0])
def test_networks_that_fail_never_breed(wann, by_size):
    """Those of few connections fail, which would be the best of all by their size."""

    def reward(key, forward, x):
        said = forward(x[None])
        silent = jnp.any(jnp.std(said, axis=1) == 0, axis=1)
        return jnp.where(silent, jnp.nan, jnp.mean(said, axis=(1, 2)))

    picky = dataclasses.replace(wann, reward=reward, by_size=by_size)
    x = jax.random.normal(jax.random.key(0), (20, 3))
    state, met = picky.init(jax.random.key(1), x), 0
    for number in range(6):
        failed = set(np.flatnonzero(np.isnan(state.mean)).tolist())
        after, grown = picky.step(jax.random.key(number), state, x)
        assert not failed & set(grown.parents.tolist())
        met, state = met + len(failed), after
    assert met > 0


@pytest.mark.slow
def test_one_program_judges_all_generations_of_a_capacity(wann, data):
    module._step.clear_cache()
    state = wann.init(jax.random.key(0), data)
    for number in range(3):
        state, _ = wann.step(jax.random.key(number), state, data)
    assert module._step._cache_size() == 1


@pytest.mark.slow
def test_mutations_are_as_frequent_as_they_are_said_to_be(wann, data, states):
    settings = {"size": 4000, "tournament": 1, "mutations": (0.1, 0.2, 0.3, 0.4)}
    many = dataclasses.replace(wann, **settings)
    state = many.init(jax.random.key(0), data)
    _, grown = many.step(jax.random.key(1), state, data)
    shares = np.bincount(grown.mutation, minlength=4) / grown.mutation.shape[0]
    np.testing.assert_allclose(shares, (0.1, 0.2, 0.3, 0.4), atol=0.03)


def test_evolution_finds_the_network_that_compares_two_inputs(wann, data, states):
    means = [float(jnp.max(state.mean)) for state in states]
    assert means[-1] > means[0]
    assert float(jnp.max(states[-1].rewards)) > -0.45 > -np.log(2)


def test_no_two_events_have_one_number(wann, states):
    for before, after in itertools.pairwise(states):
        known = set(np.asarray(before.members.innovation).ravel().tolist())
        fresh = [set(row.tolist()) - known - {-1} for row in np.asarray(after.members.innovation)[wann.elites :]]
        assert sum(map(len, fresh)) == len(set().union(*fresh))


@pytest.mark.slow
def test_a_full_population_says_so_and_grows_on_once_it_is_enlarged(data):
    small = Wann(3, 2, tasks.Classification(batch=40), size=20, hidden=2, genes=18, enabled=1.0, tournament=2)
    state = small.init(jax.random.key(0), data)
    for number in range(12):
        state, grown = small.step(jax.random.key(number), state, data)
    assert int(grown.full) > 0 and int(jnp.max(state.members.hidden)) <= 2
    larger, moved = small.enlarged(state, hidden=20)
    assert (small.capacity, larger.capacity) == (18, 18 + 4 * 18)
    np.testing.assert_array_equal(moved.members.connections, state.members.connections)
    for number in range(6):
        moved, grown = larger.step(jax.random.key(number), moved, data)
    assert int(grown.full) == 0 and int(jnp.max(moved.members.hidden)) > 2


def test_the_same_keys_give_the_same_bits_after_a_checkpoint(wann, data, states, tmp_path):
    checkpoint.save(tmp_path / "state.npz", states[4], {})
    again, _ = checkpoint.load(tmp_path / "state.npz", states[4])
    for number in range(4, 8):
        again, _ = wann.step(jax.random.key(number + 2), again, data)
    for ours, theirs in zip(jax.tree.leaves(again), jax.tree.leaves(states[8]), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.slow
def test_side_by_side_is_one_after_the_other(wann, data, states):
    members, key = states[-1].members, jax.random.key(0)
    steps = jax.tree.map(jnp.max, population.map(graph.steps_of, members))

    def judged(member):
        return wann.reward(key, wann.forward(member, steps), data)

    beside = population.map(judged, members, strategy="vmap")
    np.testing.assert_allclose(beside, population.map(judged, members, strategy="scan"), rtol=1e-5, atol=1e-6)


def test_several_tasks_are_added_up_or_compared_by_their_logarithms(wann, data, states):
    x, y = data
    forward = wann.forward(states[-1].fittest)
    first, second = (-tasks.Classification(60)(jax.random.key(0), forward, part) for part in ((x, y), (x, 1 - y)))
    both = [(x, y), (x, 1 - y)]
    added = tasks.Classification(60)(jax.random.key(0), forward, both)
    np.testing.assert_allclose(added, -(first + second), rtol=1e-5)
    relative = tasks.Classification(60, scale="relative")(jax.random.key(0), forward, both)
    np.testing.assert_allclose(relative, -(jnp.log(first) + jnp.log(second)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"activations": ("linear", "sin")}, "Did you mean 'sine'"),
        ({"mutations": (0.0, 0.0, 0.0, 0.0)}, "not all 0"),
        ({"elitism": 1.5}, "elitism: got 1.5"),
        ({"culling": 1.0}, "at least one parent and one child"),
        ({"values": ()}, "at least one of each"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Wann(3, 2, tasks.Classification(), **settings)
