"""One cut between two weights or two layers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evojax_align import crossover

A = {"first": {"b": jnp.zeros(2), "w": jnp.zeros((2, 2))}, "last": jnp.zeros(1)}
B = jax.tree.map(jnp.ones_like, A)


def children(a, b, between, count=3000):
    keys = jax.random.split(jax.random.key(0), count)
    found = jax.jit(jax.vmap(lambda key: crossover.one_point(key, a, b, between=between)))(keys)
    return np.concatenate([leaf.reshape(count, -1) for leaf in jax.tree.leaves(found)], axis=1)


def test_a_child_is_of_the_first_parent_before_the_cut_and_of_the_second_behind_it():
    found = children(A, B, "weights")
    assert (np.diff(found, axis=1) >= 0).all()
    counts = np.bincount(found.sum(axis=1).astype(int), minlength=8)
    assert counts[[0, 7]].tolist() == [0, 0] and np.abs(counts[1:7] - 500).max() < 100


def test_between_layers_each_layer_is_of_one_parent():
    a = {"1": {"b": jnp.zeros(2), "w": jnp.zeros(3)}, "2": {"w": jnp.zeros(2)}, "3": {"w": jnp.zeros(1)}}
    found = children(a, jax.tree.map(jnp.ones_like, a), "layers")
    kinds, counts = np.unique(found, axis=0, return_counts=True)
    assert kinds.tolist() == [[0] * 7 + [1], [0] * 5 + [1] * 3]
    assert np.abs(counts - 1500).max() < 150


@pytest.mark.parametrize("between", ["weights", "layers"])
def test_where_there_is_nothing_to_cut_the_child_is_the_first_parent(between):
    assert children({"w": jnp.zeros(1)}, {"w": jnp.ones(1)}, between, 20).sum() == 0


def test_nan_of_the_parent_on_the_other_side_does_not_get_through(key):
    broken = jax.tree.map(lambda leaf: jnp.full_like(leaf, jnp.nan), A)
    for a, b in ((broken, B), (A, broken)):
        whole, found = crossover.one_point(key, A, B), crossover.one_point(key, a, b)
        for p, q in zip(jax.tree.leaves(whole), jax.tree.leaves(found), strict=True):
            np.testing.assert_array_equal(np.isnan(q), p == (b is broken))
            np.testing.assert_array_equal(q[~np.isnan(q)], p[~np.isnan(q)])


def test_another_place_to_cut_is_refused(key):
    with pytest.raises(ValueError, match=r"between: got 'layer'.*Did you mean 'layers'"):
        crossover.one_point(key, A, B, between="layer")
