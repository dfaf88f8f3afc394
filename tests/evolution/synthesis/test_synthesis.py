"""The algorithm of Chung et al., on a small task."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AxisType, PartitionSpec

import evojax_align as ea
from evojax_align.alignment import CCA
from evojax_align.evolution import Encoding, Synthesis
from evojax_align.evolution.synthesis import synthesis as module
from evojax_align.lab import checkpoint

NET = ea.models.MLP(hidden=(12, 10), classes=3)
ONE = NET.init(jax.random.key(9), jnp.zeros((1, 6)))
SPEC = ea.symmetry.infer(NET.apply, ONE, jnp.zeros((1, 6)))
SYNAPSES = ea.pruning.find(ONE, leave=["params/output"])
FULL = 6 * 12 + 12 * 10


def init_fn(key):
    return NET.init(key, jnp.zeros((1, 6)))


def algorithm(**settings):
    settings = {"batch_size": 20, "compared": 60, "epochs": 3} | settings
    return Synthesis(NET.apply, init_fn, SYNAPSES, optax.sgd(0.1, momentum=0.9), **settings)


def generations(s, task, key, count, state=None, first=0):
    state = s.init(key, task, task) if state is None else state
    found = None
    for number in range(first, first + count):
        state, found = s.step(jax.random.fold_in(key, number), state, task, task)
    return state, found


VARIANTS = {
    "asexual": {"parents": 1},
    "sexual": {},
    "polyploid": {"parents": 3, "size": 3, "encoding": Encoding(support="mean")},
    "pool": {"size": 5, "mates": "tournament", "shares": "fitness", "cluster_shares": (0.9, 0.1)},
    "best": {"size": 4, "mates": "best", "start": "origin", "encoding": Encoding(support="union", draw="exact")},
    "random": {"size": 4, "mates": "random", "alike": False, "encoding": Encoding(draw="exact", budget="network")},
    "aligned": {"ancestors": "several", "alignment": "correlation", "spec": SPEC, "start": "inherited"},
    "realigned": {"alignment": CCA(ridge=0.1), "realigned": True, "encoding": Encoding(support="mean")},
    "salient": {"encoding": Encoding(strength="saliency", truncation="median")},
    "changing": {
        "synapse_factor": optax.linear_schedule(0.9, 0.5, 4),
        "cluster_factor": 0.95,
        "encoding": Encoding(strength="signed", scale="network"),
    },
}


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.slow
def test_every_variant_learns_keeps_its_books_and_goes_on_after_a_stop_to_the_same_bits(name, task, key, tmp_path):
    s = algorithm(**VARIANTS[name])
    half, _ = generations(s, task, key, 1)
    state, info = generations(s, task, key, 2, half, first=1)
    checkpoint.save(tmp_path / "state.npz", half, {})
    restored, _ = checkpoint.load(tmp_path / "state.npz", half)
    again, _ = generations(s, task, key, 2, restored, first=1)
    for p, q in zip(jax.tree.leaves(state), jax.tree.leaves(again), strict=True):
        assert np.asarray(p).tobytes() == np.asarray(q).tobytes()

    assert ea.population.size(state.population) == s.size and int(state.generation) == 4
    counts = jax.vmap(lambda of: ea.pruning.total(SYNAPSES, of))(state.masks)
    np.testing.assert_array_equal(info.synapses, counts)
    assert 0 < counts.max() < FULL
    dead = [np.asarray(leaf)[~np.asarray(mask)] for leaf, mask in pairs(state.population, state.masks)]
    assert sum(len(of) for of in dead) > 0 and not any(of.any() for of in dead)
    assert (np.diff(np.sort(info.parents, axis=1), axis=1) > 0).all()
    assert state.fitness.max() > 0.4  # a third is chance


def pairs(params, masks):
    return list(zip(jax.tree.leaves(params), jax.tree.leaves(masks), strict=True))


@pytest.mark.slow
def test_the_ancestors_are_dense_and_one_unless_they_are_several(task, key):
    one = algorithm(size=3).init(key, task, task)
    several = algorithm(size=3, ancestors="several").init(key, task, task)
    kernels = [state.population["params"]["hidden_0"]["kernel"] for state in (one, several)]
    assert (kernels[0][0] == kernels[0][1]).all() and (kernels[1][0] != kernels[1][1]).any()
    assert jax.tree.all(jax.tree.map(jnp.all, one.masks))
    assert one.fitness.min() > 0.8 and int(one.generation) == 1


@pytest.mark.slow
def test_children_have_synapses_of_both_parents_of_any_or_of_one(task, key):
    for settings, allowed in (
        ({}, lambda a, b: a & b),
        ({"encoding": Encoding(support="union")}, lambda a, b: a | b),
        ({"parents": 1}, lambda a, b: a),
    ):
        s = algorithm(epochs=1, **settings)
        state, _ = generations(s, task, key, 1)
        offspring = s.breed(jax.random.key(4), state, task)
        a, b = (ea.population.take(state.masks, i) for i in (0, 1))
        child = ea.population.take(offspring.masks, 0)
        for path, mask in SYNAPSES.of(child).items():
            limit = allowed(SYNAPSES.of(a)[path], SYNAPSES.of(b)[path])
            assert not (mask & ~limit).any() and (mask != limit).any()


@pytest.mark.slow
def test_the_second_generation_of_one_ancestor_is_asexual_and_the_third_is_not(task, key):
    state = algorithm(epochs=1).init(key, task, task)
    sexual, asexual = algorithm(epochs=1), algorithm(epochs=1, parents=1)
    second = [s.step(key, state, task, task) for s in (sexual, asexual)]
    for p, q in zip(jax.tree.leaves(second[0][0].masks), jax.tree.leaves(second[1][0].masks), strict=True):
        np.testing.assert_array_equal(p, q)
    third = [s.step(key, of[0], task, task)[1] for s, of in zip((sexual, asexual), second, strict=True)]
    assert third[0].allowed.max() < 0.85 and third[1].allowed.tolist() == [1, 1]
    assert third[0].retained.mean() < third[1].retained.mean() - 0.1


@pytest.mark.slow
def test_aligned_parents_have_in_common_what_permuted_copies_have(task, key):
    s = algorithm(epochs=1, alignment="correlation", spec=SPEC, realigned=True)
    plain = algorithm(epochs=1)
    state, _ = generations(plain, task, key, 1)
    moved = ea.symmetry.random_permutations(SPEC, jax.random.key(3))
    turn = lambda tree: ea.population.stack(
        [ea.population.take(tree, 0), ea.symmetry.permute(SPEC, ea.population.take(tree, 0), moved)]
    )
    copies = state.replace(population=turn(state.population), masks=turn(state.masks), origin=turn(state.origin))
    found = {name: of.breed(key, copies, task).allowed for name, of in (("aligned", s), ("naive", plain))}
    counts = jax.vmap(lambda of: ea.pruning.total(SYNAPSES, of))(copies.masks)
    assert found["aligned"].min() > 0.9 * counts.max()  # neurons that are silent on all samples are all alike
    assert found["naive"].max() < 0.8 * counts.min()
    ancestors_alone = algorithm(epochs=1, alignment="correlation", spec=SPEC)
    assert ancestors_alone.breed(key, copies, task).allowed.tolist() == found["naive"].tolist()
    first = copies.replace(generation=jnp.array(1, jnp.int32))
    assert ancestors_alone.breed(key, first, task).allowed.tolist() == found["aligned"].tolist()


@pytest.mark.slow
def test_weights_of_a_child_are_fresh_scaled_inherited_or_those_of_the_beginning(task, key):
    state, _ = generations(algorithm(epochs=1), task, key, 1)
    born = {start: algorithm(epochs=1, start=start).breed(key, state, task) for start in module.STARTS}
    child = {start: ea.population.take((of.population, of.masks), 0) for start, of in born.items()}
    mask = SYNAPSES.of(child["origin"][1])
    for path, kept in mask.items():
        origin = SYNAPSES.of(ea.population.take(state.origin, 0))[path]
        np.testing.assert_array_equal(SYNAPSES.of(child["origin"][0])[path], jnp.where(kept, origin, 0))
        a, b = (SYNAPSES.of(ea.population.take(state.population, i))[path] for i in (0, 1))
        np.testing.assert_allclose(SYNAPSES.of(child["inherited"][0])[path], jnp.where(kept, (a + b) / 2, 0), atol=1e-6)
        fresh, scaled = (SYNAPSES.of(child[start][0])[path] for start in ("fresh", "scaled"))
        living = kept.sum(axis=0)
        factor = jnp.sqrt(kept.shape[0] / jnp.maximum(living, 1))
        np.testing.assert_allclose(scaled, fresh * factor[None], rtol=1e-5)


@pytest.mark.slow
def test_siblings_begin_alike_unless_they_are_to_draw_apart(task, key):
    state, _ = generations(algorithm(epochs=1), task, key, 1)
    for alike in (True, False):
        born = algorithm(epochs=1, alike=alike, start="fresh").breed(key, state, task)
        first, second = (ea.population.take((born.population, born.masks), i) for i in (0, 1))
        path = "params/hidden_1/kernel"
        both = SYNAPSES.of(first[1])[path] & SYNAPSES.of(second[1])[path]
        same = SYNAPSES.of(first[0])[path] == SYNAPSES.of(second[0])[path]
        assert both.any() and bool(same[both].all()) == alike


def test_the_fitter_parent_has_the_larger_share_and_a_failed_one_nearly_none():
    s = algorithm(shares="fitness")
    shares = [module._shares(s, s.shares, jnp.array(of)) for of in ([0.98, 0.96], [0.9, jnp.nan], [1.0, 1.0])]
    np.testing.assert_allclose(shares[0], [2 / 3, 1 / 3], rtol=1e-4)
    assert shares[1][0] > 0.9
    np.testing.assert_allclose(shares[2], [0.5, 0.5])


@pytest.mark.slow
def test_mates_are_the_fittest_or_win_tournaments(key):
    fitness = jnp.array([0.1, 0.9, jnp.nan, 0.5, 0.8])
    best = module._mates(algorithm(size=5, mates="best"), key, fitness)
    assert best.tolist() == [[1, 4]] * 5
    keys = jax.random.split(key, 200)
    chosen = {}
    for mates in ("tournament", "random"):
        s = algorithm(size=5, mates=mates)
        chosen[mates] = np.asarray(jax.vmap(module._mates, in_axes=(None, 0, None))(s, keys, fitness))
    often = {mates: np.bincount(of.ravel(), minlength=5) / of.size for mates, of in chosen.items()}
    assert np.abs(often["random"] - 0.2).max() < 0.03
    assert often["tournament"][1] > 0.3 and often["tournament"][2] < 0.05
    assert module._mates(algorithm(), key, fitness[:2]).tolist() == [[0, 1], [1, 0]]


def test_a_generation_traces_once(task, key):
    s = algorithm(epochs=1)
    step = jax.jit(chex.assert_max_traces(lambda k, state: s.step(k, state, task, task), n=1))
    state = s.init(key, task, task)
    for number in range(3):
        state, info = step(jax.random.fold_in(key, number), state)
    assert info.retained.max() < 0.7


def test_settings_that_cannot_be_are_refused(task):
    for settings, complaint in (
        ({"parents": 3}, "parents: got 3; expected at most 2"),
        ({"mates": "mother"}, "mates: got 'mother'"),
        ({"mates": "tournament", "tournament": 2}, "tournament: got 2; expected at most 1"),
        ({"parents": 1, "shares": "fitness"}, "shares: got 'fitness'; expected 'equal' for one parent"),
        ({"shares": (0.5, 0.6)}, "shares: got .* expected 2 numbers of at least 0 that sum to 1"),
        ({"cluster_shares": "most"}, "cluster_shares: got 'most'"),
        ({"realigned": True}, "realigned: got True; expected an alignment"),
        ({"synapse_factor": 1.2}, "synapse_factor: got 1.2"),
        ({"cluster_factor": -1.0}, "cluster_factor: got -1.0"),
        ({"parents": 1, "alignment": "cca"}, "alignment: got cca; expected 'none' for one parent"),
        ({"alignment": "semi"}, "alignment"),
        ({"epochs": 0}, "epochs: got 0"),
    ):
        with pytest.raises(ValueError, match=complaint):
            algorithm(**settings)
    with pytest.raises(ValueError, match="synapses: got the leaf"):
        Synthesis(NET.apply, init_fn, ea.pruning.find({"w": jnp.ones((2, 2))}), optax.sgd(0.1))
    with pytest.raises(ValueError, match="train: got"):
        algorithm().init(jax.random.key(0), (task[0], task[1][:3]), task)


LINE = ea.models.MLP(hidden=(8,), classes=1)


def squares(outputs, targets):
    return (outputs[:, 0] - targets) ** 2


def of_regression(**settings):
    synapses = ea.pruning.find(LINE.init(jax.random.key(9), jnp.zeros((1, 6))))
    settings = {"batch_size": 20, "loss": squares} | settings
    return Synthesis(LINE.apply, lambda key: LINE.init(key, jnp.zeros((1, 6))), synapses, optax.adam(1e-2), **settings)


@pytest.mark.slow
@pytest.mark.parametrize("encoding", [Encoding(), Encoding(strength="saliency")], ids=["magnitude", "saliency"])
def test_a_loss_is_minimised_and_fitness_is_minus_its_mean(encoding, task, key):
    data = task[0], task[0][:, 0] - 0.5 * task[0][:, 1]
    s = of_regression(encoding=encoding, shares="fitness")
    state, info = generations(s, data, key, 1)
    for number, expected in enumerate(state.fitness):
        found = ea.training.evaluate(LINE.apply, ea.population.take(state.population, number), *data, loss=squares)
        assert float(expected) == pytest.approx(-float(found.loss), rel=1e-4)
    trained, loss = of_regression(epochs=40).train(
        key, ea.population.take(state.population, 0), ea.population.take(state.masks, 0), data
    )
    after = ea.training.evaluate(LINE.apply, trained, *data, loss=squares)
    assert after.loss < -state.fitness[0] and loss < info.loss[0]


def test_with_a_loss_shares_are_in_inverse_proportion_to_it():
    s = of_regression(shares="fitness")
    np.testing.assert_allclose(module._shares(s, "fitness", jnp.array([-0.1, -0.3])), [0.75, 0.25], rtol=1e-6)
    assert module._shares(s, "fitness", jnp.array([jnp.nan, -0.3])).tolist() == [0, 1]
    assert module._shares(s, "fitness", jnp.array([jnp.nan, jnp.nan])).tolist() == [0.5, 0.5]


@pytest.mark.slow
def test_a_shard_map_gives_each_device_its_own_children_of_aligned_parents(task, key):
    s = algorithm(epochs=1, ancestors="several", alignment="correlation", spec=SPEC)
    state = s.init(key, task, task)
    mesh, spec = jax.make_mesh((1,), ("devices",), axis_types=(AxisType.Auto,)), PartitionSpec("devices")

    def children(keys, state):
        return jax.tree.map(lambda leaf: leaf[None], s.breed(keys[0], state, task).masks)

    both = jax.shard_map(children, mesh=mesh, in_specs=(spec, PartitionSpec()), out_specs=spec)
    found = jax.tree.map(lambda leaf: leaf[0], jax.jit(both)(key[None], state))
    jax.tree.map(np.testing.assert_array_equal, found, s.breed(key, state, task).masks)
