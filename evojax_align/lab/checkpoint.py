"""A pytree on disk: one file, a checksum for every array, no pickle.

The file is an uncompressed `.npz`. Beside the arrays it holds an index: what was saved, each leaf's path, type, shape
and SHA-256, and the index's own. A file that was cut short or changed is never read as if it were whole.
"""

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from evojax_align import _checks
from evojax_align._types import PyTree

INDEX = "index"


class Damaged(ValueError):
    """A checkpoint that is cut short, changed, or not one at all."""


def save(path: Path, tree: PyTree, notes: Mapping[str, Any]) -> None:
    """Write a pytree of arrays and random keys, and notes that JSON can hold, whole or not at all."""
    arrays, leaves = {}, []
    for number, (where, leaf) in enumerate(jax.tree_util.tree_leaves_with_path(tree)):
        array, kind = _to_numpy(leaf)
        arrays[f"leaf{number}"] = array
        entry = {"path": _checks.path_string(where), "kind": kind, "dtype": str(jnp.result_type(leaf))}
        leaves.append(entry | {"shape": list(array.shape), "sha256": _digest(array)})
    content = json.dumps({"leaves": leaves, "notes": dict(notes)}, sort_keys=True).encode()
    sealed = hashlib.sha256(content).hexdigest().encode() + content
    write(path, lambda file: np.savez(file, allow_pickle=False, **{INDEX: np.frombuffer(sealed, np.uint8)}, **arrays))


def load(
    path: Path, like: PyTree | None = None, *, build: Callable[[dict[str, Any]], PyTree] | None = None
) -> tuple[PyTree, dict[str, Any]]:
    """Read a checkpoint: its tree and its notes.

    Args:
        path: the file.
        like: a tree of the same structure, of arrays or of their shapes; the result has its containers, and NumPy
            arrays where it has them. Without one the result is a dictionary from leaf paths to arrays.
        build: in its place, for trees whose shapes change: makes the tree from dictionaries of NumPy arrays, one in
            another, by the names along the leaf paths.

    Raises:
        Damaged: if any bit that matters is not as it was written.
        ValueError: if the tree that was saved is another one; the leaf is named.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            sealed = stored[INDEX].tobytes()
            content = sealed[64:]
            if hashlib.sha256(content).hexdigest().encode() != sealed[:64]:
                raise Damaged(f"{path}: the index is not as it was written")
            index = json.loads(content)
            leaves = [_checked(stored[f"leaf{n}"], entry, path) for n, entry in enumerate(index["leaves"])]
    except FileNotFoundError:
        raise
    except Exception as error:  # of a changed file, the reader may believe anything: a length, a method, a type
        raise error if isinstance(error, Damaged) else Damaged(f"{path}: {error}") from error
    found = {entry["path"]: leaf for entry, leaf in zip(index["leaves"], leaves, strict=True)}
    if build is not None:
        return build(_nested(found)), index["notes"]
    return found if like is None else _fill(path, found, like), index["notes"]


def write(path: Path, fill: Any) -> None:
    """Call `fill(file)` on a temporary file beside `path`, sync it, and rename it; on any error nothing is left."""
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
    """Make the rename itself durable, where the system can."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _to_numpy(leaf: Any) -> tuple[np.ndarray, str]:
    if jnp.issubdtype(jnp.result_type(leaf), jax.dtypes.prng_key):
        return np.asarray(jax.random.key_data(leaf)), f"key {jax.random.key_impl(leaf)}"
    array = np.asarray(leaf)
    if array.dtype.kind == "V":  # bfloat16 and its kin: npz knows them as raw bytes only
        return array.view(np.uint8).reshape(*array.shape, array.dtype.itemsize), "bytes"
    return array, "array"


def _checked(array: np.ndarray, entry: Mapping[str, Any], path: Path) -> Any:
    if list(array.shape) != entry["shape"] or _digest(array) != entry["sha256"]:
        raise Damaged(f"{path}: the array {entry['path']!r} is not as it was written")
    if entry["kind"].startswith("key "):
        return jax.random.wrap_key_data(jnp.asarray(array), impl=entry["kind"].removeprefix("key "))
    if entry["kind"] == "bytes":
        return array.view(np.dtype(getattr(jnp, entry["dtype"]))).reshape(array.shape[:-1])
    return array


def _digest(array: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).data if array.size else b"").hexdigest()


def _nested(leaves: Mapping[str, Any]) -> dict[str, Any]:
    """Dictionaries in dictionaries, from leaves by their paths."""
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
            mend = "It was saved by another configuration or version: use those, or start a new run."
            raise _checks.bad(f"{path}, leaf {name!r}", came, expected, mend)
    leaves = [
        np.array(found[name]) if isinstance(old, np.ndarray) else jnp.asarray(found[name])
        for name, old in wanted.items()
    ]
    return jax.tree.unflatten(jax.tree.structure(like), leaves)
