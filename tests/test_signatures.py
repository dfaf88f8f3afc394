"""Arguments of public functions have one order and one name each; what is public has an example."""

import dataclasses
import inspect
import re

import flax.linen as nn
import pytest

import evojax_align as ea
from tests.public import public_names

OTHERS = ("alignment", "evolution")
FUNCTIONS = {
    name: inspect.signature(function)
    for name, function in public_names()
    if inspect.isfunction(function) and name.partition(".")[0] not in OTHERS
}
KEYWORDS = (
    "chunk",
    "dead_x",
    "dead_y",
    "loss",
    "metrics",
    "weights",
    "masks",
    "mesh",
    "engine",
    "strategy",
    "batch_size",
)
"""Keyword-only wherever they may be left out."""
POSITIONAL = {
    ("matching.one_to_one", "dead_x"): "as in the signature that scripts rely on",
    ("matching.one_to_one", "dead_y"): "as in the signature that scripts rely on",
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_symmetry_comes_first_or_by_its_name(name):
    parameters = FUNCTIONS[name].parameters
    if "spec" not in parameters:
        return
    spec, place = parameters["spec"], list(parameters).index("spec")
    first = place == 0 and spec.default is spec.empty
    assert first or spec.kind is spec.KEYWORD_ONLY
    assert first or not name.startswith("symmetry.")


@pytest.mark.parametrize("name", FUNCTIONS)
def test_settings_that_may_be_left_out_are_given_by_name(name):
    for parameter in FUNCTIONS[name].parameters.values():
        if parameter.name in KEYWORDS and parameter.default is not parameter.empty:
            assert parameter.kind is parameter.KEYWORD_ONLY or (name, parameter.name) in POSITIONAL, parameter.name


def test_checks_and_constants_are_private():
    for package in ("training", "pruning", "matching", "symmetry", "similarity", "crossover", "interpolation"):
        names = getattr(ea, package).__all__
        assert not [name for name in names if name.startswith("check")]
        assert not [
            name for name in names if isinstance(getattr(getattr(ea, package), name), int | float | str | tuple)
        ]


def documented():
    """Public names of the packages, those of host packages too."""
    for package in ("statistics", "data"):
        module = getattr(ea, package)
        yield from ((f"{package}.{name}", getattr(module, name)) for name in module.__all__)
    yield from public_names()


DOCUMENTED = {name: value for name, value in documented() if inspect.isclass(value) or inspect.isfunction(value)}


@pytest.mark.parametrize("name", DOCUMENTED)
def test_every_public_name_has_an_example_and_every_record_says_what_its_fields_are(name):
    value = DOCUMENTED[name]
    assert ">>>" in value.__doc__
    if dataclasses.is_dataclass(value):
        of_flax = {"parent", "name"} if issubclass(value, nn.Module) else set()
        fields = {field.name for field in dataclasses.fields(value) if field.init and field.name != "_"} - of_flax
        listed = re.findall(r"^        (\w+): ", value.__doc__, re.MULTILINE)  # Attributes, or arguments of algorithms
        assert fields <= set(listed)
