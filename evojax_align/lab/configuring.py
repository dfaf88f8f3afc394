"""Changes of a configuration by `key=value` settings."""

import ast
import dataclasses
import math
from collections.abc import Sequence
from typing import Any, get_type_hints

from evojax_align import _checks


def configure(preset: Any, settings: Sequence[str]) -> Any:
    """A preset with fields replaced by `key=value` settings, each read as a Python literal of the field's type."""
    fields = {field.name: getattr(preset, field.name) for field in dataclasses.fields(preset)}
    types = {name: str(kind) for name, kind in get_type_hints(type(preset)).items()}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals:
            raise _checks.bad("set", repr(setting), "key=value", "Write, for example, --set seed=1.")
        old = fields[_checks.one_of("set", name, fields)]
        try:
            value = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            value = text
        kinds, kind = types[name].split(" | "), "None" if value is None else type(value).__name__
        if "None" in kinds and kind in kinds:  # such as int | None
            fields[name] = value
            continue
        fitted = _fitted(value, old)
        if fitted is None:
            raise _checks.bad("set", setting, f"a value like {old!r} for {name}", f"Write --set {name}={old!r}.")
        fields[name] = fitted
    return dataclasses.replace(preset, **fields)


def _fitted(value: Any, old: Any) -> Any:
    """The value converted to the type of the old one, or None."""
    if isinstance(old, tuple):
        items = [_fitted(item, old[0]) for item in (value if isinstance(value, list | tuple) else (value,))]
        return None if None in items or not items else tuple(items)
    if isinstance(old, float) and type(value) in (int, float):
        return float(value) if math.isfinite(value) else None
    return value if type(value) is type(old) else None
