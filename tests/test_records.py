"""Every public record says in its class's docstring, where `help()` shows it, what each of its fields is."""

import dataclasses
import importlib
import inspect
import pkgutil
import re

import pytest

import evojax_align

PACKAGES = ("evolution",)
SECTION = re.compile(r"^(Attributes|Args|Main arguments|Other arguments):$")
FIELD = re.compile(r"^    (\w+(?:, \w+)*):")


def records(package):
    """All public dataclasses that a package defines, by their full names."""
    start = importlib.import_module(f"evojax_align.{package}")
    modules = [start]
    for info in pkgutil.walk_packages(getattr(start, "__path__", ()), f"{start.__name__}."):
        modules.append(importlib.import_module(info.name))
    return {
        f"{module.__name__.removeprefix('evojax_align.')}.{name}": value
        for module in modules
        for name, value in vars(module).items()
        if isinstance(value, type) and dataclasses.is_dataclass(value) and value.__module__ == module.__name__
        if not name.startswith("_")
    }


def undocumented(record):
    """The public fields that the class's docstring does not name in a section for them."""
    named, inside = set(), False
    for line in inspect.cleandoc(record.__doc__ or "").splitlines():
        if line and not line.startswith(" "):
            inside = bool(SECTION.match(line))
        elif inside and (found := FIELD.match(line)):
            named |= set(found[1].split(", "))
    return [field.name for field in dataclasses.fields(record) if field.name not in named and field.name[0] != "_"]


@pytest.mark.parametrize("package", PACKAGES)
def test_every_field_of_a_record_is_described(package):
    assert {name: missing for name, of in records(package).items() if (missing := undocumented(of))} == {}


def test_a_field_without_a_description_would_be_seen():
    @dataclasses.dataclass
    class Record:
        """A record.

        The text may name third: that does not count.

        Attributes:
            first, second: described together.
            fourth: with a second line that begins with
                fifth: which does not count either.

        Example:
            sixth: nor does this.
        """

        first: int
        second: int
        third: int
        fourth: int
        fifth: int
        sixth: int
        _hidden: int

    assert undocumented(Record) == ["third", "fifth", "sixth"]


def test_records_are_found_in_modules_and_in_folders():
    found = records("evolution")
    assert {"evolution.padawann.records.PadawannState", "evolution.tasks.swing_up.Pole"} <= set(found)
    assert evojax_align.evolution.Encoding in found.values()
