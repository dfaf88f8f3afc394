"""Measuring rows on one device: the first call, which compiles, and some that follow."""

import dataclasses
import importlib.util
import resource
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax

from experiments.benchmarks import session
from experiments.benchmarks.session import FAILED, MEASURED, NOT_RUN, say

__all__ = ["FAILED", "MEASURED", "NOT_RUN", "NO_TORCH", "Row", "Session", "say", "summary"]

REPEATS = 5
"""Steady runs of a row, at most."""
SHARE = 1 / 20
"""Of the whole time, what the steady runs of one row may take; at least one is made."""
NO_TORCH = "torch not installed"


@dataclasses.dataclass(frozen=True)
class Row:
    """Something to measure.

    Attributes:
        name: what is done, with its sizes.
        family: rows of one family do the same at different sizes, the smallest first.
        amount: work of one call.
        unit: of the amount; the rate is in units a second.
        prepare: makes the data and returns the call, whose first run compiles.
        inspect: looks at what the call returned, and gives further entries of the result; an error fails the row.
        peer: whether it needs PyTorch.
    """

    name: str
    family: str
    amount: float
    unit: str
    prepare: Callable[[], Callable[[], Any]]
    inspect: Callable[[Any], dict[str, Any]] = lambda value: {}
    peer: bool = False


class Session(session.Session):
    """Rows on JAX's default device."""

    def __init__(self, file: Path | None, minutes: float, settings: Mapping[str, Any]) -> None:
        super().__init__(file, minutes, settings, session.machine())

    def missing(self, row: Row) -> str | None:
        """Rows that need PyTorch."""
        return NO_TORCH if row.peer and importlib.util.find_spec("torch") is None else None

    def measure(self, row: Row) -> dict[str, Any]:
        """The first call, and steady ones."""
        call = row.prepare()
        first, value = timed(call)
        found, steady = dict[str, Any](first_s=first, **row.inspect(value)), []
        del value
        while len(steady) < REPEATS and (not steady or sum(steady) + steady[-1] < self.limit * SHARE):
            if (steady or [first])[-1] > self.left:
                break
            steady.append(timed(call)[0])
        if steady:
            usual = statistics.median(steady)
            found |= {"median_s": usual, "min_s": min(steady), "max_s": max(steady)}
            found |= {"rate": row.amount / usual, "unit": f"{row.unit}/s"}
        return {"status": MEASURED, "repeats": len(steady)} | found | memory()

    def describe(self, result: dict[str, Any]) -> str:
        """In a few words."""
        return described(result)

    def summary(self) -> str:
        """A table."""
        return summary(self.results)


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds until the result is there, and the result."""
    start = time.perf_counter()
    value = jax.block_until_ready(call())
    return time.perf_counter() - start, value


def memory() -> dict[str, Any]:
    """The largest memory so far, of the device (None where it does not say) and of the process, in bytes."""
    stats = jax.devices()[0].memory_stats() or {}
    torch: Any = sys.modules.get("torch")
    of_torch = torch.cuda.max_memory_allocated() if torch is not None and torch.cuda.is_available() else None
    of_process = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    peak = {"device_peak_bytes": stats.get("peak_bytes_in_use"), "process_peak_bytes": of_process}
    return peak | ({} if of_torch is None else {"torch_peak_bytes": of_torch})


def described(result: dict[str, Any]) -> str:
    """One result in a few words."""
    if result["status"] != MEASURED:
        return result["status"] + (f": {result['error'][:300]}" if "error" in result else "")
    if "median_s" not in result:
        return f"first {result['first_s']:.3g} s, no time for a second run"
    steady = f"steady {result['median_s']:.4g} s, {result['rate']:.4g} {result['unit']}"
    return f"first {result['first_s']:.3g} s, {steady}"


def summary(results: Sequence[dict[str, Any]]) -> str:
    """A table of all rows, and how many failed or were not run."""
    from evojax_align.lab.report import text_table

    def short(value: float | None) -> float | None:
        return None if value is None else float(f"{value:.3g}")

    table = [
        {
            "row": result["row"],
            "status": result["status"],
            "first, s": short(result.get("first_s")),
            "steady, s": short(result.get("median_s")),
            "fastest": short(result.get("min_s")),
            "slowest": short(result.get("max_s")),
            "rate": short(result.get("rate")),
            "unit": result.get("unit", ""),
            "device GiB": None if not (peak := result.get("device_peak_bytes")) else round(peak / 2**30, 2),
        }
        for result in results
    ]
    lines = [text_table(table), ""]
    for status in (FAILED, NOT_RUN):
        names = [result["row"] for result in results if result["status"] == status]
        lines.append(f"{status}: {len(names)}" + "".join(f"\n  {name}" for name in names))
    return "\n".join(lines)
