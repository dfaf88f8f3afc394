"""Children take over what they can, exactly; and where the rule says so, the function too."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evojax_align import _checks
from evojax_align._tree import leaves_by_path
from evojax_align.evolution import Block, Genome, Space, inherit
from evojax_align.evolution.lamarckian.genome import KINDS
from evojax_align.evolution.lamarckian.inheritance import rectified
from evojax_align.models import BlockCNN

SPACE = Space(filters=(8, 12, 16))
PARENT = Genome((Block(0, 12, 3, 1), Block(1, 8, 1, 2), Block(2, 12, 1, 1)))


def network(genome, **settings):
    return BlockCNN(genome.architecture, **settings)


def varied(variables, key):
    """Variables after some life, so that no value is where it began."""
    leaves, structure = jax.tree.flatten(variables)
    keys = jax.random.split(key, len(leaves))
    return jax.tree.unflatten(
        structure,
        [leaf + 0.1 * jnp.abs(jax.random.normal(k, leaf.shape)) for leaf, k in zip(leaves, keys, strict=True)],
    )


@pytest.fixture(scope="module")
def images():
    return jax.random.normal(jax.random.key(9), (6, 8, 8, 3))


@pytest.fixture(scope="module")
def parent(images):
    return varied(network(PARENT).init(jax.random.key(1), images), jax.random.key(2))


def children():
    """One child of every kind, and of those that can differ in what they keep, several."""
    found = {}
    for number in range(300):
        kind, child = SPACE.mutate(jax.random.key(number), PARENT, seen={PARENT.architecture}, identity=9)
        places = [n for n, block in enumerate(child.blocks) if block not in PARENT.blocks]
        found.setdefault((kind, *places, len(child.blocks)), child)
    assert {kind for kind, *_ in found} == set(KINDS)
    return [pytest.param(kind[0], child, id=f"{kind[0]} at {kind[1:-1]}") for kind, child in sorted(found.items())]


def born(rule, child, parent, images, key=3, **settings):
    fresh = network(child).init(jax.random.key(4), images)
    return inherit(rule, PARENT, child, parent, fresh, key=jax.random.key(key), **settings), fresh


def by_identity(genome, variables):
    names = {f"block_{number}": block.identity for number, block in enumerate(genome.blocks)} | {"head": "head"}
    return {
        (kind, names[name], path): leaf
        for kind, pieces in variables.items()
        for name, own in pieces.items()
        for path, leaf in leaves_by_path(own).items()
    }


@pytest.mark.parametrize(("kind", "child"), children())
def test_tensors_whose_shape_did_not_change_are_the_parent_s_and_no_others(images, parent, kind, child):
    variables, fresh = born("shape", child, parent, images)
    ours, new, old = by_identity(child, variables), by_identity(child, fresh), by_identity(PARENT, parent)
    for place, leaf in ours.items():
        same = place in old and old[place].shape == leaf.shape
        np.testing.assert_array_equal(leaf, old[place] if same else new[place])
    if kind == "change stride":
        assert all(np.array_equal(leaf, old[place]) for place, leaf in ours.items())


def preserved(kind, child):
    """Whether the function can be kept."""
    if kind == "add block":
        place = next(n for n, block in enumerate(child.blocks) if block.identity == 9)
        return place == 0 or child.blocks[place].filters >= child.blocks[place - 1].filters
    grown = [new.window > old.window for old, new in zip(PARENT.blocks, child.blocks, strict=False)]
    return kind == "add filters" or (kind == "change window" and any(grown))


@pytest.mark.parametrize(("kind", "child"), children())
def test_grown_networks_begin_with_the_function_of_their_parents(images, parent, kind, child):
    variables, fresh = born("function", child, parent, images)
    assert jax.tree.map(jnp.shape, variables) == jax.tree.map(jnp.shape, fresh)
    before, after = network(PARENT).apply(parent, images), network(child).apply(variables, images)
    if preserved(kind, child):
        np.testing.assert_allclose(after, before, atol=1e-5)
    elif kind != "remove block":
        assert not np.allclose(after, before, atol=1e-3)


def test_after_two_mutations_no_weights_meet_inputs_of_others(images, parent):
    """The middle block goes and the first changes: the last one keeps nothing that it took from the middle one."""
    for filters in (8, 16):
        child = Genome((PARENT.blocks[0], PARENT.blocks[2])).replaced(0, filters=filters)
        variables, fresh = born("function", child, parent, images)
        last, new = (tree["params"]["block_1"] for tree in (variables, fresh))
        np.testing.assert_array_equal(last["norm"]["scale"], parent["params"]["block_2"]["norm"]["scale"])
        assert jax.tree.map(jnp.shape, last) == jax.tree.map(jnp.shape, new)
    np.testing.assert_array_equal(last["conv"]["kernel"], new["conv"]["kernel"])


@pytest.mark.slow
def test_the_function_is_kept_with_biases_and_one_channel_too():
    images = jax.random.normal(jax.random.key(0), (4, 6, 6))
    child = Genome((Block(9, 8, 3, 1), *PARENT.blocks))
    make = {"use_bias": True, "epsilon": 1e-5}
    parent = varied(network(PARENT, **make).init(jax.random.key(1), images), jax.random.key(2))
    fresh = network(child, **make).init(jax.random.key(3), images)
    variables = inherit("function", PARENT, child, parent, fresh, key=jax.random.key(4), epsilon=1e-5)
    before, after = network(PARENT, **make).apply(parent, images), network(child, **make).apply(variables, images)
    np.testing.assert_allclose(after, before, atol=1e-5)


def test_without_inheritance_all_is_fresh(images, parent):
    variables, fresh = born("none", PARENT.replaced(0, stride=2), parent, images)
    jax.tree.map(np.testing.assert_array_equal, variables, fresh)


def test_filters_of_the_least_norm_go(images, parent):
    parent = jax.tree.map(np.array, parent)
    parent["params"]["block_0"]["conv"]["kernel"][..., [2, 5, 6, 11]] *= 1e-3
    variables, _ = born("function", PARENT.replaced(0, filters=8), parent, images)
    kept = [0, 1, 3, 4, 7, 8, 9, 10]
    old, new = parent["params"], variables["params"]
    np.testing.assert_array_equal(new["block_0"]["conv"]["kernel"], old["block_0"]["conv"]["kernel"][..., kept])
    np.testing.assert_array_equal(new["block_0"]["norm"]["scale"], old["block_0"]["norm"]["scale"][kept])
    np.testing.assert_array_equal(new["block_1"]["conv"]["kernel"], old["block_1"]["conv"]["kernel"][:, :, kept])


def test_copies_of_a_filter_take_different_shares_so_that_they_can_part(images, parent):
    child = PARENT.replaced(1, filters=12)
    shares = {}
    for noise in (0.0, 0.1):
        variables, _ = born("function", child, parent, images, noise=noise)
        kernels = variables["params"]["block_1"]["conv"]["kernel"], variables["params"]["block_2"]["conv"]["kernel"]
        copies = [n for n in range(8) if np.array_equal(kernels[0][..., 8], kernels[0][..., n])]
        assert len(copies) == 1
        shares[noise] = np.asarray(kernels[1][0, 0, [copies[0], 8]])
    np.testing.assert_allclose(shares[0.0][0], shares[0.0][1], rtol=1e-6)
    assert not np.allclose(shares[0.1][0], shares[0.1][1], rtol=1e-3)


def test_an_added_block_s_statistics_are_near_those_of_its_inputs(images, parent):
    own = network(PARENT)
    train = jax.jit(lambda variables: own.apply(variables, images, train=True, mutable=["batch_stats"])[1])
    for _ in range(60):  # until statistics are those of the images
        of_batch = _far(parent, train(parent))
        parent = parent | {"batch_stats": jax.tree.map(lambda old, now: 0.8 * old + 0.2 * now, *of_batch)}
    child = Genome((*PARENT.blocks[:1], Block(9, 12, 3, 1), *PARENT.blocks[1:]))
    variables, _ = born("function", child, parent, images)
    inputs = own.apply(parent, images, capture_intermediates=True)[1]["intermediates"]["block_0"]["__call__"][0]
    norm = variables["batch_stats"]["block_1"]["norm"]
    np.testing.assert_allclose(norm["mean"], inputs.mean((0, 1, 2)), atol=0.1)
    np.testing.assert_allclose(norm["var"], inputs.var((0, 1, 2)), atol=0.3)


def _far(variables, new):
    """Old statistics, and those of the batch itself."""
    old = variables["batch_stats"]
    return old, jax.tree.map(lambda before, after: before + (after - before) / 0.01, old, new["batch_stats"])


def test_moments_of_rectified_normal_values_are_those_of_samples():
    drawn = np.maximum(np.random.default_rng(0).normal([-1.0, 0.5, 3.0], [0.5, 2.0, 1.0], (200_000, 3)), 0)
    mean, variance = rectified(np.array([-1.0, 0.5, 3.0]), np.array([0.5, -2.0, 1.0]))
    np.testing.assert_allclose(mean, drawn.mean(0), atol=0.01)
    np.testing.assert_allclose(variance, drawn.var(0), atol=0.02)
    assert rectified(np.array([-50.0, 2.0]), np.array([1.0, 0.0]))[1].tolist() == pytest.approx([0, 0], abs=1e-9)


def test_an_unknown_rule_is_refused(images, parent):
    with pytest.raises(ValueError, match=r"^inherit: got 'weights'"):
        born("weights", PARENT, parent, images)


@pytest.mark.parametrize("rule", ["shape", "function"])
def test_traced_variables_are_refused_by_name(rule, parent, key):
    def inherited(variables):
        return inherit(rule, PARENT, PARENT, variables, parent, key=key)

    with pytest.raises(_checks.NeedsValues, match=r"^inherit needs concrete values and cannot be traced"):
        jax.jit(inherited)(parent)
    with pytest.raises(_checks.NeedsValues, match=r"^inherit needs concrete values and cannot be traced"):
        jax.vmap(lambda key: inherit(rule, PARENT, PARENT, parent, parent, key=key))(jax.random.split(key))
