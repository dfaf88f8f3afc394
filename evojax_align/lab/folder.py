"""The run folder with all files of an experiment. Files are written atomically."""

import hashlib
import json
import os
import platform
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from evojax_align import _checks
from evojax_align._files import read_npz
from evojax_align.lab.checkpoint import write

FIX = "Restore it from a copy; or run the cells again, or merge them by --merge; or start a new run."
MANIFEST = {
    **dict.fromkeys(("experiment", "preset", "backend", "device", "start"), str),
    **dict.fromkeys(("configuration", "versions"), dict),
    **dict.fromkeys(("commit", "end"), str | None),
    "resumed": list,
}
"""Required fields of a manifest and their types."""
SETTINGS = ("dataset", "mode", "seed")
PARTS = ("arrays", "cells", "checkpoints", "figures")


class RunFolder:
    """The files of one run.

    `manifest.json` (configuration, machine and time), `log.jsonl` (a line for each step), `checkpoints/` (the states of
    unfinished cells), `cells/` (the results of finished cells), `arrays/*.npz` (the merged results of all cells),
    `figures/*.png`, `results.json` (claims and tables), `timings.json` (seconds of each phase), `report.html`. Arrays,
    results and log do not depend on time or machine: equal runs have equal files.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    @classmethod
    def create(
        cls, path: str | os.PathLike[str] | None, name: str, record: Mapping[str, Any] | None = None
    ) -> "RunFolder":
        """Create the given folder, which must be new or empty, or the next free `runs/NAME-001`.

        Its manifest, if there is one, is written before anything else.
        """
        if path is not None:
            folder = Path(path)
            # a process that was killed while writing the manifest leaves a part of it
            if folder.exists() and any(file.name != ".manifest.json.part" for file in folder.iterdir()):
                raise _checks.bad("out", f"{folder}, which contains files", "a new or empty folder", "Choose another.")
            folder.mkdir(parents=True, exist_ok=True)
        else:
            number = 1
            while True:
                folder = Path("runs") / f"{name}-{number:03d}"
                try:
                    folder.mkdir(parents=True)
                    break
                except FileExistsError:
                    number += 1
        if record is not None:
            cls(folder).write_json("manifest.json", record)
        for part in PARTS:
            (folder / part).mkdir(exist_ok=True)
        return cls(folder)

    def write_json(self, name: str, value: Any) -> None:
        """Write a JSON file atomically."""
        self.write_text(name, json.dumps(value, indent=1, allow_nan=False) + "\n")

    def read_json(self, name: str) -> Any:
        """Read a JSON file."""
        path = self._existing(name)
        try:
            return json.loads(path.read_text())
        except ValueError as error:
            raise _checks.bad(str(path), f"a damaged file ({error})", "JSON as it was written", FIX) from error

    def read_manifest(self) -> dict[str, Any]:
        """Read `manifest.json`, which must be that of a run."""
        record, path = self.read_json("manifest.json"), self.path / "manifest.json"
        known = record if isinstance(record, dict) else {}
        missing = [name for name, kind in MANIFEST.items() if not isinstance(known.get(name, ...), kind)]
        missing += [f"configuration/{name}" for name in SETTINGS if not missing and name not in known["configuration"]]
        if missing:
            raise _checks.bad(str(path), f"a manifest without {', '.join(missing)}", "the manifest of a run", FIX)
        if record.get("digest", digest(record["configuration"])) != digest(record["configuration"]):
            raise _checks.bad(str(path), "a changed configuration", "the one that the run was started with", FIX)
        for part in PARTS:  # a process may have been killed between the manifest and these
            (self.path / part).mkdir(exist_ok=True)
        return record

    def write_text(self, name: str, text: str) -> None:
        """Write a text file atomically."""
        write(self.path / name, lambda file: file.write(text.encode()))

    def write_arrays(self, name: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Write `arrays/NAME.npz` atomically; the order of the names does not matter."""
        plain = {key: np.asarray(arrays[key]) for key in sorted(arrays)}
        write(self.path / "arrays" / f"{name}.npz", lambda file: np.savez(file, allow_pickle=False, **plain))

    def read_arrays(self, name: str) -> "StoredArrays":
        """Read `arrays/NAME.npz`."""
        return read_arrays(self._existing(f"arrays/{name}.npz"))

    @property
    def pictures(self) -> list[Path]:
        """The figures, by name."""
        return sorted((self.path / "figures").glob("*.png"))

    def log(self, **record: Any) -> None:
        """Append one line to `log.jsonl`."""
        with (self.path / "log.jsonl").open("a") as file:
            file.write(json.dumps(record) + "\n")

    def write_log(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Replace `log.jsonl`."""
        self.write_text("log.jsonl", "".join(json.dumps(record) + "\n" for record in records))

    def _existing(self, name: str) -> Path:
        path = self.path / name
        if not path.is_file():
            fix = "Pass the folder of a run that has it, or --merge its cells."
            raise FileNotFoundError(f"{path} does not exist. {fix}")
        return path


class StoredArrays(dict[str, np.ndarray]):
    """The arrays of a file; a missing array raises an error that names the file."""

    def __init__(self, path: Path, arrays: Mapping[str, np.ndarray]) -> None:
        super().__init__(arrays)
        self._path = path

    def __missing__(self, name: str) -> np.ndarray:
        raise _checks.bad(str(self._path), f"no array {name!r}", "the arrays of this version", FIX)


def read_arrays(path: Path) -> StoredArrays:
    """Read an `.npz` file without pickles; the error for a damaged file names it."""
    try:
        return StoredArrays(path, read_npz(path))
    except ValueError as error:
        raise _checks.bad(str(path), f"a damaged file ({error})", "arrays as they were written", FIX) from error


def manifest(
    experiment: str, preset: str, configuration: Mapping[str, Any], version: str, declared: str = ""
) -> dict[str, Any]:
    """The manifest of a run; `declared` is the hash of the claims that were declared before it."""
    device = jax.devices()[0]
    return {
        "experiment": experiment,
        "preset": preset,
        "configuration": dict(configuration),
        "digest": digest(configuration),
        "declared": declared,
        "versions": {
            "evojax_align": version,
            "jax": jax.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
        "backend": device.platform,
        "device": device.device_kind,
        "devices": jax.device_count(),
        "cores": os.cpu_count(),
        "commit": commit(),
        "resumed": [],
        "start": now(),
        "end": None,
    }


def digest(configuration: Mapping[str, Any]) -> str:
    """The SHA-256 of a configuration."""
    return hashlib.sha256(json.dumps(dict(configuration), sort_keys=True).encode()).hexdigest()


def now() -> str:
    """The time as a string that sorts."""
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")


def commit() -> str | None:
    """The git commit of the code, with "+" if files were changed; None outside a checkout."""
    here = Path(__file__).parent

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(here), *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return None
