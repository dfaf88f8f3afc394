"""The stored runs of all studies: what `experiments.store` keeps, and pages and checks are made of."""

import dataclasses
import importlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evojax_align import lab

HERE = Path(__file__).parent
STUDIES = ("safe_crossover", "mixed_evolution", "mating", "padawann", "wann", "lamarckian", "neuroevolution")
NOT_SETTINGS = ("dataset", "mode", "seed")
"""Fields of a configuration that have flags of their own."""


@dataclasses.dataclass(frozen=True)
class Kept:
    """A stored run: its name, its results, and its manifest with seconds, note and changed settings."""

    name: str
    results: Mapping[str, Any]
    record: Mapping[str, Any]

    def claim(self, name: str) -> Mapping[str, Any]:
        """One of its claims."""
        found = [claim for claim in self.results["claims"] if claim["id"] == name]
        if not found:
            raise ValueError(f"{self.name} has no claim {name!r}. Correct the page of the study.")
        return found[0]

    def cell(self, table: str, row: Mapping[str, str], column: str) -> Any:
        """A value of one of its tables, in the row that has these values."""
        rows = self.results["tables"].get(table, [])
        found = [of for of in rows if all(str(of.get(name)) == value for name, value in row.items())]
        if len(found) != 1 or column not in found[0]:
            raise ValueError(f"{self.name} has no {column!r} for {row} in {table!r}. Correct the page of the study.")
        return found[0][column]


def study_of(name: str) -> lab.Study:
    """A study by its name."""
    if name not in STUDIES:
        raise ValueError(f"{name!r} is not a study. There are {', '.join(STUDIES)}.")
    return importlib.import_module(f"experiments.{name}.__main__").STUDY


def results_of(study: str, folder: Path = HERE) -> dict[str, Kept]:
    """All stored runs of a study by name."""
    found = {}
    for path in sorted((folder / study / "results").glob("*.run.json")):
        name = path.name.removesuffix(".run.json")
        results, record = (read(path.with_name(name + end)) for end in (".json", ".run.json"))
        if not {"claims", "tables"} <= results.keys() or not {"configuration", "preset", "seconds"} <= record.keys():
            raise ValueError(f"{path} or the results beside it are not those of a run. Restore them from the history.")
        found[name] = Kept(name, results, record)
    return found


def chosen(what: str, folder: Path = HERE) -> list[tuple[str, Kept]]:
    """The stored runs of STUDY or STUDY/RUN, or all, each with the name of its study."""
    study, _, wanted = what.partition("/")
    found = [
        (name, run)
        for name in STUDIES
        for run in results_of(name, folder).values()
        if study in ("", name) and wanted in ("", run.name)
    ]
    if not found:
        raise ValueError(f"no stored run is called {what!r}. Name a STUDY, or a STUDY/RUN.")
    return found


def read(path: Path) -> dict[str, Any]:
    """A stored JSON file."""
    try:
        found = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}). Restore it from the history.") from error
    if not isinstance(found, dict):
        raise ValueError(f"{path} holds no record. Restore it from the history.")
    return found
