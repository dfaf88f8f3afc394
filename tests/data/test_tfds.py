"""The path through tensorflow-datasets: with stand-ins for what needs a network, and for real in the slow lane."""

import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from evojax_align import data
from evojax_align.data import tfds


class Builder:
    """Stands in for a builder of tensorflow-datasets over the small set, with the letters' labels and channel."""

    url_infos = ()

    def __init__(self, small, prepared=True, failure=None):
        self.small, self.prepared, self.failure, self.file_format = small, prepared, failure, None

    def is_prepared(self):
        return self.prepared

    def download_and_prepare(self, *, file_format):
        if self.failure is not None:
            raise self.failure
        self.prepared, self.file_format = True, file_format

    def as_data_source(self, *, split):
        if not self.prepared:
            raise AssertionError("read before it was prepared")
        images, labels = self.small[f"x_{split}"], self.small[f"y_{split}"]
        return [{"image": image[..., None], "label": 1 + label} for image, label in zip(images, labels, strict=True)]


class Devices:
    """Stands in for TensorFlow and notes which devices were hidden from it."""

    def __init__(self, failure=None):
        self.hidden, self.config = [], SimpleNamespace(set_visible_devices=self.hide)
        self.failure = failure

    def hide(self, devices, kind):
        if self.failure is not None:
            raise self.failure
        self.hidden.append((devices, kind))


@pytest.fixture
def stand_in(monkeypatch):
    """Put a builder, and TensorFlow or None, in the place of the installed packages."""

    def install(builder, tensorflow=None):
        asked = []
        module = SimpleNamespace(builder=lambda name: asked.append(name) or builder)
        monkeypatch.setitem(sys.modules, "tensorflow_datasets", module)
        monkeypatch.setitem(sys.modules, "tensorflow", tensorflow)
        monkeypatch.setitem(sys.modules, "requests", SimpleNamespace(head=head))
        return asked

    def head(url, timeout):
        raise ConnectionError(f"no way to {url}")

    return install


def test_a_prepared_set_is_read_without_tensorflow(small, stand_in):
    asked = stand_in(Builder(small), tensorflow=None)
    loaded = data.load("mnist", source="tfds")
    assert asked == ["mnist"]
    np.testing.assert_allclose(loaded.test.x * 255, small["x_test"], rtol=1e-6)
    np.testing.assert_array_equal(loaded.test.y, small["y_test"] + 1)


def test_a_set_is_prepared_as_array_records_with_tensorflow_kept_off_the_accelerators(small, stand_in):
    tensorflow, builder = Devices(), Builder(small, prepared=False)
    stand_in(builder, tensorflow)
    data.load("mnist", source="tfds")
    assert builder.file_format == "array_record"
    assert tensorflow.hidden == [([], "GPU"), ([], "TPU")]


def test_a_tensorflow_that_the_caller_runs_already_keeps_its_devices(small, stand_in):
    tensorflow = Devices(RuntimeError("Visible devices cannot be modified after being initialized"))
    stand_in(Builder(small, prepared=False), tensorflow)
    assert data.load("mnist", source="tfds").num_classes == 10


@pytest.mark.parametrize(("name", "first"), [("emnist_letters", 0), ("emnist_10letters", 0), ("emnist_another10", 10)])
def test_letters_come_upright_and_counted_from_zero(small, stand_in, name, first):
    asked = stand_in(Builder(small | {"y_train": np.arange(60) % 26, "y_test": np.arange(20)}))
    letters = data.load(name, source="tfds")
    count = 20 if name == "emnist_letters" else 10
    assert asked == ["emnist/letters"]
    np.testing.assert_array_equal(letters.test.y, np.arange(count))
    upright = small["x_test"][first : first + count].swapaxes(1, 2)
    np.testing.assert_allclose(letters.test.x * 255, upright, rtol=1e-6)


@pytest.mark.parametrize("urls", [(), ("http://one/file", "http://two/file")])
def test_a_download_without_a_network_says_where_to_put_which_file(small, stand_in, urls):
    builder = Builder(small, prepared=False, failure=TimeoutError("no answer"))
    builder.url_infos = urls
    stand_in(builder, Devices())
    with pytest.raises(FileNotFoundError) as caught:
        data.load("cifar10", source="tfds")
    message = str(caught.value)
    assert ("ConnectionError: no way to http://one/file" if urls else "TimeoutError: no answer") in message
    assert "cifar10.npz (x_train, y_train, x_test, y_test)" in message and "cifar-10-batches-bin" in message
    assert "data_dir" in message and "EVOJAX_ALIGN_DATA" in message


def test_tensorflow_datasets_is_not_asked_unless_it_is_named(small, stand_in, tmp_path, write_mnist):
    asked = stand_in(Builder(small))
    write_mnist(tmp_path / "cache" / "mnist")
    assert data.load("mnist").image_shape == (6, 5) and asked == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "mnist", "source": "tfd"}, r"source: got 'tfd'; expected one of 'download', 'tfds'"),
        ({"name": "digits", "source": "tfds"}, r"name: got 'digits'; expected one of 'mnist'"),
        ({"name": "mnist", "source": "tfds", "data_dir": "here"}, r"source, data_dir: got 'tfds' and 'here'"),
        ({"name": "mnist", "source": "tfds", "per_class": 3}, r"per_class: got 3"),
    ],
)
def test_a_source_that_does_not_fit_is_refused(small, stand_in, unchecked, arguments, message):
    stand_in(Builder(small))
    with pytest.raises(ValueError, match=message):
        data.load(**arguments)


def test_a_missing_tensorflow_says_what_to_install(small, stand_in):
    stand_in(Builder(small, prepared=False), tensorflow=None)
    with pytest.raises(ModuleNotFoundError, match=r"tensorflow.*pip install 'evojax-align\[data\]' tensorflow"):
        data.load("mnist", source="tfds")


def test_a_missing_part_of_tensorflow_datasets_says_what_to_install(small, stand_in):
    stand_in(Builder(small, prepared=False, failure=ImportError("PIL is not installed")), Devices())
    with pytest.raises(ModuleNotFoundError, match=r"PIL is not installed.*pip install 'evojax-align\[data\]'"):
        data.load("mnist", source="tfds")


def test_a_missing_tensorflow_datasets_says_what_to_install_or_where_to_put_a_file(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'evojax-align\[data\]'.*data_dir.*mnist\.npz"):
        data.load("mnist", source="tfds")


@pytest.fixture
def tiny_mnist(small, tmp_path, monkeypatch):
    """The class of a builder that is called `mnist` and has its features, but makes 60 + 20 images of its own."""
    package = pytest.importorskip("tensorflow_datasets", reason="tensorflow-datasets (extra `data`) is not installed")
    pytest.importorskip("tensorflow", reason="TensorFlow, which prepares a set, is not installed")
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    monkeypatch.setattr(package.core.constants, "DATA_DIR", str(tmp_path))  # the variable is read at the first import
    package.disable_progress_bar()
    version = package.builder_cls("mnist").VERSION

    with package.core.registered.skip_registration():

        class Mnist(package.core.GeneratorBasedBuilder):
            name = "mnist"
            __module__ = "mnist"  # no package that it would look for its checksums in
            VERSION = version

            def _info(self):
                features = {
                    "image": package.features.Image(shape=(28, 28, 1)),
                    "label": package.features.ClassLabel(num_classes=10),
                }
                return package.core.DatasetInfo(builder=self, features=package.features.FeaturesDict(features))

            def _split_generators(self, dl_manager):
                return {split: self._generate_examples(split) for split in ("train", "test")}

            def _generate_examples(self, split):
                for i, image in enumerate(large(small[f"x_{split}"])):
                    yield i, {"image": image[..., None], "label": i % 10}

    return Mnist


def large(images):
    """The small images in a corner of 28x28."""
    return np.pad(images, ((0, 0), (0, 22), (0, 23)))


READ_WITHOUT_TENSORFLOW = """
import sys
from evojax_align import data
loaded = data.load("mnist", source="tfds")
assert "tensorflow" not in sys.modules
print(len(loaded.train.y), len(loaded.test.y), loaded.image_shape)
"""


@pytest.mark.slow
def test_a_set_that_tensorflow_datasets_prepared_is_loaded(small, tiny_mnist, tmp_path):
    tfds.prepare("mnist", tiny_mnist(data_dir=tmp_path))
    assert list(tmp_path.glob("mnist/*/*.array_record*"))
    loaded = data.load("mnist", source="tfds")
    assert [len(part.y) for part in (loaded.train, loaded.validation, loaded.test)] == [50, 10, 20]
    by_image = {image.tobytes(): i % 10 for i, image in enumerate(large(small["x_test"]))}
    images = np.rint(loaded.test.x * 255).astype(np.uint8)
    assert [by_image.pop(image.tobytes()) for image in images] == loaded.test.y.tolist()
    there = subprocess.run([sys.executable, "-c", READ_WITHOUT_TENSORFLOW], capture_output=True, text=True)
    assert there.stdout.strip() == "50 20 (28, 28)", there.stderr


@pytest.mark.slow
def test_a_set_prepared_earlier_in_the_format_of_tensorflow_is_loaded(small, tiny_mnist, tmp_path):
    tiny_mnist(data_dir=tmp_path).download_and_prepare(file_format="tfrecord")
    loaded = data.load("mnist", source="tfds")
    images = {image.tobytes() for image in np.rint(loaded.test.x * 255).astype(np.uint8)}
    assert images == {image.tobytes() for image in large(small["x_test"])}
    assert loaded.test.y.dtype == np.int32
