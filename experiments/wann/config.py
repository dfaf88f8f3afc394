"""Settings, arms and presets of the study."""

import dataclasses

from evojax_align import _checks


@dataclasses.dataclass(frozen=True)
class Arm:
    """A search on images: its tasks, and how their losses become one."""

    tasks: tuple[int, ...] = (0,)
    scale: str = "sum"


ALONE, LETTERS, JOINT, RELATIVE = "WANN", "WANN, letters", "JointWANN", "JointWANN, relative"
ARMS = {ALONE: Arm(), LETTERS: Arm((1,)), JOINT: Arm((0, 1)), RELATIVE: Arm((0, 1), "relative")}
PRUNED, SWING = "PADAWANN", "swing-up"
"""An arm that prunes a trained network instead, and one without images."""
VALUES = (-2.0, -1.0, -0.5, 0.5, 1.0, 2.0)
"""The authors' shared weights."""
MODES = {
    "clean": "a generation's network and the best shared weight are each chosen on images of their own",
    "text": "as in the thesis: networks are chosen on training images, and the best shared weight on test images",
}


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of a run.

    Attributes:
        dataset: images of the first task.
        mode: of `MODES`.
        seed: of all random numbers.
        second: the data set of the second task.
        arms: searches, of `ARMS`; "PADAWANN", which prunes a trained network; "swing-up", a pole on a cart.
        repeats: seeds.
        generations: of a search.
        size: members.
        hidden: capacity for hidden nodes; it is doubled whenever it is full.
        tournament: members of a tournament.
        values: the shared weights at which a network is judged.
        enabled: the chance of each connection in the first generation.
        batch: images of each task that a generation is judged on.
        side: pixels; larger images are reduced and deskewed.
        samples: training images of each task; 0 takes all.
        judged: images of each task, on which networks and shared weights are chosen.
        tested: test images of each task; 0 takes all.
        learnt: epochs for which the weights of champions, and the network of PADAWANN, are trained.
        units: hidden units of that network.
        chunk: networks judged together; by default all of them on an accelerator, and one after the other on a CPU.
        pruned: generations of PADAWANN.
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
            raise _checks.bad("arms", self.arms, "different ones", "Name each once.")


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
