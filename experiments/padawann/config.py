"""Settings of the study, its presets, and the populations that it evolves."""

import dataclasses
from typing import Any

from evojax_align import _checks

MODES = {
    "clean": "as the thesis's text, but each trial has its own trained network, and shared values are chosen on "
    "training images",
    "text": "as the thesis's text: all trials start from one network, shared values are chosen on test images, "
    "one-point crossover cuts between layers, and whole clusters die in one layer a step",
    "code": "as in its code: as text, but children have one parent (except in populations named after a crossover, "
    "which there has no effect), one member of the first generation is not pruned, letters are transposed, and "
    "repeated transfer learning continues from the repetition before",
}


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of a run.

    Attributes:
        dataset: the first task, on which networks are trained.
        mode: see `MODES`.
        seed: seed of all random numbers.
        second: the data set of the second task.
        others: further data sets to test on. The variant "three tasks" is evolved on the first of them too.
        variants: names of populations in `VARIANTS`.
        trials: number of repetitions of each population.
        generations: number of generations after the first.
        size: number of members of a population.
        tournament: number of members in a tournament.
        share: fraction of all synapses that a child loses: 0.025 % in the thesis, 2.5 % in its code and its results.
        samples: number of training images of each class on which members are evaluated, the first ones.
        tested: number of test images of each data set, stratified by class; 0 for all.
        widths: widths of `models.MnistNet`.
        hidden: width of the network without convolutions.
        learnt: number of training images of the networks; 0 for all.
        epochs: epochs of their training.
        batch_size: batch size of their training.
        learning_rate: learning rate of Adadelta; multiplied by 0.7 after every epoch.
        transferred: number of training images of each data set for transfer learning; 0 for all.
        transfers: number of repetitions of transfer learning; 0 for none.
        chunk: images evaluated at a time; fewer take less memory on a GPU.
        mapping: for the variant "mapping given", the output of each class of the second task, by visual similarity as
            we see it: the thesis shows its own in a figure only.
    """

    dataset: str = "digits"
    mode: str = "clean"
    seed: int = 0
    second: str = "glyphs_10letters"
    others: tuple[str, ...] = ("glyphs_another10",)
    variants: tuple[str, ...] = ("default",)
    trials: int = 3
    generations: int = 50
    size: int = 20
    tournament: int = 8
    share: float = 0.025
    samples: int = 700
    tested: int = 0
    widths: tuple[int, ...] = (32, 64, 128)
    hidden: int = 64
    learnt: int = 0
    epochs: int = 3
    batch_size: int = 100
    learning_rate: float = 1.0
    transferred: int = 0
    transfers: int = 5
    chunk: int = 1000
    mapping: tuple[int, ...] = (4, 6, 0, 2, 8, 7, 9, 5, 1, 3)

    def __post_init__(self) -> None:
        for name in ("trials", "generations", "samples", "epochs", "batch_size", "hidden", "chunk"):
            _checks.positive(name, getattr(self, name))
        for name in ("tested", "learnt", "transferred", "transfers"):
            if getattr(self, name) < 0:
                raise _checks.bad(name, getattr(self, name), "a number of at least 0", "Pass 0 for all, or for none.")
        for name in self.variants:
            _checks.one_of("variants", name, VARIANTS)
        if "default" not in self.variants or len(set(self.variants)) < len(self.variants):
            raise _checks.bad("variants", self.variants, "'default' and others, each once", "Correct the list.")
        if sorted(self.mapping) != list(range(len(self.mapping))):
            raise _checks.bad("mapping", self.mapping, "each output once", "Number outputs from 0.")

    @property
    def sets(self) -> tuple[str, ...]:
        """Names of all data sets, in the order of the tasks."""
        return self.dataset, self.second, *self.others

    @property
    def algorithm(self) -> dict[str, Any]:
        """Settings of `evolution.Padawann` for all variants."""
        program = {"untouched": 1, "crossover": "none"} if self.mode == "code" else {}
        return {name: getattr(self, name) for name in ("size", "tournament", "share", "chunk")} | program


@dataclasses.dataclass(frozen=True)
class Kind:
    """Common properties of trained networks.

    Attributes:
        network: "conv", or "forward" for one without convolutions.
        trained_on: the number of the data set; 0 is the first.
        layers: number of output layers, one for each task.
    """

    network: str = "conv"
    trained_on: int = 0
    layers: int = 1


@dataclasses.dataclass(frozen=True)
class Variant:
    """A population, with its differences in ancestors, tasks, or algorithm.

    Attributes:
        kind: kind of its ancestors.
        ancestors: number of ancestors, 1 or 2.
        aligned: whether the neurons of the second ancestor are permuted to match those of the first.
        signs, magnitudes: as in `pruning.basis`.
        pruned: fraction of the ancestor's synapses, those of smallest magnitude, that are pruned before.
        tasks: numbers of the data sets that define fitness.
        mapping: the outputs of the classes of the second task: "none" for their order; "given" for the mapping of the
            configuration; "optimised" for the bijection with the highest accuracy before evolution.
        classes: whether the second task has "all" its classes or the first "half".
        settings: settings of `evolution.Padawann`.
    """

    kind: Kind = Kind()
    ancestors: int = 1
    aligned: bool = False
    signs: str = "kept"
    magnitudes: str = "shared"
    pruned: float = 0.0
    tasks: tuple[int, ...] = (0, 1)
    mapping: str = "none"
    classes: str = "all"
    settings: tuple[tuple[str, object], ...] = ()

    @property
    def apart(self) -> bool:
        """Whether the second task has its own output layer."""
        return self.kind.layers > 1


def changed(**settings: object) -> Variant:
    """The default population with other settings of `evolution.Padawann`."""
    return Variant(settings=tuple(settings.items()))


def ten(**settings: object) -> Variant:
    """A population of ten members, as in the thesis's Tables 6.1 and 6.2."""
    return changed(**{"size": 10, "tournament": 4} | settings)


THESIS = {
    "default": Variant(),
    "signs discarded": Variant(signs="discarded"),
    "weights kept": Variant(magnitudes="own", settings=(("values", (1.0,)),)),
    "first task alone": Variant(tasks=(0,)),
    "three tasks": Variant(tasks=(0, 1, 2)),
    "from the second task": Variant(Kind(trained_on=1)),
    "without convolutions": Variant(Kind("forward")),
    "mapping optimised": Variant(mapping="optimised"),
    "mapping given": Variant(mapping="given"),
    "ten members": ten(),
    "ten, no elitism": ten(elitism=0.0),
    "ten, no culling": ten(culling=0.0),
    "ten, whole clusters": ten(whole_clusters=True),
    "ten, no crossover": ten(crossover="none"),
    "ten, uniform crossover": ten(crossover="uniform"),
    "ten, tournaments of 2": ten(tournament=2),
    "ten, tournaments of 6": ten(tournament=6),
}
"""Variants of the thesis. Its "optimised" mapping was chosen by eye, and is "mapping given" here."""
CONTROLS = {
    "real crossover": changed(crossover="one_point"),
    "no crossover": changed(crossover="none"),
    "without selection": changed(elitism=0.0, culling=0.0, tournament=1),
    "as printed": changed(share=0.00025),
}
FUTURE = {
    "fitness: mean": changed(fitness="mean"),
    "fitness: worst": changed(fitness="worst"),
    "fitness: product": changed(fitness="product"),
    "edges count": changed(edges=1.0),
    "ensemble": changed(over="ensemble"),
    "mean of values": changed(over="mean"),
    "seven values": changed(values=(0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)),
    "biases shared": changed(biases="shared"),
    "random magnitudes": Variant(magnitudes="random"),
    "random weights": Variant(signs="random", magnitudes="random"),
    "pruned by magnitude first": Variant(pruned=0.5),
    "forty members": changed(size=40),
    "one parent": changed(parents="best"),
    "only the living are drawn": changed(among="living"),
    "an output layer for each task": Variant(Kind(layers=2)),
    "five classes": Variant(classes="half"),
    "two ancestors": Variant(ancestors=2),
    "two ancestors, aligned": Variant(ancestors=2, aligned=True),
}
"""Variants that the thesis proposes as future work."""
VARIANTS = THESIS | CONTROLS | FUTURE

LESS: dict[str, Any] = {"generations": 10, "samples": 60, "transfers": 1}
MNIST: dict[str, Any] = {"dataset": "mnist", "second": "emnist_10letters"}
NAMES = tuple(THESIS)
SMALL = (*NAMES[:4], "no crossover", "three tasks")
PRESETS = {
    "demo": (
        Config(
            variants=NAMES[:5],
            trials=8,
            widths=(8, 16, 32),
            epochs=10,
            batch_size=10,
            transferred=400,
            **{**LESS, "generations": 8},
        ),
    ),
    "small": (
        Config(
            others=("notmnist", "fashion_mnist"),
            variants=SMALL,
            tested=2000,
            learnt=20_000,
            transferred=3000,
            **LESS,
            **MNIST,
        ),
    ),
    "short": (
        Config(
            others=("notmnist", "fashion_mnist"),
            variants=(*NAMES[:5], "mapping optimised"),
            trials=8,
            widths=(4, 8, 32),
            tested=2000,
            learnt=20_000,
            transferred=3000,
            **LESS | {"generations": 27, "samples": 50},
            **MNIST,
        ),
    ),
    "paper": (
        Config(
            mode="text",
            others=("emnist_another10", "fashion_mnist"),
            trials=10,
            variants=(*NAMES, "no crossover"),
            **MNIST,
        ),
    ),
}
COSTS = {
    "demo": "a small network on digits and drawn letters, 8 generations, 8 trials of 5 populations; 90 s on 2 cores",
    "short": "a network of 37 000 synapses on MNIST, 27 generations, 8 trials of 6 populations; about 25 min",
    "small": "the thesis's network, 60 images per class, 10 generations, 3 trials; about 12 min per population",
    "paper": "as in the thesis, 700 images per class, 50 generations, 10 trials; for a GPU",
}
