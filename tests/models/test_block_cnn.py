"""BlockCNN: a chain of pieces, of any architecture."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evojax_align.models import BlockCNN

BLOCKS = ((4, 3, 1), (6, 5, 2), (4, 1, 1))


@pytest.fixture
def images(key):
    return jax.random.normal(key, (5, 8, 8, 3))


@pytest.mark.slow
@pytest.mark.parametrize("train", [False, True])
def test_its_pieces_one_after_the_other_are_the_network(key, images, train):
    network = BlockCNN(BLOCKS, classes=7, use_bias=True)
    variables = network.init(key, images)
    value = images
    for name, piece in network.pieces.items():
        own = {kind: pieces[name] for kind, pieces in variables.items() if name in pieces}
        value, _ = piece.apply(own, value, train=train, mutable=["batch_stats"])
    whole, _ = network.apply(variables, images, train=train, mutable=["batch_stats"])
    np.testing.assert_array_equal(value, whole)


def test_pieces_of_equal_form_are_equal_so_that_they_share_programs():
    one, other = BLOCKS[0], BLOCKS[1]
    first, second = (list(BlockCNN(blocks).pieces.values()) for blocks in ((one, other), (other, one)))
    assert first[0] == second[1] and hash(first[0]) == hash(second[1])
    assert first[0] != first[1]


def test_strides_shrink_maps_and_windows_do_not(key, images):
    network = BlockCNN(BLOCKS)
    _, given = network.apply(network.init(key, images), images, capture_intermediates=True)
    shapes = [given["intermediates"][f"block_{n}"]["__call__"][0].shape for n in range(3)]
    assert shapes == [(5, 8, 8, 4), (5, 4, 4, 6), (5, 4, 4, 4)]


@pytest.mark.slow
def test_grey_images_need_no_channel(key):
    network = BlockCNN(BLOCKS)
    images = jnp.ones((2, 8, 8))
    assert network.apply(network.init(key, images), images).shape == (2, 10)


@pytest.mark.slow
def test_bfloat16_computes_in_it_and_keeps_parameters_and_logits_wide(key, images):
    network = BlockCNN(BLOCKS, dtype=jnp.bfloat16)
    variables = network.init(key, images)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype(jnp.float32)}
    logits, given = network.apply(variables, images, capture_intermediates=True)
    assert given["intermediates"]["block_2"]["__call__"][0].dtype == jnp.bfloat16
    assert logits.dtype == jnp.float32
    wide = BlockCNN(BLOCKS).apply(variables, images)
    np.testing.assert_allclose(logits, wide, atol=0.1)
