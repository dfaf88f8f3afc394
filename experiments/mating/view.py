"""The merged arrays of a run by name, and what is computed from them."""

import numpy as np

from evojax_align import lab
from experiments.common import ArmView

FIRST = "first child"
"""Of a generation: the one that controls are compared with."""
LOSSES = {"mnist": 0.024, "cifar10": 0.037}
"""Losses of accuracy at which the paper's numbers stand (of CIFAR-10 the smaller one)."""


class View(ArmView):
    """The arrays of a run, with what is computed from them. NaN stands for what is not known."""

    def __init__(self, arrays: lab.Arrays) -> None:
        super().__init__(arrays)
        self.controls = arrays["controls"].tolist()
        self.losses = [float(loss) for loss in np.atleast_1d(arrays["losses"])]
        self.study = str(arrays["study"])
        dataset = str(arrays["dataset"])
        self.published = dataset if self.study == "paper" and LOSSES.get(dataset) == self.losses[0] else ""

    def generations(self, arm: str) -> np.ndarray:
        """Numbers of the generations of an arm, the ancestors' 1 first."""
        return np.arange(1, int(self.arrays["generations"][self.arms.index(arm)]) + 1)

    def rows(self, arm: str) -> list[str]:
        """The first child and the controls of an arm; the first child alone where it has none."""
        return [FIRST, *(self.controls if self.arrays["controlled"][self.arms.index(arm)] else [])]

    @property
    def controlled(self) -> list[str]:
        """The arms that have controls."""
        return [arm for arm in self.arms if len(self.rows(arm)) > 1]

    def of(self, arm: str, name: str, row: str | None = None) -> np.ndarray:
        """A measure of an arm, [seeds, generations, ...]: the mean of a generation's children, or one of `rows`."""
        place = self.arms.index(arm)
        values, size = self.arrays[name][place][:, : len(self.generations(arm))], int(self.arrays["sizes"][place])
        if row is None:
            return values[:, :, :size].mean(axis=2)
        return values[:, :, 0 if row == FIRST else size + self.controls.index(row)]

    def efficiency(self, arm: str, what: str = "synapses", row: str | None = None) -> np.ndarray:
        """The ancestor's number of synapses, or kernels, divided by that of each generation, [seeds, generations]."""
        left = self.of(arm, what, row)
        return left[:, :1] / np.maximum(left, 1)

    def at_loss(self, arm: str, loss: float, values: np.ndarray, row: str | None = None) -> np.ndarray:
        """Values at the last generation whose accuracy is at most `loss` below the ancestor's, interpolated linearly to
        that accuracy, [seeds]; NaN where the run ends before the accuracy drops."""
        found = []
        for curve, of_seed in zip(self.of(arm, "accuracy", row), values, strict=True):
            level = curve[0] - loss
            before = int(np.flatnonzero(curve >= level)[-1]) if np.isfinite(curve).all() else len(curve)
            if before >= len(curve) - 1:
                found.append(np.nan)
                continue
            part = (curve[before] - level) / (curve[before] - curve[before + 1])
            found.append(of_seed[before] + part * (of_seed[before + 1] - of_seed[before]))
        return np.array(found)

    def efficiency_at_loss(self, arm: str, loss: float, what: str = "synapses", row: str | None = None) -> np.ndarray:
        """Efficiency at equal accuracy, [seeds]; NaN where the run ends before the accuracy drops."""
        return np.exp(self.at_loss(arm, loss, np.log(self.efficiency(arm, what, row)), row))

    def generations_at_loss(self, arm: str, loss: float) -> np.ndarray:
        """The generation in which so much accuracy is lost, [seeds]; NaN where the run ends before."""
        steps = np.broadcast_to(self.generations(arm).astype(float), self.of(arm, "accuracy").shape)
        return self.at_loss(arm, loss, steps)

    def accuracy_at(self, arm: str, efficiency: float) -> np.ndarray:
        """Accuracy at equal synaptic efficiency, [seeds]; NaN where a run ends before."""
        known = zip(np.log(self.efficiency(arm)), self.of(arm, "accuracy"), strict=True)
        target = np.log(efficiency)
        return np.array([np.interp(target, x, y) if x[-1] >= target else np.nan for x, y in known])

    def exponent(self, arm: str, what: str = "synapses") -> np.ndarray:
        """Growth of the logarithm of efficiency per generation, [seeds]."""
        values = np.log(self.efficiency(arm, what))
        return (values[:, -1] - values[:, 0]) / (values.shape[1] - 1)

    def retained(self, arm: str, name: str = "retained") -> np.ndarray:
        """The share of their parents' synapses that children have, from the third generation on, where parents
        differ: the geometric mean, [seeds]."""
        return np.exp(np.log(np.maximum(self.of(arm, name)[:, 2:], 1e-9)).mean(axis=1))
