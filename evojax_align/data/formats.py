"""Readers of the three file formats of image sets: npz, IDX and the binary form of CIFAR.

Each reader returns the arrays as they are stored. None of them opens pickles, which can run code. None reads more of a
file than its header states, or expands it beyond a limit (`_files.allowed`).
"""

import gzip
import io
import math
import struct
from pathlib import Path

import numpy as np

from evojax_align import _checks, _files
from evojax_align.data.dataset import Arrays, Source

_IDX_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_IDX_AXES = 4  # [n, height, width, channels]
_CIFAR_IMAGE = 3 * 32 * 32
_AGAIN = "Copy or download the file again."


def missing(argument: str, came: object, expected: str, fix: str) -> FileNotFoundError:
    """The error for a file that does not exist, in the form of all errors."""
    return FileNotFoundError(str(_checks.bad(argument, came, expected, fix)))


def read_npz(path: Path, limit: int | None = None) -> Source:
    """Read `x_train, y_train, x_test, y_test` from an .npz file."""
    arrays = _files.read_npz(path, keys=("x_train", "y_train", "x_test", "y_test"), limit=limit)
    return Source((arrays["x_train"], arrays["y_train"]), (arrays["x_test"], arrays["y_test"]), str(path))


def read_idx_folder(folder: Path, *, prefix: str = "", test: str = "t10k", limit: int | None = None) -> Source | None:
    """Read the four IDX files of MNIST and similar sets, plain or gzipped; None if none of them exists."""
    found = {
        (part, kind): _idx_path(folder, f"{prefix}{part}-{kind}")
        for part in ("train", test)
        for kind in ("images-idx3-ubyte", "labels-idx1-ubyte")
    }
    if not any(found.values()):
        return None
    for (part, kind), path in found.items():
        if path is None:
            came = f"no {prefix}{part}-{kind}, plain or .gz"
            raise missing(str(folder), came, "all four IDX files of a set", "Put the missing file there too.")
    images, labels, test_images, test_labels = (read_idx(path, limit) for path in found.values() if path)
    return Source((images, labels), (test_images, test_labels), str(folder))


def _idx_path(folder: Path, name: str) -> Path | None:
    # Both spellings are in use: train-images-idx3-ubyte and train-images.idx3-ubyte.
    spellings = [s + end for s in (name, name.replace("-idx", ".idx")) for end in ("", ".gz")]
    return next((folder / s for s in spellings if (folder / s).is_file()), None)


def read_idx(path: Path, limit: int | None = None) -> np.ndarray:
    """Read one IDX file: two zero bytes, the type, the number of axes, their lengths, the values."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            shape, dtype = _idx_header(path, file)
            _files.check_size(path, math.prod(shape) * dtype.itemsize, limit)
            return _files.read_array(file.read, shape, dtype).astype(dtype.newbyteorder("="), copy=False)
    except _checks.BadInput:
        raise
    except Exception as error:  # of damaged files, gzip, zlib and NumPy raise errors of many types
        raise _checks.bad(str(path), _files.unreadable(error), "a whole IDX file", _AGAIN) from error


def _idx_header(path: Path, file: io.BufferedIOBase) -> tuple[tuple[int, ...], np.dtype]:
    head = file.read(4)
    if len(head) < 4 or head[:2] != b"\0\0" or head[2] not in _IDX_TYPES:
        raise _checks.bad(str(path), f"the first bytes {head!r}", "an IDX file", _AGAIN)
    axes = head[3]
    if not 1 <= axes <= _IDX_AXES:
        raise _checks.bad(str(path), f"{axes} axes", f"an IDX file of 1 to {_IDX_AXES} axes", _AGAIN)
    lengths = file.read(4 * axes)
    if len(lengths) < 4 * axes:
        raise EOFError("it ends inside its header")
    return struct.unpack(f">{axes}I", lengths), np.dtype(_IDX_TYPES[head[2]])


def read_cifar_folder(folder: Path, limit: int | None = None) -> Source | None:
    """Read the binary files of CIFAR-10 or CIFAR-100 (with its fine labels); None if none of them exists."""
    for names, test, label_bytes in (
        ([f"data_batch_{i}.bin" for i in range(1, 6)], "test_batch.bin", 1),
        (["train.bin"], "test.bin", 2),
    ):
        paths = [folder / name for name in (*names, test)]
        if not any(path.is_file() for path in paths):
            continue
        for path in paths:
            if not path.is_file():
                came, fix = f"no {path.name}", "Put the missing file there too."
                raise missing(str(folder), came, "all binary files of the set", fix)
        counts = [_count_cifar(path, label_bytes, limit) for path in paths]
        batches = [_read_cifar(path, label_bytes, count) for path, count in zip(paths, counts, strict=True)]
        x, y = (np.concatenate(arrays) for arrays in zip(*batches[:-1], strict=True))
        return Source((x, y), batches[-1], str(folder))
    return None


def _count_cifar(path: Path, label_bytes: int, limit: int | None) -> int:
    """The number of records of a file: one label byte, or a coarse and a fine one, and 3072 bytes of an image."""
    record, size = label_bytes + _CIFAR_IMAGE, path.stat().st_size
    if size == 0 or size % record:
        expected = f"a multiple of {record}, the bytes of one image and its label"
        raise _checks.bad(str(path), f"a truncated file of {size} bytes", expected, _AGAIN)
    _files.check_size(path, size, limit)
    return size // record


def _read_cifar(path: Path, label_bytes: int, count: int) -> Arrays:
    try:
        with path.open("rb") as file:
            records = _files.read_array(file.read, (count, label_bytes + _CIFAR_IMAGE), np.dtype(np.uint8))
    except Exception as error:  # the file changed, is not readable, or does not fit into memory
        raise _checks.bad(str(path), _files.unreadable(error), "a whole file of CIFAR", _AGAIN) from error
    images = records[:, label_bytes:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)  # channels come first in the file
    return images, records[:, label_bytes - 1]
