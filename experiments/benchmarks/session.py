"""Rows that are measured one after the other within a time limit; each result is printed, and on the disk, at once."""

import abc
import gc
import json
import os
import platform
import statistics
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, Protocol

import jax
import numpy as np
import scipy

UNKNOWN = 10.0
"""Seconds that a row is expected to take before any has been measured."""
MEASURED, FAILED, NOT_RUN = "measured", "failed", "not run: out of time"
PACKAGES = ("jax", "jaxlib", "numpy", "scipy", "optax", "flax", "evojax-align", "torch", "lapx")
VARIABLES = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "XLA_FLAGS", "JAX_NUM_CPU_DEVICES")


class AnyRow(Protocol):
    """What every row has: a name, and how much work it is beside others of its family, the smallest first."""

    @property
    def name(self) -> str: ...  # noqa: D102

    @property
    def family(self) -> str: ...  # noqa: D102

    @property
    def amount(self) -> float: ...  # noqa: D102


class Session(abc.ABC):
    """The results of all rows, and the time that is left.

    Attributes:
        results: one for each row so far.
        limit: seconds in all.
        settings: what stands in the file beside the rows.
        kept: results of an earlier session, which stay in the file where no row of this one has their name.
    """

    def __init__(
        self, file: Path | None, minutes: float, settings: Mapping[str, Any], common: Mapping[str, Any]
    ) -> None:
        self.results: list[dict[str, Any]] = []
        self.limit = 60 * minutes
        self.kept: list[dict[str, Any]] = []
        self.settings = dict(settings)
        self._file, self._common = file, common
        self._start = time.monotonic()
        self._last: dict[str, tuple[AnyRow, float, float]] = {}  # by family: seconds once, and of every round
        self._spent: list[float] = []

    @abc.abstractmethod
    def measure(self, row: Any) -> dict[str, Any]:
        """The entries of a row's result, with "repeats" and the seconds of a round ("round_s" or "median_s")."""

    @abc.abstractmethod
    def describe(self, result: dict[str, Any]) -> str:
        """A result as text."""

    @abc.abstractmethod
    def summary(self) -> str:
        """All results as text."""

    def missing(self, row: Any) -> str | None:
        """Why a row cannot be measured on this machine; None where it can."""
        return None

    @property
    def left(self) -> float:
        """Seconds."""
        return self.limit - (time.monotonic() - self._start)

    @property
    def stored(self) -> list[dict[str, Any]]:
        """The results of this session in the places of those that were kept, and all others behind them."""
        new, known = {result["row"]: result for result in self.results}, {result["row"] for result in self.kept}
        old = [new.get(result["row"], result) for result in self.kept]
        return old + [result for result in self.results if result["row"] not in known]

    def run(self, rows: Sequence[AnyRow]) -> int:
        """Measure the rows in order; the number of failures. A row is not started if it is expected not to end in time,
        and one that takes too long all the same ends the process, with what is known on the disk."""
        for number, row in enumerate(rows, start=1):
            say(f"[{number}/{len(rows)}] {row.name} ...")
            self._add(row, self._result(row, rows))
        return sum(result["status"] == FAILED for result in self.results)

    def expected(self, row: AnyRow) -> float:
        """Seconds that a row will take with two rounds: as long as the last of its family, whose rounds are scaled by
        the amount of work; or the median of all rows so far."""
        if row.family in self._last:
            last, once, usual = self._last[row.family]
            return once + 2 * usual * row.amount / last.amount
        return statistics.median(self._spent) if self._spent else UNKNOWN

    def _result(self, row: AnyRow, rows: Sequence[AnyRow]) -> dict[str, Any]:
        absent = self.missing(row)
        if absent is not None:
            return {"status": absent}
        if self.expected(row) > self.left:
            return {"status": NOT_RUN}
        began = time.monotonic()
        found: dict[str, Any]
        guard = threading.Timer(self.left, self._overrun, [rows])
        guard.daemon = True
        guard.start()
        try:
            found = self.measure(row)
        except Exception as error:  # a row that fails is a result, and the next ones are measured all the same
            found = {"status": FAILED, "error": f"{type(error).__name__}: {str(error)[:1000]}"}
        finally:
            guard.cancel()
        gc.collect()
        spent, usual = time.monotonic() - began, found.get("round_s", found.get("median_s", 0.0))
        self._last[row.family] = row, max(spent - found.get("repeats", 0) * usual, 0.0), usual
        self._spent.append(spent)
        return found

    def _add(self, row: AnyRow, result: dict[str, Any]) -> None:
        self.results.append({"row": row.name, "family": row.family} | result | dict(self._common))
        say(f"    {self.describe(result)}; {self.left:.0f} s left")
        if self._file is not None:
            text = json.dumps({"settings": self.settings, "rows": self.stored}, indent=1)
            part = self._file.with_suffix(".part")
            part.write_text(text + "\n")
            os.replace(part, self._file)

    def _overrun(self, rows: Sequence[AnyRow]) -> None:
        running, *rest = rows[len(self.results) :]
        self._add(running, {"status": FAILED, "error": "did not end before the time was over"})
        for row in rest:
            self._add(row, {"status": NOT_RUN})
        print(self.summary(), flush=True)
        os._exit(1)


def machine() -> dict[str, Any]:
    """The device, the versions, the libraries for linear algebra, and the variables that set their threads."""
    device = jax.devices()[0]
    versions = {name: version(name) for name in PACKAGES}
    return {
        "device": device.device_kind,
        "platform": device.platform,
        "devices": len(jax.devices()),
        "cores": os.cpu_count(),
        "cores_allowed": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "python": platform.python_version(),
        "versions": versions,
        "blas": {"numpy": blas_of(np), "scipy": blas_of(scipy)},
        "environment": {name: os.environ[name] for name in VARIABLES if name in os.environ},
    }


def blas_of(package: Any) -> str:
    """The BLAS that NumPy or scipy was built with; JAX calls the LAPACK of scipy's on a CPU."""
    blas = package.show_config(mode="dicts")["Build Dependencies"]["blas"]
    return f"{blas.get('name', 'unknown')} {blas.get('version', '')}".strip()


def version(name: str) -> str | None:
    """Of an installed package; None where there is none. The library may be used from a folder."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        module = sys.modules.get(name.replace("-", "_"))
        return getattr(module, "__version__", None)


def say(text: str) -> None:
    """A line of progress."""
    print(text, file=sys.stderr, flush=True)
