"""Runs that can be stopped at any moment and resumed with the same bits."""

import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, SupportsFloat, TypeVar

from evojax_align.lab import checkpoint
from evojax_align.lab.cells import Cell, slug
from evojax_align.lab.folder import RunFolder
from evojax_align.lab.monitor import Callback, Monitor

State = TypeVar("State")

KEPT = 2
"""Number of checkpoints of a loop that are kept."""
COST = 20.0
"""A checkpoint is due after at least this many times the seconds that the last one took."""
RESERVE = 8.0
"""Seconds of a time limit reserved for the start of the process before this import, for writing and for exit."""
TIME_IS_UP = 75
"""Exit status of a run that was stopped by its time limit."""
SHARED = "shared"
"""The name of the cell in records of shared loops, and of the folder of their checkpoints."""
STARTED = time.monotonic()


class Stopped(Exception):
    """The run was asked to stop and has saved its state.

    Attributes:
        code: the exit status of the process.
    """

    def __init__(self, reason: str, code: int) -> None:
        super().__init__(reason)
        self.code = code


class Run(Monitor):
    """The argument of a study: phases with progress, and loops that can be resumed after a stop or a crash.

    Main arguments:
        folder: the folder for checkpoints and the log.
        every: seconds between checkpoints; 0 saves after every step.
        minutes: the run stops at a checkpoint before the process is this old; None sets no limit.
        log: records of finished cells. The log is rewritten from them, and then by loops from their checkpoints, so
            that a truncated log, or one with records of steps that will be repeated, is repaired.
    """

    def __init__(
        self,
        folder: RunFolder,
        *,
        quiet: bool = False,
        callbacks: tuple[Callback, ...] = (),
        every: float = 30.0,
        minutes: float | None = None,
        log: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        super().__init__(folder, quiet=quiet, callbacks=callbacks)
        self._checkpoints = folder.path / "checkpoints"
        self._run_folder = folder
        self._every = every
        self._signal: int | None = None
        self._ends = None if minutes is None else STARTED + 60 * minutes - RESERVE
        self._slowest_start = 0.0  # the longest first step of a loop so far, including compilation
        self._cell: Cell | None = None
        self._owner: str | None = None  # the name of the cell in the records of the current loop
        self.lines: list[dict[str, Any]] = []
        """The records of the current cell, including those of shared loops that it used."""
        self._logged = {line["phase"] for line in log if line.get("cell") == SHARED}
        self._checked, self._longest_gap = time.monotonic(), 0.0
        folder.write_log(log)
        self._steps = len(log)

    def begin(self, cell: Cell, title: str = "") -> None:
        """Assign the following loops to this cell."""
        self._cell, self._owner, self.lines, self.seconds = cell, cell.name, [], {}
        self.title = title or cell.name

    def end(self, cell: Cell | None = None) -> None:
        """Delete the checkpoints of a stored cell, or of shared loops if no cell is given."""
        shutil.rmtree(self._checkpoints / (SHARED if cell is None else cell.name), ignore_errors=True)

    def loop(
        self,
        name: str,
        state: State,
        step: Callable[[int, State], tuple[State, Mapping[str, SupportsFloat]]],
        *,
        total: int,
        done: Callable[[State], bool] = lambda state: False,
        build: Callable[[dict[str, Any]], State] | None = None,
        shared: bool = False,
    ) -> State:
        """Repeat `state, metrics = step(number, state)` with progress, a log and checkpoints.

        Args:
            name: name of the loop, unique within a cell, or within the run for a shared loop.
            state: the initial state: a pytree with everything that the next step needs. If there is a checkpoint of
                this loop, the loop starts from it.
            step: maps the step's number and the state to the next state and numbers to show.
            total: largest number of steps.
            done: a function of the state that ends the loop early.
            build: for states whose shapes vary: builds a state from a checkpoint (see `checkpoint.load`).
            shared: whether all cells of the run use the result: the first cell computes it, and the others read it.
                Its records are in the log only once.

        Returns:
            The last state, with the same bits however often the run was stopped and resumed.
        """
        files = _Files(self._checkpoints / (SHARED if shared else self._cell.name if self._cell else ""), name)
        start, owner = len(self.lines), SHARED if shared else self._cell and self._cell.name
        state, first, lines = self._restore(files, name, state, build)
        known = shared and name in self._logged
        for line in lines:
            self._log(line, written=known)
        if shared:
            self._logged.add(name)
        self._owner = owner
        saved, cost, longest = time.perf_counter(), 0.0, 0.0
        with self.phase(name, total, done=first) as bar:
            number = first
            while number < total and not done(state):
                self._leave_in_time(longest or self._slowest_start, cost, saved=number == first)
                started = time.perf_counter()
                state, metrics = step(number, state)
                bar.step(**metrics)
                number += 1
                now = time.perf_counter()
                if number == first + 1:
                    self._slowest_start = max(self._slowest_start, now - started)
                longest = max(longest, now - started) if number > first + 1 else 0.0
                ended = number == total or done(state)
                due = now - saved >= max(self._every, COST * cost if self._every else 0.0)
                if ended or self._signal or due or self._late(longest or now - started, cost):
                    self._save(files, name, number, state, start)
                    saved = time.perf_counter()
                    cost = saved - now
                    if not ended or self._signal:
                        self._leave_in_time(longest or now - started, cost, saved=True)
        self._owner, self._checked = self._cell and self._cell.name, time.monotonic()
        return state

    @contextmanager
    def listening(self) -> Iterator[None]:
        """A context in which SIGINT and SIGTERM stop the run after the current step; a second signal stops at once."""

        def note(number: int, frame: Any) -> None:
            if self._signal:
                raise KeyboardInterrupt
            self._signal = number
            self.say(f"stopping after this step ({signal.Signals(number).name}); once more stops at once")

        before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def check(self, least: float = 0.0) -> None:
        """Stop here if a signal was received, or if the longest part between two checks would exceed the time limit.

        Call it between parts that can be repeated quickly.

        Args:
            least: expected seconds of the next part, if it takes longer than the parts before.
        """
        now = time.monotonic()
        self._longest_gap, self._checked = max(self._longest_gap, now - self._checked), now
        self._leave_in_time(max(self._longest_gap, least), 0.0, saved=True)

    def _late(self, next_step: float, saving: float) -> bool:
        return self._ends is not None and time.monotonic() + next_step + 2 * saving > self._ends

    def _leave_in_time(self, next_step: float, saving: float, *, saved: bool) -> None:
        """Stop if a signal was received, or if the next step may exceed the time limit; only if the state is saved."""
        if not saved:
            return
        if self._signal:
            raise Stopped(f"stopped by {signal.Signals(self._signal).name}", 128 + self._signal)
        if self._late(next_step, saving):
            raise Stopped("stopped by the time limit", TIME_IS_UP)

    def _report(self, phase: str, step: int, numbers: Mapping[str, float]) -> None:
        cell = {} if self._owner is None else {"cell": self._owner}
        self._log({**cell, "phase": phase, "step": step, **numbers})
        for callback in self._callbacks:
            callback(self._steps, numbers)

    def _log(self, line: dict[str, Any], *, written: bool = False) -> None:
        self.lines.append(line)
        if not written:
            self._steps += 1
            self._run_folder.log(**line)

    def _save(self, files: "_Files", name: str, number: int, state: Any, start: int) -> None:
        if self._lap is not None:
            self._lap.end()
        owner = None if self._cell is None else self._cell.name
        notes = {"step": number, "log": self.lines[start:], "seconds": self.seconds[name], "cell": owner}
        files.save(number, state, notes)

    def _restore(
        self, files: "_Files", name: str, state: State, build: Callable[[dict[str, Any]], State] | None
    ) -> tuple[State, int, list[dict[str, Any]]]:
        for path in reversed(files.found()):
            try:
                state, notes = checkpoint.load(path, state, build=build)
            except checkpoint.Damaged as error:
                aside = checkpoint.set_aside(path)
                print(f"{error}; kept as {aside.name}, using the checkpoint before", file=sys.stderr)
                continue
            owner = None if self._cell is None else self._cell.name
            if notes["cell"] == owner:
                self.seconds[name] = notes["seconds"]
            return state, notes["step"], notes["log"]
        return state, 0, []


def whole_log(parts: Iterable[Sequence[Mapping[str, Any]]]) -> list[Mapping[str, Any]]:
    """The concatenated records of several cells, with those of shared loops only once."""
    records, known = [], set()
    for line in (line for part in parts for line in part):
        if line.get("cell") == SHARED:
            if (place := (line["phase"], line["step"])) in known:
                continue
            known.add(place)
        records.append(line)
    return records


class _Files:
    """The checkpoints of one loop."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self._name = folder, slug(name)

    def found(self) -> list[Path]:
        """The existing checkpoints, oldest first."""
        return sorted(self._folder.glob(f"{self._name}-{'[0-9]' * 8}.npz"))

    def save(self, number: int, state: Any, notes: Mapping[str, Any]) -> None:
        """Write a checkpoint and delete old ones."""
        self._folder.mkdir(parents=True, exist_ok=True)
        checkpoint.save(self._folder / f"{self._name}-{number:08d}.npz", state, notes)
        for path in self.found()[:-KEPT]:
            checkpoint.remove(path)
