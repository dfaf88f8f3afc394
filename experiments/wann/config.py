"""Settings, arms and presets of the study."""

import dataclasses

from evojax_align import _checks


@dataclasses.dataclass(frozen=True)
class Arm:
    """A search on images: its tasks, and the combination of their losses."""

    tasks: tuple[int, ...] = (0,)
    scale: str = "sum"


ALONE, LETTERS, JOINT, RELATIVE = "WANN", "WANN, letters", "JointWANN", "JointWANN, relative"
ARMS = {ALONE: Arm(), LETTERS: Arm((1,)), JOINT: Arm((0, 1)), RELATIVE: Arm((0, 1), "relative")}
PRUNED, SWING = "PADAWANN", "swing-up"
"""An arm that prunes a trained network instead of evolving one, and an arm without images."""
VALUES = (-2.0, -1.0, -0.5, 0.5, 1.0, 2.0)
"""The authors' shared weights."""
MODES = {
    "clean": "a generation's network and the best shared weight are chosen on separate sets of images",
    "text": "as in the thesis: networks are chosen on training images, and the best shared weight on test images",
}


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of a run.

    Attributes:
        dataset: data set of the first task.
        mode: one of `MODES`.
        seed: of all random numbers.
        second: the data set of the second task.
        arms: names in `ARMS`; "PADAWANN", which prunes a trained network; "swing-up", a pole on a cart.
        repeats: number of seeds.
        generations: number of generations of a search.
        size: number of members.
        hidden: capacity for hidden nodes; it is doubled whenever it is full.
        tournament: number of members in a tournament.
        values: the shared weights at which a network is evaluated.
        enabled: the probability of each connection in the first generation.
        batch: number of images of each task on which a generation is evaluated.
        side: side of images in pixels; larger images are resized and deskewed.
        samples: number of training images of each task; 0 for all.
        judged: number of images of each task on which networks and shared weights are chosen.
        tested: number of test images of each task; 0 for all.
        learnt: epochs of training of the weights of champions, and of the network of PADAWANN.
        units: number of hidden units of that network.
        chunk: networks evaluated at once; by default all on an accelerator, and one after the other on a CPU.
        pruned: number of generations of PADAWANN.
    """

    dataset: str = "digits"
    mode: str = "clean"
    seed: int = 0
    second: str = "glyphs_10letters"
    arms: tuple[str, ...] = (ALONE, LETTERS, JOINT, RELATIVE, PRUNED)
    repeats: int = 10
    generations: int = 300
    size: int = 128
    hidden: int = 64
    tournament: int = 16
    values: tuple[float, ...] = VALUES
    enabled: float = 0.1
    batch: int = 200
    side: int = 8
    samples: int = 4000
    judged: int = 1000
    tested: int = 2000
    learnt: int = 5
    units: int = 64
    chunk: int | None = None
    pruned: int = 10

    def __post_init__(self) -> None:
        counts = ("repeats", "generations", "size", "hidden", "batch", "side", "judged", "learnt", "units", "pruned")
        for name in counts:
            _checks.positive(name, getattr(self, name))
        for name in self.arms:
            _checks.one_of("arms", name, (*ARMS, PRUNED, SWING))
        if len(set(self.arms)) < len(self.arms):
            raise _checks.bad("arms", self.arms, "different names", "Pass each once.")


DIGITS = Config(dataset="mnist", second="emnist_10letters", side=16, enabled=0.05)
PRESETS = {
    "demo": (
        Config(
            arms=(ALONE, LETTERS, JOINT),
            generations=200,
            size=48,
            hidden=48,
            tournament=8,
            batch=100,
            samples=900,
            judged=300,
            learnt=10,
        ),
    ),
    "swing_up": (
        Config(
            arms=(SWING,),
            repeats=6,
            generations=200,
            size=192,
            hidden=32,
            tournament=8,
            enabled=0.5,
            values=(0.5, 1.0, 2.0),
        ),
    ),
    "small": (DIGITS,),
    "paper": (
        dataclasses.replace(
            DIGITS,
            generations=4096,
            size=960,
            chunk=120,
            hidden=512,
            tournament=32,
            batch=1000,
            samples=0,
            tested=0,
            pruned=50,
        ),
    ),
}
COSTS = {
    "demo": "digits and drawn letters, 48 members, 200 generations, 10 seeds; 72 s",
    "swing_up": "a pole on a cart, 192 members, 200 generations, 6 seeds, three positive weights; 24 min",
    "small": "MNIST and ten letters of EMNIST, 128 members, 300 generations, 10 seeds; 23 min",
    "paper": "960 members, 4096 generations, 10 seeds; for a GPU",
}
