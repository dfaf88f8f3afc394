"""The merged arrays of a run by name, and what is computed from them."""

import numpy as np

from evojax_align import lab
from experiments.common import ArmView, known_mean
from experiments.mixed_evolution.config import ALONE, EPSILON
from experiments.mixed_evolution.study import LAYERS, TARGETS


class View(ArmView):
    """The arrays of a run, with what is computed from them. Values are [seeds]; NaN where they are not known."""

    def __init__(self, arrays: lab.Arrays) -> None:
        super().__init__(arrays)
        self.populations = [arm for arm in self.arms if not arm.startswith(ALONE)]
        self.controls = [arm for arm in self.arms if arm.startswith(ALONE)]
        self.marks = arrays["marks"].tolist()
        self.study = str(arrays["study"])
        self.published = str(arrays["published"])
        self.were_attacked = bool(np.isfinite(arrays["attack"]).any())
        epsilons = arrays["epsilons"].tolist()
        self.usual = epsilons.index(EPSILON)
        self.attacks = [*(f"FGSM, {epsilon:g}" for epsilon in epsilons), f"PGD, {EPSILON:g}"]

    def network(self, arm: str) -> str:
        """The name of an arm's network."""
        return str(self.arrays["network"][self.arms.index(arm)])

    def layers(self, arm: str) -> tuple[str, ...]:
        """Names of the layers of an arm's network, the output first."""
        return LAYERS[self.network(arm)]

    def control(self, arm: str) -> str:
        """The arm of the same networks that are trained alone."""
        return f"{ALONE}{self.network(arm)}"

    def accuracy(self, arm: str, how: str = "mean", generation: int | None = None) -> np.ndarray:
        """Test accuracy of the best or worst member by fitness, or the mean of all."""
        place = self.marks[0] if generation is None else generation
        accuracy, fitness = (self.of(arm, name)[:, place] for name in ("accuracy", "fitness"))
        if how == "mean":
            return known_mean(accuracy)
        ranked = np.where(np.isnan(fitness), -np.inf if how == "best" else np.inf, fitness)
        chosen = ranked.argmax(axis=-1) if how == "best" else ranked.argmin(axis=-1)
        return np.take_along_axis(accuracy, chosen[:, None], axis=-1)[:, 0]

    def by_layer(self, arm: str, name: str, generation: int | None = None) -> np.ndarray:
        """An array of one generation, [seeds, layers], the output layer first: "cosine", the mean cosine similarity of
        two members; "groups", of members with similar weights; or "alleles", the effective number of founders."""
        place = self.marks[0] if generation is None else generation
        return self.of(arm, name)[:, place, : len(self.layers(arm))]

    def alike(self, arm: str) -> np.ndarray:
        """Mean cosine similarity of two members, aligned or not, whichever is larger."""
        return self.of(arm, "alike")[:, 0]

    def untrained(self, arm: str) -> np.ndarray:
        """Accuracy of children before training, whose parents were trained, mean over generations."""
        return self.of(arm, "untrained")[:, 2 : self.marks[0] + 1].mean(axis=1)

    def attacked(self, arm: str, target: str, mark: int = 0, attack: int | None = None) -> np.ndarray:
        """Accuracy under attack, by FGSM with the authors' epsilon by default."""
        return self.of(arm, "attack")[:, mark, self.usual if attack is None else attack, TARGETS.index(target)]

    def curves(self, name: str, arms: list[str]) -> dict[str, np.ndarray]:
        """The mean of an array over members or layers for every generation after the first, by arm."""
        values = {arm: self.of(arm, name)[:, 1:] for arm in arms}
        return {arm: of if of.ndim == 2 else known_mean(of) for arm, of in values.items()}
