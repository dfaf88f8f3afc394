"""The records of data sets, the validation of sources, and the splitting into parts.

All splits are stratified: each class contributes the same fraction, to within one image, drawn from the seed.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float32, Int32

from evojax_align import _checks

Arrays: TypeAlias = tuple[np.ndarray, np.ndarray]
"""Images and their labels, as they are stored."""


@dataclass(frozen=True, eq=False, repr=False)
class Part:
    """Images and their labels; unpacks as `x, y = part`. Both arrays are read-only.

    Attributes:
        x: images in [0, 1], [n, height, width] or [n, height, width, channels].
        y: labels, from 0 to the number of classes minus one.

    Example:
        >>> import numpy as np, evojax_align as ea
        >>> part = ea.data.Part(np.zeros((3, 8, 8), np.float32), np.array([0, 1, 1], np.int32))
        >>> x, y = part
        >>> x.shape, y.tolist()
        ((3, 8, 8), [0, 1, 1])
    """

    x: Float32[np.ndarray, "n *image"]
    y: Int32[np.ndarray, "n"]

    def __post_init__(self) -> None:
        for field in ("x", "y"):
            view = getattr(self, field).view()
            view.setflags(write=False)
            object.__setattr__(self, field, view)

    def __iter__(self) -> Iterator[np.ndarray]:
        return iter((self.x, self.y))

    def __repr__(self) -> str:
        return f"Part(x={list(self.x.shape)}, y={list(self.y.shape)})"


@dataclass(frozen=True, eq=False)
class Dataset:
    """A set of labelled images in three parts that share no image.

    Attributes:
        train: samples for training.
        validation: samples for model selection; may be empty.
        test: samples for the final evaluation: the official test images, if the set has them.
        name: the name passed to `load`.
        class_names: one name for each label.

    Example:
        >>> import evojax_align as ea
        >>> digits = ea.data.load("digits")
        >>> digits.num_classes, digits.image_shape, len(digits.validation.y), len(digits.test.y)
        (10, (8, 8), 249, 299)
        >>> digits.only([3, 8]).class_names
        ('3', '8')
    """

    train: Part
    validation: Part
    test: Part
    name: str
    class_names: tuple[str, ...]

    @property
    def num_classes(self) -> int:
        """The number of classes; labels run from 0 to this number minus one."""
        return len(self.class_names)

    @property
    def image_shape(self) -> tuple[int, ...]:
        """The shape of one image."""
        return self.train.x.shape[1:]

    def only(self, labels: Sequence[int]) -> "Dataset":
        """The set restricted to some of its classes, for instance a task of ten letters out of twenty.

        Args:
            labels: the classes to keep; `labels[i]` becomes label `i`.

        Returns:
            A set whose parts contain the kept images in the same order.

        Raises:
            ValueError: if a label is not in this set, or is given twice.
        """
        kept = [int(label) for label in labels]
        if not kept or len(set(kept)) < len(kept) or not set(kept) <= set(range(self.num_classes)):
            expected = f"different labels from 0 to {self.num_classes - 1}"
            raise _checks.bad("labels", kept, expected, "Pass for instance labels=range(2).")
        parts = [Part(*keep_classes((part.x, part.y), kept)) for part in (self.train, self.validation, self.test)]
        return Dataset(*parts, name=self.name, class_names=tuple(self.class_names[label] for label in kept))


@dataclass(frozen=True, eq=False)
class Source:
    """The arrays that a reader returns, before they are checked and split.

    Attributes:
        train: images and labels; all of them if there is no official test part.
        test: the official test images and labels, or None.
        where: the name of the source in errors, such as the path of the file.
    """

    train: Arrays
    test: Arrays | None
    where: str


def build(
    name: str,
    source: Source,
    class_names: tuple[str, ...] | None,
    *,
    seed: int,
    validation: int | None,
    transpose: bool = False,
) -> Dataset:
    """Check and split the arrays of a source; the arguments are those of `load`.

    Without an official test part, a sixth of all images becomes the test part. A validation part is then drawn
    from the training images, a sixth of them unless a number is given. If the class names are not known, the
    labels are used.
    """
    source = checked(source, len(class_names) if class_names else None)
    class_names = class_names or _names_of_labels(source)
    if source.test is None:
        test, train = draw(source.train, len(source.train[1]) // 6, seed)
    else:
        test, train = source.test, source.train

    count = len(train[1]) // 6 if validation is None else validation
    if count >= len(train[1]):
        expected = f"fewer than the {len(train[1])} training images of {name!r}"
        raise _checks.bad("validation", count, expected, f"Pass validation={len(train[1]) // 6}, or leave it out.")
    chosen, rest = draw(train, count, seed)
    parts = (_finished(arrays, transpose) for arrays in (rest, chosen, test))
    return Dataset(*parts, name=name, class_names=class_names)


def draw(arrays: Arrays, count: int, seed: int, *, argument: str = "count") -> tuple[Arrays, Arrays]:
    """Draw a stratified sample of `count` images, proportional to within one image; return it and the rest.

    Both are in a random order drawn from the seed, so that the first n of either are a fair sample. If the sample
    cannot be drawn, the error names `argument`.
    """
    x, y = arrays
    if not 0 <= count <= len(y):
        raise _checks.bad(argument, count, f"from 0 to {len(y)}", "Lower it.")
    order = np.random.default_rng(seed).permutation(len(y))
    shuffled = y[order]
    by_class = np.argsort(shuffled, kind="stable")
    _, sizes = np.unique(shuffled, return_counts=True)
    # The k-th of a class of n has the key (k + 1/2) / n; the `count` smallest keys are a stratified sample.
    ranks = np.concatenate([(np.arange(size) + 0.5) / size for size in sizes])
    place = np.empty(len(y))
    place[by_class] = ranks
    chosen = np.zeros(len(y), dtype=bool)
    chosen[np.argsort(place, kind="stable")[:count]] = True
    return (x[order[chosen]], y[order[chosen]]), (x[order[~chosen]], y[order[~chosen]])


def keep_classes(arrays: Arrays, labels: Sequence[int]) -> Arrays:
    """The images of some classes, in their order; `labels[i]` becomes label `i`."""
    x, y = arrays
    kept = np.isin(y, labels)
    new = np.argsort(labels)[np.searchsorted(np.sort(labels), y[kept])]
    return x[kept], new.astype(y.dtype)


def checked(source: Source, num_classes: int | None = None) -> Source:
    """Return the source if it contains labelled images of one shape; a single grey channel is dropped."""
    parts = {"train": source.train} | ({} if source.test is None else {"test": source.test})
    for part, (x, y) in parts.items():
        _check_images(f"{source.where}: {part} images", x)
        _check_labels(f"{source.where}: {part} labels", y, len(x))
        if num_classes is not None:
            _check_below(f"{source.where}: {part} labels", y, num_classes)
    shapes = {part: x.shape[1:] for part, (x, _) in parts.items()}
    if len(set(shapes.values())) > 1:
        came = " and ".join(f"{part} images of shape {shape}" for part, shape in shapes.items())
        raise _checks.bad(source.where, came, "images of one shape", "Scale them before they are stored.")
    grey = {part: (x[..., 0] if x.shape[3:] == (1,) else x, y) for part, (x, y) in parts.items()}
    return Source(grey["train"], grey.get("test"), source.where)


def _check_images(where: str, x: np.ndarray) -> None:
    if x.ndim not in (3, 4) or (x.ndim == 4 and x.shape[3] > 4):
        expected = "[n, height, width], or [n, height, width, channels] with at most 4 channels"
        raise _checks.bad(where, f"shape {x.shape}", expected, "Reshape or transpose before storing.")
    if x.size == 0:
        raise _checks.bad(where, f"none, shape {x.shape}", "at least one", "Store the images again.")
    if np.issubdtype(x.dtype, np.floating):
        if not (x.min() >= 0 and x.max() <= 1):  # written so that NaN fails too
            came = f"floats from {x.min()} to {x.max()}"
            raise _checks.bad(where, came, "floats in [0, 1], or uint8", "Rescale them to [0, 1].")
    elif x.dtype != np.uint8:
        fix = "Store them as uint8 from 0 to 255."
        raise _checks.bad(where, f"dtype {x.dtype}", "uint8, or floats in [0, 1]", fix)


def _check_labels(where: str, y: np.ndarray, count: int) -> None:
    if y.shape != (count,):
        came, expected = f"shape {y.shape} for {count} images", f"shape {(count,)}, one label for each image"
        raise _checks.bad(where, came, expected, "Store images and labels of equal length.")
    if not np.issubdtype(y.dtype, np.integer):
        raise _checks.bad(where, f"dtype {y.dtype}", "integers", "Convert them with .astype(np.int32).")
    if y.min() < 0:
        raise _checks.bad(where, f"the label {y.min()}", "labels of at least 0", "Number the classes from 0.")


def _check_below(where: str, y: np.ndarray, bound: int) -> None:
    if y.max() >= bound:
        fix = "Number the classes from 0, without gaps."
        raise _checks.bad(where, f"the label {y.max()}", f"labels from 0 to {bound - 1}", fix)


def _names_of_labels(source: Source) -> tuple[str, ...]:
    labels = np.concatenate([part[1] for part in (source.train, source.test) if part is not None])
    # The bound prevents a single huge label from creating that many classes.
    _check_below(f"{source.where}: labels", labels, len(labels))
    return tuple(str(label) for label in range(int(labels.max()) + 1))


def _finished(arrays: tuple[Any, Any], transpose: bool) -> Part:
    x, y = arrays
    x = x.swapaxes(1, 2) if transpose else x
    scale = np.float32(255 if x.dtype == np.uint8 else 1)
    return Part(np.divide(x, scale, dtype=np.float32, casting="unsafe", order="C"), y.astype(np.int32))
