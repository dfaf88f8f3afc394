import hashlib
import logging
import subprocess
import sys

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from evojax_align import data
from evojax_align.data.glyphs import _rasterise, _read_outlines, glyphs

DIGEST = """
import hashlib
from evojax_align.data.glyphs import glyphs
print(hashlib.sha256(glyphs(per_class=3, seed=5).train[0].tobytes()).hexdigest())
"""


def contour(*corners):
    """The edges of a closed contour, [edge, start | end, x | y]."""
    points = np.array(corners, dtype=float)
    return np.stack([points, np.roll(points, -1, axis=0)], axis=1)


def test_a_pixel_holds_the_share_of_it_that_is_covered():
    square = contour((1, 1), (2.5, 1), (2.5, 3), (1, 3))
    expected = np.zeros((4, 4))
    expected[1:3, 1], expected[1:3, 2] = 255, 128
    np.testing.assert_array_equal(_rasterise(square, 4), expected)


def test_a_hole_that_goes_round_the_other_way_is_empty():
    outer, inner = contour((0, 0), (4, 0), (4, 4), (0, 4)), contour((1, 1), (1, 3), (3, 3), (3, 1))
    expected = np.full((4, 4), 255)
    expected[1:3, 1:3] = 0
    np.testing.assert_array_equal(_rasterise(np.concatenate([outer, inner]), 4), expected)


def test_where_two_contours_overlap_the_pixel_is_no_brighter():
    one, two = contour((0, 0), (3, 0), (3, 1), (0, 1)), contour((1, 0), (4, 0), (4, 1), (1, 1))
    np.testing.assert_array_equal(_rasterise(np.concatenate([one, two]), 4)[0], [255] * 4)


def test_half_of_a_pixel_under_a_slanted_edge_is_half_bright():
    image = _rasterise(contour((0, 0), (2, 2), (0, 2)), 2)
    np.testing.assert_allclose(image, [[127.5, 0], [255, 127.5]], atol=1)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bits_in_another_process():
    here = hashlib.sha256(glyphs(per_class=3, seed=5).train[0].tobytes()).hexdigest()
    there = subprocess.run([sys.executable, "-c", DIGEST], capture_output=True, text=True, check=True)
    assert there.stdout.strip() == here


def test_another_seed_draws_other_images():
    one, other = (glyphs(per_class=2, seed=seed).train[0] for seed in (0, 1))
    assert not np.any(np.all(one == other, axis=(1, 2)))


def test_images_that_are_drawn_after_each_other_differ():
    images = data.load("glyphs", per_class=30).train.x
    assert len(np.unique(images, axis=0)) == len(images)


@pytest.mark.parametrize("size", [8, 28])
def test_every_letter_fills_its_frame(size):
    images, _ = glyphs(image_size=size, per_class=22).train
    assert images.shape == (440, size, size)
    assert np.all(images.max(axis=(1, 2)) == 255)
    lit = images > 0
    height, width = lit.any(axis=2).sum(axis=1), lit.any(axis=1).sum(axis=1)
    assert np.all(np.maximum(height, width) >= 0.75 * size)


def test_letters_stand_upright_and_are_not_mirrored():
    """The stem of a b is on the left and its bowl below; those of d, p and q lie in the three other corners."""
    images, labels = glyphs(image_size=28, per_class=22).train
    mean = {letter: images[labels == i].mean(axis=0) for i, letter in enumerate("abcdefghijklmnopqrst")}
    for letter, across, down in (("b", 1, 1), ("d", -1, 1), ("p", 1, -1), ("q", -1, -1)):
        turned = mean[letter][::down, ::across]
        assert np.corrcoef(turned.ravel(), mean["b"].ravel())[0, 1] > 0.5
        for other in {(1, 1), (1, -1), (-1, 1), (-1, -1)} - {(across, down)}:
            wrong = mean[letter][:: other[1], :: other[0]]
            assert np.sum((turned - mean["b"]) ** 2) < np.sum((wrong - mean["b"]) ** 2) + 1e-9


def test_letters_can_be_told_apart_at_eight_by_eight():
    """A linear model names nine of ten test images, where chance would name one of twenty."""
    letters = data.load("glyphs", per_class=100)
    (x, y), (tested, truth) = ((x.reshape(len(x), -1), y) for x, y in (letters.train, letters.test))
    model = LogisticRegression(max_iter=300).fit(x, y)
    assert model.score(tested, truth) > 0.9


def test_reading_the_fonts_says_nothing(caplog, capfd):
    _read_outlines.cache_clear()
    before = logging.getLogger("fontTools").level
    glyphs(per_class=1)
    assert not caplog.records and capfd.readouterr() == ("", "")
    assert logging.getLogger("fontTools").level == before


@pytest.mark.parametrize("arguments", [{"image_size": 7}, {"image_size": 0}, {"per_class": 0}])
def test_a_frame_too_small_or_no_image_is_refused(arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        glyphs(**arguments)


@pytest.mark.parametrize("module", ["matplotlib", "fontTools.ttLib"])
def test_a_missing_package_is_named_with_its_extra(monkeypatch, module):
    _read_outlines.cache_clear()
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'evojax-align\[plotting\]'"):
        glyphs(per_class=1)


def test_the_two_tasks_of_ten_letters_are_the_images_of_all_twenty():
    whole = data.load("glyphs", validation=0, per_class=6)
    tasks = [data.load(name, validation=0, per_class=6) for name in ("glyphs_10letters", "glyphs_another10")]
    assert [task.class_names for task in tasks] == [tuple("abcdefghij"), tuple("klmnopqrst")]
    for number, task in enumerate(tasks):
        images = np.concatenate([task.train.x, task.test.x])
        labels = np.concatenate([task.train.y, task.test.y])
        every, their = (np.concatenate([of(whole.train), of(whole.test)]) for of in (lambda p: p.x, lambda p: p.y))
        for label in range(10):
            ours, expected = images[labels == label], every[their == label + 10 * number]
            assert sorted(image.tobytes() for image in ours) == sorted(image.tobytes() for image in expected)
