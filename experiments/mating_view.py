"""The stored arrays of `mating.py` by name, and what is computed of them."""

import numpy as np

from evojax_align import lab

FIRST = "first child"
"""Of a generation: the one that controls are compared with."""


class View:
    """The arrays of a study, with what is computed of them."""

    def __init__(self, arrays: lab.Arrays) -> None:
        self.arrays = arrays
        self.arms = arrays["arms"].tolist()
        self.controls = arrays["controls"].tolist()
        self.losses = [float(loss) for loss in np.atleast_1d(arrays["losses"])]
        self.dataset = str(arrays["dataset"])

    def generations(self, arm: str) -> np.ndarray:
        """Numbers of the generations of an arm, the ancestors' 1 first."""
        return np.arange(1, int(self.arrays["generations"][self.arms.index(arm)]) + 1)

    def rows(self, arm: str) -> list[str]:
        """The children, called by the arm's name, and their controls."""
        return [arm, *(self.controls if self.arrays["controlled"][self.arms.index(arm)] else [])]

    def of(self, arm: str, name: str, row: str | None = None) -> np.ndarray:
        """The mean of a generation's children, [repeats, generations]; or a control, or the first child alone, which
        the controls have the synapses of."""
        place = self.arms.index(arm)
        values, size = self.arrays[name][place][:, : len(self.generations(arm))], int(self.arrays["sizes"][place])
        if row is None or row == arm:
            return values[:, :, :size].mean(axis=-1)
        return values[:, :, 0 if row == FIRST else size + self.controls.index(row)]

    def efficiency(self, arm: str, what: str = "synapses", row: str | None = None) -> np.ndarray:
        """How many times fewer synapses, or kernels, than the ancestor has, [repeats, generations]."""
        left = self.of(arm, what, row)
        return left[:, :1] / np.maximum(left, 1)

    def at_loss(self, arm: str, loss: float, values: np.ndarray, row: str | None = None) -> np.ndarray:
        """Values up to which the accuracy is no more than `loss` below the ancestor's, between generations by the line
        that joins them, [repeats]; infinite where the run ends before it falls below for good."""
        found = []
        for curve, of_repeat in zip(self.of(arm, "accuracy", row), values, strict=True):
            level = curve[0] - loss
            before = int(np.flatnonzero(curve >= level)[-1])
            if before == len(curve) - 1:
                found.append(np.inf)
                continue
            part = (curve[before] - level) / (curve[before] - curve[before + 1])
            found.append(of_repeat[before] + part * (of_repeat[before + 1] - of_repeat[before]))
        return np.array(found)

    def efficiency_at_loss(self, arm: str, loss: float, what: str = "synapses", row: str | None = None) -> np.ndarray:
        """Efficiency at equal accuracy, [repeats]."""
        return np.exp(self.at_loss(arm, loss, np.log(self.efficiency(arm, what, row)), row))

    def generations_at_loss(self, arm: str, loss: float) -> np.ndarray:
        """After how many generations the children have lost so much, [repeats]."""
        steps = np.broadcast_to(self.generations(arm).astype(float), self.of(arm, "accuracy").shape)
        return self.at_loss(arm, loss, steps)

    def accuracy_at(self, arm: str, efficiency: float) -> np.ndarray:
        """Accuracy at equal synaptic efficiency, [repeats]; NaN where a run ends before."""
        known = zip(np.log(self.efficiency(arm)), self.of(arm, "accuracy"), strict=True)
        target = np.log(efficiency)
        return np.array([np.interp(target, x, y) if x[-1] >= target else np.nan for x, y in known])

    def exponent(self, arm: str, what: str = "synapses") -> np.ndarray:
        """Growth of the logarithm of efficiency with a generation, [repeats]."""
        values = np.log(self.efficiency(arm, what))
        return (values[:, -1] - values[:, 0]) / (values.shape[1] - 1)

    def retained(self, arm: str, name: str = "retained") -> np.ndarray:
        """The share of their parents' synapses that children have, from the third generation on, where parents
        differ: the geometric mean, [repeats]."""
        return np.exp(np.log(np.maximum(self.of(arm, name)[:, 2:], 1e-9)).mean(axis=1))


def comparable(x: np.ndarray, y: np.ndarray, end_x: np.ndarray, end_y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both values, NaN where it is open which is larger: where both runs ended before, or where one did, before it came
    as far as the other."""
    open_x, open_y = np.isinf(x), np.isinf(y)
    unknown = (open_x & open_y) | (open_x & (y > end_x)) | (open_y & (x > end_y))
    return np.where(unknown, np.nan, x), np.where(unknown, np.nan, y)
