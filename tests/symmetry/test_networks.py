"""The zoo of networks as users of each framework write them: the benchmark's table, held by tests."""

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evojax_align import symmetry

sys.path.insert(0, str(Path(__file__).parents[2] / "experiments" / "benchmarks"))
import networks

QUICK = {
    ("plain", "gpt"),
    ("linen", "resnext"),
    ("nnx", "gru"),
    ("equinox", "lstm"),
    ("haiku", "mlp"),
}
EVERY = [
    pytest.param(*which, marks=() if which in QUICK else pytest.mark.slow, id="/".join(which))
    for which in networks.names()
]


@pytest.mark.slow
@pytest.mark.parametrize(("framework", "name"), EVERY)
def test_random_permutations_leave_the_outputs_where_they_are(framework, name, groups_that_follow):
    net = networks.network(framework, name)
    spec = symmetry.infer(net.apply, net.params, net.x)
    assert spec.groups
    size = float(jnp.max(jnp.abs(net.apply(net.params, net.x))))
    key = jax.random.key(0)
    assert symmetry.verify(spec, net.apply, net.params, net.x, key=key, draws=2) / size < 1e-4
    orders = symmetry.random_permutations(spec, key)
    moved = symmetry.permute(spec, net.params, orders)
    assert any(
        np.any(np.asarray(p) != np.asarray(q)) for p, q in zip(*map(jax.tree.leaves, (net.params, moved)), strict=True)
    )
    read = groups_that_follow(spec, net.apply, net.params, net.x, orders)
    assert read | set(spec.parents.values()) == set(spec.groups)


def test_names_are_those_of_the_modules():
    net = networks.network("linen", "gpt")
    spec = symmetry.infer(net.apply, net.params, net.x)
    heads = "TransformerBlock_0/MultiHeadDotProductAttention_0"
    assert dict(spec.parents)[f"{heads}/query"] == heads and dict(spec.parents)[f"{heads}/value"] == heads
    assert "gather" in {freeze.primitive for freeze in spec.frozen}  # the rows of the embedding are numbers of tokens


def test_statistics_that_are_no_parameters_are_permuted_along():
    net = networks.network("linen", "resnext")
    spec = symmetry.infer(net.apply, net.params, net.x)
    order = np.roll(np.arange(spec.groups["Conv_0"]), 1)
    moved = symmetry.permute(spec, net.params, {"Conv_0": order})
    mean = net.params["batch_stats"]["BatchNorm_0"]["mean"]
    np.testing.assert_array_equal(moved["batch_stats"]["BatchNorm_0"]["mean"], np.asarray(mean)[order])
