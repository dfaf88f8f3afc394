"""The examples in docstrings run, and say what they print."""

import doctest
import importlib
import pkgutil

import pytest

import evojax_align
from evojax_align import _compiling

MODULES = sorted(
    info.name
    for info in pkgutil.walk_packages(evojax_align.__path__, "evojax_align.")
    if not info.name.startswith(("evojax_align.data.tfds",))
)
ADAPTERS = "evojax_align.evolution.adapters"
NEEDED = {
    ADAPTERS: "gymnasium",
    f"{ADAPTERS}.gymnax": "gymnax",
    f"{ADAPTERS}.evosax": "evosax",
    f"{ADAPTERS}.evosax_problems": "evosax",
    f"{ADAPTERS}.qdax": "qdax",
}
"""Packages of extras, without which the examples of a module cannot run."""


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name, monkeypatch, tmp_path):
    if name in NEEDED:
        pytest.importorskip(NEEDED[name])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(_compiling, "OFTEN", 1000)  # the examples of one module make the same network again
    found = doctest.testmod(importlib.import_module(name))
    assert found.failed == 0
