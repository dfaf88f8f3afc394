"""Settings of the study, its presets, and the table of tuned settings."""

import dataclasses

from evojax_align import _checks
from experiments.neuroevolution.arms import ARMS, Arm, factors
from experiments.neuroevolution.tasks import SUPERVISED, TASKS

NONE = "none"
FACTORS = tuple(factors(32, 64))
METHODS = (
    "naive",
    "aligned on visited states",
    "aligned on random states",
    "aligned by weights",
    "random order",
    "dead only",
)
"""Transformations of the second champion before the two are crossed."""
KINDS = ("halfway", "neurons")
"""Arithmetic crossover at t = 0.5, and the exchange of whole neurons."""


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of a run. The tuple ("none",) omits a part.

    Attributes:
        pairs: number of pairs of champions in each task of part 1, each pair from its own two seeds.
        transfer: tasks of part 1.
        champions: fraction of a task's evaluations that a champion gets.
        children: number of children of each pair by the exchange of neurons, whose scores are averaged.
        repeats: number of seeds of part 2, the same for all arms.
        block: number of seeds in one cell, run in one program.
        tasks: tasks of part 2.
        arms: arms of part 2.
        budget: fraction of a task's evaluations that a population gets.
        factors: settings that are changed one at a time.
        factor_tasks: tasks in which they are changed.
        size: number of members of populations in control tasks; 0 for that of each task.
        width: width of the networks in control tasks; 0 for that of each task.
        matcher: how neurons are matched by correlation: "mutual", the best pair first; or "correlation", exact, slower.
    """

    dataset: str = "digits"
    mode: str = "clean"
    seed: int = 0
    pairs: int = 20
    transfer: tuple[str, ...] = (NONE,)
    champions: float = 1.0
    children: int = 8
    repeats: int = 20
    block: int = 5
    tasks: tuple[str, ...] = (NONE,)
    arms: tuple[str, ...] = tuple(ARMS)
    budget: float = 1.0
    factors: tuple[str, ...] = (NONE,)
    factor_tasks: tuple[str, ...] = ("digits", "swing-up")
    size: int = 0
    width: int = 0
    matcher: str = "mutual"

    def __post_init__(self) -> None:
        for name, known in (("transfer", TASKS), ("tasks", TASKS), ("factor_tasks", TASKS), ("factors", FACTORS)):
            for value in getattr(self, name):
                _checks.one_of(name, value, (*known, NONE))
        for value in self.arms:
            _checks.one_of("arms", value, tuple(ARMS))
        for name in ("pairs", "children", "repeats", "block"):
            _checks.positive(name, getattr(self, name))
        for name in ("champions", "budget"):
            _checks.above_zero(name, getattr(self, name))
        _checks.one_of("matcher", self.matcher, ("correlation", "mutual"))
        if self.width < 0:
            raise _checks.bad("width", self.width, "a number of neurons, or 0", "Pass 0 for that of each task.")
        if self.repeats % self.block:
            fix = "Choose a block that divides the repeats."
            raise _checks.bad("block", self.block, f"a divisor of {self.repeats} repeats", fix)
        if self.size < 0 or self.size == 1:
            raise _checks.bad("size", self.size, "at least 2 members, or 0", "Pass 0 for that of each task.")
        for name in {*self.transfer, *self.tasks} & {*SUPERVISED}:
            if (name == "images") == (self.dataset == "digits"):
                fix = "The tasks 'digits' and 'M2N2' need the data set digits, the task 'images' any other."
                raise _checks.bad("tasks", f"{name!r} with the data set {self.dataset!r}", "a task for these data", fix)


def populations(config: Config) -> dict[str, tuple[str, str, Arm]]:
    """The populations of part 2 by name, each with its task, its name in that task, and its arm."""
    found = {}
    for task in known(config.tasks):
        own = {name: ARMS[name] for name in config.arms}
        if task in config.factor_tasks:
            groups = factors(TASKS[task].width, TASKS[task].children)
            own |= {name: arm for factor in known(config.factors) for name, arm in groups[factor].items()}
        found |= {f"{task}: {name}": (task, name, arm) for name, arm in own.items()}
    return found


def interval(config: Config, task: str) -> int:
    """Number of evaluations between two scores, at least one generation."""
    return max(TASKS[task].every, config.size if TASKS[task].control else 0)


def points(config: Config, task: str, share: float) -> int:
    """Number of scores of a population with this fraction of the evaluations of its task."""
    return max(1, round(share * TASKS[task].evaluations / interval(config, task)))


def known(names: tuple[str, ...]) -> tuple[str, ...]:
    """The names without "none"."""
    return tuple(name for name in names if name != NONE)


MODES = {"clean": "networks are scored on other data or episodes than those of evolution and alignment"}
CONTROL = ("swing-up", "double pole", "acrobot")
GYMNAX = ("cart-pole", "breakout")
HIDDEN = "double pole, no velocities"
FEW = ("mutation only", "naive", "aligned", "random order")
PRESETS = {
    "demo": (
        Config(
            pairs=8,
            transfer=("swing-up",),
            champions=0.4,
            repeats=8,
            block=4,
            tasks=("digits",),
            arms=FEW,
            budget=0.2,
        ),
    ),
    "small": (
        Config(
            pairs=8,
            transfer=(*CONTROL, HIDDEN, "digits"),
            champions=0.4,
            repeats=10,
            block=5,
            tasks=("digits", *CONTROL),
            budget=0.4,
        ),
        Config(dataset="mnist", pairs=8, champions=0.4, repeats=10, block=5, tasks=("images",), budget=0.2),
    ),
    "paper": (
        Config(
            transfer=(*CONTROL, HIDDEN, "digits", *GYMNAX),
            tasks=("digits", *CONTROL, HIDDEN, *GYMNAX),
            factors=FACTORS,
        ),
        Config(dataset="mnist", transfer=("images",), tasks=("images",)),
    ),
    "scale": (Config(repeats=10, block=5, tasks=("M2N2",), arms=(*FEW, "sep-CMA-ES")),),
}
COSTS = {
    "demo": "champions of swing-up, 8 pairs, and four arms on handwritten digits, 1000 evaluations, 8 seeds; 105 s on "
    "2 busy cores, half of it compiling",
    "small": "part 1 on five tasks, 8 pairs; part 2 with all arms on four tasks, 0.4 of the evaluations, 10 seeds",
    "paper": "part 1 with 20 pairs, part 2 with all arms on seven tasks and 20 seeds, all factors on two; a cell of "
    "part 2 is 5 seeds, on 2 busy cores 20 to 30 s naive and 115 s aligned on handwritten digits, 2 s naive and 11 s "
    "aligned on swing-up, and compiling once for each arm",
    "scale": "M2N2's own settings and scale: 50 000 evaluations on handwritten digits, five arms, 10 seeds",
}
