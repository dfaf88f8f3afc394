"""The common command line of all studies."""

import argparse
import dataclasses
import fnmatch
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax

from evojax_align import _checks, _memory
from evojax_align._version import VERSION
from evojax_align.data import load, names
from evojax_align.lab import sharing
from evojax_align.lab import study as studies
from evojax_align.lab.cells import Cell
from evojax_align.lab.configuring import configure
from evojax_align.lab.folder import RunFolder, commit, manifest, now
from evojax_align.lab.lock import Locked, locked
from evojax_align.lab.logging import tensorboard
from evojax_align.lab.report import text_table
from evojax_align.lab.run import TIME_IS_UP, Run, Stopped, whole_log
from evojax_align.lab.study import Study

SHOWN = ("statement", "paper", "ours", "interval", "n", "p_corrected", "verdict", "replication")
"""The fields of a primary claim that are printed."""
MERGING = 30.0
"""Seconds for merging, evaluation of claims and drawing: with less time left, a run stops after its last cell."""
SEEDS = 2**32
"""Seeds are below this: JAX's keys take 32 bits unless 64-bit types are enabled."""


def main(study: Study, argv: Sequence[str] | None = None) -> int:
    """Run a study from the command line and return the exit status.

    0: finished; 1: could not write, or another process of the job ended early; 2: bad input; 75: stopped by the time
    limit; 128 + n: stopped by signal n.
    """
    arguments = _parser(study).parse_args(argv)
    if study.all_cores:
        studies.use_all_cores()
    folder: RunFolder | None = None
    try:
        if arguments.list:
            print(_listing(study))
            return 0
        if arguments.report or arguments.merge:
            folder = RunFolder(arguments.report or arguments.merge[0])
            folder.read_manifest()  # raises an error before anything is written to a wrong folder
            with locked(folder.path):
                if arguments.merge:
                    _merge(study, folder, [RunFolder(path) for path in arguments.merge[1:]])
                _show(studies.judged(study, folder), folder)
            return 0
        _check_flags(arguments)
        folder, config = _resumed(study, arguments) if arguments.resume else (None, _chosen(study, arguments))
        if folder is None or folder.read_manifest()["end"] is None:
            compile_cache(arguments.compile_cache)
            process = sharing.this_process() if arguments.distributed else sharing.Process()
            chosen = _chosen_cells(study, config, arguments.cells)
            problem = study.prepare(config, _loaded(study, config, arguments))  # errors leave no folder
            preset = folder.read_manifest()["preset"] if folder else _preset(study, arguments)
            task = _Task(study, config, problem, chosen, arguments, process)
            if process.number:
                folder = folder or RunFolder(arguments.out)
                _run_share(task, folder, preset)
                return 0
            folder = folder or studies.new_folder(study, preset, config, arguments.out)
            with locked(folder.path):
                if not _run(task, folder):
                    return 0
        _show(_results(study, folder), folder)
    except (Stopped, KeyboardInterrupt) as stop:
        print(f"{str(stop) or 'stopped at once'}{_go_on(study, folder, arguments)}", file=sys.stderr)
        return stop.code if isinstance(stop, Stopped) else 130
    except (_checks.BadInput, FileNotFoundError, ModuleNotFoundError, Locked) as error:
        print(f"{study.name}: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"{study.name}: could not write: {error}{_go_on(study, folder, arguments)}", file=sys.stderr)
        return 1
    return 0


class _Task(NamedTuple):
    """What a process has to do.

    Attributes:
        study: the study.
        config: its configuration.
        problem: the shared input of all cells.
        chosen: the cells that all processes together run.
        arguments: the flags.
        process: this process.
    """

    study: Study
    config: Any
    problem: Any
    chosen: Sequence[Cell]
    arguments: argparse.Namespace
    process: sharing.Process


def _run(task: _Task, folder: RunFolder) -> bool:
    """Run the unfinished cells, then merge and evaluate them; False if some cells are left."""
    study, config, _, chosen, arguments, process = task
    _note_commit(folder)
    cells, before = studies.cells_of(study, config), len(_memory.chosen)
    if process.total == 1:
        sharing.collect(folder, cells)  # of an earlier job with several processes
        run = _run_cells(task, folder, chosen)
    else:
        others = sharing.watched(folder, process)
        sharing.announce(folder, process, arguments.cells, commit())
        with sharing.heartbeats(folder, process):
            sharing.collect(folder, cells)
            run = _run_cells(task, folder, sharing.share(chosen, process))
            with run.listening():
                sharing.gather(folder, chosen, others, run)
    done = len(studies.finished(folder, cells))
    if done < len(cells):
        print(f"{done} of {len(cells)} cells are finished{_go_on(study, folder, arguments, stopped=False)}")
        return False
    run.check(MERGING if run.seconds else 0.0)  # otherwise a process that only merges would always stop here
    if chunks := _memory.chosen[before:]:
        folder.write_json("manifest.json", folder.read_manifest() | {"chunks": chunks})
    studies.merged(study, folder, config)
    studies.judged(study, folder)
    run.end()
    sharing.delete_folders(folder)
    folder.write_json("manifest.json", folder.read_manifest() | {"end": now()})
    return True


def _run_share(task: _Task, folder: RunFolder, preset: str) -> None:
    """Run the cells of a process other than the first, in a folder of its own."""
    here = studies.new_manifest(task.study, preset, task.config)
    own = sharing.own_folder(folder, task.process, here, task.arguments.cells)
    if own is None:
        print(f"the run in {folder.path} has ended")
        return
    with locked(own.path), sharing.heartbeats(folder, task.process):
        _run_cells(task, own, sharing.unfinished(folder, sharing.share(task.chosen, task.process)))


def _run_cells(task: _Task, folder: RunFolder, some: Sequence[Cell]) -> Run:
    """Run some cells, without those that this folder has the results of."""
    study, config, problem, _, arguments, _ = task
    cells = studies.cells_of(study, config)
    known = studies.finished(folder, cells)
    log = whole_log(known[cell][1] for cell in cells if cell in known)
    callbacks = (tensorboard(folder.path / "tensorboard"),) if arguments.tensorboard else ()
    every, minutes = arguments.checkpoint_every, arguments.minutes
    run = Run(folder, quiet=arguments.quiet, callbacks=callbacks, every=every, minutes=minutes, log=log)
    todo, done = [cell for cell in some if cell not in known], len(known)
    for cell in known:
        run.end(cell)  # a process may have been killed after storing a cell
    del known
    with run.listening():
        for cell in todo:
            _run_cell(study, problem, cell, run, folder, f"{done + 1}/{len(cells)} {cell.arm} {cell.seed}")
            done += 1
    return run


def _chosen_cells(study: Study, config: Any, pattern: str) -> list[Cell]:
    """The cells whose names match a pattern."""
    cells = studies.cells_of(study, config)
    chosen = [cell for cell in cells if fnmatch.fnmatch(cell.name, pattern)]
    if not chosen:
        shown = ", ".join(cell.name for cell in cells[:8]) + (", ..." if len(cells) > 8 else "")
        raise _checks.bad("cells", repr(pattern), "a pattern that matches some cells", f"The cells are {shown}.")
    return chosen


def _run_cell(study: Study, problem: Any, cell: Cell, run: Run, folder: RunFolder, title: str) -> None:
    run.begin(cell, title)
    run.check()
    arrays = study.run(problem, cell, run)
    studies.store_cell(folder, cell, arrays, run)
    run.end(cell)


def _merge(study: Study, folder: RunFolder, others: Sequence[RunFolder]) -> None:
    """Merge the finished cells of this folder and of others."""
    record = folder.read_manifest()
    config = studies.restored(study, record)
    cells = studies.cells_of(study, config)
    copied = studies.collect(folder, others, cells)
    missing = studies.merged(study, folder, config)
    folder.write_json("manifest.json", folder.read_manifest() | {"end": None if missing else record["end"] or now()})
    shown = f"; missing: {', '.join(missing)}" if missing else ""
    print(f"merged {len(cells) - len(missing)} of {len(cells)} cells, {copied} of them copied{shown}")


def _results(study: Study, folder: RunFolder) -> dict[str, Any]:
    """The stored results of a finished run, rebuilt from its arrays if they are missing or damaged."""
    try:
        found = folder.read_json("results.json")
        claims, tables = found["claims"], found["tables"]
        if isinstance(tables, dict) and all({*SHOWN, "primary"} <= claim.keys() for claim in claims):
            return found
        came = f"{folder.path / 'results.json'}: its claims or tables are not those of a run."
    except (FileNotFoundError, _checks.BadInput) as error:
        came = str(error)
    except (KeyError, TypeError, AttributeError):
        came = f"{folder.path / 'results.json'}: not the results of a run."
    print(f"{came} Rebuilding it from the arrays.", file=sys.stderr)
    with locked(folder.path):
        return studies.judged(study, folder)


def _check_flags(arguments: argparse.Namespace) -> None:
    if not arguments.checkpoint_every >= 0:
        came = arguments.checkpoint_every
        raise _checks.bad("checkpoint-every", came, "0 or more seconds", "Pass 0 for every step.")
    if jax.distributed.is_initialized():
        fix = "Leave out jax.distributed.initialize(): --distributed shares the cells, and needs no connection."
        raise _checks.bad("jax.distributed", "an initialized one", "a JAX program of its own in each process", fix)
    if arguments.distributed and not (arguments.out or arguments.resume):
        fix = "Pass the same --out DIR to all processes, in a file system that all of them see."
        raise _checks.bad("distributed", "no --out and no --resume", "a folder that all processes know", fix)
    if arguments.distributed and arguments.tensorboard:
        fix = "Leave out one of them: the events of a process would be lost with its folder."
        raise _checks.bad("tensorboard", "--tensorboard with --distributed", "one of them", fix)
    if arguments.minutes is not None and not arguments.minutes > 0:
        raise _checks.bad("minutes", arguments.minutes, "a number above 0", "Leave it out for no limit.")


def _chosen(study: Study, arguments: argparse.Namespace) -> Any:
    """The configuration of a new run."""
    configs = study.presets[_checks.one_of("preset", _preset(study, arguments), study.presets)]
    own = [config for config in configs if config.dataset == arguments.dataset]
    return _with_flags(study, (own or configs)[0], arguments)


def _preset(study: Study, arguments: argparse.Namespace) -> str:
    return arguments.preset or next(iter(study.presets))


def _resumed(study: Study, arguments: argparse.Namespace) -> tuple[RunFolder, Any]:
    """The folder and configuration of an earlier run, if this program would compute the same results."""
    folder = RunFolder(arguments.resume)
    record = folder.read_manifest()
    config = studies.restored(study, record)
    asked = _with_flags(study, config, arguments)
    flags = [(f.name, getattr(asked, f.name), getattr(config, f.name)) for f in dataclasses.fields(config)]
    preset = arguments.preset or record["preset"]
    here = manifest(study.name, preset, {}, VERSION)
    program = [(name, version, record["versions"].get(name)) for name, version in here["versions"].items()]
    kept = [(name, here[name], record[name]) for name in ("experiment", "preset", "backend", "device")]
    for name, ours, theirs in flags if record["end"] else (*kept, *program, *flags):
        if ours != theirs:
            fix = "Resume with the settings of the run, or start a new one."
            raise _checks.bad(f"resume, {name}", ours, f"{theirs}, as in {folder.path / 'manifest.json'}", fix)
    return folder, config


def _with_flags(study: Study, config: Any, arguments: argparse.Namespace) -> Any:
    config = configure(config, arguments.set)
    for flag in ("dataset", "mode", "seed"):
        if getattr(arguments, flag) is not None:
            config = dataclasses.replace(config, **{flag: getattr(arguments, flag)})
    _checks.one_of("mode", config.mode, study.modes)
    if not 0 <= config.seed < SEEDS:
        raise _checks.bad("seed", config.seed, f"an integer from 0 to {SEEDS - 1}", "Pass --seed 0, for example.")
    return config


def _loaded(study: Study, config: Any, arguments: argparse.Namespace) -> Any:
    """The data of a study."""
    further = [] if study.further is None else study.further(config)
    settings = {"data_dir": arguments.data_dir, "limit": arguments.data_limit, "seed": config.seed}
    data = [load(name, **settings) for name in (config.dataset, *further)]
    return data[0] if study.further is None else data


def _note_commit(folder: RunFolder) -> None:
    """Record in the manifest if a run is resumed with other code than it was started with."""
    record, here = folder.read_manifest(), commit()
    known = [record["commit"], *record.get("resumed", [])]
    if here not in known:
        folder.write_json("manifest.json", record | {"resumed": [*known[1:], here]})


def _show(results: Mapping[str, Any], folder: RunFolder) -> None:
    for name, rows in list(results["tables"].items())[:1]:
        print(f"\n{name}\n{text_table(rows)}")
    known = [claim for claim in results["claims"] if claim["n"]]
    primary = [claim for claim in known if claim["primary"]]
    print(f"\nprimary claims\n{text_table([{name: claim[name] for name in SHOWN} for claim in primary])}")
    if len(known) < len(results["claims"]):
        print(f"{len(results['claims']) - len(known)} other claims are about what this run does not have")
    others = [claim["verdict"] for claim in known if not claim["primary"]]
    counts = ", ".join(f"{others.count(verdict)} {verdict}" for verdict in dict.fromkeys(others))
    print(f"\nexploratory claims, in the report: {counts or 'none'}")
    if results.get("missing"):
        print(f"cells that are missing: {', '.join(results['missing'])}")
    print(f"\nreport: {folder.path / 'report.html'}")


def _go_on(study: Study, folder: RunFolder | None, arguments: argparse.Namespace, *, stopped: bool = True) -> str:
    """The command that resumes a run that ended early."""
    if folder is None:
        return ""
    if arguments.merge or arguments.report:
        flags = ["--merge", *arguments.merge] if arguments.merge else ["--report", arguments.report]
        return f"; begin again with: {study.start} {shlex.join(flags)}"
    flags = ["--resume", str(folder.path)]
    for name in ("data_dir", "data_limit"):
        if getattr(arguments, name):
            flags += [f"--{name.replace('_', '-')}", str(getattr(arguments, name))]
    if stopped and arguments.cells != "*":
        flags += ["--cells", arguments.cells]
    if arguments.distributed:
        flags += ["--distributed"]
    return f"; go on with: {study.start} {shlex.join(flags)}"


def compile_cache(folder: str) -> None:
    """Cache compiled programs on disk, so that a second start does not compile again; "off" disables it."""
    if folder == "off":
        return
    jax.config.update("jax_compilation_cache_dir", str(Path(folder).expanduser()))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def _listing(study: Study) -> str:
    presets = [f"  {name:<14} {study.costs[name]}" for name in study.presets]
    modes = [f"  {name:<14} {text}" for name, text in study.modes.items()]
    return "\n".join(["presets", *presets, "modes", *modes, "data sets", f"  {', '.join(names())}, or a file's name"])


def _parser(study: Study) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=study.start,
        description=study.description,
        epilog=_listing(study),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    first = next(iter(study.presets))
    fields = ", ".join(field.name for field in dataclasses.fields(study.presets[first][0]))
    cache = os.environ.get("EVOJAX_ALIGN_CACHE", "~/.cache/evojax_align/compiled")
    add = parser.add_argument
    add("--preset", help=f"one of {', '.join(study.presets)} (default: {first})")
    add("--mode", help=f"one of {', '.join(study.modes)}")
    add("--dataset", help="name of a data set, or of a file in the data folder")
    add("--data-dir", metavar="DIR", help="folder with NAME.npz, IDX or CIFAR files; nothing is downloaded")
    text = "bytes that a data file may expand to (default: 100 times its size, from 64 MiB to 4 GiB)"
    add("--data-limit", type=int, metavar="BYTES", help=text)
    add("--seed", type=int, help="seed of random numbers; the same seed gives the same bits")
    add("--set", action="append", default=[], metavar="KEY=VALUE", help=f"any of: {fields}")
    one_of = parser.add_mutually_exclusive_group().add_argument
    one_of("--out", metavar="DIR", help="run folder (default: a new one under runs/)")
    one_of("--resume", metavar="DIR", help="resume after a stop or a crash, with the same bits as an uninterrupted run")
    one_of("--report", metavar="DIR", help="rebuild figures, claims and report of a run from its arrays")
    text = "make results of the finished cells of the first folder, after copying those of the others into it"
    one_of("--merge", nargs="+", metavar="DIR", help=text)
    one_of("--list", action="store_true", help="print presets with their cost, modes and data sets, and exit")
    text = f"stop at a checkpoint before N minutes are over, with exit status {TIME_IS_UP}"
    add("--minutes", type=float, metavar="N", help=text)
    text = "share the cells among the processes of a job (SLURM, Open MPI, or JAX_PROCESS_ID and JAX_NUM_PROCESSES)"
    add("--distributed", action="store_true", help=text)
    add("--cells", default="*", metavar="PATTERN", help="run only the cells whose names match, such as 'sexual-*'")
    every = {"type": float, "default": 30.0, "metavar": "SECONDS"}
    add("--checkpoint-every", **every, help="0 saves after every step (default: 30)")
    add("--compile-cache", default=cache, metavar="DIR", help=f'or "off" (default: {cache})')
    add("--tensorboard", action="store_true", help="also write events to tensorboard/ in the run folder")
    add("--quiet", action="store_true", help="show no progress")
    return parser
