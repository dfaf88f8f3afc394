"""An experiment is a script with `run`, `plot` and `judge`; this is the `main` that all of them share."""

import argparse
import ast
import contextlib
import dataclasses
import os
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from evojax_align import _checks
from evojax_align._version import VERSION
from evojax_align.data import Dataset, load, names
from evojax_align.lab.folder import RunFolder, commit, manifest, now
from evojax_align.lab.lock import Locked, locked
from evojax_align.lab.logging import tensorboard
from evojax_align.lab.report import report, text_table
from evojax_align.lab.run import Run, Stopped

Arrays = Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Experiment:
    """What makes one experiment.

    A configuration is a frozen dataclass with at least the fields `dataset`, `mode` and `seed`.
    """

    name: str
    description: str
    presets: Mapping[str, Sequence[Any]]
    """For each preset its configurations, one for each data set that has its own; the first is the default, and other
    data sets take it too."""
    costs: Mapping[str, str]
    """What each preset does, and its measured cost."""
    modes: Mapping[str, str]
    """What each mode means."""
    run: Callable[[Any, Any, Run], Arrays]
    """From configuration and data to arrays. The data are those of the set that the configuration names; or a list of
    them and those of `further`, where an experiment takes several."""
    plot: Callable[[Arrays, Path], None]
    """From arrays alone to figures in a folder."""
    judge: Callable[[Arrays], tuple[list[dict], dict[str, list[dict]]]]
    """From arrays alone to claims and tables; the first table is the one that is printed."""
    further: Callable[[Any], Sequence[str]] | None = None
    """From a configuration to the names of more data sets that it takes."""


def main(experiment: Experiment, argv: Sequence[str] | None = None) -> int:
    """Run an experiment from the command line; returns the exit code."""
    arguments = _parser(experiment).parse_args(argv)
    folder: RunFolder | None = None
    try:
        if arguments.list:
            print(_listing(experiment))
            return 0
        if arguments.report:
            folder = RunFolder(arguments.report)
            with locked(_run_path(folder)):
                _show(_judged(experiment, folder), folder)
            return 0
        if not arguments.checkpoint_every >= 0:
            came = arguments.checkpoint_every
            raise _checks.bad("checkpoint-every", came, "0 or more seconds", "Pass 0 for every step.")
        folder, config = _resumed(experiment, arguments) if arguments.resume else (None, _chosen(experiment, arguments))
        if folder is None or folder.read_json("manifest.json")["end"] is None:
            data = _loaded(experiment, config, arguments.data_dir)  # where it is refused, no folder is made
            folder = folder or _new(experiment, config, arguments)
            _run(experiment, folder, config, data, arguments)
        _show(folder.read_json("results.json"), folder)
    except (Stopped, KeyboardInterrupt) as stop:
        print(f"{stop or 'stopped'}; {_go_on(experiment, folder, arguments)}", file=sys.stderr)
        return stop.code if isinstance(stop, Stopped) else 130
    except (_checks.BadInput, FileNotFoundError, ModuleNotFoundError, Locked) as error:
        print(f"{experiment.name}: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"{experiment.name}: could not write: {error}; {_go_on(experiment, folder, arguments)}", file=sys.stderr)
        return 1
    return 0


def use_all_cores() -> None:
    """Make each core of the CPU a device, so that networks train side by side; without effect once JAX has begun."""
    with contextlib.suppress(RuntimeError):
        jax.config.update("jax_num_cpu_devices", os.cpu_count() or 1)


def _chosen(experiment: Experiment, arguments: argparse.Namespace) -> Any:
    """The configuration of a new run."""
    configs = experiment.presets[_checks.one_of("preset", _preset(experiment, arguments), experiment.presets)]
    own = [config for config in configs if config.dataset == arguments.dataset]
    return _with_flags(experiment, (own or configs)[0], arguments)


def _default(experiment: Experiment) -> Any:
    """The configuration without any flag."""
    return next(iter(experiment.presets.values()))[0]


def _preset(experiment: Experiment, arguments: argparse.Namespace) -> str:
    return arguments.preset or next(iter(experiment.presets))


def _new(experiment: Experiment, config: Any, arguments: argparse.Namespace) -> RunFolder:
    """A new run folder with its manifest."""
    preset = _preset(experiment, arguments)
    folder = RunFolder.create(arguments.out, f"{experiment.name}-{preset}-{config.dataset}")
    configuration = {name: _listed(value) for name, value in dataclasses.asdict(config).items()}
    folder.write_json("manifest.json", manifest(experiment.name, preset, configuration, VERSION))
    return folder


def _resumed(experiment: Experiment, arguments: argparse.Namespace) -> tuple[RunFolder, Any]:
    """The folder of an earlier run, if this program would do the same as the one that began it."""
    folder = RunFolder(arguments.resume)
    record = folder.read_json("manifest.json")
    config = _restored(experiment, record)
    asked = _with_flags(experiment, config, arguments)
    flags = [(f.name, getattr(asked, f.name), getattr(config, f.name)) for f in dataclasses.fields(config)]
    preset = arguments.preset or record["preset"]
    now = manifest(experiment.name, preset, {}, VERSION)
    program = [(name, version, record["versions"][name]) for name, version in now["versions"].items()]
    kept = [(name, now[name], record[name]) for name in ("experiment", "preset", "backend", "device")]
    for name, ours, theirs in (*kept, *program, *flags):
        if ours != theirs:
            mend = "Go on with what the run was begun with, or begin a new one."
            raise _checks.bad(f"resume, {name}", ours, f"{theirs}, as in {folder.path / 'manifest.json'}", mend)
    return folder, config


def _restored(experiment: Experiment, record: Mapping[str, Any]) -> Any:
    """The configuration that a manifest holds."""
    preset = _default(experiment)
    fields = {field.name for field in dataclasses.fields(preset)}
    stored = {k: tuple(v) if isinstance(v, list) else v for k, v in record["configuration"].items()}
    for name in [*stored, *fields]:
        if name not in stored or name not in fields:
            came = f"the field {name!r} {'in the run' if name in stored else 'of this version'} alone"
            raise _checks.bad("resume", came, "the same fields", "Go on with the version that began the run.")
    return type(preset)(**stored)


def _with_flags(experiment: Experiment, config: Any, arguments: argparse.Namespace) -> Any:
    config = configure(config, arguments.set)
    for flag in ("dataset", "mode", "seed"):
        if getattr(arguments, flag) is not None:
            config = dataclasses.replace(config, **{flag: getattr(arguments, flag)})
    _checks.one_of("mode", config.mode, experiment.modes)
    return config


def _loaded(experiment: Experiment, config: Any, data_dir: str | None) -> Dataset | list[Dataset]:
    """The data that an experiment takes."""
    further = [] if experiment.further is None else experiment.further(config)
    data = [load(name, data_dir=data_dir, seed=config.seed) for name in (config.dataset, *further)]
    return data[0] if experiment.further is None else data


def _run(experiment: Experiment, folder: RunFolder, config: Any, data: Any, arguments: argparse.Namespace) -> None:
    """From the configuration to the report; every file is written whole, the manifest's end last."""
    compile_cache(arguments.compile_cache)
    with locked(folder.path):
        _note_commit(folder)
        callbacks = (tensorboard(folder.path / "tensorboard"),) if arguments.tensorboard else ()
        run = Run(folder, quiet=arguments.quiet, callbacks=callbacks, every=arguments.checkpoint_every)
        with run.listening():
            arrays = experiment.run(config, data, run)
            run.check()
            folder.write_arrays("results", arrays)
            _judged(experiment, folder)
        rounded = {name: {k: round(v, 3) for k, v in spent.items()} for name, spent in run.seconds.items()}
        folder.write_json("timings.json", rounded)
        folder.write_json("manifest.json", folder.read_json("manifest.json") | {"end": now()})


def _note_commit(folder: RunFolder) -> None:
    """Say in the manifest if other code than that which began a run goes on with it."""
    record, now = folder.read_json("manifest.json"), commit()
    known = [record["commit"], *record.get("resumed", [])]
    if now not in known:
        folder.write_json("manifest.json", record | {"resumed": [*known[1:], now]})


def _judged(experiment: Experiment, folder: RunFolder) -> dict[str, Any]:
    """Figures, claims and report, from what is stored alone."""
    record, arrays = folder.read_json("manifest.json"), folder.read_arrays("results")
    if record["experiment"] != experiment.name:
        came = f"a run of {record['experiment']}"
        raise _checks.bad("report", came, f"a run of {experiment.name}", "Use the script that made it.")
    experiment.plot(arrays, folder.path / "figures")
    claims, tables = experiment.judge(arrays)
    results = {"experiment": experiment.name, "preset": record["preset"], "claims": claims, "tables": tables}
    folder.write_json("results.json", results)
    folder.write_text("report.html", report(experiment.description, folder, results, record))
    return results


def _show(results: Mapping[str, Any], folder: RunFolder) -> None:
    for name, rows in list(results["tables"].items())[:1]:
        print(f"\n{name}\n{text_table(rows)}")
    shown = ("statement", "paper", "ours", "interval", "p_corrected", "verdict")
    print(f"\nclaims\n{text_table([{name: claim[name] for name in shown} for claim in results['claims']])}")
    print(f"\nreport: {folder.path / 'report.html'}")


def _go_on(experiment: Experiment, folder: RunFolder | None, arguments: argparse.Namespace) -> str:
    """The command that goes on with a run that ended early."""
    if folder is None:
        return ""
    flags = ["--resume", str(folder.path), *(["--data-dir", arguments.data_dir] if arguments.data_dir else [])]
    return f"go on with: python experiments/{experiment.name}.py {shlex.join(flags)}"


def _run_path(folder: RunFolder) -> Path:
    folder.read_json("manifest.json")  # a folder that is none is refused before anything is written to it
    return folder.path


def compile_cache(folder: str) -> None:
    """Keep compiled programs on disk, so that a second start does not compile again; "off" does not."""
    if folder == "off":
        return
    jax.config.update("jax_compilation_cache_dir", str(Path(folder).expanduser()))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def _listing(experiment: Experiment) -> str:
    presets = [f"  {name:<8} {experiment.costs[name]}" for name in experiment.presets]
    modes = [f"  {name:<8} {text}" for name, text in experiment.modes.items()]
    return "\n".join(["presets", *presets, "modes", *modes, "data sets", f"  {', '.join(names())}, or a file's name"])


def configure(preset: Any, settings: Sequence[str]) -> Any:
    """A preset with fields replaced by `key=value` settings, each read as a Python literal of the field's type."""
    fields = {field.name: getattr(preset, field.name) for field in dataclasses.fields(preset)}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals:
            raise _checks.bad("set", repr(setting), "key=value", "Write, for example, --set seed=1.")
        old = fields[_checks.one_of("set", name, fields)]
        try:
            value = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            value = text
        fitted = _fitted(value, old)
        if fitted is None:
            raise _checks.bad("set", setting, f"a value like {old!r} for {name}", f"Write --set {name}={old!r}.")
        fields[name] = fitted
    return dataclasses.replace(preset, **fields)


def _fitted(value: Any, old: Any) -> Any:
    """The value in the type of the one that it replaces, or None."""
    if isinstance(old, tuple):
        items = [_fitted(item, old[0]) for item in (value if isinstance(value, list | tuple) else (value,))]
        return None if None in items or not items else tuple(items)
    if isinstance(old, float) and type(value) is int:
        return float(value)
    return value if type(value) is type(old) else None


def _parser(experiment: Experiment) -> argparse.ArgumentParser:
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog=f"{experiment.name}.py",
        description=experiment.description,
        epilog=_listing(experiment),
        formatter_class=form,
    )
    first = next(iter(experiment.presets))
    fields = ", ".join(field.name for field in dataclasses.fields(_default(experiment)))
    cache = os.environ.get("EVOJAX_ALIGN_CACHE", "~/.cache/evojax_align/compiled")
    add = parser.add_argument
    add("--preset", help=f"one of {', '.join(experiment.presets)} (default: {first})")
    add("--mode", help=f"one of {', '.join(experiment.modes)}")
    add("--dataset", help="name of a data set, or of a file in the data folder")
    add("--data-dir", metavar="DIR", help="folder with NAME.npz, IDX or CIFAR files; nothing is downloaded")
    add("--seed", type=int, help="the same seed gives the same bits")
    add("--set", action="append", default=[], metavar="KEY=VALUE", help=f"any of: {fields}")
    one_of = parser.add_mutually_exclusive_group().add_argument
    one_of("--out", metavar="DIR", help="run folder (default: a new one under runs/)")
    one_of("--resume", metavar="DIR", help="go on after a stop or a crash, to the same bits as an uninterrupted run")
    one_of("--report", metavar="DIR", help="rebuild figures, claims and report of a run from its arrays")
    one_of("--list", action="store_true", help="show presets with their cost, modes and data sets, and leave")
    add(
        "--checkpoint-every", type=float, default=30.0, metavar="SECONDS", help="0 saves after every step (default: 30)"
    )
    add("--compile-cache", default=cache, metavar="DIR", help=f'or "off" (default: {cache})')
    add("--tensorboard", action="store_true", help="write events to tensorboard/ in the run folder too")
    add("--quiet", action="store_true", help="show no progress")
    return parser


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
