"""Cells: the parts of a study that are run, stopped, resumed and stored separately."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np

from evojax_align import _checks

Arrays: TypeAlias = Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True, order=True)
class Cell:
    """One repetition of one arm of a study.

    Attributes:
        arm: the name of the arm.
        seed: the number of the repetition, from 0; not itself a seed of random numbers.
    """

    arm: str
    seed: int

    @property
    def name(self) -> str:
        """A name for files and flags, such as `sexual-003`."""
        return f"{slug(self.arm)}-{self.seed:03d}"


def slug(name: str) -> str:
    """A name in letters, digits and hyphens."""
    words = "".join(c.lower() if c.isalnum() else " " for c in name).split()
    return "-".join(words)


def distinct(cells: Sequence[Cell]) -> tuple[Cell, ...]:
    """Return the cells if their file names differ."""
    names = [cell.name for cell in cells]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice or not cells:
        came = f"the names {twice} more than once" if twice else "none"
        raise _checks.bad("cells", came, "cells with different names", "Give arms different names.")
    return tuple(cells)


def by_arm(
    cells: Sequence[Cell], found: Mapping[Cell, Arrays], names: Sequence[str] | None = None
) -> dict[str, np.ndarray]:
    """Stack the arrays of finished cells: [arms, seeds, ...], in the order in which arms and seeds first appear.

    Args:
        cells: all cells of the study.
        found: the arrays of the finished cells.
        names: names of the arrays; by default all numeric arrays that every finished cell has.

    Returns:
        Arrays of floats, with NaN for missing cells and beyond the end of shorter arrays.
    """
    arms, seeds = (list(dict.fromkeys(getattr(cell, name) for cell in cells)) for name in ("arm", "seed"))
    first = next(iter(found.values()))
    if names is None:
        names = [n for n in first if all(n in of and np.asarray(of[n]).dtype.kind in "fiub" for of in found.values())]
    stacked = {}
    for name in names:
        values = {cell: np.asarray(of[name]) for cell, of in found.items() if name in of}
        shape = tuple(np.max([value.shape for value in values.values()], axis=0).astype(int))
        kind = np.result_type(np.float32, *(v.dtype for v in values.values()))
        whole = np.full((len(arms), len(seeds), *shape), np.nan, kind)
        for cell, value in values.items():
            here = arms.index(cell.arm), seeds.index(cell.seed), *(slice(0, n) for n in value.shape)
            whole[here] = value
        stacked[name] = whole
    return stacked
