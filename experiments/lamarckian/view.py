"""The arrays of a run by arm, measure and number of epochs."""

import numpy as np

from evojax_align import lab
from experiments.common import ArmView
from experiments.lamarckian.config import LONG, SHORT


def own(arm: str) -> str:
    """The weights from which the networks of an arm are trained to the end in claims and figures."""
    return "fresh" if arm in (SHORT, LONG) else "inherited"


class View(ArmView):
    """What a run's arrays say; measures are of all networks that were evaluated, [seeds, evaluations].

    Attributes:
        arms: the searches.
        marks: epochs after which the best network was kept for final training.
        budget: epochs of a search.
        grid: numbers of epochs after which searches are compared, one for each shortest evaluation.
        published: the data set, if the paper has numbers for it and the settings are the paper's.
    """

    def __init__(self, arrays: lab.Arrays) -> None:
        super().__init__(arrays)
        self.marks: list[int] = arrays["marks"].tolist()
        self.starts: list[str] = arrays["starts"].tolist()
        self.budget = int(arrays["budget"])
        self.dataset, self.published = str(arrays["dataset"]), str(arrays["published"])
        self.seeds = arrays["fitness"].shape[1]
        step = int(arrays["each"].min())
        self.grid = np.arange(1, self.budget // step + 1) * step

    def each(self, arm: str) -> int:
        """Epochs of an evaluation."""
        return int(self.arrays["each"][self.arms.index(arm)])

    def best(self, arm: str, name: str = "fitness") -> np.ndarray:
        """One measure of the best network so far after each number of epochs of the grid, [seeds, grid].

        NaN before the first evaluation. A network whose training failed has a fitness of 0.
        """
        epochs, values = self.of(arm, "epochs"), self.of(arm, name)
        fitness = np.nan_to_num(self.of(arm, "fitness"))
        values = fitness if name == "fitness" else values
        seen = epochs[:, None] <= self.grid[:, None]  # [seeds, grid, evaluations]
        place = np.argmax(np.where(seen, fitness[:, None], -np.inf), axis=2)
        return np.where(seen.any(axis=2), np.take_along_axis(values, place, axis=1), np.nan)

    def at(self, arm: str, epochs: float, name: str = "fitness") -> np.ndarray:
        """One measure of the best network of each seed after so many epochs."""
        return self.best(arm, name)[:, np.searchsorted(self.grid, epochs, side="right") - 1]

    def reached(self, arm: str, accuracy: float) -> np.ndarray:
        """Epochs after which each seed was as accurate; NaN where it never was."""
        there = self.best(arm) >= accuracy
        return np.where(there.any(axis=1), self.grid[np.argmax(there, axis=1)], np.nan)

    def test(self, arm: str, mark: int, start: str | None = None) -> np.ndarray:
        """Test accuracy after final training, of each seed."""
        place = self.starts.index(start or own(arm))
        return self.of(arm, "test")[:, self.marks.index(mark), place]

    def operations(self, arm: str) -> np.ndarray:
        """The cost of a search of each seed as the authors count it: forward passes in training, two operations for
        each product."""
        products = self.of(arm, "products").astype(float)
        known = np.isfinite(products).any(axis=1)
        total = 2 * np.nansum(products, axis=1) * self.each(arm) * int(self.arrays["images"])
        return np.where(known, total, np.nan)
