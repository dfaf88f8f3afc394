"""The means that the tables of a stored run hold, for figures of a run whose arrays were not kept."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments.common import known_mean
from experiments.mixed_evolution.study import TARGETS

Rows = Sequence[Mapping[str, Any]]
NAMES = (("by generation", "all generations"), ("under attack", "all attacks"))
"""Tables, and what they are called in older runs."""
TITLES = {"accuracy": "mean", "untrained": "children untrained", "cosine": "cosine, ", "alleles": "founders, "}
"""By the name of an array the column of its means, or what the columns of its layers begin with."""
RENAMED = {"trained child": "grown child", "other trained children": "other grown children"}
"""Columns of older runs."""


class Told:
    """What figures of means take of a view. Values have one row, the mean over seeds."""

    def __init__(self, tables: Mapping[str, Rows], study: str) -> None:
        self.study, self._populations = study, {row["population"]: row for row in tables["populations"]}
        self._generations, attacks = (_rows(tables, *names) for names in NAMES)
        self.arms = self.populations = list(dict.fromkeys(row["population"] for row in self._generations))
        self.marks: list[int] = list(dict.fromkeys(row["generation"] for row in attacks))
        self.were_attacked = bool(attacks)
        self.published = "mnist" if "best, notebook" in self._generations[0] else ""
        kinds = [str(row["attack"]) for row in attacks]
        fgsm = list(dict.fromkeys(kind for kind in kinds if kind.startswith("FGSM")))
        self.arrays = {"epsilons": np.array([float(kind.split(", ")[1]) for kind in fgsm])}
        place = {(row["population"], row["generation"], row["attack"]): row for row in attacks}
        self._attacks = {
            arm: np.array(
                [[[_value(place[arm, mark, kind], of) for of in TARGETS] for kind in fgsm] for mark in self.marks]
            )
            for arm in self.arms
            if attacks
        }

    def of(self, arm: str, name: str) -> np.ndarray:
        """Accuracies under attack, [1, marks, attacks, targets]; `name` is "attack"."""
        assert name == "attack", f"tables hold no {name}"
        return self._attacks[arm][None]

    def accuracy(self, arm: str) -> np.ndarray:
        """The mean test accuracy of the members at the first mark."""
        return np.array([self._populations[arm]["mean"]])

    def alike(self, arm: str) -> np.ndarray:
        """Mean cosine similarity of two members, aligned or not, whichever is larger."""
        return np.array([self._populations[arm]["cosine, aligned or not"]])

    def attacked(self, arm: str, target: str) -> np.ndarray:
        """Accuracy of the other members under attack; `target` is "other members"."""
        row = self._populations[arm]
        return np.array([row.get("members, attacked", row.get("others, attacked"))])

    def curves(self, name: str, arms: Sequence[str]) -> dict[str, np.ndarray]:
        """A measure of each generation, mean over members or layers, [1, generations], by arm."""
        found = {}
        for arm in arms:
            rows = [row for row in self._generations if row["population"] == arm]
            found[arm] = np.array([[_mean(row, TITLES[name]) for row in rows]])
        return found


def _rows(tables: Mapping[str, Rows], *names: str) -> Rows:
    return next((tables[name] for name in names if name in tables), [])


def _value(row: Mapping[str, Any], target: str) -> float:
    value = row.get(target, row.get(RENAMED.get(target, "")))
    return np.nan if value is None else float(value)


def _mean(row: Mapping[str, Any], title: str) -> float:
    names = [name for name in row if name == title or (title.endswith(" ") and name.startswith(title))]
    return float(known_mean(np.array([np.nan if row[name] is None else row[name] for name in names])))
