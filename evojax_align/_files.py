"""Reading of files that may be damaged or hostile: no pickles, and no more bytes than stated and allowed.

Used by the readers of data sets, checkpoints and results. The size that a header states is compared with the limit
before any value is read. A small file that expands to gigabytes is therefore refused at once.
"""

import errno
import io
import math
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from evojax_align import _checks

LIMIT = 4 * 2**30
RATIO, SMALL = 100, 64 * 2**20
_CHUNK = 2**20
_HEADER = 10_000  # bytes of a .npy header; NumPy's own limit
_DIRECTORY = 4 * 2**20  # bytes of the table of members of a zip archive: tens of thousands of arrays


class _Member(NamedTuple):
    """An array of an archive, as its header describes it; its values start at byte `start` of the member."""

    info: zipfile.ZipInfo
    shape: tuple[int, ...]
    dtype: np.dtype
    order: Literal["C", "F"]
    start: int

    @property
    def size(self) -> int:
        return math.prod(self.shape) * max(self.dtype.itemsize, 1)


class _Bounded(io.BufferedReader):
    """A file that raises an error if `zipfile` reads a table of members larger than `_DIRECTORY`."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > _DIRECTORY:
            raise ValueError(f"a table of members of {size} bytes, of which {_DIRECTORY} are allowed")
        return super().read(size)


def read_npz(path: Path, *, keys: Iterable[str] | None = None, limit: int | None = None) -> dict[str, np.ndarray]:
    """Read arrays from an .npz file as `np.load` does, within a limit and without pickles.

    Args:
        path: the file.
        keys: the arrays to read, all by default; other members of the archive are not opened.
        limit: the bytes that all of these arrays may take together; see `allowed` for the default. For a file that is
            never compressed, such as a checkpoint, pass its own size.

    Returns:
        The arrays by name, in the order of `keys`, or of the file without `keys`.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is damaged, is not an .npz file, lacks one of `keys`, contains anything but arrays of
            numbers or strings, or expands beyond the limit. The message names the file.
    """
    keys = None if keys is None else list(keys)
    expected = "a whole .npz file" if keys is None else f"a whole .npz file with the arrays {', '.join(keys)}"
    try:
        with _Bounded(io.FileIO(path)) as file, zipfile.ZipFile(file) as archive:
            infos = {info.filename: info for info in archive.infolist()}
            names = [name.removesuffix(".npy") for name in infos] if keys is None else keys
            absent = [name for name in names if f"{name}.npy" not in infos]
            if absent:
                fix = f"Store these arrays with np.savez_compressed({path.name!r}, {absent[0]}=..., ...)."
                raise _checks.bad(str(path), f"no {', '.join(absent)}", expected, fix)
            members = {name: _member(archive, infos[f"{name}.npy"]) for name in names}
            check_size(path, sum(member.size for member in members.values()), limit)
            return {name: _values(archive, member) for name, member in members.items()}
    except (_checks.BadInput, FileNotFoundError, MemoryError):
        raise
    except OSError as error:
        if error.errno not in (None, errno.EINVAL):  # an error of the machine: too many open files, a failing disk
            raise
        raise _checks.bad(str(path), unreadable(error), expected, "Copy or download the file again.") from error
    except zipfile.BadZipFile as error:
        came = unreadable(error) if "CRC" in str(error) else f"a file that is truncated or not an .npz file ({error})"
        raise _checks.bad(str(path), came, expected, "Copy or download the file again.") from error
    except Exception as error:  # a damaged archive makes zipfile, zlib and NumPy raise errors of any type
        fix = "Copy it again, or store arrays of numbers with np.savez."
        raise _checks.bad(str(path), unreadable(error), expected, fix) from error


def unreadable(error: Exception) -> str:
    """Description of a file that could not be read; long messages are cut, as NumPy's may repeat a whole header."""
    reason = str(error) or type(error).__name__
    return f"a file that cannot be read ({reason if len(reason) <= 200 else reason[:200] + '...'})"


def allowed(path: Path, limit: int | None) -> int:
    """The bytes that a file may expand to.

    That is `limit` if it is given. The default is 100 times the size of the file or 64 MiB, whichever is more, and at
    most 4 GiB. Images do not compress by more than that; files that were made to exhaust memory do.
    """
    return min(LIMIT, max(SMALL, RATIO * path.stat().st_size)) if limit is None else limit


def check_size(path: Path, size: int, limit: int | None) -> None:
    """Refuse a file that expands to `size` bytes if this is more than `allowed`."""
    if size > (most := allowed(path, limit)):
        came = f"a file of {path.stat().st_size} bytes that expands to {size}"
        raise _checks.bad(str(path), came, f"at most {most} bytes", f"If you trust it, pass limit={size}.")


def read_array(
    read: Callable[[int], bytes], shape: tuple[int, ...], dtype: np.dtype, order: Literal["C", "F"] = "C"
) -> np.ndarray:
    """Read the values of one array by the method `read` of a file; it is an error if the file has fewer or more.

    Memory is allocated as values are read, so that a file with a false header takes no more than its real size.
    """
    size = math.prod(shape) * dtype.itemsize
    values, done = np.empty(size, np.uint8), 0
    while done < size:
        chunk = read(min(_CHUNK, size - done))
        if not chunk:
            raise EOFError(f"it ends after {done} of the {size} bytes that its header promises")
        values[done : done + len(chunk)] = np.frombuffer(chunk, np.uint8)
        done += len(chunk)
    if read(1):
        raise ValueError(f"it is longer than the {size} bytes that its header promises")
    return np.ndarray(shape, dtype, values, order=order)


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> _Member:
    """The header of an array, checked against the size that the archive states."""
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{info.filename} is compressed in a way that NumPy does not use")
    with archive.open(info) as stored:
        # The whole header must be in these bytes: NumPy would read as many as the length in the header.
        head = io.BytesIO(stored.read(_HEADER))
    version = np.lib.format.read_magic(head)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"{info.filename} has the version {version} of the .npy format")
    parse = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    try:
        shape, is_fortran, dtype = parse(head, max_header_size=_HEADER)
    except MemoryError as error:  # raised by Python's parser for brackets that are nested too deep
        raise ValueError(f"the header of {info.filename} is nested too deep") from error
    if dtype.hasobject:
        raise ValueError(f"{info.filename} holds pickled objects")
    if min(shape, default=0) < 0:
        raise ValueError(f"{info.filename} has the shape {shape}")
    member = _Member(info, shape, dtype, "F" if is_fortran else "C", head.tell())
    if member.start + member.size != info.file_size:
        came = f"{member.size} bytes of values, of which the archive holds {info.file_size - member.start}"
        raise ValueError(f"the header of {info.filename} promises {came}")
    return member


def _values(archive: zipfile.ZipFile, member: _Member) -> np.ndarray:
    with archive.open(member.info) as stored:
        stored.read(member.start)
        return read_array(stored.read, member.shape, member.dtype, member.order)
