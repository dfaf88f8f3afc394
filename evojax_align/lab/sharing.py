"""Runs that the processes of a job share: each process runs some of the cells, and the first one merges them.

Cells do not depend on each other. So the processes need a common file system, and no connection: a process that ends
early leaves only its own cells unfinished, and each may have as many devices as it likes. A population that is
distributed over several processes is another matter (see the guide on many devices).

In the run folder, `processes/001` is the folder in which process 1 works, and `processes/001.heartbeat` changes as long
as it runs. The first process works in the run folder itself.
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
    ("JAX_PROCESS_ID", "JAX_NUM_PROCESSES"),
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    ("PMI_RANK", "PMI_SIZE"),
    ("SLURM_PROCID", "SLURM_NTASKS"),
)
"""Environment variables for the number of a process, from 0, and the number of processes. The first pair that is
complete counts: an allocation of SLURM sets its own for whatever is started in it."""
TIMEOUT = 60.0
"""Seconds without a heartbeat after which a process counts as ended."""
HEARTBEAT = 2.0
"""Seconds between two heartbeats."""
ENDED = "ended"


class Process(NamedTuple):
    """A process of a job.

    Attributes:
        number: its number, from 0.
        total: the number of processes.
    """

    number: int = 0
    total: int = 1

    @property
    def name(self) -> str:
        """The name of its folder."""
        return f"{self.number:03d}"


def this_process(environment: Mapping[str, str] = os.environ) -> Process:
    """This process, as the environment says."""
    for names in VARIABLES:
        if all(name in environment for name in names):
            number, total = (_integer(name, environment[name]) for name in names)
            if not 0 <= number < total:
                came = f"process {number} of {total}"
                raise _checks.bad(" and ".join(names), came, "a number below the number of processes", "Count from 0.")
            return Process(number, total)
    known = ", ".join(name for names in VARIABLES for name in names if name in environment)
    fix = f"Start it by srun or mpirun, or set {' and '.join(VARIABLES[0])} for each process."
    raise _checks.bad("distributed", f"only {known}" if known else "no variables of a job", "both of a pair", fix)


def share(cells: Sequence[Cell], of: Process) -> Sequence[Cell]:
    """The cells that a process runs."""
    return cells[of.number :: of.total]


def is_finished(folder: RunFolder, cell: Cell) -> bool:
    """Whether a folder has the results of a cell."""
    return (folder.path / "cells" / f"{cell.name}.npz").is_file()


def unfinished(main: RunFolder, cells: Sequence[Cell]) -> list[Cell]:
    """The cells that no process has finished."""
    folders = [main, *(RunFolder(path) for path in (main.path / "processes").glob("*/"))]
    return [cell for cell in cells if not any(is_finished(folder, cell) for folder in folders)]


def announce(main: RunFolder, of: Process, pattern: str, commit: str | None) -> None:
    """Write what all processes of the job must agree on, besides the manifest."""
    (main.path / "processes").mkdir(exist_ok=True)
    main.write_json("processes/job.json", {"processes": of.total, "cells": pattern, "commit": commit})


def own_folder(main: RunFolder, of: Process, here: Mapping[str, Any], pattern: str) -> RunFolder | None:
    """The folder of a process other than the first, as soon as the first one runs; None if the run has ended.

    Args:
        main: the folder of the run.
        of: the process.
        here: the manifest that a run started by this process would have.
        pattern: the pattern of the cells to run.

    Raises:
        ValueError: the first process does not run, or has another configuration, other versions or other code.
    """
    first = Heartbeat(main, 0)
    while not first.seen:
        with suppress(FileNotFoundError, _checks.BadInput):
            if main.read_manifest()["end"]:
                return None
        if first.lost:
            fix = "See what it printed; all processes need the same --out or --resume."
            raise _checks.bad("distributed", f"no heartbeat of process 0 in {main.path}", "a run that it started", fix)
        time.sleep(HEARTBEAT / 4)
    record, job = main.read_manifest(), main.read_json("processes/job.json")
    theirs, ours = (of["configuration"] for of in (record, here))
    ours = {f"configuration, {name}": value for name, value in ours.items() if theirs.get(name) != value}
    ours |= {name: here[name] for name in ("experiment", "preset", "versions", *studies.SAME_MACHINE, "commit")}
    ours |= {"processes": of.total, "cells": pattern}
    wanted = {f"configuration, {name}": value for name, value in theirs.items()} | record | job
    for name, value in ours.items():
        if value != wanted[name]:
            fix = "Start all processes with the same flags, code and environment."
            raise _checks.bad(f"distributed, {name} of process {of.number}", value, f"{wanted[name]}", fix)
    path = main.path / "processes" / of.name
    if not (path / "manifest.json").exists():
        return RunFolder.create(path, of.name, dict(record) | {"end": None})
    return RunFolder(path)


@contextmanager
def heartbeats(main: RunFolder, of: Process) -> Iterator[None]:
    """A context in which other processes see that this one runs, and after it how it ended."""
    path, over, code = _heartbeat(main, of.number), threading.Event(), 1
    path.parent.mkdir(exist_ok=True)

    def beat() -> None:
        count = time.time_ns()  # not the number that a process before has left
        while True:
            _write(path, str(count))
            count += 1
            if over.wait(HEARTBEAT):
                return

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
        code = 0
    except Stopped as stop:
        code = stop.code
        raise
    finally:
        over.set()
        thread.join()
        _write(path, f"{ENDED} {code}")


def watched(main: RunFolder, of: Process) -> dict[int, "Heartbeat"]:
    """The heartbeats of all other processes, to look at from now on."""
    return {number: Heartbeat(main, number) for number in range(1, of.total)}


def gather(folder: RunFolder, cells: Sequence[Cell], others: Mapping[int, "Heartbeat"], run: Run) -> None:
    """Copy the cells of all other processes into the folder of the run as they finish, until all processes have ended.

    Args:
        folder: the folder of the run.
        cells: the cells that the processes share.
        others: the heartbeats of all other processes.
        run: the run, which may have to stop.

    Raises:
        Stopped: a process ended before it had finished its cells.
    """
    total = 1 + len(others)
    owner = {cell: number for number in range(total) for cell in share(cells, Process(number, total))}
    while True:
        lost = {number: beat.code for number, beat in others.items() if beat.lost}  # before looking for its last cell
        collect(folder, cells)
        owners = {owner[cell] for cell in cells if not is_finished(folder, cell)}
        run.check()
        if not owners and len(lost) == len(others):
            return
        if owners and owners <= lost.keys():
            names = ", ".join(map(str, sorted(owners)))
            code = max(lost[number] for number in owners)
            raise Stopped(f"processes that ended before their cells were finished: {names}", code)
        time.sleep(HEARTBEAT / 4)


def collect(folder: RunFolder, cells: Sequence[Cell]) -> None:
    """Copy finished cells of other processes into the folder of the run."""
    missing = [cell for cell in cells if not is_finished(folder, cell)]
    parts = [RunFolder(path.parent) for path in sorted(folder.path.glob("processes/*/manifest.json"))]
    new = [part for part in parts if any(is_finished(part, cell) for cell in missing)]
    if new:
        studies.collect(folder, new, missing)


def delete_folders(folder: RunFolder) -> None:
    """Delete the folders of the other processes, whose cells are in the folder of the run."""
    shutil.rmtree(folder.path / "processes", ignore_errors=True)


class Heartbeat:
    """Whether a process runs, by a file that it changes all the time. Clocks of different machines may differ."""

    def __init__(self, main: RunFolder, number: int) -> None:
        self._path, self._changed = _heartbeat(main, number), False
        self._text, self._since = self._read(), time.monotonic()

    @property
    def seen(self) -> bool:
        """Whether the process has given a heartbeat since this object was made."""
        self._look()
        return self._changed and not self._text.startswith(ENDED)

    @property
    def lost(self) -> bool:
        """Whether the process has ended since, or gives no heartbeat."""
        self._look()
        return time.monotonic() - self._since > TIMEOUT or (self._changed and self._text.startswith(ENDED))

    @property
    def code(self) -> int:
        """The exit status of a process that has ended; 1 if it gave none."""
        _, _, code = self._text.partition(f"{ENDED} ")
        return int(code) if code.isdigit() else 1

    def _look(self) -> None:
        if (now := self._read()) != self._text:
            self._text, self._since, self._changed = now, time.monotonic(), True

    def _read(self) -> str:
        with suppress(OSError):
            return self._path.read_text()
        return ""


def _heartbeat(main: RunFolder, number: int) -> Path:
    return main.path / "processes" / f"{Process(number).name}.heartbeat"


def _write(path: Path, text: str) -> None:
    with suppress(OSError):  # the first process may have deleted the folder after the last cell
        temporary = path.with_suffix(".part")
        temporary.write_text(text)
        temporary.replace(path)


def _integer(name: str, text: str) -> int:
    if not text.strip().isdigit():
        raise _checks.bad(name, repr(text), "a number from 0", "Set both variables of a job.")
    return int(text)
