import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evojax_align import crossover
from evojax_align.evolution import diversity

RNG = np.random.default_rng(4)
POPULATION = {
    "first": {"kernel": jnp.asarray(RNG.normal(size=(5, 3, 4)), jnp.float32), "bias": jnp.zeros((5, 4))},
    "output": {"kernel": jnp.asarray(RNG.normal(size=(5, 4, 2)), jnp.float32)},
}
GENES = crossover.layer_genes(jax.tree.map(lambda leaf: leaf[0], POPULATION))


def test_cosines_are_those_of_flattened_layers():
    found = diversity.cosines(POPULATION, GENES)
    assert found.shape == (2, 5, 5)
    for i, layer in enumerate(("first", "output")):
        assert GENES.names[i] == layer
        flat = np.asarray(POPULATION[layer]["kernel"], np.float64).reshape(5, -1)
        flat /= np.linalg.norm(flat, axis=1, keepdims=True)
        np.testing.assert_allclose(found[i], flat @ flat.T, atol=1e-6)


def test_cosines_of_blocks_look_at_their_own_weights_alone():
    one = {"w": jnp.arange(4.0)}
    genes = crossover.block_genes(one, block=2)
    pop = {"w": jnp.array([[1.0, 0.0, 2.0, 2.0], [0.0, 3.0, 5.0, 5.0]])}
    found = diversity.cosines(pop, genes)
    np.testing.assert_allclose(found[:, 0, 1], [0.0, 1.0], atol=1e-6)


def test_weights_of_no_gene_count_nowhere():
    one = {"w": jnp.zeros((5, 2))}
    genes = crossover.block_genes(one, block=2, remainder="leave")  # 5 = 3 x 1 and two that are left
    assert (np.asarray(genes.index["w"]) == -1).any()
    pop = {"w": jnp.stack([jnp.ones((5, 2)), jnp.ones((5, 2)).at[3:].set(-7.0)])}
    np.testing.assert_allclose(diversity.cosines(pop, genes)[:, 0, 1], 1.0, atol=1e-6)


def test_a_gene_of_zeros_is_like_no_other_and_gives_no_nan():
    found = diversity.cosines(jax.tree.map(jnp.zeros_like, POPULATION), GENES)
    np.testing.assert_array_equal(found, 0)


def test_the_mean_of_pairs_leaves_the_diagonal_out():
    matrix = jnp.array([[1.0, 0.2, 0.4], [0.2, 1.0, 0.6], [0.4, 0.6, 1.0]])
    np.testing.assert_allclose(diversity.mean_of_pairs(matrix), 0.4, rtol=1e-6)


@pytest.mark.slow
def test_groups_are_linked_through_others():
    chain = np.eye(5)
    for i, j in ((0, 1), (1, 2), (3, 4)):
        chain[i, j] = chain[j, i] = 0.95
    assert int(diversity.clusters(jnp.asarray(chain, jnp.float32))) == 2
    assert int(diversity.clusters(jnp.asarray(chain, jnp.float32), threshold=0.99)) == 5
    assert int(diversity.clusters(jnp.ones((4, 4)))) == 1
    assert int(diversity.clusters(jnp.ones((1, 1)))) == 1
    path = np.eye(9)
    for i in range(8):
        path[i, i + 1] = path[i + 1, i] = 1
    assert int(diversity.clusters(jnp.asarray(path, jnp.float32))) == 1


def founders(*numbers):
    return jax.tree.map(
        lambda leaf: jnp.broadcast_to(jnp.array(numbers).reshape(-1, *[1] * (leaf.ndim - 1)), leaf.shape), POPULATION
    )


def test_effective_alleles_count_founders_by_their_shares():
    for numbers, expected in (((0, 1, 2, 3, 4), 5), ((2, 2, 2, 2, 2), 1), ((0, 0, 0, 0, 1), 25 / 17)):
        np.testing.assert_allclose(diversity.effective_alleles(founders(*numbers), GENES), expected, rtol=1e-6)


def test_effective_alleles_are_taken_gene_by_gene():
    mixed = {"first": founders(0, 0, 0, 0, 0)["first"], "output": founders(0, 1, 2, 3, 4)["output"]}
    np.testing.assert_allclose(diversity.effective_alleles(mixed, GENES), [1, 5], rtol=1e-6)


def test_weights_that_descend_from_nobody_do_not_count():
    partly = {"first": founders(0, 0, 1, 1, 2)["first"], "output": founders(-1, -1, -1, -1, -1)["output"]}
    partly["first"]["kernel"] = partly["first"]["kernel"].at[:, 1:].set(-1)
    np.testing.assert_allclose(diversity.effective_alleles(partly, GENES), [25 / 9, 5], rtol=1e-6)


def test_principal_components_keep_the_distances_of_points_on_a_plane():
    points = RNG.normal(size=(6, 2)) @ RNG.normal(size=(2, 7))
    found = np.asarray(diversity.principal_components(jnp.asarray(points, jnp.float32)))
    distances = lambda p: np.linalg.norm(p[:, None] - p[None], axis=-1)
    np.testing.assert_allclose(distances(found), distances(points), rtol=1e-4, atol=1e-4)
    assert (found[np.abs(found).argmax(axis=0), [0, 1]] > 0).all()


def test_disagreement_is_the_share_of_different_answers():
    answers = jnp.array([[0, 1, 2, 3], [0, 1, 2, 0], [1, 1, 1, 1]])
    np.testing.assert_allclose(diversity.disagreement(answers), [[0, 0.25, 0.75], [0.25, 0, 0.75], [0.75, 0.75, 0]])


FITNESS = jnp.array([0.5, 0.5, 0.5])
ALIKE = jnp.array([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
DIFFER = jnp.array([[0.0, 0.1, 0.9], [0.1, 0.0, 0.9], [0.9, 0.9, 0.0]])
SIGNALS = {"alike": ALIKE, "hybrid": jnp.array([0.0, 0.0, 1.0]), "differ": DIFFER}


@pytest.mark.parametrize("bonus", [name for name in diversity.BONUSES if name != "none"])
def test_every_bonus_favours_the_one_that_is_different(bonus):
    found = diversity.scored(bonus, FITNESS, 0.1, **SIGNALS)
    assert found[2] > found[0] and float(found[0]) == pytest.approx(float(found[1]))
    np.testing.assert_array_equal(diversity.scored(bonus, FITNESS, 0.0, **SIGNALS), FITNESS)
    failed = diversity.scored(bonus, FITNESS.at[2].set(jnp.nan), 0.1, **SIGNALS)
    assert np.isnan(failed[2]) and np.isfinite(failed[:2]).all()


def test_bonuses_are_what_their_formulas_say():
    score = lambda bonus: diversity.scored(bonus, FITNESS, 0.1, **SIGNALS)
    np.testing.assert_allclose(score("none"), FITNESS)
    np.testing.assert_allclose(score("cosine"), [0.55, 0.55, 0.6], rtol=1e-6)
    np.testing.assert_allclose(score("hybrid"), [0.5, 0.5, 0.6], rtol=1e-6)
    np.testing.assert_allclose(score("sharing"), [0.5 / 2**0.1, 0.5 / 2**0.1, 0.5], rtol=1e-6)
    np.testing.assert_allclose(score("novelty"), [0.55, 0.55, 0.59], rtol=1e-6)


@pytest.mark.parametrize("bonus", diversity.BONUSES)
def test_a_network_that_failed_takes_no_other_with_it(bonus):
    """Its weights are NaN, and so are its similarities with all others."""
    broken = jnp.array([[1.0, 0.5, jnp.nan], [0.5, 1.0, jnp.nan], [jnp.nan, jnp.nan, jnp.nan]])
    signals = SIGNALS | {"alike": broken, "hybrid": jnp.array([0.1, 0.2, jnp.nan])}
    found = diversity.scored(bonus, FITNESS.at[2].set(jnp.nan), 0.1, **signals)
    assert np.isfinite(found[:2]).all() and np.isnan(found[2])


def test_an_unknown_bonus_is_refused():
    with pytest.raises(ValueError, match="Did you mean 'novelty'"):
        diversity.scored("novelti", FITNESS, 0.1, **SIGNALS)


def test_genes_of_another_tree_are_refused():
    kernels = jax.tree.map(lambda leaf: leaf if leaf.ndim > 2 else None, POPULATION)
    with pytest.raises(ValueError, match="genes: got genes of leaves"):
        diversity.cosines(kernels, GENES)
    with pytest.raises(ValueError, match="genes: got genes of leaves"):
        diversity.effective_alleles(jax.tree.map(lambda leaf: leaf[..., :1], POPULATION), GENES)
    genes = crossover.Genes(index={"w": np.zeros(3, np.int32)}, names=("a", "b"))
    with pytest.raises(ValueError, match="no weights of 'b'"):
        diversity.cosines({"w": jnp.ones((2, 3))}, genes)


def test_principal_components_of_bfloat16_are_those_of_the_same_values_in_float32(key):
    rows = jax.random.normal(key, (5, 4)).astype(jnp.bfloat16)
    found = diversity.principal_components(rows)
    assert found.dtype == jnp.float32
    np.testing.assert_array_equal(found, diversity.principal_components(rows.astype(jnp.float32)))
