"""The stored arrays of `mixed_evolution.py` by name, and what is computed of them."""

import jax.numpy as jnp
import numpy as np

from evojax_align import lab
from evojax_align.evolution import diversity

TARGETS = ("best member", "other members", "child", "other children", "grown child", "other grown children")
"""Networks that are attacked, each followed by those that have to answer to the same images."""
LINKED = 0.9
"""Members whose layers have at least this cosine similarity belong to one group."""


class View:
    """The arrays of a study, with what is computed of them."""

    def __init__(self, arrays: lab.Arrays) -> None:
        self.arrays = arrays
        self.arms = arrays["arms"].tolist()
        self.marks = arrays["marks"].tolist()
        self.networks = arrays["networks"].tolist()
        self.published = str(arrays["dataset"]) == "mnist" and str(arrays["mode"]) == "code"

    def of(self, arm: str, name: str) -> np.ndarray:
        """An array of one population, with a leading axis of repeats."""
        return self.arrays[name][self.arms.index(arm)]

    def network(self, arm: str) -> int:
        """The number of an arm's network."""
        return int(self.arrays["network"][self.arms.index(arm)])

    def layers(self, arm: str) -> list[str]:
        """Names of the layers of a population's network, as its tree has them."""
        return str(self.arrays["layers"][self.network(arm)]).split(",")

    @property
    def all_layers(self) -> list[str]:
        """Names of the layers of all networks, the output last."""
        names = dict.fromkeys(name for layers in self.arrays["layers"] for name in str(layers).split(","))
        return sorted(names, key=lambda name: (name == "output", name))

    def accuracy(self, arm: str, how: str = "mean", generation: int | None = None) -> np.ndarray:
        """Test accuracy of the best or worst member by fitness, or the mean of all, [repeats]."""
        place = self.marks[0] if generation is None else generation
        of_members, fitness = (self.of(arm, name)[:, place] for name in ("accuracy", "fitness"))
        if how == "mean":
            return of_members.mean(axis=-1)
        chosen = np.nanargmax(fitness, axis=-1) if how == "best" else np.nanargmin(fitness, axis=-1)
        return np.take_along_axis(of_members, chosen[:, None], axis=-1)[:, 0]

    def cosine(self, arm: str, generation: int | None = None) -> np.ndarray:
        """Mean cosine similarity of two members, layer by layer, [repeats, layers]."""
        matrices = self.of(arm, "layer_cosine")[:, self.marks[0] if generation is None else generation]
        return np.asarray(diversity.mean_of_pairs(jnp.asarray(matrices)))[:, : len(self.layers(arm))]

    def alike(self, arm: str, mark: int = 0) -> np.ndarray:
        """Mean cosine similarity of two members, as they are or in the order of the best, whichever is larger, mean of
        the layers, [repeats]: relatives share places by descent, strangers only once they are aligned."""
        as_they_are = self.of(arm, "layer_cosine")[:, self.marks[mark]]
        matrices = [self.by_fitness(arm, as_they_are, mark), self.of(arm, "aligned_cosine")[:, mark]]
        larger = np.maximum(*matrices)[:, : len(self.layers(arm))]
        return np.asarray(diversity.mean_of_pairs(jnp.asarray(larger))).mean(axis=-1)

    def by_fitness(self, arm: str, matrices: np.ndarray, mark: int) -> np.ndarray:
        """Similarities with members in the order of their fitness, as the aligned ones have them."""
        order = np.argsort(-self.of(arm, "fitness")[:, self.marks[mark]], axis=-1, kind="stable")
        rows = np.take_along_axis(matrices, order[:, None, :, None], axis=2)
        return np.take_along_axis(rows, order[:, None, None, :], axis=3)

    def groups(self, arm: str, generation: int | None = None) -> np.ndarray:
        """Number of groups of members, layer by layer, [repeats, layers]."""
        matrices = self.of(arm, "layer_cosine")[:, self.marks[0] if generation is None else generation]
        found = diversity.clusters(jnp.asarray(matrices), threshold=LINKED)
        return np.asarray(found)[:, : len(self.layers(arm))]

    def alleles(self, arm: str, generation: int | None = None) -> np.ndarray:
        """Effective number of founders, layer by layer, [repeats, layers]."""
        found = self.of(arm, "alleles")[:, self.marks[0] if generation is None else generation]
        return found[:, : len(self.layers(arm))]

    def untrained(self, arm: str) -> np.ndarray:
        """Accuracy of children before training, whose parents were trained, mean over generations, [repeats]."""
        return self.of(arm, "untrained")[:, 1 : self.marks[0]].mean(axis=(1, 2))

    def attacked(self, arm: str, target: str, mark: int = 0, attack: int | None = None) -> np.ndarray:
        """Accuracy under attack, by FGSM with the authors' epsilon unless told otherwise, [repeats]."""
        return self.of(arm, "attack")[:, mark, self.usual if attack is None else attack, TARGETS.index(target)]

    @property
    def usual(self) -> int:
        """The number of the authors' epsilon among all."""
        return int(np.argmin(np.abs(self.arrays["epsilons"] - self.arrays["published"])))

    @property
    def attacks(self) -> list[str]:
        """Names of all attacks."""
        names = [f"FGSM, {epsilon:g}" for epsilon in self.arrays["epsilons"]]
        return [*names, f"PGD, {float(self.arrays['published']):g}"]

    @property
    def were_attacked(self) -> bool:
        """Whether attacks were part of the study."""
        return bool(np.isfinite(self.arrays["attack"]).any())

    def alone(self, arm: str, name: str = "accuracy") -> np.ndarray:
        """Of networks that train alone, an array with a leading axis of repeats."""
        return self.arrays[f"alone_{name}"][self.network(arm)]
