"""Tools for long runs: run folders, flags, progress, checkpoints, claims and reports."""

from evojax_align.lab.cells import Arrays, Cell, by_arm, slug
from evojax_align.lab.checkpoint import Damaged, load, save
from evojax_align.lab.claims import (
    FEWEST,
    Claim,
    Comparison,
    decide,
    declaration,
    finite,
    mean,
    measured,
    paired,
    replication,
    rounded,
    units_needed,
    unpaired,
)
from evojax_align.lab.command import main
from evojax_align.lab.folder import RunFolder
from evojax_align.lab.lock import Locked, locked
from evojax_align.lab.logging import tensorboard
from evojax_align.lab.monitor import Callback, Monitor
from evojax_align.lab.report import text_table
from evojax_align.lab.run import Run, Stopped
from evojax_align.lab.study import Study, use_all_cores

__all__ = [
    "FEWEST",
    "Arrays",
    "Callback",
    "Cell",
    "Claim",
    "Comparison",
    "Damaged",
    "Locked",
    "Monitor",
    "Run",
    "RunFolder",
    "Stopped",
    "Study",
    "by_arm",
    "decide",
    "declaration",
    "finite",
    "load",
    "locked",
    "main",
    "mean",
    "measured",
    "paired",
    "replication",
    "rounded",
    "save",
    "slug",
    "tensorboard",
    "text_table",
    "units_needed",
    "unpaired",
    "use_all_cores",
]
