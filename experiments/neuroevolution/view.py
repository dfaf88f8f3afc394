"""The merged arrays of a run by name, and what is computed from them."""

import numpy as np

from evojax_align import lab
from evojax_align.statistics import Interval, bootstrap_interval, interquartile_mean
from experiments.common import ArmView

RESAMPLES = 2000


class View(ArmView):
    """The arrays of a run, with what is computed from them. NaN stands for what is not known.

    Attributes:
        arms: the populations of part 2 that are known, as "task: arm".
        left_out: those that need a package that was missing.
        crossed: the tasks of part 1 of which pairs are known.
        methods: what is done to the second champion.
    """

    published = ""

    def __init__(self, arrays: lab.Arrays) -> None:
        super().__init__(arrays)
        self.methods: list[str] = arrays["methods"].tolist()
        self._tasks, self._own = (arrays[name].tolist() for name in ("tasks", "names"))
        out = arrays["left_out"] if self.names else np.zeros((0, 1))
        self.left_out = [name for name, of in zip(self.names, out, strict=True) if (of == 1).any()]
        self.arms = [name for name in self.names if np.isfinite(self.curve(name)).all(axis=1).any()]
        self._crossed = arrays["transfer_tasks"].tolist()
        self.crossed = [task for task in self._crossed if np.isfinite(self._part("parents", task)).any()]

    @property
    def tasks(self) -> list[str]:
        """The tasks of part 2 of which a population is known."""
        return list(dict.fromkeys(self.task(arm) for arm in self.arms))

    def task(self, arm: str) -> str:
        """The task of a population."""
        return self._tasks[self.names.index(arm)]

    def own(self, arm: str) -> str:
        """The name of a population within its task."""
        return self._own[self.names.index(arm)]

    def within(self, task: str) -> list[str]:
        """The names within a task of its populations that are known."""
        return [self.own(arm) for arm in self.arms if self.task(arm) == task]

    def number(self, arm: str, name: str) -> float:
        """A number of the task of a population, or its seconds per evaluation."""
        return float(self.arrays[name][self.names.index(arm)])

    def curve(self, arm: str, name: str = "score") -> np.ndarray:
        """Scores of the fittest network, or shares of matings of unrelated parents, [seeds, points]."""
        values = self.of(arm, name)
        return values[:, np.isfinite(values).any(axis=0)] if np.isfinite(values).any() else values

    def evaluations(self, arm: str) -> np.ndarray:
        """How many networks had been evaluated at each point of a curve, the founders not counted."""
        return self.number(arm, "every") * np.arange(self.curve(arm).shape[1])

    def final(self, arm: str) -> np.ndarray:
        """The last score, [seeds]."""
        return self.curve(arm)[:, -1]

    def area(self, arm: str) -> np.ndarray:
        """The area under the curve, divided by its length: the mean score, [seeds]."""
        return self.curve(arm)[:, 1:].mean(axis=1)

    def reached(self, arm: str) -> np.ndarray:
        """Evaluations until the score is at the threshold for the first time, [seeds]; infinite if it never is."""
        values = self.curve(arm)
        above = values >= self.number(arm, "threshold")
        steps = self.evaluations(arm)[np.argmax(above, axis=1)]
        return np.where(np.isfinite(values).all(axis=1), np.where(above.any(axis=1), steps, np.inf), np.nan)

    def in_time(self, arm: str, other: str) -> np.ndarray | None:
        """The score when the cheaper of both whole runs ends, [seeds]; None where seconds are not known."""
        if arm not in self or other not in self:
            return None
        budget = min(self.number(one, "seconds") * self.evaluations(one)[-1] for one in (arm, other))
        evaluations, steps = budget / self.number(arm, "seconds"), self.evaluations(arm)
        if not np.isfinite(evaluations):
            return None
        return np.array([np.interp(evaluations, steps, of) for of in self.curve(arm)])

    def scaled(self, arm: str) -> np.ndarray:
        """The last score on a scale from 0 (the floor of the task) to 1, [seeds]."""
        floor, top = (self.number(arm, name) for name in ("floor", "top"))
        return (self.final(arm) - floor) / (top - floor)

    def _part(self, name: str, task: str) -> np.ndarray:
        return self.arrays[name][self._crossed.index(task)]

    def kept(self, task: str, method: str, kind: str = "halfway") -> np.ndarray:
        """A child's score as a share of its parents' mean, both above the floor of the task, [pairs].

        Not known where the parents are no better than the floor.
        """
        floor = float(self._part("transfer_floor", task))
        name = "halfway" if kind == "halfway" else "exchanged"
        child = self._part(name, task)[:, self.methods.index(method)] - floor
        parents = self._part("parents", task).mean(axis=1) - floor
        return np.where(parents > 0, child / np.where(parents > 0, parents, 1), np.nan)

    def parents(self, task: str) -> np.ndarray:
        """Scores of the champions, [pairs, 2]."""
        return self._part("parents", task)

    def dead(self, task: str) -> np.ndarray:
        """The share of neurons that are constant on what the champions see, [pairs]."""
        return self._part("dead", task)


def middle(values: np.ndarray) -> Interval | None:
    """The interquartile mean of the known values with its bootstrap interval; None if none is known."""
    values = values[np.isfinite(values)]
    if not values.size:
        return None
    return bootstrap_interval(values, seed=0, statistic=interquartile_mean, resamples=RESAMPLES)


def band(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The interquartile mean and the quartiles of seeds along a curve, from [seeds, points]."""
    values = values[np.isfinite(values).all(axis=1)]
    return interquartile_mean(values, axis=0), *np.quantile(values, (0.25, 0.75), axis=0)
