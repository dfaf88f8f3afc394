import gzip
import pickle
import struct

import numpy as np
import pytest

from evojax_align import data
from evojax_align.data.formats import read_cifar_folder, read_idx


def cut(path, fraction=0.5):
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * fraction)])


def write_cifar10(folder, count=3):
    """Six files of records whose image is constant per channel: the number of the file, the record, the label."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"]
    for number, name in enumerate(names):
        records = [bytes([i % 10]) + bytes([number] * 1024 + [i] * 1024 + [i % 10] * 1024) for i in range(count)]
        (folder / name).write_bytes(b"".join(records))


def write_cifar100(folder, count=12):
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(("train.bin", "test.bin")):
        records = [bytes([7, i % 100]) + bytes([number] * 1024 + [i] * 2048) for i in range(count)]
        (folder / name).write_bytes(b"".join(records))


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_an_npz_file_is_read(small, tmp_path, save):
    save(tmp_path / "some.npz", **small)
    loaded = data.load("some", data_dir=tmp_path)
    np.testing.assert_allclose(loaded.test.x * 255, small["x_test"], rtol=1e-6)
    np.testing.assert_array_equal(loaded.test.y, small["y_test"])


@pytest.mark.parametrize("fraction", [0, 0.1, 0.5, 0.99])
def test_a_truncated_npz_file_is_refused_with_its_path(small, tmp_path, fraction):
    np.savez(tmp_path / "some.npz", **small)
    cut(tmp_path / "some.npz", fraction)
    with pytest.raises(ValueError, match=r"some\.npz: got a file that is truncated or not an \.npz"):
        data.load("some", data_dir=tmp_path)


def test_an_npz_file_with_damaged_values_is_refused_with_its_path(small, tmp_path):
    path = tmp_path / "some.npz"
    np.savez(path, **small)
    content = bytearray(path.read_bytes())
    content[500:510] = bytes(255 - byte for byte in content[500:510])
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"some\.npz: got a file that cannot be read \(Bad CRC"):
        data.load("some", data_dir=tmp_path)


def test_an_npz_file_without_test_images_is_refused(small, tmp_path):
    np.savez(tmp_path / "some.npz", x_train=small["x_train"], y_train=small["y_train"], y_test=small["y_test"])
    with pytest.raises(ValueError, match=r"some\.npz: got no x_test; expected .*y_test"):
        data.load("some", data_dir=tmp_path)


def test_pickled_arrays_in_an_npz_file_are_refused_unopened(small, tmp_path, monkeypatch):
    opened = []
    monkeypatch.setattr(pickle, "load", lambda *_, **__: opened.append(1))
    np.savez(tmp_path / "some.npz", **(small | {"y_test": np.array([{}] * 20, dtype=object)}))
    with pytest.raises(ValueError, match=r"some\.npz: got a file that cannot be read"):
        data.load("some", data_dir=tmp_path)
    assert not opened


def test_a_pickle_with_the_name_of_an_npz_file_is_refused_unopened(tmp_path, monkeypatch):
    opened = []
    monkeypatch.setattr(pickle, "load", lambda *_, **__: opened.append(1))
    (tmp_path / "some.npz").write_bytes(pickle.dumps({"x_train": 1}))
    with pytest.raises(ValueError, match="truncated or no"):
        data.load("some", data_dir=tmp_path)
    assert not opened


@pytest.mark.parametrize("end", ["", ".gz"])
def test_idx_files_are_read_plain_and_gzipped(small, tmp_path, write_mnist, end):
    write_mnist(tmp_path / "some", end=end)
    loaded = data.load("some", data_dir=tmp_path)
    np.testing.assert_allclose(loaded.test.x * 255, small["x_test"], rtol=1e-6)
    np.testing.assert_array_equal(loaded.test.y, small["y_test"])


def test_the_spelling_of_idx_files_with_a_dot_is_read_too(tmp_path, write_mnist):
    write_mnist(tmp_path / "some")
    for path in (tmp_path / "some").iterdir():
        path.rename(path.with_name(path.name.replace("-idx", ".idx")))
    assert data.load("some", data_dir=tmp_path).image_shape == (6, 5)


@pytest.mark.parametrize(("code", "dtype"), [(0x09, ">i1"), (0x0B, ">i2"), (0x0C, ">i4"), (0x0D, ">f4"), (0x0E, ">f8")])
def test_every_type_of_idx_value_is_read(tmp_path, code, dtype):
    values = np.arange(6).reshape(2, 3).astype(dtype)
    (tmp_path / "file").write_bytes(bytes([0, 0, code, 2]) + struct.pack(">2I", 2, 3) + values.tobytes())
    result = read_idx(tmp_path / "file")
    np.testing.assert_array_equal(result, np.arange(6).reshape(2, 3))
    assert result.dtype.isnative and result.dtype == values.dtype.newbyteorder("=")


@pytest.mark.parametrize("end", ["", ".gz"])
@pytest.mark.parametrize("fraction", [0, 0.001, 0.5, 0.999])
def test_a_truncated_idx_file_is_refused_with_its_path(tmp_path, write_mnist, end, fraction):
    write_mnist(tmp_path / "some", end=end)
    path = tmp_path / "some" / f"train-images-idx3-ubyte{end}"
    cut(path, fraction)
    with pytest.raises(ValueError, match="expected") as caught:
        data.load("some", data_dir=tmp_path)
    assert str(path) in str(caught.value)


def test_an_idx_file_that_is_too_long_is_refused(tmp_path, write_mnist):
    write_mnist(tmp_path / "some")
    path = tmp_path / "some" / "t10k-labels-idx1-ubyte"
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(
        ValueError, match=r"t10k-labels-idx1-ubyte: got .*it is longer than the 20 bytes that its header promises"
    ):
        data.load("some", data_dir=tmp_path)


def test_a_gzipped_page_in_place_of_an_idx_file_is_refused(tmp_path, write_mnist):
    write_mnist(tmp_path / "some", end=".gz")
    (tmp_path / "some" / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(b"<html>404</html>"))
    with pytest.raises(ValueError, match=r"train-labels-idx1-ubyte\.gz: got the first bytes b'<htm'; expected an IDX"):
        data.load("some", data_dir=tmp_path)


def test_one_missing_idx_file_is_named(tmp_path, write_mnist):
    write_mnist(tmp_path / "some", end=".gz")
    (tmp_path / "some" / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(FileNotFoundError, match=r"some: got no t10k-labels-idx1-ubyte, plain or \.gz"):
        data.load("some", data_dir=tmp_path)


def test_the_binary_files_of_cifar10_are_read_with_channels_last(tmp_path):
    write_cifar10(tmp_path)
    x, y = read_cifar_folder(tmp_path).train
    assert x.shape == (15, 32, 32, 3) and x.dtype == np.uint8
    np.testing.assert_array_equal(x[:, 5, 7], [[file, i, i] for file in range(5) for i in range(3)])
    np.testing.assert_array_equal(y, [0, 1, 2] * 5)
    x, y = read_cifar_folder(tmp_path).test
    np.testing.assert_array_equal(x[:, 0, 0], [[5, i, i] for i in range(3)])


def test_the_binary_files_of_cifar100_are_read_with_their_fine_labels(tmp_path):
    write_cifar100(tmp_path / "cifar-100-binary")
    loaded = data.load("cifar100", data_dir=tmp_path)
    np.testing.assert_array_equal(loaded.test.y, np.arange(12))
    np.testing.assert_allclose(loaded.test.x[:, 31, 31, 2] * 255, np.arange(12), rtol=1e-6)
    assert loaded.class_names[:2] == ("apple", "aquarium_fish") and loaded.num_classes == 100


@pytest.mark.parametrize("keep", [0, 3072, 3 * 3073 - 1])
def test_a_truncated_binary_file_of_cifar_is_refused_with_its_path(tmp_path, keep):
    write_cifar10(tmp_path)
    path = tmp_path / "data_batch_4.bin"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match=rf"data_batch_4\.bin: got a truncated file of {keep} bytes"):
        data.load("cifar10", data_dir=tmp_path)


def test_one_missing_binary_file_of_cifar_is_named(tmp_path):
    write_cifar10(tmp_path / "cifar10")
    (tmp_path / "cifar10" / "data_batch_3.bin").unlink()
    with pytest.raises(FileNotFoundError, match=r"cifar10: got no data_batch_3\.bin"):
        data.load("cifar10", data_dir=tmp_path)
