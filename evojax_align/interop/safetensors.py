"""Files in the safetensors format: the length of a header, the header in JSON, and the bytes of all arrays.

The checks of the reader are those of the format's reference implementation: the arrays cover the bytes after the header
without a gap or an overlap, and no name occurs twice. Nothing in such a file can run code.

References:
    https://github.com/huggingface/safetensors
"""

import json
import math
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import jax.numpy as jnp
import numpy as np

from evojax_align import _checks
from evojax_align._files import unreadable
from evojax_align.interop.tensors import as_arrays

_HEADER = 100_000_000  # bytes of a header, at most; the limit of the reference implementation
_METADATA = "__metadata__"
_DTYPES = {
    name: np.dtype(dtype)
    for name, dtype in {
        "BOOL": np.bool_,
        "U8": np.uint8,
        "I8": np.int8,
        "U16": np.uint16,
        "I16": np.int16,
        "U32": np.uint32,
        "I32": np.int32,
        "U64": np.uint64,
        "I64": np.int64,
        "F16": np.float16,
        "BF16": jnp.bfloat16,
        "F32": np.float32,
        "F64": np.float64,
        "C64": np.complex64,
        "F8_E4M3": jnp.float8_e4m3fn,
        "F8_E5M2": jnp.float8_e5m2,
    }.items()
}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}


def read_safetensors(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Read all arrays of a safetensors file.

    Args:
        path: the file.

    Returns:
        The arrays by name, in the order of the file's header; bfloat16 and float8 as the types that JAX uses.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is damaged or does not keep to the format. The message names the file.

    Example:
        >>> import pathlib, tempfile, numpy as np, evojax_align as ea
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder) / "model.safetensors"
        ...     ea.interop.write_safetensors(path, {"fc.weight": np.ones((2, 3))})
        ...     state = ea.interop.read_safetensors(path)
        >>> state["fc.weight"].shape
        (2, 3)
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            entries, start = _header(file, path.stat().st_size)
            return {name: _values(file, start, name, *entry) for name, entry in entries.items()}
    except (OSError, MemoryError):
        raise
    except (ValueError, RecursionError) as error:
        raise _checks.bad(
            str(path), unreadable(error), "a whole safetensors file", "Copy or download the file again."
        ) from error


def write_safetensors(
    path: str | os.PathLike[str], state: Mapping[str, Any], *, metadata: Mapping[str, str] | None = None
) -> None:
    """Write arrays into a safetensors file, which replaces an older one when it is complete.

    Args:
        path: the file.
        state: arrays of NumPy or JAX, or tensors of PyTorch, by name.
        metadata: a text for each key, which the header keeps. Programs that load models of PyTorch may require
            `{"format": "pt"}`.

    Raises:
        ValueError: for names or values that the format cannot hold.

    Example:
        >>> import pathlib, tempfile, jax.numpy as jnp, evojax_align as ea
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder) / "model.safetensors"
        ...     ea.interop.write_safetensors(path, {"w": jnp.ones(3, jnp.bfloat16)}, metadata={"format": "pt"})
        ...     path.stat().st_size % 8  # the header is padded to a multiple of eight bytes; the values take six
        6
    """
    path, arrays = Path(path), as_arrays("state", state)
    header: dict[str, Any] = {}
    if metadata is not None:
        if not all(isinstance(part, str) for item in metadata.items() for part in item):
            raise _checks.bad("metadata", repr(dict(metadata))[:200], "texts by name", "Convert the values by str().")
        header[_METADATA] = dict(metadata)
    if _METADATA in arrays:
        raise _checks.bad("state", f"the name {_METADATA!r}", "names of arrays", "Rename it, or pass metadata=....")
    arrays = {name: array.astype(array.dtype.newbyteorder("="), copy=False) for name, array in arrays.items()}
    for name, array in arrays.items():
        if array.dtype not in _NAMES:
            expected = "a type that the format knows: " + ", ".join(map(str, _NAMES))
            raise _checks.bad(f"state[{name!r}]", f"an array of {array.dtype}", expected, "Cast it by .astype().")
    # The widest types first, so that each array begins at a multiple of the size of its type.
    arrays = dict(sorted(arrays.items(), key=lambda item: -item[1].dtype.itemsize))
    end = 0
    for name, array in arrays.items():
        start, end = end, end + array.nbytes
        header[name] = {"dtype": _NAMES[array.dtype], "shape": list(array.shape), "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    if len(text) > _HEADER:
        raise _checks.bad("state", f"a header of {len(text)} bytes", f"at most {_HEADER}", "Write several files.")
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with temporary.open("xb") as file:
            file.write(len(text).to_bytes(8, "little") + text)
            for array in arrays.values():
                file.write(np.asarray(array, order="C").reshape(-1).view(np.uint8).data)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _header(file: BinaryIO, size: int) -> tuple[dict[str, tuple[np.dtype, tuple[int, ...], int]], int]:
    """Type, shape and first byte of each array, and where the bytes of arrays begin."""
    length = int.from_bytes(file.read(8), "little") if size >= 8 else 8
    if length > min(_HEADER, size - 8):
        raise ValueError(f"it promises a header of {length} bytes; the file has {size}, and {_HEADER} are allowed")
    text = file.read(length)
    if not text.startswith(b"{"):
        raise ValueError("its header does not begin with {")
    entries = json.loads(text.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_constant)
    metadata = entries.pop(_METADATA, {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise ValueError(f"{_METADATA} holds more than texts")
    found, spans = {}, []
    for name, entry in entries.items():
        dtype, shape, (start, end) = _entry(name, entry)
        if end - start != math.prod(shape) * dtype.itemsize:
            raise ValueError(f"{name!r} has the shape {shape} of {dtype} in {end - start} bytes")
        found[name] = dtype, shape, start
        spans.append((start, end, name))
    last = 0
    for start, end, name in sorted(spans):
        if start != last:
            raise ValueError(f"{name!r} begins at byte {start}, where {last} was expected")
        last = end
    if 8 + length + last != size:
        raise ValueError(f"its header describes {8 + length + last} bytes, and it has {size}")
    return found, 8 + length


def _entry(name: str, entry: Any) -> tuple[np.dtype, tuple[int, ...], tuple[int, int]]:
    """The description of one array, checked by itself."""
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"the entry of {name!r} is not made of dtype, shape and data_offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in _DTYPES:
        raise ValueError(f"{name!r} is of the type {str(dtype)[:40]}, which is none of {', '.join(_DTYPES)}")
    for what, numbers in (("shape", shape), ("data_offsets", offsets)):
        # type(...) is int: True is an integer for isinstance
        if not isinstance(numbers, list) or not all(type(number) is int and number >= 0 for number in numbers):
            raise ValueError(f"{what} of {name!r} is no list of integers of at least 0")
    if len(offsets) != 2 or offsets[0] > offsets[1]:
        raise ValueError(f"data_offsets of {name!r} are no first byte and end")
    return _DTYPES[dtype], tuple(shape), (offsets[0], offsets[1])


def _values(file: BinaryIO, start: int, name: str, dtype: np.dtype, shape: tuple[int, ...], first: int) -> np.ndarray:
    """The values of one array, in memory of its own; NumPy refuses shapes of more axes or entries than it can hold."""
    size = math.prod(shape) * dtype.itemsize
    file.seek(start + first)
    values = np.fromfile(file, np.uint8, size)
    if values.size != size:
        raise ValueError(f"it ends within {name!r}")
    return values.view(dtype).reshape(shape)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"its header has {twice!r} twice")
    return found


def _no_constant(text: str) -> Any:
    raise ValueError(f"its header holds {text}")
