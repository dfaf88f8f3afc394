"""Comparisons of two ways of doing one thing, in turns, as ratios, by medians; and their storage."""

import dataclasses
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax

REST = 0.2
"""Seconds between two timed calls."""


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Seconds of both, and how many times longer the peer takes."""

    ours: float
    peer: float
    ratio: float
    """Median over rounds of (peer / ours)."""
    spread: tuple[float, float]
    """The lowest and the highest of these."""


def compare(ours: Callable[[], Any], peer: Callable[[], Any], *, repeats: int) -> Comparison:
    """Run both once to warm up, and then in turns."""
    for call in (ours, peer):
        time_of(call)
    rounds = [(time_of(ours), time_of(peer)) for _ in range(repeats)]
    ratios = [theirs / mine for mine, theirs in rounds]
    mine, theirs = (statistics.median(column) for column in zip(*rounds, strict=True))
    return Comparison(mine, theirs, statistics.median(ratios), (min(ratios), max(ratios)))


def times_compiled(program: Any) -> int:
    """How many times a jitted function was compiled."""
    return program._cache_size()


def time_of(call: Callable[[], Any]) -> float:
    """Seconds until the result is there. The call waits first, for threads of BLAS libraries that go on spinning."""
    time.sleep(REST)
    start = time.perf_counter()
    jax.block_until_ready(call())
    return time.perf_counter() - start


def store(file: str | None, rows: Sequence[Mapping[str, Any]], settings: Mapping[str, int]) -> None:
    """Write rows as JSON, with the machine and the settings of the measurement; without a file, nothing."""
    if file is None:
        return
    machine = {
        "jax": jax.__version__,
        "backend": jax.default_backend(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
    }
    record = {"machine": machine, **settings, "rows": rows}
    Path(file).write_text(json.dumps(record, indent=1) + "\n")
