"""A small set of images, and the writers of the files in which sets are passed on."""

import gzip
import struct

import numpy as np
import pytest

from evojax_align import data
from evojax_align.data import loading


@pytest.fixture(autouse=True)
def no_folder_in_the_environment(monkeypatch, tmp_path):
    monkeypatch.delenv("EVOJAX_ALIGN_DATA", raising=False)
    monkeypatch.setattr(loading, "FOLDER", str(tmp_path / "cache"))


@pytest.fixture
def small():
    """60 + 20 grey images of 6x5 in three classes, as an .npz file holds them; no two are equal."""
    rng = np.random.default_rng(0)
    return {
        "x_train": rng.integers(0, 256, (60, 6, 5), dtype=np.uint8),
        "y_train": np.arange(60) % 3,
        "x_test": rng.integers(0, 256, (20, 6, 5), dtype=np.uint8),
        "y_test": np.arange(20) % 3,
    }


@pytest.fixture
def load_changed(small, tmp_path):
    """Load the small set as it is after some of its arrays were replaced."""

    def load(**changes):
        np.savez(tmp_path / "some.npz", **(small | changes))
        return data.load("some", data_dir=tmp_path)

    return load


@pytest.fixture
def write_idx():
    """Write one array of bytes as an IDX file, gzipped if the path ends so."""

    def write(path, array):
        head = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
        content = head + array.astype(np.uint8).tobytes()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)

    return write


@pytest.fixture
def write_mnist(small, write_idx):
    """Write the small set as the four files of MNIST; `prefix` and `test` are as NIST names those of EMNIST."""

    def write(folder, *, prefix="", test="t10k", end="", **changes):
        arrays = small | changes
        for part, name in (("train", "train"), ("test", test)):
            write_idx(folder / f"{prefix}{name}-images-idx3-ubyte{end}", arrays[f"x_{part}"])
            write_idx(folder / f"{prefix}{name}-labels-idx1-ubyte{end}", arrays[f"y_{part}"])

    return write
