"""Search for the files of a set in a folder; this module downloads and writes nothing."""

import difflib
from pathlib import Path, PureWindowsPath

from evojax_align import _checks
from evojax_align.data import emnist
from evojax_align.data.catalog import KNOWN
from evojax_align.data.dataset import Source
from evojax_align.data.formats import missing, read_cifar_folder, read_idx_folder, read_npz

_CIFAR_FOLDERS = {"cifar10": "cifar-10-batches-bin", "cifar100": "cifar-100-binary"}
_PICKLE_FOLDERS = {"cifar10": "cifar-10-batches-py", "cifar100": "cifar-100-python"}
_LONGEST_NAME = 200


def find(folder: Path, name: str, *, nameless: bool, limit: int | None = None) -> Source | None:
    """Read the set `name` from the first of these that exists; None if none does.

    1. `NAME.npz`;
    2. IDX files or binary files of CIFAR in the folder `NAME`, or in the folder that the CIFAR archive unpacks to;
    3. for the EMNIST sets, NIST's own files `emnist-letters-*`, and for the tasks of ten letters any
       `emnist_letters`, from which they are cut;
    4. with `nameless`, IDX files or binary files of CIFAR in `folder` itself, which do not identify the set.

    `limit` bounds the bytes that one file may expand to. A name that leads out of the folder is an error.
    """
    _check_name(name)
    if (folder / f"{name}.npz").is_file():
        return read_npz(folder / f"{name}.npz", limit)
    homes = [folder / name]
    if name in _CIFAR_FOLDERS:
        homes += [folder / name / _CIFAR_FOLDERS[name], folder / _CIFAR_FOLDERS[name]]
    for home in homes:
        if (source := _read_nameless(home, limit)) is not None:
            return source
    if name == "emnist_letters":
        for home in (folder, folder / name, folder / "gzip"):
            if (raw := read_idx_folder(home, prefix="emnist-letters-", test="test", limit=limit)) is not None:
                return emnist.upright(raw)
    if name in emnist.TASKS:
        letters = find(folder, "emnist_letters", nameless=False, limit=limit)
        if letters is not None:
            return emnist.task(letters, name)
    return _read_nameless(folder, limit) if nameless else None


def nothing_found(folder: Path, name: str, argument: str) -> FileNotFoundError:
    """The error for a folder without a file of the set `name`."""
    pickles = _PICKLE_FOLDERS.get(name, "")
    if pickles and (found := next((f for f in (folder / pickles, folder / name / pickles) if f.is_dir()), None)):
        fix = f"Unpack the archive of the binary version, so that there is {folder / _CIFAR_FOLDERS[name]}."
        return missing(argument, f"{found}, which holds pickles", "files that cannot run code", fix)
    came = f"{folder}, which contains no file of {name!r}" if folder.is_dir() else f"{folder}, which is not a folder"
    there = [path.stem for path in sorted(folder.glob("*.npz"))]
    near = difflib.get_close_matches(name, [*there, *KNOWN], n=1, cutoff=0.5)
    otherwise = f", or leave {argument} out." if name in KNOWN else f"; did you mean {near[0]!r}?" if near else "."
    return missing(argument, came, accepted(name), f"Put it at {folder / name}.npz{otherwise}")


def accepted(name: str) -> str:
    """The files that a folder may contain for a set, in the words of errors."""
    files = [f"{name}.npz (x_train, y_train, x_test, y_test)"]
    if name in _CIFAR_FOLDERS:
        files.append(f"the folder {_CIFAR_FOLDERS[name]} of the binary version")
    elif name.startswith("emnist"):
        files.append("emnist-letters-train-images-idx3-ubyte.gz and its three companions")
    else:
        files.append(f"{name}/train-images-idx3-ubyte.gz and its three companions")
    return " or ".join(files)


def _check_name(name: str) -> None:
    """Raise an error for a name that is a path on any system, or an invalid file name, before the disk is accessed."""
    is_path = name in ("", "..") or PureWindowsPath(name).name != name
    if is_path or not name.isprintable() or len(name.encode()) > _LONGEST_NAME:
        shown = repr(name if len(name) <= _LONGEST_NAME else f"{name[:_LONGEST_NAME]}...")
        fix = "Pass the folder that holds the file as data_dir, and its name without .npz as name."
        raise _checks.bad("name", shown, "the name of a file in the folder, not a path", fix)


def _read_nameless(folder: Path, limit: int | None) -> Source | None:
    source = read_idx_folder(folder, limit=limit)
    return read_cifar_folder(folder, limit) if source is None else source
