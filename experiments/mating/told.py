"""The means that the tables of a stored run hold, for figures of a run whose arrays were not kept."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments.mating.view import FIRST

Rows = Sequence[Mapping[str, Any]]
KINDS = {"synapses": "synaptic efficiency", "kernels": "cluster efficiency"}


class Told:
    """What the figures take of a view. Values have one row, the mean over seeds, [1, generations].

    Attributes:
        arms: the populations.
        published: the data set, if the tables hold the paper's numbers.
    """

    study = "paper"

    def __init__(self, tables: Mapping[str, Rows], dataset: str = "") -> None:
        self._rows = tables["by generation"]
        self.arms = list(dict.fromkeys(row["population"] for row in self._rows))
        self.published = dataset if "accuracy, paper" in tables["at the end"][0] else ""

    def _column(self, arm: str, name: str) -> np.ndarray:
        values = [row.get(name) for row in self._rows if row["population"] == arm]
        return np.array([[np.nan if value is None else value for value in values]], float)

    def generations(self, arm: str) -> np.ndarray:
        """Numbers of the generations of an arm."""
        return self._column(arm, "generation")[0].astype(int)

    def rows(self, arm: str) -> list[str]:
        """The first child and the controls of an arm."""
        names = [name for name in self._rows[0] if name.startswith("cluster efficiency, ")]
        controls = [name.removeprefix("cluster efficiency, ") for name in names]
        return [FIRST, *(name for name in controls if np.isfinite(self._column(arm, f"accuracy, {name}")).any())]

    @property
    def controlled(self) -> list[str]:
        """The arms that have controls."""
        return [arm for arm in self.arms if len(self.rows(arm)) > 1]

    def of(self, arm: str, name: str, row: str | None = None) -> np.ndarray:
        """Accuracy: the mean of a generation's children, or one of `rows`."""
        return self._column(arm, name if row is None else f"{name}, {row}")

    def efficiency(self, arm: str, what: str = "synapses", row: str | None = None) -> np.ndarray:
        """Efficiency of an arm: for the first child, that of all children; controls have as many synapses as it has."""
        own = row is None or row == FIRST or what == "synapses"
        return self._column(arm, KINDS[what] if own else f"{KINDS[what]}, {row}")
