"""Loading of a set by name, from a folder or from its public source."""

import os
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from evojax_align import _checks
from evojax_align.data import embedded, emnist, folder, glyphs, tfds
from evojax_align.data.catalog import KNOWN
from evojax_align.data.dataset import Dataset, Source, build

FOLDER_VARIABLE = "EVOJAX_ALIGN_DATA"
FOLDER = "~/.cache/evojax_align/data"
"""The folder of downloads, unless the environment variable names another."""
From = Literal["download", "tfds"]


def names() -> tuple[str, ...]:
    """The sets that are known by name; any other name needs a folder that contains its file.

    Example:
        >>> import evojax_align as ea
        >>> ea.data.names()[:3]
        ('digits', 'glyphs', 'glyphs_10letters')
    """
    return tuple(KNOWN)


def load(
    name: str = "digits",
    *,
    source: From = "download",
    data_dir: str | os.PathLike[str] | None = None,
    seed: int = 0,
    validation: int | None = None,
    transpose: bool = False,
    image_size: int | None = None,
    per_class: int | None = None,
    limit: int | None = None,
) -> Dataset:
    """Load a set of labelled images in three disjoint parts; reads files, and may download them.

    `digits` (8x8) and `glyphs` (letters a to t, with `glyphs_10letters`, a to j, and
    `glyphs_another10`, k to t) need no download. The files of the others are searched in a folder, by default
    `~/.cache/evojax_align/data`, and downloaded into it the first time; each is checked by its SHA-256, and an
    interrupted download is resumed. With your own folder, `name` may be any name for which it contains

    * `NAME.npz` with `x_train, y_train, x_test, y_test`, the images uint8 or floats in [0, 1];
    * IDX files (`train-images-idx3-ubyte` and so on, plain or .gz) in `NAME/`, or in the folder itself;
    * the binary files of CIFAR in `NAME/`, in `cifar-10-batches-bin/` or `cifar-100-binary/`, or in the folder;
    * for the EMNIST sets, the files of NIST (`emnist-letters-train-images-idx3-ubyte.gz` and so on).

    The official test images are the test part. If there are none (`digits`, `glyphs`), a sixth of all images is drawn
    for it. The validation part is drawn from the training images. All draws are stratified by class.

    Args:
        name: one of `names()`, or the name of a file in the folder.
        source: the source of a public set that is in no folder. `"download"` reads the files of its authors.
            `"tfds"` reads it through tensorflow-datasets (extra `data`) and searches no folder; the images are the
            same, in another order.
        data_dir: a folder to read from; nothing is then downloaded. Without it, the folder is that of the environment
            variable `EVOJAX_ALIGN_DATA`, or else `~/.cache/evojax_align/data`, and missing known sets are downloaded
            into it. IDX and CIFAR files in the folder itself do not identify their set, and are read only with
            `data_dir`.
        seed: seed of the split into parts, and of the distortions of `glyphs`.
        validation: the number of validation images; a sixth of the training images by default.
        transpose: exchange rows and columns of each image. EMNIST sets are upright; this restores their raw form.
        image_size: for `glyphs` only, 8 by default; at 28 all letters are easily read.
        per_class: for `glyphs` only, the number of images of each letter, 200 by default.
        limit: the bytes that one file may take once it is expanded; a larger file is an error before it is read. The
            default is 100 times the size of the file or 64 MiB, whichever is more, and at most 4 GiB; raise it for
            larger files that you trust. As float32, 8-bit images take four times that memory.

    Returns:
        The set. Images are float32 in [0, 1], [n, height, width] if grey and [n, height, width, channels] otherwise;
        labels are int32.

    Raises:
        FileNotFoundError: if the folder has no such file, or a download fails; the message names the file to add and
            its folder.
        ModuleNotFoundError: if the source needs a package that is not installed.
        ValueError: if the name or the source is unknown, or the name is a path; or if a file is damaged, expands beyond
            the limit, or does not contain a set of labelled images.

    Example:
        >>> import evojax_align as ea
        >>> digits = ea.data.load("digits")
        >>> x, y = digits.train
        >>> x.shape, digits.num_classes
        ((1249, 8, 8), 10)
    """
    _natural("seed", seed)
    if validation is not None:
        _natural("validation", validation)
    settings = {"image_size": image_size, "per_class": per_class}
    settings = {argument: value for argument, value in settings.items() if value is not None}
    if limit is not None:
        _checks.positive("limit", limit)
    if _checks.one_of("source", source, get_args(From)) == "tfds":
        found = _from_tfds(name, data_dir)
    else:
        found = _from_folder(name, data_dir, limit)
    if settings and (found is not None or name not in glyphs.TASKS):
        argument = next(iter(settings))
        fix = f"Leave {argument} out, or draw glyphs."
        raise _checks.bad(argument, settings[argument], f"None for {name!r}", fix)
    if found is None:
        found = _from_source(name, seed, settings, limit)
    class_names = KNOWN[name].class_names if name in KNOWN else None
    return build(name, found, class_names, seed=seed, validation=validation, transpose=transpose)


def _from_folder(name: str, data_dir: str | os.PathLike[str] | None, limit: int | None) -> Source | None:
    """The set in the folder; None if it is not there, so that another source is tried."""
    given = data_dir is not None
    path = Path(data_dir).expanduser() if given else _folder()
    found = folder.find(path, name, nameless=given, limit=limit)
    if found is None and (given or (os.environ.get(FOLDER_VARIABLE) and name not in KNOWN)):
        raise folder.nothing_found(path, name, "data_dir" if given else FOLDER_VARIABLE)
    return found


def _folder() -> Path:
    """The folder in which known sets are searched, and to which they are downloaded."""
    return Path(os.environ.get(FOLDER_VARIABLE) or FOLDER).expanduser()


def _from_source(name: str, seed: int, settings: dict[str, int], limit: int | None) -> Source:
    _checks.one_of("name", name, KNOWN)
    if name == "digits":
        return embedded.digits()
    if name in glyphs.TASKS:
        return glyphs.task(glyphs.glyphs(seed=seed, **settings), name)
    from evojax_align.data import download  # imports urllib and tarfile, which existing files do not need

    download.fetch("emnist_letters" if name in emnist.TASKS else name, _folder())
    if (found := folder.find(_folder(), name, nameless=False, limit=limit)) is None:
        raise folder.nothing_found(_folder(), name, FOLDER_VARIABLE)
    return found


def _from_tfds(name: str, data_dir: str | os.PathLike[str] | None) -> Source:
    if data_dir is not None:
        fix = "Leave one of them out: tensorflow-datasets has its own folder."
        raise _checks.bad("source, data_dir", f"'tfds' and {os.fspath(data_dir)!r}", "one of them", fix)
    public = {known: entry.tfds for known, entry in KNOWN.items() if entry.tfds is not None}
    entry = public[_checks.one_of("name", name, public)]
    source = tfds.read(name, entry)
    if entry == "emnist/letters":
        source = emnist.upright(source)
    return emnist.task(source, name) if name in emnist.TASKS else source


def _natural(argument: str, value: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 0:
        raise _checks.bad(argument, repr(value), "an integer of at least 0", f"Pass {argument}=0 or more.")
