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
EXPENSIVE = (
    "alignment.align",
    "alignment.many",
    "alignment.methods",
    "alignment.unequal",
    "evolution.lamarckian.lamarckian",
    "evolution.neuroevolution.choosing",
    "evolution.neuroevolution.neuroevolution",
    "evolution.padawann.padawann",
    "evolution.recombination.diversity",
    "evolution.selection",
    "evolution.synthesis.encoding",
    "evolution.synthesis.synthesis",
    "evolution.wann.graph.operators",
    "evolution.wann.wann",
    "models.deep",
    "models.lenet",
    "training.descent",
    "training.members",
    "training.scoring",
)
"""Modules whose examples take some seconds."""


def marked(name):
    is_slow = name.removeprefix("evojax_align.") in EXPENSIVE
    return pytest.param(name, marks=pytest.mark.slow if is_slow else ())


@pytest.mark.parametrize("name", [marked(name) for name in MODULES])
def test_examples_run(name, monkeypatch, tmp_path):
    if name in NEEDED:
        pytest.importorskip(NEEDED[name])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(_compiling, "OFTEN", 1000)  # the examples of one module make the same network again
    found = doctest.testmod(importlib.import_module(name))
    assert found.failed == 0
