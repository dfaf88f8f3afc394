"""The algorithm of Cooke and de Alfaro, on a small task."""

import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import evojax_align as ea
from evojax_align.evolution import Recombination, diversity
from evojax_align.evolution.recombination import recombination as module
from evojax_align.evolution.recombination.islands import migrated
from evojax_align.lab import checkpoint

NET = ea.models.MLP(hidden=(8, 6), classes=3, output_bias=True, start="fan_in")
X = jnp.zeros((1, 6))


def init_fn(key):
    return NET.init(key, X)


ONE = init_fn(jax.random.key(9))
SPEC = ea.symmetry.infer(NET.apply, ONE, X)
GENES = {
    "layer": ea.crossover.layer_genes(ONE),
    "block": ea.crossover.block_genes(ONE, block=4),
    "neuron": ea.crossover.neuron_genes(ONE, spec=SPEC),
}
SGD = optax.sgd(0.1, momentum=0.9)


def algorithm(genes="layer", **settings):
    settings = {"size": 8, "batch_size": 20, "compared": 60} | settings
    return Recombination(NET.apply, init_fn, GENES[genes], SGD, **settings)


def generations(r, task, key, count, state=None, first=0):
    state = r.init(key, task) if state is None else state
    info = None
    for number in range(first, first + count):
        state, info = r.step(jax.random.fold_in(key, number), state, task, task)
    return state, info


VARIANTS = {
    "text": {},
    "code": {"genes": "block", "immigrants": 2, "shuffle": False},
    "random": {"genes": "neuron", "selection": "random"},
    "aligned": {"alignment": "correlation"},
    "cca": {"alignment": ea.alignment.CCA(ridge=0.1)},
    "mutation": {"mutation": 0.1, "mutation_rate": 0.5, "bonus": "hybrid"},
    "adaptive": {"mutation": 0.1, "adaptive": True, "bonus": "cosine"},
    "sharing": {"bonus": "sharing", "epochs": 2},
    "novelty": {"bonus": "novelty"},
    "islands": {"islands": 2, "migration": 1, "immigrants": 2},
}


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.slow
def test_every_variant_learns_keeps_its_books_and_goes_on_after_a_stop_to_the_same_bits(name, task, key, tmp_path):
    r = algorithm(**VARIANTS[name])
    half, _ = generations(r, task, key, 3)
    state, info = generations(r, task, key, 3, half, first=3)
    checkpoint.save(tmp_path / "state.npz", half, {})
    restored, _ = checkpoint.load(tmp_path / "state.npz", half)
    again, _ = generations(r, task, key, 3, restored, first=3)
    for p, q in zip(jax.tree.leaves(state), jax.tree.leaves(again), strict=True):
        assert np.asarray(p).tobytes() == np.asarray(q).tobytes()

    assert ea.population.size(state.population) == 8 and int(state.generation) == 6
    assert int(state.founders) == 8 + 6 * r.immigrants
    assert float(state.fitness.min()) > 0.6 and float(state.fitness.max()) > 0.85
    for number, member in enumerate(ea.population.unstack(state.population)):
        logits = NET.apply(member, task[0])
        assert float(state.fitness[number]) == pytest.approx(float((logits.argmax(-1) == task[1]).mean()), abs=1e-6)
    each = 8 // r.islands
    assert (info.parents[:, 0] != info.parents[:, 1]).all()
    np.testing.assert_array_equal(info.parents // each, np.repeat(np.arange(r.islands), each)[:, None].repeat(2, 1))
    chex.assert_trees_all_equal_structs(state.ancestors, state.population)
    alleles = diversity.effective_alleles(state.ancestors, r.genes)
    assert (alleles >= 1).all() and (alleles <= 8).all()


@pytest.mark.slow
def test_a_whole_run_compiles_one_step(task, key):
    r = algorithm(alignment="correlation", bonus="cosine", mutation=0.1, adaptive=True)
    before = module._step._cache_size()
    generations(r, task, key, 3)
    generations(r, task, jax.random.key(5), 2)
    assert module._step._cache_size() == before + 1


@pytest.mark.slow
def test_children_take_every_layer_from_the_parent_that_the_record_names(task, key):
    r = algorithm()
    state, _ = generations(r, task, key, 1)
    offspring = r.breed(key, state, task[0], 6)
    for child in range(6):
        for gene, layer in enumerate(GENES["layer"].names):
            parent = int(offspring.parents[child, int(offspring.from_b[child, gene])])
            for leaf in ("kernel", "bias"):
                name = layer.removeprefix("params/")
                for of_child, of_all in (
                    (offspring.population, state.population),
                    (offspring.ancestors, state.ancestors),
                ):
                    ours, theirs = of_child["params"][name][leaf][child], of_all["params"][name][leaf][parent]
                    np.testing.assert_array_equal(ours, theirs)


def test_parents_are_of_the_better_half(task, key):
    r = algorithm()
    state = dataclasses.replace(r.init(key, task), score=jnp.arange(8.0))
    offspring = r.breed(key, state, task[0], 40)
    assert set(np.unique(offspring.parents)) == {4, 5, 6, 7}


@pytest.mark.slow
def test_random_selection_lets_all_be_parents(task, key):
    r = algorithm(selection="random")
    state = dataclasses.replace(r.init(key, task), score=jnp.arange(8.0))
    seen = [np.unique(r.breed(jax.random.key(seed), state, task[0], 40).parents) for seed in range(12)]
    assert set(np.concatenate(seen)) == set(range(8))


def test_the_fittest_candidates_stay_best_first(task, key):
    r = algorithm(immigrants=4)
    state, info = generations(r, task, key, 2)
    order = np.argsort(-np.asarray(info.fitness), kind="stable")[:8]
    np.testing.assert_array_equal(info.kept, order)
    np.testing.assert_array_equal(state.fitness, np.asarray(info.fitness)[order])


@pytest.mark.slow
def test_immigrants_are_founders_of_their_own(task, key):
    r = algorithm(immigrants=8, selection="random")
    state, _ = generations(r, task, key, 2)
    numbers = np.unique(np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(state.ancestors)]))
    assert numbers.max() >= 8 and int(state.founders) == 24


@pytest.mark.slow
def test_weights_of_no_gene_are_drawn_anew(task, key):
    genes = ea.crossover.block_genes(ONE, block=3, remainder="leave")
    r = Recombination(NET.apply, init_fn, genes, SGD, size=4, batch_size=20)
    state = r.init(key, task)
    offspring = r.breed(key, state, task[0], 4)
    index = jax.tree.leaves(genes.index)
    assert any((of_leaf == -1).any() for of_leaf in index)
    for of_leaf, weights, founder, old in zip(
        index, *map(jax.tree.leaves, (offspring.population, offspring.ancestors, state.population)), strict=True
    ):
        none = np.broadcast_to(of_leaf == -1, weights.shape)
        assert (np.asarray(founder)[none] == -1).all() and (np.asarray(founder)[~none] >= 0).all()
        inherited = (np.asarray(weights)[:, None] == np.asarray(old)[None]).any(axis=1)
        assert inherited[~none].all() and not inherited[none].any()


def permuted_twins(key, count):
    """One trained-like network in several orders of its neurons."""
    params = init_fn(key)
    orders = [ea.symmetry.permuting.random_permutations(SPEC, k) for k in jax.random.split(key, count)]
    return ea.population.stack([ea.symmetry.permute(SPEC, params, order) for order in orders])


ORDERS = [("correlation", genes) for genes in GENES] + [(method, "neuron") for method in ("cca", "loadings", "weights")]


@pytest.mark.parametrize(("method", "genes"), ORDERS)
@pytest.mark.slow
def test_children_of_one_network_in_different_orders_are_that_network_if_aligned(method, genes, task, key):
    ridged = {"cca": ea.alignment.CCA(ridge=0.01), "loadings": ea.alignment.Loadings(ridge=0.01)}
    r = algorithm(genes, alignment=ridged.get(method, method))
    state = dataclasses.replace(r.init(key, task), population=permuted_twins(key, 8))
    offspring = r.breed(key, state, task[0], 8)
    expected = NET.apply(ea.population.take(state.population, 0), task[0])
    for child in ea.population.unstack(offspring.population):
        np.testing.assert_allclose(NET.apply(child, task[0]), expected, atol=1e-4)
    np.testing.assert_allclose(offspring.hybrid, 0, atol=1e-5)


@pytest.mark.slow
def test_children_of_one_network_in_different_orders_are_strangers_as_they_are(task, key):
    r = algorithm("neuron")
    state = dataclasses.replace(r.init(key, task), population=permuted_twins(key, 8))
    assert float(r.breed(key, state, task[0], 8).hybrid.min()) > 0.1


@pytest.mark.slow
def test_ancestors_move_with_the_neurons_of_aligned_parents(task, key):
    """Every weight's founder is followed by marking the weights: a network whose weights are its founder's number."""
    r = algorithm("neuron", alignment="correlation")
    state, _ = generations(r, task, key, 1)
    offspring = r.breed(key, state, task[0], 8)
    pairs = zip(*map(jax.tree.leaves, (offspring.population, offspring.ancestors)), strict=True)
    sources = list(zip(*map(jax.tree.leaves, (state.population, state.ancestors)), strict=True))
    for (weights, founder), (old, old_founder) in zip(pairs, sources, strict=True):
        known = dict(zip(np.ravel(old).tolist(), np.ravel(old_founder).tolist(), strict=True))
        assert [known[w] for w in np.ravel(weights).tolist()] == np.ravel(founder).tolist()


def founders_of(state, members):
    return set(
        np.unique(np.concatenate([np.ravel(leaf[members]) for leaf in jax.tree.leaves(state.ancestors)])).tolist()
    )


@pytest.mark.slow
def test_islands_breed_apart_until_they_migrate(task, key):
    state, _ = generations(algorithm(islands=2, migration=6), task, key, 5)
    assert founders_of(state, slice(0, 4)) <= {0, 1, 2, 3} and founders_of(state, slice(4, 8)) <= {4, 5, 6, 7}
    mixed, _ = generations(algorithm(islands=2, migration=1), task, key, 5)
    assert any(
        founders_of(mixed, half) - own for half, own in ((slice(0, 4), {0, 1, 2, 3}), (slice(4, 8), {4, 5, 6, 7}))
    )


@pytest.mark.slow
def test_the_best_of_each_island_takes_the_last_place_of_the_next(task, key):
    r = algorithm(islands=2, migration=3)
    state = dataclasses.replace(r.init(key, task), fitness=jnp.arange(8.0), generation=jnp.array(3, jnp.int32))
    assert migrated(r.islands, r.migration, state).fitness.tolist() == [0, 1, 2, 4, 4, 5, 6, 0]
    still = migrated(r.islands, r.migration, dataclasses.replace(state, generation=jnp.array(4, jnp.int32)))
    assert still.fitness.tolist() == list(range(8))


def some_broken(key):
    """A network that, three times in ten, gives outputs that are not finite."""
    params = init_fn(key)
    scale = jnp.where(jax.random.bernoulli(key, 0.3), jnp.nan, 1.0)
    return {
        "params": params["params"] | {"output": jax.tree.map(lambda leaf: leaf * scale, params["params"]["output"])}
    }


FAILING = {
    "plain": {},
    "random": {"selection": "random"},
    "cosine": {"bonus": "cosine"},
    "adaptive": {"bonus": "sharing", "mutation": 0.1, "adaptive": True},
}


@pytest.mark.parametrize("name", FAILING)
@pytest.mark.slow
def test_a_network_that_fails_is_neither_kept_nor_a_parent_nor_harms_others(name, task, key):
    settings = {"size": 8, "batch_size": 20, "parents": 0.25, "immigrants": 8} | FAILING[name]
    r = Recombination(NET.apply, some_broken, GENES["layer"], SGD, **settings)
    state = r.init(jax.random.key(1), task)
    assert 0 < int(jnp.isnan(state.fitness).sum()) <= 6
    offspring = r.breed(key, state, task[0], 8)
    assert np.isfinite(np.asarray(state.fitness)[np.unique(offspring.parents)]).all()
    state, info = r.step(key, state, task, task)
    assert np.isnan(info.fitness).any() and np.isfinite(state.fitness).all() and np.isfinite(info.mutation).all()
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state.population))
    np.testing.assert_array_equal(np.isnan(info.score), np.isnan(info.fitness))


@pytest.mark.slow
def test_a_network_without_symmetry_has_nothing_to_align(task, key):
    apply, init = (lambda p, x: x @ p["w"]), (lambda key: {"w": jax.random.normal(key, (6, 3))})
    genes = ea.crossover.block_genes(init(key), block=3)
    r = Recombination(apply, init, genes, SGD, size=4, batch_size=20, alignment="correlation", compared=60)
    with pytest.warns(UserWarning, match="no axis can be permuted: axis 0 of 'w' is fixed by data"):
        state, _ = generations(r, task, key, 2)
    assert float(state.fitness.max()) > 0.7


@pytest.mark.slow
def test_mutation_is_as_strong_as_members_are_alike(task, key):
    r = algorithm(mutation=0.2, adaptive=True)
    state = r.init(key, task)
    alike = dataclasses.replace(state, population=ea.population.take(state.population, jnp.zeros(8, int)))
    _, info = r.step(key, alike, task, task)
    np.testing.assert_allclose(info.mutation, 0.2, rtol=1e-5)
    _, info = r.step(key, state, task, task)
    assert (info.mutation < 0.1).all()


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"size": 0}, "size: "),
        ({"parents": 0.1}, "parents: "),
        ({"parents": 1.5}, "parents: "),
        ({"islands": 3}, "size: got 8 on 3 islands"),
        ({"islands": 2, "immigrants": 1}, "immigrants: got 1 on 2 islands"),
        ({"bonus": "novel"}, "Did you mean 'novelty'"),
        ({"alignment": "semi"}, "alignment: "),
        ({"selection": "worst"}, "selection: "),
        ({"mutation": -1.0}, "mutation: "),
        ({"mutation_rate": 2.0}, "mutation_rate: "),
        ({"bonus_weight": -1.0}, "bonus_weight: "),
        ({"migration": 0}, "migration: "),
        ({"alignment": "semi"}, "alignment: got Semi.*a bijective method"),
        ({"alignment": "corelation"}, "method: got 'corelation'"),
        ({"adaptive": True}, "adaptive: "),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, named):
    with pytest.raises(ValueError, match=named):
        algorithm(**settings)


def test_data_and_genes_that_do_not_fit_are_refused(task, key):
    x, y = task
    r = algorithm()
    state = r.init(key, task)
    with pytest.raises(ValueError, match="judge: got labels from 1 to 3"):
        r.init(key, (x, y + 1))
    with pytest.raises(ValueError, match="train: got inputs"):
        r.step(key, state, (x, y[:5]), task)
    with pytest.raises(ValueError, match="genes: got genes of another network"):
        Recombination(NET.apply, init_fn, ea.crossover.layer_genes({"w": X}), SGD)


def test_children_are_bred_in_equal_numbers_for_every_island(task, key):
    r = algorithm(islands=2)
    with pytest.raises(ValueError, match="count: got 3"):
        r.breed(key, r.init(key, task), task[0], 3)


LINE = ea.models.MLP(hidden=(4,), classes=1)
LINE_GENES = ea.crossover.layer_genes(LINE.init(jax.random.key(0), X))


def squares(outputs, targets):
    return (outputs[:, 0] - targets) ** 2


def of_regression(**settings):
    settings = {"size": 4, "batch_size": 20, "loss": squares} | settings
    return Recombination(LINE.apply, lambda key: LINE.init(key, X), LINE_GENES, optax.adam(1e-2), **settings)


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{}, {"alignment": "correlation", "bonus": "cosine"}], ids=["plain", "aligned"])
def test_a_loss_is_minimised_and_fitness_is_minus_its_mean(settings, task, key):
    data = task[0], task[0][:, 0] - 0.5 * task[0][:, 1]
    r = of_regression(**settings)
    first = r.init(key, data)
    state, info = generations(r, data, key, 3)
    for number, expected in enumerate(state.fitness):
        found = ea.training.evaluate(LINE.apply, ea.population.take(state.population, number), *data, loss=squares)
        assert float(expected) == pytest.approx(-float(found.loss), rel=1e-4)
    assert state.fitness.max() > first.fitness.max() and (info.loss > 0).all()


@pytest.mark.parametrize("bonus", ["sharing", "novelty"])
def test_a_bonus_that_needs_accuracies_or_classes_is_refused_with_a_loss(bonus):
    with pytest.raises(ValueError, match=rf"^bonus: got '{bonus}'; expected 'none', 'cosine' or 'hybrid' with a loss"):
        of_regression(bonus=bonus)


@pytest.mark.slow
def test_targets_that_the_loss_does_not_take_are_refused(task, key):
    with pytest.raises(ValueError, match=r"^loss: got "):
        of_regression().init(key, (task[0], task[0][:, :4]))
