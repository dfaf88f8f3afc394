"""What a long run needs: its folder, its flags, its progress, its checkpoints, its report."""

from evojax_align.lab.checkpoint import Damaged, load, save
from evojax_align.lab.claims import FEWEST, Claim, above, below, claim, decide, mean, rounded, stacked
from evojax_align.lab.experiment import Arrays, Experiment, main, use_all_cores
from evojax_align.lab.folder import RunFolder
from evojax_align.lab.lock import Locked, locked
from evojax_align.lab.logging import tensorboard
from evojax_align.lab.monitor import Callback, Monitor
from evojax_align.lab.run import Run, Stopped

__all__ = [
    "FEWEST",
    "Arrays",
    "Callback",
    "Claim",
    "Damaged",
    "Experiment",
    "Locked",
    "Monitor",
    "Run",
    "RunFolder",
    "Stopped",
    "above",
    "below",
    "claim",
    "decide",
    "load",
    "locked",
    "main",
    "mean",
    "rounded",
    "save",
    "stacked",
    "tensorboard",
    "use_all_cores",
]
