"""What is missing is named, with the extra that installs it. This runs without the packages too."""

import importlib.metadata
import sys

import jax.numpy as jnp
import pytest

import evojax_align as ea
from evojax_align.evolution import adapters

CALLS = {
    "gymnax": lambda: adapters.Gymnax("CartPole-v1"),
    "evosax": lambda: adapters.Strategy("Open_ES", 4),
    "qdax": lambda: adapters.variation(ea.models.MLP(hidden=(3,), classes=1).apply, jnp.ones((4, 2))),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_missing_package_is_named_with_its_extra(monkeypatch, name):
    for loaded in [module for module in sys.modules if module.partition(".")[0] == name]:
        monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setitem(sys.modules, name, None)  # as if it were not installed

    def version(asked):
        raise importlib.metadata.PackageNotFoundError(asked)

    monkeypatch.setattr(importlib.metadata, "version", version)
    with pytest.raises(ModuleNotFoundError, match=rf"evojax-align\[{name}\]"):
        CALLS[name]()
