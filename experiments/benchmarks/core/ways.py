"""One way of doing a thing, in this process or in a fresh one, and a process that keeps a core busy meanwhile."""

import base64
import contextlib
import dataclasses
import importlib.util
import json
import os
import pickle
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax

THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
"""Variables that a fresh process does not inherit."""
WORKER = "experiments.benchmarks.core.worker"
ROOT = Path(__file__).parents[3]
SPIN = """
import os, time
parent = os.getppid()
print("spinning", flush=True)
while os.getppid() == parent:
    end = time.monotonic() + 0.05
    while time.monotonic() < end:
        pass
"""
STATUS = Path("/proc/self/status")


def nothing(value: Any) -> dict[str, Any]:
    """No further entries."""
    return {}


@dataclasses.dataclass(frozen=True)
class Way:
    """A way of doing what a row measures. What runs in a fresh process is pickled: functions of modules, not lambdas.

    Attributes:
        name: "ours", or the peer.
        prepare: makes the data and returns the call, whose first run compiles.
        inspect: looks at what the last call returned, and gives further entries of the result.
        environment: variables of the process; a way that has some runs in a fresh one.
        needs: a package without which the way is left out.
    """

    name: str
    prepare: Callable[[], Callable[[], Any]]
    inspect: Callable[[Any], dict[str, Any]] = nothing
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)
    needs: str | None = None

    @property
    def missing(self) -> bool:
        """Whether its package is not installed."""
        return self.needs is not None and importlib.util.find_spec(self.needs) is None


class Timing(NamedTuple):
    """Of one call.

    Attributes:
        wall_s: seconds until the result was there.
        cpu_s: seconds of all threads of the process.
        peak_bytes: by how much the largest memory during the call was above that before; None where it is not known.
    """

    wall_s: float
    cpu_s: float
    peak_bytes: int | None


class Stopped(Exception):
    """A call took too long, and its process was ended."""


class Here:
    """A way in this process."""

    def __init__(self, way: Way) -> None:
        self._way, self._call, self._value = way, way.prepare(), None

    def call(self, seconds: float) -> Timing:
        """Run once; here nothing can stop it."""
        timing, self._value = measured(self._call, memory=False)
        return timing

    def inspect(self) -> dict[str, Any]:
        """Further entries, of the last call."""
        return self._way.inspect(self._value)

    def close(self) -> None:
        """End what the way has started."""
        getattr(self._call, "close", lambda: None)()


class Apart:
    """A way in a fresh process, which imports and prepares first."""

    def __init__(self, way: Way, seconds: float) -> None:
        environment = {name: value for name, value in os.environ.items() if name not in THREADS}
        paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment |= {"PYTHONPATH": os.pathsep.join(paths), "JAX_ENABLE_COMPILATION_CACHE": "false"}
        self._errors = tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            [sys.executable, "-m", WORKER],
            env=environment | dict(way.environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            bufsize=0,
        )
        self._send(base64.b64encode(pickle.dumps(way)).decode())
        try:
            self.answer(seconds)
        except BaseException:
            self.close()
            raise

    def call(self, seconds: float) -> Timing:
        """Run once, for no longer than this."""
        self.begin()
        return Timing(**self.answer(seconds))

    def begin(self) -> None:
        """Let it run; its `Timing` is what it answers."""
        self._send("call")

    def inspect(self) -> dict[str, Any]:
        """Further entries, of the last call."""
        self._send("inspect")
        return self.answer(60.0)

    def answer(self, seconds: float) -> dict[str, Any]:
        """What the process says next.

        Raises:
            Stopped: if it says nothing for so long.
            RuntimeError: if the way failed there, or the process ended.
        """
        assert self._process.stdout is not None
        ready, *_ = select.select([self._process.stdout], [], [], max(seconds, 0.0))
        if not ready:
            self.close()
            raise Stopped(f"after {seconds:.0f} s")
        line = self._process.stdout.readline()
        if not line:
            self._errors.seek(0)
            said = self._errors.read().decode(errors="replace")[-600:]
            raise RuntimeError(f"the process ended with status {self._process.wait()}: {said}")
        found = json.loads(line)
        if "error" in found:
            raise RuntimeError(found["error"])
        return found

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()

    def _send(self, text: str) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # what it died of is in its answer
            self._process.stdin.write(f"{text}\n".encode())


class SharedOut:
    """A call that several fresh processes do at the same time, each its part; the value is their timings."""

    def __init__(self, way: Way, processes: int, seconds: float = 120.0) -> None:
        self._seconds = seconds
        self._parts = [Apart(way, seconds) for _ in range(processes)]

    def __call__(self) -> list[Timing]:
        """Until the last is done."""
        for part in self._parts:
            part.begin()
        return [Timing(**part.answer(self._seconds)) for part in self._parts]

    def close(self) -> None:
        """End the processes."""
        for part in self._parts:
            part.close()


def seconds_of_parts(timings: list[Timing]) -> dict[str, Any]:
    """The CPU seconds of a `SharedOut` are those of its processes."""
    return {"cpu_s": sum(timing.cpu_s for timing in timings)}


def measured(call: Callable[[], Any], *, memory: bool) -> tuple[Timing, Any]:
    """Seconds of a call, and what it returned; with `memory`, its largest memory too (on Linux)."""
    before = _memory("VmRSS") if memory and _forget_peak() else None
    start, spent = time.perf_counter(), time.process_time()
    value = jax.block_until_ready(call())
    wall, cpu = time.perf_counter() - start, time.process_time() - spent
    peak = None if before is None else max(0, _memory("VmHWM") - before)
    return Timing(wall, cpu, peak), value


def _forget_peak() -> bool:
    """Let the largest memory be counted from now on."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def _memory(name: str) -> int:
    lines = dict(line.split(":", 1) for line in STATUS.read_text().splitlines())
    return 1024 * int(lines[name].split()[0])


@contextlib.contextmanager
def busy() -> Iterator[int]:
    """A process that keeps one core busy while the block runs; its id. It ends with this process in any case."""
    process = subprocess.Popen([sys.executable, "-c", SPIN], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        yield process.pid
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
