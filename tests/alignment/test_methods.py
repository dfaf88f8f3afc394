"""A matching method is a value; one of a user's own works wherever a built-in one does."""

import dataclasses
import traceback

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import evojax_align as ea
from evojax_align import alignment, population, symmetry
from evojax_align.alignment import methods
from evojax_align.matching import Matching

X = np.random.default_rng(0).normal(size=(40, 5)).astype(np.float32)


@dataclasses.dataclass(frozen=True)
class Absolute(alignment.Method):
    """By the size of the correlations, whatever their signs."""

    power: float = 1.0

    def scores(self, relation):
        return jnp.abs(relation.correlations) ** self.power


@dataclasses.dataclass(frozen=True)
class Reversed(alignment.Method):
    """Every neuron with the one at the mirrored place."""

    def match(self, relation):
        order = jnp.arange(relation.correlations.shape[0], dtype=jnp.int32)
        return Matching(x=order, y=order[::-1], valid=jnp.array(True))


def attention(p, x):
    q, k, v = (jnp.tensordot(x, p[name], 1) for name in "qkv")
    weights = jax.nn.softmax(jnp.einsum("thd,shd->hts", q, k), axis=-1)
    return jnp.einsum("hts,shd,hde->te", weights, v, p["o"])


def heads(seed):
    random = np.random.default_rng(seed)
    shapes = {"q": (5, 3, 4), "k": (5, 3, 4), "v": (5, 3, 6), "o": (3, 6, 5)}
    return {name: random.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


@pytest.mark.slow
@pytest.mark.parametrize("method", [Absolute(), Absolute(power=3.0), Reversed()])
def test_a_method_of_a_users_own_works_alone_for_pairs_in_stages_and_under_jit(method, apply, x, many):
    a, b = (population.take(networks, 0) for networks in many)
    pairs = ea.align_pairs(apply, *many, x, method=method)
    one = ea.align(apply, a, b, x, method=method)
    traced = jax.jit(lambda a, b: ea.align(apply, a, b, x, method=method))(a, b)
    relations = alignment.relate(symmetry.infer(apply, a, x), apply, a, b, x)
    staged = alignment.match(relations, method)
    for out in (traced, population.take(pairs, 0)):
        chex.assert_trees_all_equal((out.a, out.b), (one.a, one.b))
    np.testing.assert_array_equal(staged["0"].y, one.permutations_b["0"])
    np.testing.assert_allclose(apply(one.b, x), apply(b, x), atol=1e-5)
    assert one.bijective and one.valid and pairs.valid.shape == (3,)


def test_a_users_method_finds_a_copy_whose_neurons_have_other_signs():
    apply = lambda p, x: (x @ p["in"]) ** 2 @ p["out"]
    random = np.random.default_rng(1)
    a = {"in": random.normal(size=(5, 7)), "out": random.normal(size=(7, 2))}
    a = jax.tree.map(lambda leaf: leaf.astype(np.float32), a)
    order = random.permutation(7)
    b = {"in": -a["in"][:, order], "out": a["out"][order]}

    def linear(p, x):  # reads neurons before their square
        return (x @ p["in"]) @ p["out"]

    spec = symmetry.infer(linear, a, X)
    relation = alignment.relate(spec, linear, a, b, X)
    found = alignment.match(relation, Absolute())["in"]
    np.testing.assert_array_equal(order[found.y], found.x)
    assert (np.asarray(alignment.match(relation)["in"].score) < 0.999).all()
    assert ea.align(apply, a, b, X, method=Absolute()).valid


@pytest.mark.slow
def test_a_users_method_matches_heads_and_what_is_inside_them():
    a = heads(1)
    spec = symmetry.infer(attention, a, X)
    b = symmetry.permute(spec, a, symmetry.random_permutations(spec, jax.random.key(0)))
    out = ea.align(attention, a, b, X, method=Absolute())
    np.testing.assert_allclose(attention(out.b, X), attention(b, X), atol=1e-4)
    chex.assert_trees_all_equal(out.a, out.b)


@pytest.mark.slow
def test_a_users_method_brings_a_population_into_one_order_and_is_taken_by_evolution(key):
    network = ea.models.MLP(hidden=(6,), classes=3)
    init_fn = lambda key: network.init(key, X)
    pop = population.init(init_fn, key, 4)
    found = alignment.align_to(network.apply, population.take(pop, 0), pop, X, method=Absolute())
    np.testing.assert_allclose(
        network.apply(population.take(found.networks, 2), X), network.apply(population.take(pop, 2), X), atol=1e-5
    )
    genes = ea.crossover.neuron_genes(population.take(pop, 0), spec=symmetry.infer(network.apply, init_fn(key), X))
    mixing = ea.evolution.Recombination(
        network.apply, init_fn, genes, optax.sgd(0.1), size=4, batch_size=20, alignment=Absolute()
    )
    data = X, jnp.arange(40) % 3
    state, _ = mixing.step(key, mixing.init(key, data), data, data)
    assert np.isfinite(np.asarray(state.fitness)).all()


def test_methods_are_compared_by_their_settings_and_a_ridge_is_an_argument_of_programs():
    assert methods.CCA(rank=3) == methods.CCA(rank=3) != methods.CCA(rank=4)
    assert jax.tree.leaves(methods.CCA()) == [] and jax.tree.leaves(methods.CCA(ridge=0.5)) == [0.5]
    assert jax.tree.structure(methods.CCA(ridge=0.5)) == jax.tree.structure(methods.CCA(ridge=0.1))
    assert jax.tree.map(lambda ridge: 2 * ridge, methods.Loadings(ridge=0.5)) == methods.Loadings(ridge=1.0)
    start = methods.Weights(restarts=3, start=methods.CCA(ridge=0.5))
    assert jax.tree.leaves(start) == [0.5] and jax.tree.map(lambda leaf: leaf, start) == start
    assert jax.tree.leaves(Absolute(2.0)) == []


def test_from_align_to_the_assignment_are_three_calls(apply, x, shallow, monkeypatch):
    class Reached(Exception):
        pass

    def solve(*args, **kwargs):
        raise Reached

    monkeypatch.setattr("scipy.optimize.linear_sum_assignment", solve)
    with pytest.raises(Reached) as error:
        ea.align(apply, *shallow, x)
    own = [frame.name for frame in traceback.extract_tb(error.tb) if "evojax_align/" in frame.filename]
    assert own[: own.index("one_to_one") + 1][-3:] == ["align", "match", "one_to_one"]


def test_the_control_of_dead_neurons_moves_nothing_else(apply, x, shallow):
    a, b = (jax.tree.map(jnp.asarray, params) for params in shallow)
    spec = symmetry.infer(apply, a, x)
    relation = alignment.relate(spec, apply, a, b, x)
    (group,) = relation
    of_group, m = relation[group], relation[group].moments
    dead_x, dead_y = jnp.array([True, False, False, False, False, True]), jnp.array([False] * 3 + [True] * 2 + [False])
    moments = dataclasses.replace(
        m, square_x=jnp.where(dead_x, 0.0, m.square_x), square_y=jnp.where(dead_y, 0.0, m.square_y)
    )
    partners = alignment.DeadOnly().match(dataclasses.replace(of_group, moments=moments))
    pairs = dict(zip(partners.x.tolist(), partners.y.tolist(), strict=True))
    assert {pairs[0], pairs[5]} == {3, 4}
    assert (pairs[1], pairs[2]) == (1, 2)
    assert {pairs[3], pairs[4]} == {0, 5}
