"""The stored arrays of `padawann.py` by name, and what is computed of them."""

import numpy as np

from evojax_align import lab

PUBLISHED = ("mnist", "emnist_10letters", "emnist_another10", "fashion_mnist")
"""The thesis's data sets."""
NONE = 255
"""In place of the answer to an image that a row was not asked."""


class View:
    """The arrays of a study, with what is computed of them."""

    def __init__(self, arrays: lab.Arrays) -> None:
        self.arrays = arrays
        self.rows = arrays["rows"].tolist()
        self.variants = arrays["variants"].tolist()
        self.again = arrays["again"].tolist()
        self.sets = arrays["sets"].tolist()
        self.trials = arrays["synapses"].shape[1]

    def as_published(self, count: int) -> bool:
        """Whether the first so many data sets are the thesis's."""
        return self.sets[:count] == list(PUBLISHED[:count])

    def test(self, row: str, name: str, place: int) -> np.ndarray:
        """What was measured on the test images of a data set, [trials]."""
        return self.arrays[f"test_{name}"][self.rows.index(row), :, place]

    def synapses(self, row: str) -> np.ndarray:
        """[trials]."""
        return self.arrays["synapses"][self.rows.index(row)]

    def common(self, row: str) -> np.ndarray:
        """The share of the synapses it has lost that the champions of "default" have lost too, [trials]."""
        return self.arrays["common"][self.rows.index(row)]

    def course(self, variant: str, name: str) -> np.ndarray:
        """What was measured of each generation, [trials, generations], and for some names [..., sets]."""
        return self.arrays[f"course_{name}"][self.variants.index(variant)]

    def fitness(self, variant: str) -> np.ndarray:
        """The champion's, [trials]."""
        return self.course(variant, "fitness").max(axis=1)

    def after(self, row: str, place: int) -> np.ndarray:
        """Test accuracy after the output layer was trained again, mean over times, [trials]."""
        return self.arrays["transfer"][self.again.index(row), :, place].mean(axis=-1)

    def labels(self, place: int) -> np.ndarray:
        """Of the test images of a data set."""
        return self.arrays[f"labels_{place}"]

    def said(self, row: str, place: int) -> np.ndarray:
        """The answers to the test images of a data set, [trials, images]; NONE where there are none."""
        return self.arrays["said"][self.rows.index(row), :, place, : len(self.labels(place))]

    def right(self, first: str, second: str, place: int) -> tuple[np.ndarray, np.ndarray]:
        """Whether each of two rows is right, [trials, images], on the images that both were always asked."""
        asked = ((self.said(first, place) != NONE) & (self.said(second, place) != NONE)).all(axis=0)
        found = [(self.said(row, place) == self.labels(place)[None])[:, asked] for row in (first, second)]
        return found[0], found[1]

    def confusion(self, row: str, place: int) -> np.ndarray:
        """How often images of each class were taken for which one, over all trials."""
        count = len(self.classes(place))
        said, labels = (
            self.said(row, place),
            np.broadcast_to(self.labels(place), (self.trials, len(self.labels(place)))),
        )
        asked = said != NONE
        found = np.zeros((count, count), int)
        np.add.at(found, (labels[asked], said[asked]), 1)
        return found

    def classes(self, place: int) -> list[str]:
        """Names of the classes of a data set."""
        return str(self.arrays["classes"][place]).split(",")
