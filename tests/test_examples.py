"""The examples in docstrings run, and say what they print."""

import doctest
import importlib
import pkgutil

import pytest

import evojax_align

MODULES = sorted(
    info.name
    for info in pkgutil.walk_packages(evojax_align.__path__, "evojax_align.")
    if not info.name.startswith(("evojax_align.data.tfds",))
)


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    found = doctest.testmod(importlib.import_module(name))
    assert found.failed == 0
