"""Downloads of the files of public sets: from several mirrors, checked by SHA-256, resumed after interruptions.

It uses Python's own `urllib`, so that the core installation needs no further package.
"""

import hashlib
import http.client
import shutil
import sys
import tarfile
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from evojax_align._version import VERSION
from evojax_align.data.formats import missing
from evojax_align.data.origins import ORIGINS, Origin, Remote

try:
    import fcntl
except ImportError:  # not a POSIX system: two processes that download one set at once corrupt each other's files
    fcntl = None

TIMEOUT = 20.0
"""Seconds without a response after which a server is abandoned."""
TRIES = 10
"""Most connections to one mirror for one file; a new one is made only if the previous one delivered some bytes."""
_CHUNK = 2**16


class Failed(Exception):
    """A mirror failed; the message gives the reason."""


def fetch(name: str, folder: Path) -> None:
    """Download a set of `ORIGINS` into `folder/NAME`, which exists only once all of its files are complete.

    If the download is interrupted, the received files stay in `folder/.NAME.partial`, and the next call resumes it.
    If another process downloads the same set, the call waits for it. Progress is written to standard error.

    Raises:
        FileNotFoundError: if no mirror delivers a file with the right checksum, or the folder cannot be written to;
            the message names the files to add and their folder.
    """
    origin, partial = ORIGINS[name], folder / f".{name}.partial"
    try:
        partial.mkdir(parents=True, exist_ok=True)
        with _locked(folder / f".{name}.lock"):
            if not all((folder / name / file).is_file() for file in origin.kept):
                partial.mkdir(exist_ok=True)  # another process may have finished and moved it
                for remote in origin.files:
                    _download(name, remote, origin.mirrors, partial)
                _unpack(origin, partial)
                _publish(partial, folder / name)
            elif partial.is_dir():
                shutil.rmtree(partial)
    except (Failed, OSError) as error:
        came = f"no download ({error})"
        expected = f"a network, or in the folder {folder / name} the files {', '.join(origin.kept)}"
        fix = (
            "Put them there, or pass as data_dir the folder that holds them; or install tensorflow-datasets (pip "
            "install 'evojax-align[data]' tensorflow) and pass source='tfds'."
        )
        raise missing(name, came, expected, fix) from error


def _download(name: str, remote: Remote, mirrors: tuple[str, ...], folder: Path) -> None:
    """Download one file into the folder and check it."""
    target, part = folder / remote.name, folder / f"{remote.name}.part"
    if target.is_file():
        return
    failures: dict[str, str] = {}  # the last failure of each mirror
    for mirror in mirrors:
        url = mirror + remote.name
        for _ in range(TRIES):
            start = _size(part)
            try:
                _receive(name, url, part, remote.size)
            except Failed as failed:
                failures[url] = str(failed)
                if _size(part) == start:
                    break
                continue
            if (found := _sha256(part)) == remote.sha256:
                part.replace(target)
                return
            part.unlink()
            failures[url] = f"it sent a file whose SHA-256 is {found}, not {remote.sha256}"
            if start == 0:
                break
    raise Failed("; ".join(f"{url}: {reason}" for url, reason in failures.items()))


def _receive(name: str, url: str, part: Path, size: int) -> None:
    """Append the missing bytes of a file of `size` bytes to `part`; stops if there are more."""
    start = _size(part)
    if start >= size:
        return
    headers = {"User-Agent": f"evojax-align/{VERSION}", "Accept-Encoding": "identity"}
    headers |= {"Range": f"bytes={start}-"} if start else {}
    with _opened(urllib.request.Request(url, headers=headers), part) as response:
        resumed = response.status == http.HTTPStatus.PARTIAL_CONTENT
        done = start if resumed else 0
        with part.open("ab" if resumed else "wb") as file, _progress(f"{name}: {url}", size) as show:
            while done <= size and (chunk := _read(response)):
                file.write(chunk)
                done += len(chunk)
                show(done)
    if done < size:
        raise Failed(f"it broke off after {done} of {size} bytes")


def _opened(request: urllib.request.Request, part: Path) -> http.client.HTTPResponse:
    try:
        return urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            part.unlink()  # the file on the server is shorter than the part: start again
        raise Failed(f"HTTP {error.code}, {error.reason}") from error
    except urllib.error.URLError as error:
        raise Failed(str(error.reason)) from error
    except (OSError, http.client.HTTPException) as error:
        raise Failed(f"{type(error).__name__} {error}".strip()) from error


def _read(response: http.client.HTTPResponse) -> bytes:
    try:
        return response.read(_CHUNK)
    except (OSError, http.client.HTTPException) as error:
        raise Failed(f"{type(error).__name__} {error}".strip()) from error


def _unpack(origin: Origin, folder: Path) -> None:
    """Replace an archive in the folder by the members that are kept; their paths become their names."""
    if not origin.members:
        return
    archive = folder / origin.files[0].name
    wanted = dict(zip(origin.members, origin.kept, strict=True))
    for path, source in _members(archive, tuple(wanted)):
        name = wanted.pop(path)
        with source, (folder / f"{name}.part").open("wb") as target:
            shutil.copyfileobj(source, target)
        (folder / f"{name}.part").replace(folder / name)
    if wanted:
        raise Failed(f"{archive} lacks {', '.join(wanted)}")
    archive.unlink()


def _members(archive: Path, wanted: tuple[str, ...]) -> Iterator[tuple[str, IO[bytes]]]:
    """The wanted files of an archive, in one pass over it."""
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive) as packed:
            yield from ((path, packed.open(path)) for path in packed.namelist() if path in wanted)
        return
    with tarfile.open(archive) as packed:
        for member in packed:
            if member.name in wanted and (source := packed.extractfile(member)) is not None:
                yield member.name, source


def _publish(partial: Path, target: Path) -> None:
    """Move the finished files to their final folder; other files of an existing folder are kept."""
    if target.is_dir():
        for path in partial.iterdir():
            path.replace(target / path.name)
        partial.rmdir()
    else:
        partial.rename(target)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("a") as file:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def _progress(what: str, size: int) -> Iterator:
    """A function of the number of bytes so far; it rewrites a line on a terminal, and otherwise writes one line."""
    on_terminal = sys.stderr is not None and sys.stderr.isatty()
    last = 0.0

    def write(text: str) -> None:
        if sys.stderr is not None:
            sys.stderr.write(text)
            sys.stderr.flush()

    def show(done: int) -> None:
        nonlocal last
        if on_terminal and (done >= size or time.monotonic() - last > 0.2):
            last = time.monotonic()
            write(f"\r{what}: {done / 1e6:.1f} of {size / 1e6:.1f} MB")

    if not on_terminal:
        write(f"{what}: {size / 1e6:.1f} MB\n")
    yield show
    if on_terminal:
        write("\n")


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
