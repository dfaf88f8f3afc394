"""Measuring rows one after the other on one device, within a time limit; each result is on the disk at once."""

import dataclasses
import gc
import importlib.util
import json
import os
import platform
import resource
import statistics
import sys
import threading
import time
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import jax

REPEATS = 5
"""Steady runs of a row, at most."""
SHARE = 1 / 20
"""Of the whole time, what the steady runs of one row may take; at least one is made."""
UNKNOWN = 10.0
"""Seconds that a row is expected to take before any has been measured."""
MEASURED, FAILED, NOT_RUN, NO_TORCH = "measured", "failed", "not run: out of time", "torch not installed"


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


class Session:
    """The results of all rows, and the time that is left."""

    def __init__(self, file: Path | None, minutes: float, settings: dict[str, Any]) -> None:
        self.results: list[dict[str, Any]] = []
        self._file, self._settings = file, settings
        self._start, self._limit = time.monotonic(), 60 * minutes
        self._machine = machine()
        self._last: dict[str, tuple[Row, float, float]] = {}  # by family: seconds once, and of every run
        self._spent: list[float] = []

    @property
    def left(self) -> float:
        """Seconds."""
        return self._limit - (time.monotonic() - self._start)

    def run(self, rows: Sequence[Row]) -> int:
        """Measure the rows in order; the number of failures. A row is not started if it is expected not to end in time,
        and one that takes too long all the same ends the process, with what is known on the disk."""
        for number, row in enumerate(rows, start=1):
            say(f"[{number}/{len(rows)}] {row.name} ...")
            self._add(row, self._result(row, rows))
        return sum(result["status"] == FAILED for result in self.results)

    def expected(self, row: Row) -> float:
        """Seconds that a row will take with two steady runs: as long as the last of its family, whose steady time is
        scaled by the amount of work; or the median of all rows so far."""
        if row.family in self._last:
            last, once, steady = self._last[row.family]
            return once + 2 * steady * row.amount / last.amount
        return statistics.median(self._spent) if self._spent else UNKNOWN

    def _result(self, row: Row, rows: Sequence[Row]) -> dict[str, Any]:
        if row.peer and importlib.util.find_spec("torch") is None:
            return {"status": NO_TORCH}
        if self.expected(row) > self.left:
            return {"status": NOT_RUN}
        began = time.monotonic()
        found: dict[str, Any]
        guard = threading.Timer(self.left, self._overrun, [rows])
        guard.daemon = True
        guard.start()
        try:
            found = self._measured(row)
        except Exception as error:  # a row that fails is a result, and the next ones are measured all the same
            found = {"status": FAILED, "error": f"{type(error).__name__}: {str(error)[:1000]}"}
        finally:
            guard.cancel()
        gc.collect()
        spent, usual = time.monotonic() - began, found.get("median_s", 0.0)
        self._last[row.family] = row, max(spent - found.get("repeats", 0) * usual, 0.0), usual
        self._spent.append(spent)
        return found

    def _measured(self, row: Row) -> dict[str, Any]:
        call = row.prepare()
        first, value = timed(call)
        found, steady = dict[str, Any](first_s=first, **row.inspect(value)), []
        del value
        while len(steady) < REPEATS and (not steady or sum(steady) + steady[-1] < self._limit * SHARE):
            if (steady or [first])[-1] > self.left:
                break
            steady.append(timed(call)[0])
        if steady:
            usual = statistics.median(steady)
            found |= {"median_s": usual, "min_s": min(steady), "max_s": max(steady)}
            found |= {"rate": row.amount / usual, "unit": f"{row.unit}/s"}
        return {"status": MEASURED, "repeats": len(steady)} | found | memory()

    def _add(self, row: Row, result: dict[str, Any]) -> None:
        self.results.append({"row": row.name, "family": row.family} | result | self._machine)
        say(f"    {described(result)}; {self.left:.0f} s left")
        if self._file is not None:
            text = json.dumps({"settings": self._settings, "rows": self.results}, indent=1)
            part = self._file.with_suffix(".part")
            part.write_text(text + "\n")
            os.replace(part, self._file)

    def _overrun(self, rows: Sequence[Row]) -> None:
        running, *rest = rows[len(self.results) :]
        self._add(running, {"status": FAILED, "error": "did not end before the time was over"})
        for row in rest:
            self._add(row, {"status": NOT_RUN})
        print(summary(self.results), flush=True)
        os._exit(1)


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds until the result is there, and the result."""
    start = time.perf_counter()
    value = jax.block_until_ready(call())
    return time.perf_counter() - start, value


def machine() -> dict[str, Any]:
    """The device and the versions."""
    device = jax.devices()[0]
    versions = {name: version(name) for name in ("jax", "jaxlib", "numpy", "evojax-align", "torch")}
    return {
        "device": device.device_kind,
        "platform": device.platform,
        "devices": len(jax.devices()),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "versions": versions,
    }


def version(name: str) -> str | None:
    """Of an installed package; None where there is none. The library may be used from a folder."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        module = sys.modules.get(name.replace("-", "_"))
        return getattr(module, "__version__", None)


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


def say(text: str) -> None:
    """A line of progress."""
    print(text, file=sys.stderr, flush=True)
