"""The settings of `padawann.py`, and the populations that it evolves."""

import dataclasses

from evojax_align import _checks

OF_MODES = {
    "clean": {"untouched": 0, "crossover": "one_point"},
    "text": {"untouched": 0, "crossover": "one_point"},
    "code": {"untouched": 1, "crossover": "none"},
}
"""What `evolution.Padawann` does in each mode."""


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of a run."""

    dataset: str = "digits"
    """What networks are trained on, and the first task."""
    mode: str = "clean"
    seed: int = 0
    second: str = "glyphs_10letters"
    """The data set of the second task."""
    others: tuple[str, ...] = ("glyphs_another10",)
    """Data sets that only "three tasks" sees, of which it takes the first."""
    variants: tuple[str, ...] = ("default",)
    """Populations, by their names in `VARIANTS`."""
    trials: int = 3
    generations: int = 50
    size: int = 20
    tournament: int = 8
    share: float = 0.025
    """What a child loses of all synapses; the thesis says 0.00025."""
    samples: int = 700
    """Training images of each class that members are judged on, the first ones."""
    tested: int = 0
    """Test images of each data set, of each class its share; 0 takes all."""
    widths: tuple[int, ...] = (32, 64, 128)
    """Of `models.MnistNet`."""
    hidden: int = 64
    """Width of the network without convolutions."""
    learnt: int = 0
    """Training images that networks are trained on; 0 takes all."""
    epochs: int = 3
    batch_size: int = 100
    learning_rate: float = 1.0
    """Of Adadelta; falls by 0.7 after every epoch."""
    transferred: int = 0
    """Training images of each data set that an output layer is trained on again; 0 takes all."""
    transfers: int = 5
    """How many times it is trained, each time for one epoch; 0 leaves transfer learning out."""
    chunk: int = 1000
    """Images at a time; fewer take less memory on a GPU, where all networks and values are judged side by side."""
    mapping: tuple[int, ...] = (4, 6, 0, 2, 8, 7, 9, 5, 1, 3)
    """For "mapping given": the output that stands for each class of the second task, by how they look."""

    def __post_init__(self) -> None:
        for name in ("trials", "generations", "samples", "epochs", "batch_size", "hidden", "chunk"):
            _checks.positive(name, getattr(self, name))
        for name in ("tested", "learnt", "transferred", "transfers"):
            if getattr(self, name) < 0:
                raise _checks.bad(name, getattr(self, name), "a number of at least 0", "0 takes all, or none.")
        for name in self.variants:
            _checks.one_of("variants", name, VARIANTS)
        if "default" not in self.variants:
            raise _checks.bad("variants", self.variants, "'default' among them", "Others are compared with it.")
        if len(set(self.variants)) < len(self.variants):
            raise _checks.bad("variants", self.variants, "each of them once", "Leave out the second one.")
        if sorted(self.mapping) != list(range(len(self.mapping))):
            raise _checks.bad("mapping", self.mapping, "each output once", "Number outputs from 0.")


@dataclasses.dataclass(frozen=True)
class Variant:
    """A population: what is changed in where it begins, in its tasks, or in `evolution.Padawann`."""

    network: str = "conv"
    """"conv", or "forward" for one without convolutions."""
    trained_on: int = 0
    """The data set that its ancestors are trained on: 0 is the first."""
    ancestors: int = 1
    aligned: bool = False
    """Whether the second ancestor's neurons are brought into the order of the first one's."""
    signs: str = "kept"
    magnitudes: str = "shared"
    """These two as in `pruning.basis`."""
    pruned: float = 0.0
    """Share of the ancestor's synapses, those of least magnitude, that are dead from the start."""
    tasks: tuple[int, ...] = (0, 1)
    """The data sets that it is judged on."""
    mapping: str = "none"
    """Which outputs stand for the classes of the second task: "none" takes them in their order; "given"; "optimised"
    takes the bijection that is right most often without any evolution."""
    outputs: str = "shared"
    """"shared" by all tasks; "apart", an output layer for each; or "fewer", five classes of the second task alone."""
    settings: tuple[tuple[str, object], ...] = ()
    """Of `evolution.Padawann`."""


def variant(settings: dict[str, object] | None = None, /, **changed: object) -> Variant:
    """A variant from keyword arguments."""
    return Variant(settings=tuple((settings or {}).items()), **changed)  # pyright: ignore[reportArgumentType]


TEN: dict[str, object] = {"size": 10, "tournament": 4}
VARIANTS = {
    "default": variant(),
    # what the thesis compares
    "signs discarded": variant(signs="discarded"),
    "weights kept": variant({"values": (1.0,)}, magnitudes="own"),
    "first task alone": variant(tasks=(0,)),
    "three tasks": variant(tasks=(0, 1, 2)),
    "from the second task": variant(trained_on=1),
    "without convolutions": variant(network="forward"),
    "mapping optimised": variant(mapping="optimised"),
    "mapping given": variant(mapping="given"),
    "real crossover": variant({"crossover": "one_point"}),
    "no crossover": variant({"crossover": "none"}),
    "without selection": variant({"elitism": 0.0, "culling": 0.0, "tournament": 1}),
    "as printed": variant({"share": 0.00025}),
    "ten members": variant(TEN),
    "ten, no elitism": variant(TEN | {"elitism": 0.0}),
    "ten, no culling": variant(TEN | {"culling": 0.0}),
    "ten, whole clusters": variant(TEN | {"whole_clusters": True}),
    "ten, no crossover": variant(TEN | {"crossover": "none"}),
    "ten, uniform crossover": variant(TEN | {"crossover": "uniform"}),
    "ten, tournaments of 2": variant(TEN | {"tournament": 2}),
    "ten, tournaments of 6": variant(TEN | {"tournament": 6}),
    # what it leaves for later
    "fitness: mean": variant({"fitness": "mean"}),
    "fitness: worst": variant({"fitness": "worst"}),
    "fitness: product": variant({"fitness": "product"}),
    "edges count": variant({"edges": 1.0}),
    "ensemble": variant({"over": "ensemble"}),
    "mean of values": variant({"over": "mean"}),
    "seven values": variant({"values": (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)}),
    "biases shared": variant({"biases": "shared"}),
    "random magnitudes": variant(magnitudes="random"),
    "random weights": variant(signs="random", magnitudes="random"),
    "pruned by magnitude first": variant(pruned=0.5),
    "forty members": variant({"size": 40}),
    "one parent": variant({"parents": "best"}),
    "only the living are drawn": variant({"among": "living"}),
    "an output layer for each task": variant(outputs="apart"),
    "five classes": variant(outputs="fewer"),
    "two ancestors": variant(ancestors=2),
    "two ancestors, aligned": variant(ancestors=2, aligned=True),
}
