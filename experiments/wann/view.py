"""The arrays of a run by arm and measure."""

import numpy as np

from evojax_align import lab
from experiments.common import ArmView
from experiments.wann.config import ARMS, SWING, VALUES

OF_ALL = {SWING: "rewards"}
"""What every finished cell has, if not "best"."""


class View(ArmView):
    """What a run's arrays say; NaN stands for what is not known, such as a cell that is missing.

    Attributes:
        arms: all arms of the run of which a cell is finished.
        searches: those that evolve graphs on images.
        values: the shared weights.
        sets: the data sets of both tasks.
        published: "mnist", if the thesis has numbers for these data sets and shared weights; otherwise "".
    """

    def __init__(self, arrays: lab.Arrays) -> None:
        super().__init__(arrays)
        self.arms = [arm for arm in self.names if np.isfinite(self.of(arm, OF_ALL.get(arm, "best"))).any()]
        self.searches = [arm for arm in self.arms if arm in ARMS]
        self.values: list[float] = arrays["values"].tolist()
        self.sets: list[str] = arrays["sets"].tolist()
        same = self.sets == ["mnist", "emnist_10letters"] and tuple(self.values) == VALUES
        self.published = "mnist" if same else ""

    def best(self, arm: str, task: int) -> np.ndarray:
        """Test accuracy at the shared weight that was chosen for the task, [seeds]."""
        return self.of(arm, "best")[:, task]

    def shown(self, arm: str, name: str) -> np.ndarray:
        """An array of the arm's best seed."""
        return self.arrays[f"{name} {arm}"]
