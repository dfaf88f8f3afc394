"""Downloads of public sets, from servers of this machine: good, corrupted, dead, interrupted, and none at all."""

import functools
import gzip
import hashlib
import importlib.util
import io
import socket
import struct
import tarfile
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from evojax_align import data
from evojax_align.data import download
from evojax_align.data.catalog import KNOWN
from evojax_align.data.origins import ORIGINS, Origin, Remote

HALF = 0.5


class Handler(BaseHTTPRequestHandler):
    """Serves `server.files`; the folder of a path says how, and `server.asked` keeps what was asked for."""

    def do_GET(self):
        _, folder, name = self.path.split("/")
        content, start = self.server.files[name], 0
        self.server.asked.append((folder, name, self.headers["Range"]))
        if folder == "absent":
            return self.send_error(404, "there is none")
        if folder == "other":
            content = content[:-4] + b"else"
        if folder == "shorter":
            content = content[:-40]
        if self.headers["Range"] and folder != "ignorant":
            start = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-"))
            if start >= len(content):
                return self.send_error(416)
        stop = len(content)
        if folder == "breaking":  # each connection brings a third, and breaks
            stop = min(len(content), start + len(content) // 3 + 1)
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        self.wfile.write(content[start:stop])

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.files, server.asked = {}, []
        server.address = f"http://127.0.0.1:{server.server_address[1]}/"
        thread = threading.Thread(target=functools.partial(server.serve_forever, poll_interval=0.01))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def offer(server, monkeypatch):
    """Make the files of the server those of a set, at some mirrors: folders of the server, or whole addresses."""

    def make(name, files, *mirrors, members=()):
        server.files |= files
        remotes = [Remote(file, len(content), hashlib.sha256(content).hexdigest()) for file, content in files.items()]
        places = [m if "/" in m else f"{server.address}{m}/" for m in mirrors]
        monkeypatch.setitem(ORIGINS, name, Origin(tuple(places), tuple(remotes), members))

    return make


def idx(array):
    head = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return gzip.compress(head + array.astype(np.uint8).tobytes(), mtime=0)


@pytest.fixture
def mnist(small):
    return {
        f"{place}-{kind}-ubyte.gz": idx(small[f"{axis}_{part}"])
        for part, place in (("train", "train"), ("test", "t10k"))
        for axis, kind in (("x", "images-idx3"), ("y", "labels-idx1"))
    }


IMAGES = "train-images-idx3-ubyte.gz"


def kept(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


def closed():
    """An address of this machine where nothing listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{held.getsockname()[1]}/"


def test_a_set_is_downloaded_once_and_found_again(small, mnist, offer, server, cache, capfd):
    offer("mnist", mnist, "good")
    loaded = data.load("mnist")
    np.testing.assert_allclose(loaded.test.x * 255, small["x_test"], rtol=1e-6)
    assert kept(cache) == [".mnist.lock", *(f"mnist/{file}" for file in sorted(mnist))]
    asked = [("good", file, None) for file in mnist]
    assert server.asked == asked
    assert f"mnist: {server.address}good/{IMAGES}: 0.0 MB\n" in capfd.readouterr().err
    np.testing.assert_array_equal(data.load("mnist").train.x, loaded.train.x)
    assert server.asked == asked


def test_the_folder_of_the_environment_takes_the_downloads(mnist, offer, tmp_path, monkeypatch):
    offer("mnist", mnist, "good")
    monkeypatch.setenv("EVOJAX_ALIGN_DATA", str(tmp_path / "mine"))
    data.load("mnist")
    assert (tmp_path / "mine" / "mnist" / IMAGES).is_file() and not (tmp_path / "cache").exists()


def test_with_a_folder_given_nothing_is_downloaded(mnist, offer, server, tmp_path):
    offer("mnist", mnist, "good")
    with pytest.raises(FileNotFoundError, match="data_dir"):
        data.load("mnist", data_dir=tmp_path)
    assert server.asked == []


@pytest.mark.parametrize("first", ["dead", "absent", "other", "shorter"])
def test_a_mirror_that_fails_is_followed_by_the_next(small, mnist, offer, first):
    offer("mnist", mnist, closed() if first == "dead" else first, "good")
    np.testing.assert_array_equal(data.load("mnist").test.y, small["y_test"])


def test_a_corrupted_file_is_refused_with_both_sums_and_nothing_is_left_of_it(mnist, offer, server, cache):
    offer("mnist", mnist, "other")
    right = hashlib.sha256(mnist[IMAGES]).hexdigest()
    with pytest.raises(FileNotFoundError, match=rf"other/{IMAGES}: it sent a file whose SHA-256 is \w+, not {right}"):
        data.load("mnist")
    assert kept(cache) == [".mnist.lock"] and len(server.asked) == 1


@pytest.mark.parametrize("resumes", [True, False])
def test_a_download_that_broke_off_goes_on_where_it_stopped(small, mnist, offer, server, cache, resumes):
    half = mnist[IMAGES][: int(len(mnist[IMAGES]) * HALF)]
    (cache / ".mnist.partial").mkdir(parents=True)
    (cache / ".mnist.partial" / f"{IMAGES}.part").write_bytes(half)
    offer("mnist", mnist, "good" if resumes else "ignorant")
    np.testing.assert_array_equal(data.load("mnist").test.y, small["y_test"])
    assert server.asked[0][1:] == (IMAGES, f"bytes={len(half)}-")
    assert not (cache / ".mnist.partial").exists()


def test_a_connection_that_breaks_again_and_again_is_taken_up_as_long_as_bytes_come(small, mnist, offer, server):
    offer("mnist", mnist, "breaking")
    np.testing.assert_array_equal(data.load("mnist").test.y, small["y_test"])
    assert next(span for _, name, span in server.asked if name == IMAGES) is None
    assert sum(name == IMAGES for _, name, _ in server.asked) == 3


def test_a_beginning_that_belongs_to_another_file_is_dropped_and_the_file_read_anew(small, mnist, offer, server, cache):
    (cache / ".mnist.partial").mkdir(parents=True)
    (cache / ".mnist.partial" / f"{IMAGES}.part").write_bytes(b"<html>log in to this network</html>")
    offer("mnist", mnist, "good")
    np.testing.assert_array_equal(data.load("mnist").test.y, small["y_test"])
    assert [span for _, name, span in server.asked if name == IMAGES] == ["bytes=35-", None]


def test_without_a_network_the_error_names_folder_files_and_ways_out(offer, mnist, cache):
    offer("mnist", mnist, closed(), closed())
    with pytest.raises(FileNotFoundError) as caught:
        data.load("mnist")
    message = str(caught.value)
    assert message.startswith("mnist: got no download (http://127.0.0.1:") and message.count("refused") == 2
    assert f"in the folder {cache / 'mnist'} the files {', '.join(mnist)}" in message
    assert "data_dir" in message and "evojax-align[data]" in message and "source='tfds'" in message
    assert not (cache / "mnist").exists()


def test_a_folder_that_cannot_be_made_is_named(offer, mnist, cache):
    cache.write_text("a file")
    offer("mnist", mnist, "good")
    with pytest.raises(FileNotFoundError, match=rf"no download \(.*{cache}.*expected .*the folder {cache}"):
        data.load("mnist")


def test_a_folder_that_is_there_keeps_what_else_it_holds(mnist, offer, cache):
    (cache / "mnist").mkdir(parents=True)
    (cache / "mnist" / "notes.txt").write_text("mine")
    offer("mnist", mnist, "good")
    data.load("mnist")
    assert (cache / "mnist" / "notes.txt").read_text() == "mine" and (cache / "mnist" / IMAGES).is_file()


def test_two_that_download_at_once_ask_for_each_file_once(mnist, offer, server, cache):
    offer("mnist", mnist, "good")
    threads = [threading.Thread(target=download.fetch, args=("mnist", cache)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(server.asked) == 4 and kept(cache) == [".mnist.lock", *(f"mnist/{file}" for file in sorted(mnist))]


def tar(files):
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as packed:
        for name, one in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(one)
            packed.addfile(member, io.BytesIO(one))
    return content.getvalue()


def test_of_an_archive_only_the_files_of_the_set_are_kept(offer, cache):
    members = ORIGINS["cifar10"].members
    files = {name: bytes([i]) + bytes(3072) for i, name in enumerate(members)}
    archive = tar(files | {"../escaped.bin": b"no", "cifar-10-batches-bin/readme.html": b"no"})
    offer("cifar10", {"cifar-10-binary.tar.gz": archive}, "good", members=members)
    loaded = data.load("cifar10", validation=0)
    assert sorted(loaded.train.y.tolist()) == [0, 1, 2, 3, 4] and loaded.test.y.tolist() == [5]
    assert kept(cache.parent) == ["cache/.cifar10.lock", *sorted(f"cache/cifar10/{m.split('/')[1]}" for m in members)]


def test_the_tasks_of_ten_letters_are_cut_from_one_download(small, offer, server):
    labels = {"train": 1 + np.arange(60) % 26, "test": 1 + np.arange(20)}
    members = ORIGINS["emnist_letters"].members
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as packed:
        for member in members:
            part = "train" if "train" in member else "test"
            packed.writestr(member, idx(small[f"x_{part}"] if "images" in member else labels[part]))
    offer("emnist_letters", {"gzip.zip": content.getvalue()}, "good", members=members)
    first, second = data.load("emnist_10letters"), data.load("emnist_another10")
    np.testing.assert_array_equal(first.test.y, np.arange(10))
    assert second.class_names[0] == "k" and len(server.asked) == 1


def test_an_archive_without_a_file_of_the_set_is_an_error(offer):
    offer("cifar100", {"cifar-100-binary.tar.gz": tar({"x": b""})}, "good", members=("cifar-100-binary/train.bin",))
    with pytest.raises(FileNotFoundError, match=r"cifar-100-binary\.tar\.gz lacks cifar-100-binary/train\.bin"):
        data.load("cifar100")


def test_the_progress_is_rewritten_on_a_terminal(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    with download._progress("mnist", 2_000_000) as show:
        show(1_000_000)
        show(2_000_000)
    assert terminal.getvalue() == "\rmnist: 1.0 of 2.0 MB\rmnist: 2.0 of 2.0 MB\n"


def test_every_public_set_has_files_with_a_sum_and_two_addresses():
    public = {name for name, entry in KNOWN.items() if entry.tfds is not None}
    assert ORIGINS.keys() == public - {"emnist_10letters", "emnist_another10"}
    for origin in ORIGINS.values():
        assert len(origin.mirrors) >= 2 and all(mirror.endswith("/") for mirror in origin.mirrors)
        assert all(len(bytes.fromhex(file.sha256)) == 32 and file.size > 0 for file in origin.files)


@pytest.mark.parametrize("name", ORIGINS)
def test_sizes_and_sums_are_those_that_tensorflow_datasets_stores(name):
    spec = importlib.util.find_spec("tensorflow_datasets")
    if spec is None:
        pytest.skip("tensorflow-datasets (extra `data`) is not installed")
    (folder,) = spec.submodule_search_locations
    stored = Path(folder, "url_checksums", f"{KNOWN[name].tfds.partition('/')[0]}.txt").read_text()
    rows = [line.split("\t") for line in stored.splitlines()]
    assert {(row[3], int(row[1]), row[2]) for row in rows} == {(f.name, f.size, f.sha256) for f in ORIGINS[name].files}
