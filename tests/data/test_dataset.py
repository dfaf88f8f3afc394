import itertools

import numpy as np
import pytest

from evojax_align import data
from evojax_align.data.dataset import draw


def rows(images):
    return {image.tobytes() for image in images}


def test_images_are_float32_in_the_unit_interval_and_labels_int32(load_changed):
    for part in (load_changed().train, load_changed().validation, load_changed().test):
        assert part.x.dtype == np.float32 and part.y.dtype == np.int32
        assert part.x.min() >= 0 and part.x.max() <= 1


def test_bytes_are_divided_by_255(load_changed, small):
    expected = small["x_test"].astype(np.float64) / 255
    np.testing.assert_allclose(load_changed().test.x, expected, rtol=1e-6)


def test_floats_in_the_unit_interval_are_kept_as_they_are(load_changed, small):
    images = {key: (small[key] / 255).astype(np.float32) for key in ("x_train", "x_test")}
    np.testing.assert_array_equal(load_changed(**images).test.x, images["x_test"])


def test_a_part_unpacks_and_cannot_be_written_to(load_changed):
    x, y = part = load_changed().train
    assert x is part.x and y is part.y
    with pytest.raises(ValueError, match="read-only"):
        x[0] = 0
    with pytest.raises(ValueError, match="read-only"):
        y[0] = 0


def test_a_part_leaves_the_arrays_it_was_made_of_writeable():
    x = np.zeros((2, 3, 3), np.float32)
    data.Part(x, np.zeros(2, np.int32))
    x[0] = 1
    assert x[0, 0, 0] == 1


def test_a_part_shows_its_shapes_and_not_its_values(load_changed):
    assert repr(load_changed().test) == "Part(x=[20, 6, 5], y=[20])"


def test_parts_share_no_image_and_together_hold_all_of_them(load_changed, small):
    loaded = load_changed()
    parts = [rows(part.x) for part in (loaded.train, loaded.validation, loaded.test)]
    assert all(not a & b for a, b in itertools.combinations(parts, 2))
    assert [len(part) for part in parts] == [50, 10, 20]


def test_images_keep_their_labels_through_the_split(load_changed, small):
    labels = {
        np.float32(x / np.float32(255)).tobytes(): y for x, y in zip(small["x_train"], small["y_train"], strict=True)
    }
    loaded = load_changed()
    for x, y in itertools.chain(zip(*loaded.train, strict=True), zip(*loaded.validation, strict=True)):
        assert labels[x.tobytes()] == y


def test_the_official_test_images_stay_in_their_order(load_changed, small):
    np.testing.assert_array_equal(load_changed().test.y, small["y_test"])


def test_each_class_gives_its_share_to_within_one_image():
    y = np.repeat([0, 1, 2], [61, 30, 9])
    for seed, count in itertools.product(range(5), (0, 1, 17, 50, 100)):
        (_, chosen), (_, rest) = draw((y, y), count, seed)
        assert len(chosen) == count and len(rest) == 100 - count
        shares = np.bincount(chosen, minlength=3) - count * np.array([0.61, 0.30, 0.09])
        assert np.all(np.abs(shares) <= 1)


def test_the_first_images_of_a_sorted_set_are_a_fair_sample():
    y = np.repeat([0, 1], 500)
    _, (_, rest) = draw((y, y), 100, 0)
    assert 20 < rest[:100].sum() < 80


def test_another_seed_draws_other_parts_and_the_same_seed_the_same():
    same, again, other = (data.load("digits", seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(same.train.x, again.train.x)
    assert rows(same.test.x) != rows(other.test.x)


def test_a_single_grey_channel_is_dropped_and_colours_are_kept(load_changed, small):
    grey = {key: small[key][..., None] for key in ("x_train", "x_test")}
    colour = {key: np.repeat(small[key][..., None], 3, axis=3) for key in ("x_train", "x_test")}
    assert load_changed(**grey).image_shape == (6, 5)
    assert load_changed(**colour).image_shape == (6, 5, 3)


def test_some_classes_alone_are_numbered_in_the_order_named(load_changed):
    loaded = load_changed()
    two = loaded.only([2, 0])
    assert two.class_names == ("2", "0") and two.num_classes == 2
    np.testing.assert_array_equal(two.test.x[two.test.y == 0], loaded.test.x[loaded.test.y == 2])
    np.testing.assert_array_equal(two.test.x[two.test.y == 1], loaded.test.x[loaded.test.y == 0])
    assert len(two.train.y) == np.sum(loaded.train.y != 1)


@pytest.mark.parametrize("labels", [[], [0, 0], [3], [-1]])
def test_classes_that_are_unknown_or_named_twice_are_refused(load_changed, labels):
    with pytest.raises(ValueError, match=r"labels: got .*different labels from 0 to 2"):
        load_changed().only(labels)


def flat(images):
    return images.reshape(len(images), -1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: {"x_train": flat(s["x_train"])}, r"train images: got shape \(60, 30\); expected \[n, height"),
        (lambda s: {"x_train": s["x_train"][..., None, None]}, r"train images: got shape \(60, 6, 5, 1, 1\)"),
        (lambda s: {"x_train": s["x_train"].reshape(60, 1, 6, 5)}, "at most 4 channels"),
        (lambda s: {"x_test": s["x_test"][:, :5]}, r"images of shape \(6, 5\) and test images of shape \(5, 5\)"),
        (lambda s: {"x_train": s["x_train"][:0], "y_train": s["y_train"][:0]}, "train images: got none"),
        (lambda s: {"x_test": s["x_test"][:0], "y_test": s["y_test"][:0]}, "test images: got none"),
        (lambda s: {"y_train": s["y_train"][:-1]}, r"train labels: got shape \(59,\) for 60 images"),
        (lambda s: {"y_test": s["y_test"][:, None]}, r"test labels: got shape \(20, 1\)"),
        (lambda s: {"y_train": s["y_train"] / 1.0}, "train labels: got dtype float64; expected integers"),
        (lambda s: {"y_train": s["y_train"] - 1}, "train labels: got the label -1"),
        (lambda s: {"y_train": s["y_train"] + 10**9}, "labels: got the label 1000000002; expected labels from 0 to 79"),
        (lambda s: {"x_train": s["x_train"] / 200.0}, r"train images: got floats from .*expected floats in \[0, 1\]"),
        (lambda s: {"x_train": s["x_train"] / 255 - 0.1}, "train images: got floats from -0.1"),
        (lambda s: {"x_train": np.full((60, 6, 5), np.nan)}, "train images: got floats from nan"),
        (lambda s: {"x_train": s["x_train"].astype(int)}, "train images: got dtype int64; expected uint8"),
    ],
)
def test_what_is_no_set_of_labelled_images_is_refused_with_its_file(load_changed, small, tmp_path, change, message):
    with pytest.raises(ValueError, match=message) as caught:
        load_changed(**change(small))
    assert str(tmp_path / "some.npz") in str(caught.value)


def test_a_label_beyond_the_known_classes_is_refused(small, tmp_path):
    np.savez(tmp_path / "mnist.npz", **(small | {"y_test": small["y_test"] + 8}))
    with pytest.raises(ValueError, match=r"test labels: got the label 10; expected labels from 0 to 9"):
        data.load("mnist", data_dir=tmp_path)
