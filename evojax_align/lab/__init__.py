"""What a long run needs: its folder, its flags, its progress, its report."""

from evojax_align.lab.claims import Claim, claim, decide
from evojax_align.lab.experiment import Arrays, Experiment, main
from evojax_align.lab.folder import RunFolder
from evojax_align.lab.monitor import Monitor

__all__ = ["Arrays", "Claim", "Experiment", "Monitor", "RunFolder", "claim", "decide", "main"]
