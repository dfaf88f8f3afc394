"""Offspring are repaired: statistics of normalisation, and means and deviations of every neuron."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evojax_align import crossover, models
from evojax_align.alignment import reestimate, repair
from evojax_align.symmetry.affine import chains, normalisations
from evojax_align.symmetry.following import label
from evojax_align.symmetry.trace import evaluate, trace_network

X = jax.random.normal(jax.random.key(0), (24, 8, 8, 2))


def disturbed(params, seed):
    leaves, tree = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(seed), len(leaves))
    moved = [p * jnp.exp(0.3 * jax.random.normal(k, p.shape)) + 0.05 for k, p in zip(keys, leaves, strict=True)]
    return jax.tree.unflatten(tree, moved)


def parents(network):
    params = network.init(jax.random.key(1), X)
    return disturbed(params, 2), disturbed(params, 3)


def ends_of(apply, params):
    """What every chain of affine steps gives to its nonlinearity."""
    labels = label(trace_network(apply, params, X))
    known = dict(zip(labels.network.trace.inputs, jax.tree.leaves((params, X)), strict=True))
    values = evaluate(labels.network.trace, known, [chain.value for chain in chains(labels)])
    return [np.asarray(value).reshape(-1, value.shape[-1]) for value in values]


class Plain(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.relu(nn.Conv(6, (3, 3))(x))
        x = nn.tanh(models.Conv(5, (3, 3))(x)).reshape(x.shape[0], -1)
        return nn.Dense(3)(nn.relu(nn.Dense(7)(x)))


NETWORKS = {
    "convolutions and dense layers": Plain(),
    "vgg with batch norm": models.VGG(stages=((5,), (6,)), classes=3),
    "vgg without": models.VGG(stages=((5,), (6,)), classes=3, batch_norm=False),
    "resnet": models.ResNet(width=4, blocks=1, classes=3),
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "t"),
    [
        ("convolutions and dense layers", 0.2),
        *(pytest.param(name, 0.5, marks=pytest.mark.slow) for name in NETWORKS),
    ],
)
def test_every_neuron_of_a_repaired_child_lies_between_its_parents_in_mean_and_deviation(name, t):
    network = NETWORKS[name]
    a, b = parents(network)
    child = crossover.arithmetic(a, b, t)
    repaired = repair(network.apply, child, a, b, X, t)
    before, after, of_a, of_b = (ends_of(network.apply, p) for p in (child, repaired, a, b))
    assert len(after) >= 2
    gap = lambda ends: max(
        np.abs(measure(end, axis=0) - ((1 - t) * measure(p, axis=0) + t * measure(q, axis=0))).max()
        for end, p, q in zip(ends, of_a, of_b, strict=True)
        for measure in (np.mean, np.std)
    )
    assert gap(after) < 1e-3 < gap(before)


@pytest.mark.slow
def test_a_parent_is_repaired_to_itself():
    network = NETWORKS["vgg with batch norm"]
    a, b = parents(network)
    repaired = repair(network.apply, a, a, b, X, 0.0)
    for p, q in zip(*map(jax.tree.leaves, (a, repaired)), strict=True):
        np.testing.assert_allclose(p, q, rtol=2e-3, atol=1e-4)


BATCH_NORM = ["vgg with batch norm", pytest.param("resnet", marks=pytest.mark.slow)]


@pytest.mark.slow
@pytest.mark.parametrize("name", BATCH_NORM)
def test_statistics_become_those_of_the_network_on_the_inputs(name):
    network = NETWORKS[name]
    a, b = parents(network)
    child = crossover.arithmetic(a, b, 0.5)
    repaired = reestimate(network.apply, child, X)
    expected, state = network.apply(child, X, train=True, mutable=["batch_stats"])
    np.testing.assert_allclose(network.apply(repaired, X), expected, rtol=1e-3, atol=1e-3)
    assert np.abs(network.apply(child, X) - expected).max() > 0.01
    for p, q in zip(*map(jax.tree.leaves, (child["params"], repaired["params"])), strict=True):
        np.testing.assert_array_equal(p, q)
    old, now, found = (jax.tree.leaves(tree["batch_stats"]) for tree in (child, repaired, state))
    for p, q, r in zip(old, now, found, strict=True):  # flax keeps 0.99 of the old
        np.testing.assert_allclose(0.99 * p + 0.01 * q, r, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", BATCH_NORM)
def test_with_batch_norm_both_ways_of_repairing_agree(name):
    network = NETWORKS[name]
    a, b = (reestimate(network.apply, p, X) for p in parents(network))
    child = crossover.arithmetic(a, b, 0.5)
    one, other = reestimate(network.apply, child, X), repair(network.apply, child, a, b, X)
    np.testing.assert_allclose(network.apply(one, X), network.apply(other, X), rtol=1e-2, atol=1e-2)


def test_both_are_pure_and_lift():
    network = NETWORKS["vgg with batch norm"]
    a, b = parents(network)
    both = jax.tree.map(lambda p, q: jnp.stack([p, q]), a, b)
    lifted = jax.vmap(lambda p: reestimate(network.apply, p, X))(both)
    one = reestimate(network.apply, b, X)
    for p, q in zip(*map(jax.tree.leaves, (lifted, one)), strict=True):
        np.testing.assert_allclose(p[1], q, rtol=1e-4, atol=1e-5)
    traced = jax.jit(lambda t: repair(network.apply, crossover.arithmetic(a, b, t), a, b, X, t))(0.5)
    for p, q in zip(
        *map(jax.tree.leaves, (traced, repair(network.apply, crossover.arithmetic(a, b, 0.5), a, b, X))), strict=True
    ):
        np.testing.assert_allclose(p, q, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_the_parts_of_a_network_are_read_from_its_trace():
    network = NETWORKS["resnet"]
    params = network.init(jax.random.key(0), X)
    labels = label(trace_network(network.apply, params, X))
    paths = labels.network.paths
    found = {(paths[norm.mean], paths[norm.variance]) for norm in normalisations(labels)}
    assert ("batch_stats/stem_norm/mean", "batch_stats/stem_norm/var") in found and len(found) == 9
    kernels = [paths[chain.kernel] for chain in chains(labels)]
    assert kernels[0] == "params/stem/kernel" and "params/output/kernel" not in kernels


@pytest.mark.slow
def test_networks_that_have_nothing_to_mend_are_refused():
    w = {"a": jnp.ones((2, 3)), "b": jnp.ones((3, 2))}
    apply = lambda p, x: jnp.tanh(x @ p["a"]) @ p["b"]
    x = jnp.ones((4, 2))
    with pytest.raises(ValueError, match="a network without running statistics"):
        reestimate(apply, w, x)
    with pytest.raises(ValueError, match="a network without a layer that a bias"):
        repair(apply, w, w, w, x)
    with pytest.raises(ValueError, match="a, child"):
        repair(apply, {"a": w["a"]}, w, w, x)
    with pytest.raises(ValueError, match="a, b"):
        repair(apply, w, w, {"a": w["a"]}, x)
