"""Headings of docstrings that griffe does not know, in the words that it does."""

import re
from typing import Any

import griffe

KNOWN = {"Main arguments": "Args", "Other arguments": "Other Parameters", "Example": "Examples"}
HEADING = re.compile(rf"^({'|'.join(KNOWN)}):$", re.MULTILINE)


class Sections(griffe.Extension):
    """Renames headings before docstrings are parsed."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Change the docstring of a module, class, function or attribute."""
        if obj.docstring:
            obj.docstring.value = HEADING.sub(lambda found: f"{KNOWN[found[1]]}:", obj.docstring.value)
