"""Readers of the three kinds of file in which image sets are passed on: npz, IDX and the binary form of CIFAR.

Each reader returns what it finds as it is stored. None of them opens pickles, which can run code.
"""

import gzip
import math
import zipfile
import zlib
from pathlib import Path

import numpy as np

from evojax_align import _checks
from evojax_align.data.dataset import Arrays, Source

_IDX_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_AGAIN = "Copy or download the file again."


def missing(argument: str, came: object, expected: str, mend: str) -> FileNotFoundError:
    """The error for a file that is not there, in the form of all errors."""
    return FileNotFoundError(str(_checks.bad(argument, came, expected, mend)))


def read_npz(path: Path) -> Source:
    """Read `x_train, y_train, x_test, y_test` from an .npz file."""
    keys = ("x_train", "y_train", "x_test", "y_test")
    expected = "a whole .npz file with the arrays " + ", ".join(keys)
    if not zipfile.is_zipfile(path):
        raise _checks.bad(str(path), "a file that is truncated or no .npz", expected, _AGAIN)
    try:
        with np.load(path, allow_pickle=False) as archive:
            absent = [key for key in keys if key not in archive.files]
            arrays = {key: archive[key] for key in keys if not absent}
    except (OSError, ValueError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        mend = "Copy it again, or store numeric arrays with np.savez."
        raise _checks.bad(str(path), f"a file that cannot be read ({error})", expected, mend) from error
    if absent:
        mend = f"Store them with np.savez_compressed({path.name!r}, x_train=..., ...)."
        raise _checks.bad(str(path), f"no {', '.join(absent)}", expected, mend)
    return Source((arrays["x_train"], arrays["y_train"]), (arrays["x_test"], arrays["y_test"]), str(path))


def read_idx_folder(folder: Path, *, prefix: str = "", test: str = "t10k") -> Source | None:
    """Read the four IDX files of MNIST and its kin, plain or gzipped; None if none of the four is there."""
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
    images, labels, test_images, test_labels = (read_idx(path) for path in found.values() if path)
    return Source((images, labels), (test_images, test_labels), str(folder))


def _idx_path(folder: Path, name: str) -> Path | None:
    # Both spellings are about: train-images-idx3-ubyte and train-images.idx3-ubyte.
    spellings = [s + end for s in (name, name.replace("-idx", ".idx")) for end in ("", ".gz")]
    return next((folder / s for s in spellings if (folder / s).is_file()), None)


def read_idx(path: Path) -> np.ndarray:
    """Read one IDX file: two zero bytes, the type, the number of axes, their lengths, the values."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            head = file.read(4)
            if len(head) < 4 or head[:2] != b"\0\0" or head[2] not in _IDX_TYPES:
                raise _checks.bad(str(path), f"the first bytes {head!r}", "an IDX file", _AGAIN)
            dtype, lengths = np.dtype(_IDX_TYPES[head[2]]), file.read(4 * head[3])
            shape = tuple(np.frombuffer(lengths[: len(lengths) // 4 * 4], dtype=">u4").tolist())
            values = file.read()
    except (OSError, EOFError, zlib.error) as error:
        raise _checks.bad(str(path), f"a file that cannot be read ({error})", "a whole IDX file", _AGAIN) from error
    size = math.prod(shape) * dtype.itemsize
    if len(shape) != head[3] or len(values) != size:
        came = "a longer file" if len(values) > size else f"a truncated file, {len(values)} bytes of values"
        raise _checks.bad(str(path), came, f"the {size} bytes that its head announces", _AGAIN)
    return np.frombuffer(values, dtype).reshape(shape).astype(dtype.newbyteorder("="), copy=False)


def read_cifar_folder(folder: Path) -> Source | None:
    """Read the binary files of CIFAR-10 or CIFAR-100 (its fine labels); None if none of them is there."""
    for names, test, label_bytes in (
        ([f"data_batch_{i}.bin" for i in range(1, 6)], "test_batch.bin", 1),
        (["train.bin"], "test.bin", 2),
    ):
        paths = [folder / name for name in (*names, test)]
        if not any(path.is_file() for path in paths):
            continue
        for path in paths:
            if not path.is_file():
                came, mend = f"no {path.name}", "Put the missing file there too."
                raise missing(str(folder), came, "all binary files of the set", mend)
        batches = [_read_cifar(path, label_bytes) for path in paths]
        x, y = (np.concatenate(arrays) for arrays in zip(*batches[:-1], strict=True))
        return Source((x, y), batches[-1], str(folder))
    return None


def _read_cifar(path: Path, label_bytes: int) -> Arrays:
    """Records of one label byte, or a coarse and a fine one, and 3072 bytes of an image, channels first."""
    record, size = label_bytes + 3 * 32 * 32, path.stat().st_size
    if size == 0 or size % record:
        expected = f"a multiple of {record}, the bytes of one image and its label"
        raise _checks.bad(str(path), f"a truncated file of {size} bytes", expected, _AGAIN)
    records = np.fromfile(path, dtype=np.uint8).reshape(-1, record)
    images = records[:, label_bytes:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return images, records[:, label_bytes - 1]
