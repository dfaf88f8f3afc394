"""The benchmark of methods tells whether two versions find the same partners."""

import jax
import numpy as np
import pytest

import evojax_align as ea
from evojax_align import _compiling
from experiments.benchmarks import methods


@pytest.mark.slow
def test_a_version_agrees_with_itself_and_not_with_other_partners(monkeypatch):
    monkeypatch.setattr(_compiling, "OFTEN", 1000)  # every comparison makes the networks anew
    monkeypatch.setattr(methods, "METHODS", {"correlation": "correlation", "greedy": "greedy"})
    x = np.random.default_rng(0).normal(size=(60, 8)).astype(np.float32)
    network = ea.models.MLP((512,))
    pop = ea.population.init(lambda key: network.init(key, x[:1]), jax.random.key(0), 4)
    stored = {"mnist/x": x} | {f"mnist/leaf{i}": np.asarray(leaf) for i, leaf in enumerate(jax.tree.leaves(pop))}
    stored |= methods.permutations("mnist", stored)
    other = stored | {"mnist/greedy/b/hidden_0": stored["mnist/greedy/b/hidden_0"][:, ::-1]}
    cifar = ea.models.MLP((100, 100, 100))
    pop = ea.population.init(lambda key: cifar.init(key, x[:1]), jax.random.key(0), 2)
    more = {"cifar10/x": x} | {f"cifar10/leaf{i}": np.asarray(leaf) for i, leaf in enumerate(jax.tree.leaves(pop))}
    rows = methods.compared(stored | more)
    assert [row["layers of pairs equal"] for row in rows] == ["2 of 2", "2 of 2"]
    rows = methods.compared(other | more)
    assert [row["layers of pairs equal"] for row in rows] == ["2 of 2", "0 of 2"]
