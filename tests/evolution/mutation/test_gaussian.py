"""Gaussian noise, as a share of the size of the weights or the same on all."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evojax_align import crossover
from evojax_align.evolution import mutation

PARAMS = {"a": jax.random.normal(jax.random.key(0), (40, 50)), "b": 10 * jnp.ones((60, 20)), "n": jnp.array(3)}
GENES = crossover.layer_genes(PARAMS)


def test_noise_is_a_share_of_the_size_of_its_leaf(key):
    mutant = mutation.gaussian(key, PARAMS, GENES, scale=0.1)
    assert np.std(mutant["a"] - PARAMS["a"]) == pytest.approx(0.1 * np.sqrt(np.mean(PARAMS["a"] ** 2)), rel=0.1)
    assert np.std(mutant["b"] - PARAMS["b"]) == pytest.approx(1.0, rel=0.1)
    assert mutant["n"] == 3


def test_without_scale_or_rate_nothing_changes(key):
    for settings in ({"scale": 0.0}, {"scale": 0.5, "rate": 0.0}):
        chex.assert_trees_all_equal(mutation.gaussian(key, PARAMS, GENES, **settings), PARAMS)


def test_each_gene_has_a_scale_of_its_own(key):
    scale = jnp.array([name == "b" for name in GENES.names], jnp.float32)
    mutant = mutation.gaussian(key, PARAMS, GENES, scale=scale)
    assert (mutant["a"] == PARAMS["a"]).all() and (mutant["b"] != PARAMS["b"]).mean() > 0.9


def test_genes_mutate_whole_at_the_rate(key):
    genes = crossover.block_genes({"w": jnp.ones((100, 100))}, block=10)
    changed = np.asarray(mutation.gaussian(key, {"w": jnp.ones((100, 100))}, genes, scale=0.1, rate=0.3)["w"] != 1)
    shares = changed.reshape(10, 10, 10, 10).mean(axis=(1, 3))
    assert ((shares == 0) | (shares > 0.9)).all() and 0.15 < (shares > 0.5).mean() < 0.45


def test_weights_of_no_gene_are_left_alone(key):
    params = {"w": jnp.ones((5, 2))}
    genes = crossover.block_genes(params, block=2, remainder="leave")
    changed = np.asarray(mutation.gaussian(key, params, genes, scale=1.0)["w"] != 1)
    np.testing.assert_array_equal(changed, np.asarray(genes.index["w"]) != -1)


def test_types_are_kept(key):
    params = {"w": jnp.ones((4, 4), jnp.bfloat16)}
    assert mutation.gaussian(key, params, crossover.layer_genes(params), scale=0.1)["w"].dtype == jnp.bfloat16


@pytest.mark.parametrize("settings", [{"scale": -0.1}, {"scale": 0.1, "rate": 1.5}])
def test_what_cannot_be_is_refused(key, settings):
    with pytest.raises(ValueError, match="scale, rate: "):
        mutation.gaussian(key, PARAMS, GENES, **settings)


def test_genes_of_another_network_are_refused(key):
    with pytest.raises(ValueError, match="genes: got genes of another network"):
        mutation.gaussian(key, {"a": PARAMS["a"]}, GENES, scale=0.1)


def test_isotropic_noise_is_the_same_on_all_weights_and_independent(key):
    mutant = mutation.isotropic(key, PARAMS, scale=0.2)
    noise = {name: np.asarray(mutant[name] - PARAMS[name]) for name in ("a", "b")}
    assert np.std(noise["a"]) == pytest.approx(0.2, rel=0.05) and np.std(noise["b"]) == pytest.approx(0.2, rel=0.1)
    assert abs(np.corrcoef(noise["a"].ravel()[:1200], noise["b"].ravel())[0, 1]) < 0.1
    assert mutant["n"] == 3


def test_without_isotropic_noise_nothing_changes_bit_for_bit(key):
    params = {"w": jnp.array([-0.0, jnp.inf, 1e-45]), "key": jax.random.key(1)}
    mutant = mutation.isotropic(key, params, scale=0.0)
    assert np.asarray(mutant["w"]).tobytes() == np.asarray(params["w"]).tobytes()
    assert (mutant["key"] == params["key"]).all()


def test_isotropic_noise_keeps_types_and_is_rounded_once(key):
    params = {"w": jnp.ones((4, 4), jnp.bfloat16), "z": jnp.zeros(4000, jnp.complex64)}
    mutant = mutation.isotropic(key, params, scale=0.1)
    wide = mutation.isotropic(key, dict(params, w=jnp.ones((4, 4))), scale=0.1)
    assert mutant["w"].dtype == jnp.bfloat16
    assert jnp.array_equal(mutant["w"], wide["w"].astype(jnp.bfloat16))
    assert np.std(mutant["z"]) == pytest.approx(0.1, rel=0.05) and np.std(mutant["z"].imag) > 0.06


@pytest.mark.parametrize("scale", [-0.1, float("inf"), np.ones(2)])
def test_an_isotropic_scale_that_cannot_be_is_refused(scale, key):
    with pytest.raises(ValueError, match=r"scale: got .*one finite number of at least 0"):
        mutation.isotropic(key, PARAMS, scale=scale)
