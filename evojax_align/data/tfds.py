"""Sets of tensorflow-datasets: read if they are already prepared, otherwise downloaded and prepared once.

Preparation needs TensorFlow, which is not allowed to use accelerators; reading prepared array records does not.
"""

import importlib
from typing import Any

import numpy as np

from evojax_align.data.dataset import Arrays, Source
from evojax_align.data.folder import accepted
from evojax_align.data.formats import missing


def read(name: str, tfds_name: str) -> Source:
    """Read the train and test images of a set as they are stored in tensorflow-datasets' own folder.

    Args:
        name: the name of the set in errors.
        tfds_name: its name in tensorflow-datasets.

    Raises:
        FileNotFoundError: if it has to be downloaded and cannot be.
        ModuleNotFoundError: if tensorflow-datasets is not installed, or a package that it needs for the set.
    """
    try:
        builder = importlib.import_module("tensorflow_datasets").builder(tfds_name)
        if not builder.is_prepared():
            prepare(name, builder)
        return Source(_read_split(builder, "train"), _read_split(builder, "test"), name)
    except ImportError as error:
        raise ModuleNotFoundError(
            f"{name} is read through tensorflow-datasets, which needs TensorFlow to prepare it the first time, and "
            f"a package is not installed ({error}). Run: pip install 'evojax-align[data]' tensorflow. "
            f"Or leave source out, or pass data_dir, a folder that holds {accepted(name)}."
        ) from error


def prepare(name: str, builder: Any) -> None:
    """Download a set and prepare it as array records, with TensorFlow; tensorflow-datasets shows the progress."""
    _import_tensorflow()
    requests = importlib.import_module("requests")
    try:
        for url in list(builder.url_infos or ())[:1]:
            requests.head(url, timeout=20)  # without a network, the download itself would retry for minutes
        builder.download_and_prepare(file_format="array_record")
    except ImportError:
        raise
    except Exception as error:  # of any type: no network, a dead server, a changed file, a full disk
        raise missing(
            name,
            f"a failure to download and prepare it ({type(error).__name__}: {error})",
            f"a network, or a folder that holds {accepted(name)}",
            "Pass that folder as data_dir and leave source out, or name it in the variable EVOJAX_ALIGN_DATA.",
        ) from error


def _read_split(builder: Any, split: str) -> Arrays:
    try:
        examples = builder.as_data_source(split=split)
    except NotImplementedError:  # prepared earlier in a format that only TensorFlow reads
        _import_tensorflow()
        examples = importlib.import_module("tensorflow_datasets").as_numpy(builder.as_dataset(split=split))
    pairs = [(example["image"], example["label"]) for example in examples]
    return np.stack([image for image, _ in pairs]), np.array([label for _, label in pairs])


def _import_tensorflow() -> None:
    """Import TensorFlow without accelerators, whose memory it would take from JAX."""
    tensorflow = importlib.import_module("tensorflow")
    for kind in ("GPU", "TPU"):
        try:
            tensorflow.config.set_visible_devices([], kind)
        except RuntimeError:  # the caller already uses it and has chosen its devices
            break
