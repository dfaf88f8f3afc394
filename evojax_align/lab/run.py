"""A run that can be stopped at any moment and goes on to the same bits."""

import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, SupportsFloat, TypeVar

from evojax_align.lab import checkpoint
from evojax_align.lab.folder import RunFolder
from evojax_align.lab.monitor import Callback, Monitor

State = TypeVar("State")

KEPT = 2
"""Checkpoints of a loop that are kept: the last good one, and the one before."""
COST = 20.0
"""A checkpoint is due when at least this many times the seconds of the last one have passed since."""


class Stopped(Exception):
    """The run was asked to stop, and has saved where it stands."""

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.code = 128 + number


class Run(Monitor):
    """What an experiment is given: phases with progress, and loops that survive.

    Main arguments:
        folder: where checkpoints and the log go.
        every: seconds between checkpoints; 0 saves after every step.
    """

    def __init__(
        self, folder: RunFolder, *, quiet: bool = False, callbacks: tuple[Callback, ...] = (), every: float = 30.0
    ) -> None:
        super().__init__(folder, quiet=quiet, callbacks=callbacks)
        self._checkpoints = folder.path / "checkpoints"
        self._run_folder = folder
        self._every = every
        self._signal: int | None = None
        self._log_from: int | None = 0  # where the next line of the log goes, if not at its end

    def loop(
        self,
        name: str,
        state: State,
        step: Callable[[int, State], tuple[State, Mapping[str, SupportsFloat]]],
        *,
        total: int,
        done: Callable[[State], bool] = lambda state: False,
        build: Callable[[dict[str, Any]], State] | None = None,
    ) -> State:
        """Repeat `state, metrics = step(number, state)`, with progress, a log, and checkpoints.

        Args:
            name: of the phase.
            state: the start: a pytree that is all that the next step needs. Where a checkpoint of this loop is
                found, that one is the start.
            step: from the step's number and the state to the next state and numbers to show.
            total: number of steps, at most.
            done: ends the loop early.
            build: for a state whose shapes change on the way: makes one of what a checkpoint holds (see
                `checkpoint.load`).

        Returns:
            The last state, of the same bits however often the run was stopped on the way.
        """
        state, first = self._restore(name, state, build)
        saved, cost = time.perf_counter(), 0.0
        with self.phase(name, total, done=first) as bar:
            number = first
            while number < total and not done(state):
                state, metrics = step(number, state)
                bar.step(**metrics)
                number += 1
                waited = time.perf_counter() - saved
                ended = number == total or done(state)
                if ended or self._signal or waited >= max(self._every, COST * cost if self._every else 0.0):
                    start = time.perf_counter()
                    self._save(name, number, state)
                    saved = time.perf_counter()
                    cost = saved - start
                if self._signal:
                    raise Stopped(self._signal)
        return state

    @contextmanager
    def listening(self) -> Iterator[None]:
        """While inside, SIGINT and SIGTERM let the current step end and be saved; a second one stops at once."""

        def note(number: int, frame: Any) -> None:
            if self._signal:
                raise KeyboardInterrupt
            self._signal = number

        before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def check(self) -> None:
        """Stop here if a signal has come: between two parts that are quick to do again."""
        if self._signal:
            raise Stopped(self._signal)

    def _tell(self, phase: str, step: int, numbers: Mapping[str, float]) -> None:
        if self._log_from is not None:  # lines that an earlier try wrote after its last checkpoint are written anew
            self._run_folder.cut_log(self._log_from)
            self._log_from = None
        super()._tell(phase, step, numbers)

    def _save(self, name: str, number: int, state: Any) -> None:
        if self._lap is not None:
            self._lap.end()
        log = self._run_folder.log_size() if self._log_from is None else self._log_from
        notes = {"step": number, "log": log, "steps": self._steps, "seconds": self.seconds}
        checkpoint.save(self._path(name, number), state, notes)
        for path in self._found(name)[:-KEPT]:
            path.unlink()

    def _restore(self, name: str, state: State, build: Callable[[dict[str, Any]], State] | None) -> tuple[State, int]:
        for path in reversed(self._found(name)):
            try:
                state, notes = checkpoint.load(path, state, build=build)
            except checkpoint.Damaged as error:
                aside = path.replace(path.with_suffix(".damaged"))
                print(f"{error}; kept as {aside.name}, going back to the checkpoint before", file=sys.stderr)
                continue
            self._log_from, self._steps = notes["log"], notes["steps"]
            self.seconds |= notes["seconds"]
            return state, notes["step"]
        return state, 0

    def _found(self, name: str) -> list[Path]:
        return sorted(self._checkpoints.glob(f"{_slug(name)}-*.npz"))

    def _path(self, name: str, number: int) -> Path:
        return self._checkpoints / f"{_slug(name)}-{number:08d}.npz"


def _slug(name: str) -> str:
    return "".join(c if c.isalnum() else "_" for c in name)
