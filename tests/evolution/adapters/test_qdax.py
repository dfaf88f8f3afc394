"""Variation of aligned parents against alignment and crossover by hand, and inside an emitter of QDax."""

import importlib.metadata

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import evojax_align as ea
from evojax_align import alignment
from evojax_align.evolution import SafeGradient
from evojax_align.evolution.adapters import mutation, variation


@pytest.fixture(scope="module")
def parents(draw):
    return [ea.population.init(draw, jax.random.key(seed), 4) for seed in (1, 2)]


SLOW = [pytest.param(method, marks=pytest.mark.slow) for method in ("correlation", alignment.Weights(restarts=1))]


@pytest.mark.slow
@pytest.mark.parametrize("method", ["mutual", *SLOW], ids=str)
def test_children_are_those_of_parents_that_are_aligned_by_hand(key, network, x, parents, method):
    children = variation(network.apply, x, method=method, crossover="neurons", gives_key=False)(*parents, key)
    spec = ea.symmetry.infer(network.apply, ea.population.take(parents[0], 0), x)
    for number, key_pair in enumerate(jax.random.split(key, 4)):
        a, b = (ea.population.take(side, number) for side in parents)
        found = ea.alignment.align_to(network.apply, a, ea.population.stack([b]), x, method=method)
        expected = ea.crossover.neurons(key_pair, a, ea.population.take(found.networks, 0), spec=spec)
        for p, q in zip(jax.tree.leaves(ea.population.take(children, number)), jax.tree.leaves(expected), strict=True):
            np.testing.assert_allclose(p, q, atol=1e-6)


@pytest.mark.slow
def test_a_permuted_copy_is_recognised_and_without_alignment_it_is_not(key):
    network, x = ea.models.MLP(hidden=(5,), classes=2), jax.random.normal(jax.random.key(3), (64, 6))
    parents = [ea.population.init(lambda key: network.init(key, x), jax.random.key(1), 4)]
    spec = ea.symmetry.infer(network.apply, ea.population.take(parents[0], 0), x)
    shuffled = ea.population.map(
        lambda key, params: ea.symmetry.permute(spec, params, ea.symmetry.random_permutations(spec, key)),
        jax.random.split(jax.random.key(5), 4),
        parents[0],
    )
    outputs = lambda pop: ea.population.map(lambda params: network.apply(params, x), pop)
    changed = {}
    for method in ("mutual", "none", "random"):
        children = variation(network.apply, x, method=method, crossover="uniform", gives_key=False)(
            parents[0], shuffled, key
        )
        changed[method] = float(jnp.max(jnp.abs(outputs(children) - outputs(parents[0]))))
    assert changed["mutual"] < 1e-5 < 0.01 < min(changed["none"], changed["random"])


def test_a_key_is_returned_where_it_is_asked_for(key, network, x, parents):
    vary = variation(network.apply, x, gives_key=True)
    children, rest = vary(*parents, key)
    again, _ = vary(*parents, rest)
    assert rest.shape == () and not bool((jax.tree.leaves(children)[-1] == jax.tree.leaves(again)[-1]).all())
    changed, rest = mutation(0.1, gives_key=True)(parents[0], jax.random.PRNGKey(0))
    assert rest.shape == (2,)  # of the kind that was given
    assert jax.tree.structure(changed) == jax.tree.structure(parents[0])


def test_mutation_takes_numbers_functions_and_values(key, network, x, parents):
    for kind in (0.1, lambda key, params: jax.tree.map(lambda leaf: leaf + 1, params), SafeGradient(0.1)):
        changed = mutation(kind, network.apply, x, gives_key=False)(parents[0], key)
        assert bool((jax.tree.leaves(changed)[-1] != jax.tree.leaves(parents[0])[-1]).any())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda apply, x: variation(apply, x, method="semi", gives_key=False), "bijective"),
        (lambda apply, x: variation(apply, x, crossover="unifrom", gives_key=False), "Did you mean 'uniform'"),
        (lambda apply, x: variation(apply, [[1.0]], gives_key=False), "x: got"),
        (lambda apply, x: mutation("0.1", gives_key=False), "kind: got '0.1'"),
        (lambda apply, x: mutation(SafeGradient(0.1), gives_key=False), "apply: got None"),
    ],
)
def test_what_cannot_be_is_refused(unchecked, network, x, call, message):
    with pytest.raises(ValueError, match=message):
        call(network.apply, x)


def test_a_network_without_groups_is_refused(key):
    vary = variation(lambda w, x: x @ w, jnp.ones((4, 3)), gives_key=False)
    with pytest.raises(ValueError, match="no axis can be permuted"):
        vary(jnp.ones((2, 3, 1)), jnp.ones((2, 3, 1)), key)


def test_map_elites_runs_with_an_emitter_of_aligned_crossover(key, network, x, draw, curve):
    pytest.importorskip("qdax", reason="QDax (extra `qdax`) is not installed")
    from qdax.core.containers.mapelites_repertoire import compute_euclidean_centroids
    from qdax.core.emitters.standard_emitters import MixingEmitter
    from qdax.core.map_elites import MAPElites
    from qdax.utils.metrics import default_qd_metrics

    def scored(members, key):
        fitness = ea.population.map(lambda params: curve(key, params), members)
        sizes = ea.population.map(
            lambda params: jnp.tanh(
                jnp.stack([params["params"]["output"]["kernel"].mean(), params["params"]["output"]["kernel"].std()])
            ),
            members,
        )
        return fitness.reshape(-1, 1) if NEW else fitness, sizes, {}

    NEW = tuple(map(int, importlib.metadata.version("qdax").split(".")[:2])) >= (0, 5)
    vary = variation(network.apply, x, method="mutual", crossover="neurons")
    emitter = MixingEmitter(mutation(0.1), vary, variation_percentage=0.5, batch_size=8)
    with jax.numpy_rank_promotion("allow"):
        centroids = compute_euclidean_centroids(grid_shape=(4, 4), minval=-1.0, maxval=1.0)
        search = MAPElites(scored, emitter, lambda repertoire: default_qd_metrics(repertoire, qd_offset=10.0))
        repertoire, state, before = search.init(ea.population.init(draw, key, 8), centroids, key)
        for key_step in jax.random.split(key, 2):
            repertoire, state, after = search.update(repertoire, state, key_step)
    assert float(np.ravel(after["qd_score"])[0]) >= float(np.ravel(before["qd_score"])[0]) > 0
    assert float(np.ravel(after["max_fitness"])[0]) >= float(np.ravel(before["max_fitness"])[0])
