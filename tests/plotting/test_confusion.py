import numpy as np
import pytest

from evojax_align import plotting


def test_a_confusion_matrix_shows_shares_of_each_class(ax):
    counts = np.array([[6, 2, 0], [0, 0, 0]])
    plotting.plot_confusion(counts, ax, names=("a", "b"), answers=("0", "1", "2"), title="letters")
    (image,) = ax.get_images()
    np.testing.assert_allclose(image.get_array(), [[0.75, 0.25, 0], [0, 0, 0]])
    assert {text.get_text() for text in ax.texts} == {"75", "25"}
    assert [label.get_text() for label in ax.get_xticklabels()] == ["0", "1", "2"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "b"]


def test_counts_that_are_none_are_refused(ax):
    with pytest.raises(ValueError, match="counts: got -1"):
        plotting.plot_confusion(np.array([[-1, 0], [0, 1]]), ax, names=("a", "b"))
    with pytest.raises(ValueError, match="counts: got shape"):
        plotting.plot_confusion(np.ones((2, 3)), ax, names=("a", "b"))
