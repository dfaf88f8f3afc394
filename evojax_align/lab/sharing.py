"""Runs that the processes of a job share: each process runs some of the cells, and the first one merges them.

Cells do not depend on each other. So the processes need a common file system, and no connection: a process that dies
costs its own cells alone, and each may have as many devices as it likes. A population that is distributed over several
processes is another matter (see the guide on many devices).
"""

import os
import shutil
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from evojax_align import _checks
from evojax_align.lab import study as studies
from evojax_align.lab.cells import Cell
from evojax_align.lab.folder import RunFolder
from evojax_align.lab.run import Run, Stopped

VARIABLES = (
    ("SLURM_PROCID", "SLURM_NTASKS"),
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    ("PMI_RANK", "PMI_SIZE"),
    ("JAX_PROCESS_ID", "JAX_NUM_PROCESSES"),
)
"""Environment variables for the number of a process, from 0, and the number of processes, by what starts them."""
PATIENCE = 60.0
"""Seconds after which a process that gives no sign of life counts as ended."""
BEAT = 2.0
"""Seconds between two signs of life."""
ENDED = "ended"


class Member(NamedTuple):
    """A process of a job.

    Attributes:
        number: its number, from 0.
        processes: how many there are.
    """

    number: int = 0
    processes: int = 1

    @property
    def name(self) -> str:
        """The name of its folder."""
        return f"{self.number:03d}"


def member(environment: Mapping[str, str] = os.environ) -> Member:
    """This process, as the environment says."""
    for names in VARIABLES:
        if any(name in environment for name in names):
            number, count = (_integer(name, environment.get(name)) for name in names)
            if not 0 <= number < count:
                came = f"process {number} of {count}"
                raise _checks.bad(" and ".join(names), came, "a number below the number of processes", "Count from 0.")
            return Member(number, count)
    fix = f"Start it by srun or mpirun, or set {' and '.join(VARIABLES[-1])} for each process."
    raise _checks.bad("distributed", "an environment without a number of processes", "the variables of a job", fix)


def share(cells: Sequence[Cell], of: Member) -> Sequence[Cell]:
    """The cells that a process runs."""
    return cells[of.number :: of.processes]


def is_finished(folder: RunFolder, cell: Cell) -> bool:
    """Whether a folder has the results of a cell."""
    return (folder.path / "cells" / f"{cell.name}.npz").is_file()


def joined(main: RunFolder, of: Member, here: Mapping[str, Any]) -> RunFolder:
    """The own folder of a process other than the first, when that has started.

    Args:
        main: the folder of the run.
        of: the process.
        here: the manifest that a run started by this process would have.

    Raises:
        ValueError: the first process has another configuration, other versions or other code.
    """
    signs = _Signs(main, 0)
    while not signs.seen:
        if signs.lost:
            fix = "See what it printed; all processes need the same --out or --resume."
            raise _checks.bad("distributed", f"no sign of process 0 in {main.path}", "a run that it started", fix)
        time.sleep(BEAT / 4)
    record = main.read_manifest()
    for name in ("experiment", "preset", "configuration", "versions", *studies.SAME_MACHINE):
        if record[name] != here[name]:
            fix = "Start all processes with the same flags, in the same environment."
            raise _checks.bad(f"distributed, {name} of process {of.number}", here[name], f"{record[name]}", fix)
    if here["commit"] not in (known := [record["commit"], *record.get("resumed", [])]):
        fix = "Start all processes from the same code."
        raise _checks.bad(f"distributed, commit of process {of.number}", here["commit"], f"{known[-1]}", fix)
    path = main.path / "processes" / of.name
    if not (path / "manifest.json").exists():
        return RunFolder.create(path, of.name, dict(record) | {"end": None})
    RunFolder(path).write_json("manifest.json", dict(record) | {"end": None})
    return RunFolder(path)


@contextmanager
def alive(main: RunFolder, of: Member) -> Iterator[None]:
    """A context in which other processes see that this one lives."""
    path, over = _sign(main, of.number), threading.Event()
    path.parent.mkdir(exist_ok=True)

    def beat() -> None:
        count = time.time_ns()  # not the number that a process before has left
        while True:
            _write(path, str(count))
            count += 1
            if over.wait(BEAT):
                return

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        _write(path, ENDED)


def gather(folder: RunFolder, cells: Sequence[Cell], count: int, run: Run) -> None:
    """Copy the cells of all other processes into the folder of the run, as they finish.

    Args:
        folder: the folder of the run.
        cells: the cells that the processes share.
        count: the number of processes.
        run: the run, which may have to stop.

    Raises:
        Stopped: a process ended before it had finished its cells.
    """
    owner = {cell: number for number in range(count) for cell in share(cells, Member(number, count))}
    signs = {number: _Signs(folder, number) for number in range(1, count)}
    while True:
        lost = [number for number, sign in signs.items() if sign.lost]  # before looking for its last cell
        collect(folder, cells)
        missing = [cell for cell in cells if not is_finished(folder, cell)]
        if not missing:
            return
        if {owner[cell] for cell in missing} <= set(lost):
            names = ", ".join(str(number) for number in lost if number in {owner[cell] for cell in missing})
            raise Stopped(f"processes that ended before their cells were finished: {names}", 1)
        run.check()
        time.sleep(BEAT / 4)


def collect(folder: RunFolder, cells: Sequence[Cell]) -> None:
    """Copy finished cells of other processes into the folder of the run."""
    parts = [RunFolder(path.parent) for path in sorted(folder.path.glob("processes/*/manifest.json"))]
    new = [part for part in parts if any(is_finished(part, c) and not is_finished(folder, c) for c in cells)]
    if new:
        studies.collect(folder, new, [cell for cell in cells if not is_finished(folder, cell)])


def forget(folder: RunFolder) -> None:
    """Delete what the other processes left, when all their cells are in the folder of the run."""
    shutil.rmtree(folder.path / "processes", ignore_errors=True)


class _Signs:
    """Whether a process lives, by a file that it changes all the time. Clocks of different machines may differ."""

    def __init__(self, main: RunFolder, number: int) -> None:
        self._path, self._changed = _sign(main, number), False
        self._text, self._since = self._read(), time.monotonic()

    @property
    def seen(self) -> bool:
        """Whether the process has given a sign since this object was made."""
        self._look()
        return self._changed and self._text != ENDED

    @property
    def lost(self) -> bool:
        """Whether the process has ended since, or gives no sign."""
        self._look()
        return time.monotonic() - self._since > PATIENCE or (self._changed and self._text == ENDED)

    def _look(self) -> None:
        if (now := self._read()) != self._text:
            self._text, self._since, self._changed = now, time.monotonic(), True

    def _read(self) -> str:
        with suppress(OSError):
            return self._path.read_text()
        return ""


def _sign(main: RunFolder, number: int) -> Path:
    return main.path / "processes" / f"{Member(number).name}.alive"


def _write(path: Path, text: str) -> None:
    with suppress(OSError):  # the first process may have deleted the folder after the last cell
        temporary = path.with_suffix(".part")
        temporary.write_text(text)
        temporary.replace(path)


def _integer(name: str, text: str | None) -> int:
    if text is None or not text.strip().isdigit():
        raise _checks.bad(name, repr(text), "a number from 0", "Set both variables of a job.")
    return int(text)
