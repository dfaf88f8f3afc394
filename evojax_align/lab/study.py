"""Studies: cells that are run, merged, evaluated and drawn."""

import contextlib
import dataclasses
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from evojax_align import _checks
from evojax_align._version import VERSION
from evojax_align.lab import checkpoint
from evojax_align.lab.cells import Arrays, Cell, distinct
from evojax_align.lab.claims import Claim, decide, declaration
from evojax_align.lab.folder import RunFolder, manifest
from evojax_align.lab.report import report
from evojax_align.lab.run import Run, whole_log

PATIENCE = "xla_cpu_collective_call_terminate_timeout_seconds"
"""The flag of XLA for how long devices of a CPU wait for one of them."""
SAME_MACHINE = ("backend", "device")
"""Fields of a manifest that must be equal for all cells of a study."""


@dataclasses.dataclass(frozen=True)
class Study:
    """The definition of a study. A configuration is a frozen dataclass with at least `dataset`, `mode` and `seed`.

    Attributes:
        name: name of the study, as in `python -m experiments.NAME`.
        title: title of the study.
        description: description of the study, with the paper.
        presets: for each preset, its configurations: one for each data set that has its own. The first is the default
            and is used for all other data sets.
        costs: description and measured cost of each preset.
        modes: description of each mode.
        cells: maps a configuration to all cells, in the order of execution.
        run: maps the result of `prepare`, a cell and a `Run` to the arrays of the cell.
        merge: maps a configuration and the arrays of finished cells to the arrays of the study, with NaN for missing
            values. Claims, tables and figures are computed from these arrays only.
        view: maps the merged arrays to the argument of the following functions; its attribute `published` is the key of
            the paper's numbers with which this run may be compared ("" if none).
        claims: the primary claims, declared before a run.
        explore: maps a view to all other claims.
        tables: maps a view to tables; the first one is printed.
        figures: draws a view into a folder.
        captions: captions of figures, by name, or by the prefix of several names up to a hyphen.
        prepare: maps configuration and data to the shared input of cells; called once for each process. The data are
            the set that the configuration names, or a list of it and those of `further`.
        further: maps a configuration to the names of further data sets.
        all_cores: whether each core of a CPU becomes a device.
        seen: runs whose results were known when the claims were declared, as `PRESET-MODE-DATASET-SEED`.
        command: the command that starts the study.
    """

    name: str
    title: str
    description: str
    presets: Mapping[str, Sequence[Any]]
    costs: Mapping[str, str]
    modes: Mapping[str, str]
    cells: Callable[[Any], Iterable[Cell]]
    run: Callable[[Any, Cell, Run], Arrays]
    merge: Callable[[Any, Mapping[Cell, Arrays]], Arrays]
    view: Callable[[Arrays], Any]
    claims: Sequence[Claim]
    explore: Callable[[Any], Sequence[Claim]]
    tables: Callable[[Any], dict[str, list[dict[str, Any]]]]
    figures: Callable[[Any, Path], None]
    captions: Mapping[str, str] = dataclasses.field(default_factory=dict)
    prepare: Callable[[Any, Any], Any] = lambda config, data: (config, data)
    further: Callable[[Any], Sequence[str]] | None = None
    all_cores: bool = False
    seen: Sequence[str] = ()
    command: str = ""

    @property
    def start(self) -> str:
        """The command that starts the study."""
        return self.command or f"python -m experiments.{self.name}"

    def judge(self, arrays: Arrays, record: Mapping[str, Any]) -> dict[str, Any]:
        """Compute claims and tables of a run from its merged arrays and its manifest."""
        view = self.view(arrays)
        before = record.get("declared") == declaration(self.claims) and identity(record) not in self.seen
        claims = decide(self.claims, self.explore(view), view, declared="before" if before else "after")
        named = {name: record[name] for name in ("experiment", "preset")}
        found = {**named, "claims": claims, "tables": self.tables(view)}
        return found | ({"missing": record["missing"]} if record.get("missing") else {})


def use_all_cores() -> None:
    """Make each core of the CPU a device, so that networks train in parallel; no effect once JAX is initialised.

    XLA ends a process in which devices wait for another one for more than 40 seconds, as happens if its core is shared
    with other programs. From the first release tested with the flag on, the limit is a day.
    """
    with contextlib.suppress(RuntimeError):
        jax.config.update("jax_num_cpu_devices", os.cpu_count() or 1)
        flags = os.environ.get("XLA_FLAGS", "")
        if jax.__version_info__ >= (0, 10, 2) and PATIENCE not in flags:
            os.environ["XLA_FLAGS"] = f"{flags} --{PATIENCE}={24 * 3600}".strip()


def identity(record: Mapping[str, Any]) -> str:
    """The identifier of a run within its study: preset, mode, data set and seed."""
    configuration = record["configuration"]
    return "-".join([record["preset"], *(str(configuration[name]) for name in ("mode", "dataset", "seed"))])


def new_manifest(study: Study, preset: str, config: Any) -> dict[str, Any]:
    """The manifest of a new run."""
    configuration = {name: _listed(value) for name, value in dataclasses.asdict(config).items()}
    return manifest(study.name, preset, configuration, VERSION, declaration(study.claims))


def new_folder(study: Study, preset: str, config: Any, out: str | None) -> RunFolder:
    """A new run folder with its manifest."""
    name = f"{study.name}-{preset}-{config.mode}-{config.dataset}"
    return RunFolder.create(out, name, new_manifest(study, preset, config))


def restored(study: Study, record: Mapping[str, Any]) -> Any:
    """The configuration stored in a manifest."""
    if record["experiment"] != study.name:
        came = f"a run of {record['experiment']}"
        raise _checks.bad("run folder", came, f"a run of {study.name}", "Use the study that made it.")
    preset = study.presets[_checks.one_of("preset of the run", record["preset"], study.presets)][0]
    fields = {field.name for field in dataclasses.fields(preset)}
    stored = {k: tuple(v) if isinstance(v, list) else v for k, v in record["configuration"].items()}
    for name in [*stored, *fields]:
        if name not in stored or name not in fields:
            came = f"the field {name!r} only {'in the run' if name in stored else 'in this version'}"
            raise _checks.bad("run folder", came, "the same fields", "Use the version that started the run.")
    return type(preset)(**stored)


def cells_of(study: Study, config: Any) -> tuple[Cell, ...]:
    """All cells of a configuration."""
    return distinct(tuple(study.cells(config)))


def store_cell(folder: RunFolder, cell: Cell, arrays: Arrays, run: Run) -> None:
    """Store a finished cell: its arrays and log records, its device and its duration."""
    record = folder.read_manifest()
    how = {name: record[name] for name in (*SAME_MACHINE, "versions")}
    seconds = {name: {k: round(v, 3) for k, v in spent.items()} for name, spent in run.seconds.items()}
    folder.write_json(f"cells/{cell.name}.json", how | {"seconds": seconds})
    plain = {name: np.asarray(value) for name, value in sorted(arrays.items())}
    checkpoint.save(_cell_path(folder, cell), plain, {"log": run.lines})


def finished(folder: RunFolder, cells: Sequence[Cell]) -> dict[Cell, tuple[Arrays, list[dict[str, Any]]]]:
    """The arrays and log records of the finished cells.

    A damaged cell is reported, renamed, and counted as missing.
    """
    found = {}
    for cell in cells:
        path = _cell_path(folder, cell)
        if not path.is_file():
            continue
        try:
            arrays, notes = checkpoint.load(path)
        except checkpoint.Damaged as error:
            aside = checkpoint.set_aside(path)
            print(f"{error}; kept as {aside.name}: this cell counts as missing", file=sys.stderr)
            continue
        found[cell] = (arrays, notes["log"])
    return found


def collect(folder: RunFolder, others: Sequence[RunFolder], cells: Sequence[Cell]) -> int:
    """Copy finished cells from other run folders of the same study; return their number.

    Cells from another kind of device raise an error.
    """
    record, count = folder.read_manifest(), 0
    for other in others:
        theirs = other.read_manifest()
        for name in ("experiment", "preset", "configuration", "versions", *SAME_MACHINE):
            if theirs[name] != record[name]:
                fix = "Merge runs of one configuration, made on one kind of device."
                raise _checks.bad(f"merge, {name} of {other.path}", theirs[name], f"{record[name]}", fix)
        if theirs.get("declared") != record.get("declared"):
            record |= {"declared": ""}  # some cells may have been run before the present declaration
        commits = [theirs["commit"], *theirs.get("resumed", [])]
        known = [record["commit"], *record.get("resumed", [])]
        record |= {"resumed": [*known[1:], *(commit for commit in commits if commit not in known)]}
        for cell, (arrays, log) in finished(other, cells).items():
            if not _cell_path(folder, cell).exists():
                folder.write_json(f"cells/{cell.name}.json", _how(other, cell))
                checkpoint.save(_cell_path(folder, cell), dict(arrays), {"log": log})
                count += 1
    folder.write_json("manifest.json", record)
    return count


def merged(study: Study, folder: RunFolder, config: Any) -> list[str]:
    """Write the merged arrays, the log and the timings of all finished cells; return the names of missing cells."""
    cells = cells_of(study, config)
    found = finished(folder, cells)
    if not found:
        fix = f"Run some cells: {study.start} --resume {folder.path}"
        raise _checks.bad("merge", f"{folder.path}, in which no cell is finished", "at least one finished cell", fix)
    missing = [cell.name for cell in cells if cell not in found]
    arrays = study.merge(config, {cell: of for cell, (of, _) in found.items()})
    folder.write_arrays("results", arrays)
    folder.write_log(whole_log(log for _, log in found.values()))
    folder.write_json("timings.json", _timings(folder, found))
    folder.write_json("manifest.json", folder.read_manifest() | {"missing": missing})
    return missing


def judged(study: Study, folder: RunFolder) -> dict[str, Any]:
    """Make figures, claims and report from the stored arrays."""
    record, arrays = folder.read_manifest(), folder.read_arrays("results")
    restored(study, record)
    results = study.judge(arrays, record)
    (folder.path / "figures").mkdir(exist_ok=True)
    study.figures(study.view(arrays), folder.path / "figures")
    folder.write_json("results.json", results)
    folder.write_text("report.html", report(study.description, study.start, folder, results, record, study.captions))
    return results


def _timings(folder: RunFolder, found: Iterable[Cell]) -> dict[str, dict[str, float]]:
    """Seconds of each phase, summed over the cells of an arm."""
    total: dict[str, dict[str, float]] = {}
    for cell in found:
        for phase, spent in _how(folder, cell)["seconds"].items():
            of = total.setdefault(f"{cell.arm}: {phase}", {"total": 0.0, "compile": 0.0})
            for name, seconds in spent.items():
                of[name] = round(of[name] + seconds, 3)
    return total


def _how(folder: RunFolder, cell: Cell) -> dict[str, Any]:
    """The device and duration of a cell; without seconds if its record is missing or damaged."""
    try:
        how = folder.read_json(f"cells/{cell.name}.json")
        if isinstance(how, dict) and isinstance(how.get("seconds"), dict):
            return how
        came = "a record without seconds"
    except (FileNotFoundError, _checks.BadInput) as error:
        came = str(error)
    print(f"{cell.name}: {came}; its seconds are not counted", file=sys.stderr)
    return {"seconds": {}}


def _cell_path(folder: RunFolder, cell: Cell) -> Path:
    return folder.path / "cells" / f"{cell.name}.npz"


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
