"""An experiment is a script with `run`, `plot` and `judge`; this is the `main` that all of them share."""

import argparse
import ast
import dataclasses
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from evojax_align import _checks
from evojax_align._version import VERSION
from evojax_align.data import Dataset, load
from evojax_align.lab.folder import RunFolder, manifest, now
from evojax_align.lab.monitor import Monitor
from evojax_align.lab.report import report, text_table

Arrays = Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Experiment:
    """What makes one experiment.

    A configuration is a frozen dataclass with at least the fields `dataset`, `mode` and `seed`.
    """

    name: str
    description: str
    presets: Mapping[str, Any]
    """Configuration of each preset; the first is the default."""
    modes: Sequence[str]
    run: Callable[[Any, Dataset, Monitor], Arrays]
    """From configuration and data to arrays."""
    plot: Callable[[Arrays, Path], None]
    """From arrays alone to figures in a folder."""
    judge: Callable[[Arrays], tuple[list[dict], dict[str, list[dict]]]]
    """From arrays alone to claims and tables; the first table is the one that is printed."""


def main(experiment: Experiment, argv: Sequence[str] | None = None) -> int:
    """Run an experiment from the command line; returns the exit code."""
    arguments = _parser(experiment).parse_args(argv)
    try:
        if arguments.report:
            folder = RunFolder(arguments.report)
        else:
            folder = _run(experiment, arguments)
        _finish(experiment, folder)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    except (ValueError, FileNotFoundError, ModuleNotFoundError) as error:
        if os.environ.get("EVOJAX_ALIGN_TRACEBACK"):
            raise
        print(f"{experiment.name}: {error}", file=sys.stderr)
        return 2
    return 0


def _run(experiment: Experiment, arguments: argparse.Namespace) -> RunFolder:
    _checks.one_of("preset", arguments.preset, experiment.presets)
    config = configure(experiment.presets[arguments.preset], arguments.set)
    for flag in ("dataset", "mode", "seed"):
        if getattr(arguments, flag) is not None:
            config = dataclasses.replace(config, **{flag: getattr(arguments, flag)})
    _checks.one_of("mode", config.mode, experiment.modes)
    data = load(config.dataset, data_dir=arguments.data_dir, seed=config.seed)
    folder = RunFolder.create(arguments.out, f"{experiment.name}-{arguments.preset}-{config.dataset}")
    configuration = {name: _listed(value) for name, value in dataclasses.asdict(config).items()}
    record = manifest(experiment.name, arguments.preset, configuration, VERSION)
    folder.write_json("manifest.json", record)
    monitor = Monitor(folder, quiet=arguments.quiet)
    arrays = experiment.run(config, data, monitor)
    folder.write_arrays("results", arrays)
    folder.write_json("timings.json", {name: round(seconds, 3) for name, seconds in monitor.seconds.items()})
    folder.write_json("manifest.json", record | {"end": now()})
    return folder


def _finish(experiment: Experiment, folder: RunFolder) -> None:
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
    for name, rows in list(tables.items())[:1]:
        print(f"\n{name}\n{text_table(rows)}")
    shown = ("statement", "paper", "ours", "interval", "p_corrected", "verdict")
    print(f"\nclaims\n{text_table([{name: claim[name] for name in shown} for claim in claims])}")
    print(f"\nreport: {folder.path / 'report.html'}")


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
        preset = dataclasses.replace(preset, **{name: fitted})
    return preset


def _fitted(value: Any, old: Any) -> Any:
    """The value in the type of the one that it replaces, or None."""
    if isinstance(old, tuple):
        items = [_fitted(item, old[0]) for item in (value if isinstance(value, list | tuple) else (value,))]
        return None if None in items or not items else tuple(items)
    if isinstance(old, float) and type(value) is int:
        return float(value)
    return value if type(value) is type(old) else None


def _parser(experiment: Experiment) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"{experiment.name}.py", description=experiment.description, formatter_class=argparse.RawTextHelpFormatter
    )
    first = next(iter(experiment.presets))
    parser.add_argument("--preset", default=first, help=f"{', '.join(experiment.presets)} (default: {first})")
    parser.add_argument("--mode", help=", ".join(experiment.modes))
    parser.add_argument("--dataset", help="name of a data set, or of a file in the data folder")
    parser.add_argument("--data-dir", help="folder with NAME.npz, IDX or CIFAR files; nothing is downloaded")
    parser.add_argument("--seed", type=int, help="the same seed gives the same bits")
    fields = ", ".join(field.name for field in dataclasses.fields(experiment.presets[first]))
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help=f"any of: {fields}")
    parser.add_argument("--out", help="run folder (default: a new one under runs/)")
    parser.add_argument("--report", metavar="DIR", help="rebuild figures, claims and report of a run from its arrays")
    parser.add_argument("--quiet", action="store_true", help="show no progress")
    return parser


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
