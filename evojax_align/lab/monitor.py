"""Progress that a person can follow, and the time that each phase took."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from evojax_align import _checks
from evojax_align.lab.folder import RunFolder

EVERY = 5.0
"""Seconds between two lines of progress where there is no terminal to draw a bar on."""


class Monitor:
    """Shows phases and their progress on the standard error, logs steps, and keeps time."""

    def __init__(self, folder: RunFolder | None = None, *, quiet: bool = False) -> None:
        self.seconds: dict[str, float] = {}
        self._folder = folder
        self._quiet = quiet

    @contextmanager
    def phase(self, name: str, total: int | None = None) -> Iterator["Bar"]:
        """A named part of the run, of `total` steps; its time goes to `seconds`."""
        start = time.perf_counter()
        bar = Bar(name, total, quiet=self._quiet, folder=self._folder)
        try:
            yield bar
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start
            bar.close(self.seconds[name])


class Bar:
    """The progress of one phase: a bar on a terminal, a line every few seconds elsewhere."""

    def __init__(self, name: str, total: int | None, *, quiet: bool, folder: RunFolder | None) -> None:
        self._name, self._total, self._folder = name, total, folder
        self._done, self._spoke = 0, time.perf_counter()
        self._plain = not quiet and not sys.stderr.isatty()
        tqdm = _checks.extra("tqdm", "experiments").tqdm
        form = "{desc:<28}{percentage:3.0f}% |{bar:24}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}{postfix}]"
        if total is None:
            form = "{desc:<28}{elapsed}{postfix}"
        self._bar = tqdm(total=total, desc=name, bar_format=form, disable=quiet or self._plain, file=sys.stderr)

    def step(self, **numbers: float) -> None:
        """One step is done; the numbers are shown and logged."""
        self._done += 1
        self._bar.set_postfix({name: f"{value:.4g}" for name, value in numbers.items()}, refresh=False)
        self._bar.update()
        if self._folder is not None:
            self._folder.log(phase=self._name, step=self._done, **{name: float(v) for name, v in numbers.items()})
        if self._plain and time.perf_counter() - self._spoke > EVERY:
            self._spoke = time.perf_counter()
            shown = "  ".join(f"{name} {value:.4g}" for name, value in numbers.items())
            print(f"{self._name}: {self._done}/{self._total}  {shown}", file=sys.stderr, flush=True)

    def close(self, seconds: float) -> None:
        """The phase has ended."""
        self._bar.close()
        if self._plain:
            print(f"{self._name}: {seconds:.1f} s", file=sys.stderr, flush=True)
