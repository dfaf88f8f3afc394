"""Crossover of networks of different architectures."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evojax_align import _checks
from evojax_align.evolution import Block, Genome, Space, inherit, splice
from evojax_align.models import BlockCNN

SPACE = Space(filters=(4, 8, 12), longest=4)
PARENT = Genome((Block(0, 8, 3, 1), Block(1, 12, 3, 2), Block(2, 8, 3, 1)))


def network(genome):
    return BlockCNN(genome.architecture, classes=5)


@pytest.fixture(scope="module")
def images():
    return jax.random.normal(jax.random.key(9), (30, 8, 8))


@pytest.fixture(scope="module")
def trained(images):
    """Variables whose statistics are those of the images."""
    own = network(PARENT)
    variables = own.init(jax.random.key(1), images)
    for _ in range(30):
        _, new = own.apply(variables, images, train=True, mutable=["batch_stats"])
        moved = jax.tree.map(lambda old, now: old + (now - old) * 50, variables["batch_stats"], new["batch_stats"])
        variables = variables | {"batch_stats": moved}
    return variables


def grown(genome, child, variables, images):
    fresh = network(child).init(jax.random.key(4), images)
    return inherit("function", genome, child, variables, fresh, key=jax.random.key(3))


def permuted(variables, number, order):
    """The same network, with the filters of one block in another order."""
    here, after = f"block_{number}", f"block_{number + 1}"
    moved = {kind: dict(pieces) for kind, pieces in variables.items()}
    for kind, pieces in variables.items():
        moved[kind][here] = jax.tree.map(lambda leaf: leaf[..., order], pieces[here])
    following = variables["params"][after]
    kernel = following["conv"]["kernel"][:, :, order]
    moved["params"][after] = following | {"conv": {"kernel": kernel}}
    return moved


def spliced(genomes, variables, images, key=0, **settings):
    networks = [network(genome) for genome in genomes]
    return splice(jax.random.key(key), SPACE, genomes, networks, variables, images, **settings)


@pytest.fixture(scope="module")
def couple(images, trained):
    """Two networks of one function, one with larger windows before the cut, one in another order and wider after."""
    one = PARENT.replaced(0, window=5)
    other = PARENT.replaced(2, filters=12)
    first, second = grown(PARENT, one, trained, images), grown(PARENT, other, trained, images)
    for number, count in enumerate((8, 12)):
        second = permuted(second, number, jax.random.permutation(jax.random.key(number), count))
    return (one, other), (first, second)


@pytest.mark.slow
def test_aligned_halves_of_two_networks_of_one_function_have_it_too(images, trained, couple):
    genomes, variables = couple
    child, found = spliced(genomes, variables, images)
    assert child.architecture == ((8, 5, 1), (12, 3, 2), (12, 3, 1))
    expected = network(PARENT).apply(trained, images)
    np.testing.assert_allclose(network(child).apply(found, images), expected, atol=2e-4)
    _, naive = spliced(genomes, variables, images, matching="order")
    assert not np.allclose(network(child).apply(naive, images), expected, atol=0.05)


@pytest.mark.slow
def test_what_has_no_partner_is_replaced_by_its_mean(images, trained):
    """Of a first block cut down to half, the second network knows the rest by its mean alone."""
    one = PARENT.replaced(0, filters=4)
    other = PARENT.replaced(2, filters=12)
    first, second = grown(PARENT, one, trained, images), grown(PARENT, other, trained, images)
    child, found = spliced((one, other), (first, second), images)
    assert child.architecture == ((4, 3, 1), (12, 3, 2), (12, 3, 1))
    expected = network(other).apply(second, images)
    ours = np.abs(network(child).apply(found, images) - expected).mean()
    blind = {**found, "batch_stats": second["batch_stats"] | {"block_0": first["batch_stats"]["block_0"]}}
    assert ours < 0.8 * np.abs(network(child).apply(blind, images) - expected).mean()


@pytest.mark.slow
def test_a_cut_before_the_head_keeps_its_answers_near(images, trained):
    one = Genome((*PARENT.blocks[:2], Block(2, 12, 3, 1)))
    other = Genome((Block(8, 12, 1, 1), *PARENT.blocks))
    first, second = grown(PARENT, one, trained, images), grown(PARENT, other, trained, images)
    for number in range(8):
        child, found = spliced((one, other), (first, second), images, key=number)
        assert SPACE.allows(child) and child.architecture not in (one.architecture, other.architecture)
        assert len({block.identity for block in child.blocks}) == len(child.blocks)
        shapes = jax.tree.map(jnp.shape, network(child).init(jax.random.key(0), images))
        assert jax.tree.map(jnp.shape, found) == shapes
        answers = np.argmax(network(child).apply(found, images), axis=1)
        assert np.mean(answers == np.argmax(network(PARENT).apply(trained, images), axis=1)) > 0.6


def test_no_child_where_no_cut_gives_another_network(images, trained):
    assert spliced((PARENT, PARENT), (trained, trained), images) is None
    strided = PARENT.replaced(0, stride=2).replaced(1, stride=1)
    small = strided.replaced(1, stride=2).replaced(2, stride=2)
    variables = network(small).init(jax.random.key(0), images)
    one = Genome((Block(0, 8, 3, 1),))
    assert spliced((one, small), (network(one).init(jax.random.key(0), images), variables), images) is None


def test_an_identity_that_both_have_is_given_once(images):
    one, other = Genome((Block(0, 4, 3, 1), Block(1, 4, 3, 1))), Genome((Block(1, 4, 1, 1), Block(0, 8, 3, 1)))
    variables = [network(genome).init(jax.random.key(0), images) for genome in (one, other)]
    children = [spliced((one, other), variables, images, key=n, matching="order", identity=7) for n in range(6)]
    made = {child[0].blocks for child in children}
    assert (Block(0, 4, 3, 1), Block(7, 8, 3, 1)) in made


def test_an_unknown_matching_is_refused(images, trained):
    with pytest.raises(ValueError, match=r"^matching: got 'cca'"):
        spliced((PARENT, PARENT), (trained, trained), images, matching="cca")


@pytest.mark.parametrize("matching", ["correlation", "order"])
def test_traced_variables_inputs_and_keys_are_refused_by_name(matching, trained, images, key):
    def child(key, variables, x):
        networks = [network(PARENT)] * 2
        return splice(key, SPACE, [PARENT] * 2, networks, [variables] * 2, x, matching=matching)[1]

    for number in range(3):
        given = [key, trained, images]

        def traced(of, given=given, number=number):
            return child(*given[:number], of, *given[number + 1 :])

        with pytest.raises(_checks.NeedsValues, match=r"^splice needs concrete values and cannot be traced"):
            jax.jit(traced)(given[number])
