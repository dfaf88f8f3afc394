"""The run folder: where an experiment leaves its record. A reader never sees half a file."""

import json
import os
import platform
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from evojax_align import _checks
from evojax_align.lab.checkpoint import write


class RunFolder:
    """The files of one run.

    `manifest.json` (what was run, where and when), `log.jsonl` (a line for each step), `checkpoints/*.npz` (where it
    stands), `arrays/*.npz` (all results), `figures/*.png`, `results.json` (claims and tables), `timings.json` (seconds
    of each phase), `report.html`. Arrays, results and log hold nothing that depends on time: equal runs are equal
    files.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    @classmethod
    def create(cls, path: str | os.PathLike[str] | None, name: str) -> "RunFolder":
        """Make the folder: the one given, which must be new or empty, or the next free `runs/NAME-001`."""
        if path is not None:
            folder = Path(path)
            if folder.exists() and any(folder.iterdir()):
                raise _checks.bad("out", f"{folder}, which holds files", "a new or empty folder", "Choose another.")
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
        for part in ("arrays", "checkpoints", "figures"):
            (folder / part).mkdir(exist_ok=True)
        return cls(folder)

    def write_json(self, name: str, value: Any) -> None:
        """Write a JSON file whole or not at all."""
        self.write_text(name, json.dumps(value, indent=1, allow_nan=False) + "\n")

    def read_json(self, name: str) -> Any:
        """Read a JSON file."""
        return json.loads(self._existing(name).read_text())

    def write_text(self, name: str, text: str) -> None:
        """Write a text file whole or not at all."""
        write(self.path / name, lambda file: file.write(text.encode()))

    def write_arrays(self, name: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Write `arrays/NAME.npz` whole or not at all; the order of the names does not matter."""
        plain = {key: np.asarray(arrays[key]) for key in sorted(arrays)}
        write(self.path / "arrays" / f"{name}.npz", lambda file: np.savez(file, allow_pickle=False, **plain))

    def read_arrays(self, name: str) -> dict[str, np.ndarray]:
        """Read `arrays/NAME.npz`."""
        with np.load(self._existing(f"arrays/{name}.npz"), allow_pickle=False) as stored:
            return {key: stored[key] for key in stored.files}

    def log(self, **record: Any) -> None:
        """Append one line to `log.jsonl`."""
        with (self.path / "log.jsonl").open("a") as file:
            file.write(json.dumps(record) + "\n")

    def log_size(self) -> int:
        """Bytes of `log.jsonl` so far."""
        path = self.path / "log.jsonl"
        return path.stat().st_size if path.exists() else 0

    def cut_log(self, size: int) -> None:
        """Drop what `log.jsonl` holds beyond these bytes."""
        if self.log_size() > size:
            os.truncate(self.path / "log.jsonl", size)

    def _existing(self, name: str) -> Path:
        path = self.path / name
        if not path.is_file():
            raise FileNotFoundError(f"{path} does not exist. Give the folder of a run.")
        return path


def manifest(experiment: str, preset: str, configuration: Mapping[str, Any], version: str) -> dict[str, Any]:
    """What was run, with what, and where."""
    device = jax.devices()[0]
    return {
        "experiment": experiment,
        "preset": preset,
        "configuration": dict(configuration),
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


def now() -> str:
    """The time, in words that sort."""
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
