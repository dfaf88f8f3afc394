"""Display of progress, and the time of each phase, divided into compilation and execution."""

import functools
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, SupportsFloat, TypeAlias

import jax

from evojax_align import _checks
from evojax_align.lab.folder import RunFolder

Callback: TypeAlias = Callable[[int, Mapping[str, float]], None]
"""Called at every step with its number in the run and its metrics by name."""

EVERY = 5.0
"""Seconds between two lines of progress without a terminal."""


class _CompileClock:
    """Sums the times that JAX reports for tracing and compilation."""

    def __init__(self) -> None:
        self.seconds = 0.0
        jax.monitoring.register_event_duration_secs_listener(self._listen)

    def _listen(self, event: str, duration_secs: float, **_: Any) -> None:
        if event.startswith("/jax/core/compile/"):
            self.seconds += duration_secs


@functools.cache
def _compile_clock() -> _CompileClock:
    """The only clock of the process; JAX never removes its listeners."""
    return _CompileClock()


class _Lap:
    """Adds the time since its start, or its last end, to the seconds of a phase."""

    def __init__(self, spent: dict[str, float]) -> None:
        self._spent, self._clock = spent, _compile_clock()
        self._start, self._compiled = time.perf_counter(), self._clock.seconds

    def end(self) -> None:
        now, compiled = time.perf_counter(), self._clock.seconds
        self._spent["total"] += now - self._start
        self._spent["compile"] += compiled - self._compiled
        self._start, self._compiled = now, compiled


class Monitor:
    """Shows phases and their progress on standard error, logs steps, and measures time."""

    def __init__(
        self, folder: RunFolder | None = None, *, quiet: bool = False, callbacks: tuple[Callback, ...] = ()
    ) -> None:
        self.seconds: dict[str, dict[str, float]] = {}
        """For each phase, the seconds in total and of compilation."""
        self._folder = folder
        self._quiet = quiet
        self._callbacks = callbacks
        self._steps = 0
        self._lap: _Lap | None = None
        self.title = ""
        """Shown before the name of each phase."""

    @contextmanager
    def phase(self, name: str, total: int | None = None, *, done: int = 0) -> Iterator["Bar"]:
        """A named part of the run with `total` steps, `done` of them finished; its time is added to `seconds`."""
        spent = self.seconds.setdefault(name, {"total": 0.0, "compile": 0.0})
        self._lap = _Lap(spent)
        label = f"{self.title}: {name}" if self.title else name
        bar = Bar(label, total, done, quiet=self._quiet, tell=functools.partial(self._report, name))
        try:
            yield bar
        finally:
            self._lap.end()
            bar.close(**spent)

    def say(self, message: str) -> None:
        """Print a line above the progress, for rare events."""
        if not self._quiet:
            _checks.extra("tqdm", "experiments").tqdm.write(message, file=sys.stderr)

    def _report(self, phase: str, step: int, numbers: Mapping[str, float]) -> None:
        self._steps += 1
        if self._folder is not None:
            self._folder.log(phase=phase, step=step, **numbers)
        for callback in self._callbacks:
            callback(self._steps, numbers)


class Bar:
    """The progress of one phase: a bar on a terminal, a line every few seconds elsewhere."""

    def __init__(
        self,
        name: str,
        total: int | None,
        done: int,
        *,
        quiet: bool,
        tell: Callable[[int, Mapping[str, float]], None],
    ) -> None:
        self._name, self._total, self._done, self._report = name, total, done, tell
        self._spoke = time.perf_counter()
        self._plain = not quiet and not sys.stderr.isatty()
        tqdm = _checks.extra("tqdm", "experiments").tqdm
        form = "{desc:<40}{percentage:3.0f}% |{bar:24}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}{postfix}]"
        if total is None:
            form = "{desc:<40}{elapsed}{postfix}"
        hidden = quiet or self._plain
        self._bar = tqdm(total=total, initial=done, desc=name, bar_format=form, disable=hidden, file=sys.stderr)

    def step(self, **metrics: SupportsFloat) -> None:
        """Finish one step; its metrics are shown, logged, and passed to the callbacks."""
        self._done += 1
        numbers = {name: float(value) for name, value in metrics.items()}
        self._bar.set_postfix({name: f"{value:.4g}" for name, value in numbers.items()}, refresh=False)
        self._bar.update()
        self._report(self._done, numbers)
        if self._plain and time.perf_counter() - self._spoke > EVERY:
            self._spoke = time.perf_counter()
            shown = "  ".join(f"{name} {value:.4g}" for name, value in numbers.items())
            print(f"{self._name}: {self._done}/{self._total}  {shown}", file=sys.stderr, flush=True)

    def close(self, total: float, compile: float) -> None:
        """End the phase."""
        self._bar.close()
        if self._plain:
            print(f"{self._name}: {total:.1f} s, {compile:.1f} s of it compiling", file=sys.stderr, flush=True)
