"""EMNIST Letters from the files of NIST, transposed and with labels from 0, and the two tasks of ten letters in it.

Cohen, Afshar, Tapson, van Schaik, "EMNIST: extending MNIST to handwritten letters", IJCNN 2017.
"""

import numpy as np

from evojax_align.data.dataset import Arrays, Source, checked, keep_classes

TASKS = {"emnist_10letters": tuple(range(10)), "emnist_another10": tuple(range(10, 20))}


def upright(raw: Source) -> Source:
    """Raw EMNIST Letters, whose images are transposed and whose labels are 1 to 26, upright with labels 0 to 25."""

    def turned(arrays: Arrays) -> Arrays:
        x, y = arrays
        return x.swapaxes(1, 2), y.astype(np.int32) - 1

    raw = checked(raw)
    return Source(turned(raw.train), raw.test and turned(raw.test), raw.where)


def task(letters: Source, name: str) -> Source:
    """The letters of one of `TASKS`, with labels 0 to 9."""
    letters = checked(letters, num_classes=26)
    kept = TASKS[name]
    return Source(keep_classes(letters.train, kept), letters.test and keep_classes(letters.test, kept), letters.where)
