"""Callbacks that export metrics of a run. A callback is any function of a step's number and its metrics."""

from collections.abc import Mapping
from pathlib import Path

from evojax_align import _checks
from evojax_align.lab.monitor import Callback


def tensorboard(folder: Path) -> Callback:
    """Write every metric as a TensorBoard scalar; needs the extra `tensorboard`."""
    writer = _checks.extra("tensorboardX", "tensorboard").SummaryWriter(str(folder))

    def write(step: int, metrics: Mapping[str, float]) -> None:
        for name, value in metrics.items():
            writer.add_scalar(name, value, step)
        writer.flush()

    return write
