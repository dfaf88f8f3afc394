"""The three parts of the study under one name: the paper's pairs, what lies beyond the paper, and deep networks."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from evojax_align import lab
from evojax_align.data import Dataset
from experiments.safe_crossover import beyond, beyond_view, claims, deep, figures, pairs
from experiments.safe_crossover.config import Beyond, Config, Deep


@dataclasses.dataclass(frozen=True)
class Part:
    """What runs one part and shows its results, as in `lab.Study`."""

    cells: Callable[[Any], Sequence[lab.Cell]]
    problem: Callable[[Any, Dataset], Any]
    merge: Callable[[Any, Mapping[lab.Cell, lab.Arrays]], lab.Arrays]
    view: type
    explore: Callable[[Any], list[lab.Claim]]
    tables: Callable[[Any], dict[str, list[dict[str, Any]]]]
    figures: Callable[[Any, Path], None]


PAIRS = Part(pairs.cells, pairs.Problem, pairs.merge, claims.View, claims.explore, claims.tables, figures.draw)
BEYOND, DEEP = (
    Part(module.cells, module.Problem, module.merge, view, view.explore, view.tables, view.draw)
    for module, view in ((beyond, beyond_view.View), (deep, deep.View))
)
BY_CONFIG = {Config: PAIRS, Beyond: BEYOND, Deep: DEEP}
BY_NAME = {"pairs": PAIRS, "beyond": BEYOND, "deep": DEEP}
BY_VIEW = {part.view: part for part in BY_NAME.values()}
