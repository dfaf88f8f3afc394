"""Checkpoints: pytrees on disk with a checksum for every array, without pickle, in files of at most 15 MiB.

The main file is an uncompressed `.npz`. It contains the arrays and an index: the path, type, shape and SHA-256 of each
leaf, and the SHA-256 of the index itself. A larger tree continues in files `NAME.npz.1`, `NAME.npz.2` and so on, so
that it can be stored where the size of files is limited. A truncated or changed file always raises an error.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils

from evojax_align import _checks
from evojax_align._files import read_npz
from evojax_align._types import PyTree

INDEX = "index"
PART = 15 * 2**20
"""Largest number of bytes of arrays in one file."""


class Damaged(ValueError):
    """A checkpoint is truncated or changed, or the file is not a checkpoint."""


def save(path: Path, tree: PyTree, notes: Mapping[str, Any]) -> None:
    """Write a pytree of arrays and random keys, and notes that JSON can represent, atomically.

    Where JAX runs in several processes, all of them call it, and the first one writes. Arrays that no process has whole
    are gathered before. All return when the file is there, and `load` in any of them reads it. All have to call it at
    the same step: a process that does not leaves the others waiting.
    """
    _by_first_process(partial(_save, path, _gathered(tree), notes), path)


def _gathered(tree: PyTree) -> list[tuple[str, Any]]:
    """The leaves with their paths; arrays that other processes have a part of come here."""

    def gathered(leaf: Any) -> Any:
        if not isinstance(leaf, jax.Array) or leaf.is_fully_addressable:
            return leaf
        if not jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            return leaf if leaf.is_fully_replicated else multihost_utils.process_allgather(leaf, tiled=True)
        data = multihost_utils.process_allgather(jax.random.key_data(leaf), tiled=True)
        return jax.random.wrap_key_data(jnp.asarray(data), impl=jax.random.key_impl(leaf))

    return [(_checks.path_string(where), gathered(leaf)) for where, leaf in jax.tree_util.tree_leaves_with_path(tree)]


def _by_first_process(written: Callable[[], None], path: Path) -> None:
    """Call a function in the first process; if it raises an error, all processes raise one."""
    if jax.process_count() == 1:
        written()
        return
    error: BaseException | None = None
    if jax.process_index() == 0:
        try:
            written()
        except BaseException as raised:  # whatever it was, the others wait below
            error = raised
    if not multihost_utils.process_allgather(np.int32(error is None))[0]:
        raise error or OSError(f"{path}: process 0 could not write it")


def _save(path: Path, tree: Sequence[tuple[str, Any]], notes: Mapping[str, Any]) -> None:
    leaves, arrays = [], []
    for where, leaf in tree:
        array, kind, dtype = _to_numpy(leaf)
        arrays.append(array)
        entry = {"path": where, "kind": kind, "dtype": dtype}
        leaves.append(entry | {"shape": list(array.shape), "sha256": _digest(array)})
    noted = np.frombuffer(json.dumps(dict(notes)).encode(), np.uint8)
    files = list(_in_files([*arrays, noted]))
    index = {"leaves": leaves, "notes": _digest(noted), "pieces": [sorted(file) for file in files]}
    content = json.dumps(index).encode()
    sealed = hashlib.sha256(content).hexdigest().encode() + content
    for number, file in enumerate(files[1:], start=1):
        write(_part(path, number), _writer(file))
    write(path, _writer({INDEX: np.frombuffer(sealed, np.uint8), **files[0]}))


def load(
    path: Path, like: PyTree | None = None, *, build: Callable[[dict[str, Any]], PyTree] | None = None
) -> tuple[PyTree, dict[str, Any]]:
    """Read a checkpoint: its tree and its notes.

    Args:
        path: the file.
        like: a tree of the same structure, of arrays or of their shapes; the result has its containers, and NumPy
            arrays where it has them. Without `like`, the result is a dictionary from leaf paths to arrays.
        build: instead of `like`, for trees whose shapes vary: builds the tree from nested dictionaries of NumPy
            arrays, by the names along the leaf paths.

    Raises:
        Damaged: the file differs from what was written.
        ValueError: the saved tree differs from `like`; the message names the leaf.
    """
    try:
        stored = _arrays(path)
        sealed = stored[INDEX].tobytes()
        content = sealed[64:]
        if hashlib.sha256(content).hexdigest().encode() != sealed[:64]:
            raise Damaged(f"{path}: the index is not as it was written")
        index = json.loads(content)
        pieces: dict[str, np.ndarray] = {}
        for number, names in enumerate(index["pieces"]):
            of_file = stored if number == 0 else _arrays(_part(path, number))
            pieces |= {name: of_file[name] for name in names}
        leaves = [_checked(_joined(pieces, n, entry["shape"]), entry, path) for n, entry in enumerate(index["leaves"])]
        noted = _joined(pieces, len(leaves), [-1])
        if _digest(noted) != index["notes"]:
            raise Damaged(f"{path}: the notes are not as they were written")
        notes = json.loads(noted.tobytes())
    except FileNotFoundError as error:
        if error.filename == str(path):
            raise
        raise Damaged(f"{path}: its part {error.filename} is missing") from error
    except (OSError, MemoryError):  # errors of the machine, not of the file
        raise
    except Exception as error:  # a changed file can raise any error: wrong lengths, methods, types
        raise error if isinstance(error, Damaged) else Damaged(f"{path}: {error}") from error
    found = {entry["path"]: leaf for entry, leaf in zip(index["leaves"], leaves, strict=True)}
    if build is not None:
        return build(_nested(found)), notes
    return found if like is None else _fill(path, found, like), notes


def remove(path: Path) -> None:
    """Delete all files of a checkpoint, the main file first."""
    path.unlink(missing_ok=True)
    for part in path.parent.glob(f"{path.name}.[0-9]*"):
        part.unlink(missing_ok=True)


def set_aside(path: Path) -> Path:
    """Rename all files of a damaged checkpoint, so that it is not found again; return the new main file."""
    for part in path.parent.glob(f"{path.name}.[0-9]*"):
        part.replace(part.with_name(f"{path.stem}.damaged{part.suffix}"))
    return path.replace(path.with_suffix(".damaged"))


def write(path: Path, fill: Any) -> None:
    """Call `fill(file)` on a temporary file next to `path`, sync it, and rename it; on any error, remove it."""
    temporary = path.with_name(f".{path.name}.part")
    try:
        with temporary.open("wb") as file:
            fill(file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _sync_folder(folder: Path) -> None:
    """Make the rename durable, if the system supports it."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _writer(arrays: Mapping[str, np.ndarray]) -> Callable[[Any], None]:
    return lambda file: np.savez(file, allow_pickle=False, **arrays)


def _arrays(path: Path) -> dict[str, np.ndarray]:
    return read_npz(path, limit=path.stat().st_size)


def _part(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.{number}")


def _in_files(arrays: list[np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
    """The arrays by name, grouped into files; an array that is larger than a file is split."""
    file: dict[str, np.ndarray] = {}
    left = PART
    for number, array in enumerate(arrays):
        count = max(1, PART // max(1, array.itemsize))
        whole = array.nbytes <= PART
        flat = [array] if whole else [array.reshape(-1)[i : i + count] for i in range(0, array.size, count)]
        for place, piece in enumerate(flat):
            if piece.nbytes > left and file:
                yield file
                file, left = {}, PART
            file[f"leaf{number}" if whole else f"leaf{number}.{place:04d}"] = piece
            left -= piece.nbytes
    yield file


def _joined(pieces: Mapping[str, np.ndarray], number: int, shape: list[int]) -> np.ndarray:
    name = f"leaf{number}"
    if name in pieces:
        return pieces[name]
    return np.concatenate([pieces[key] for key in sorted(pieces) if key.startswith(f"{name}.")]).reshape(shape)


def _to_numpy(leaf: Any) -> tuple[np.ndarray, str, str]:
    """The array that is stored for a leaf, the kind of the leaf, and its dtype."""
    if isinstance(leaf, np.ndarray) and leaf.dtype.kind == "U":
        return leaf, "array", str(leaf.dtype)
    dtype = jnp.result_type(leaf)
    if jnp.issubdtype(dtype, jax.dtypes.prng_key):
        return np.asarray(jax.random.key_data(leaf)), f"key {jax.random.key_impl(leaf)}", str(dtype)
    array = np.asarray(leaf)
    if array.dtype.kind == "V":  # bfloat16 and similar types, which npz stores as raw bytes
        return array.view(np.uint8).reshape(*array.shape, array.dtype.itemsize), "bytes", str(dtype)
    return array, "array", str(dtype)


def _checked(array: np.ndarray, entry: Mapping[str, Any], path: Path) -> Any:
    if list(array.shape) != entry["shape"] or _digest(array) != entry["sha256"]:
        raise Damaged(f"{path}: the array {entry['path']!r} is not as it was written")
    if entry["kind"].startswith("key "):
        return jax.random.wrap_key_data(jnp.asarray(array), impl=entry["kind"].removeprefix("key "))
    if entry["kind"] == "bytes":
        return array.view(np.dtype(getattr(jnp, entry["dtype"]))).reshape(array.shape[:-1])
    return array


def _digest(array: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes() if array.size else b"").hexdigest()


def _nested(leaves: Mapping[str, Any]) -> dict[str, Any]:
    """Nested dictionaries of leaves, from leaves by path."""
    tree: dict[str, Any] = {}
    for path, leaf in leaves.items():
        *branches, name = path.split("/")
        inner = tree
        for branch in branches:
            inner = inner.setdefault(branch, {})
        inner[name] = leaf
    return tree


def _fill(path: Path, found: Mapping[str, Any], like: PyTree) -> PyTree:
    wanted = {_checks.path_string(where): leaf for where, leaf in jax.tree_util.tree_leaves_with_path(like)}
    for name in [*wanted, *found]:
        here = found[name] if name in found else None
        there = wanted[name] if name in wanted else None
        came = "missing" if here is None else f"{here.dtype} {tuple(here.shape)}"
        expected = "nothing" if there is None else f"{there.dtype} {tuple(there.shape)}"
        if came != expected:
            fix = "It was saved by another configuration or version: use those, or start a new run."
            raise _checks.bad(f"{path}, leaf {name!r}", came, expected, fix)
    leaves = [
        np.array(found[name]) if isinstance(old, np.ndarray) else jnp.asarray(found[name])
        for name, old in wanted.items()
    ]
    return jax.tree.unflatten(jax.tree.structure(like), leaves)
