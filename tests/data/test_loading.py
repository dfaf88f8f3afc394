import doctest

import numpy as np
import pytest
from sklearn.datasets import load_digits

from evojax_align import data
from evojax_align.data import loading
from evojax_align.data.catalog import KNOWN


def test_the_default_is_the_digits_that_scikit_learn_has_too():
    digits = data.load()
    x, y = (np.concatenate(arrays) for arrays in zip(digits.train, digits.validation, digits.test, strict=True))
    images, labels = load_digits(return_X_y=True)
    assert digits.name == "digits" and digits.num_classes == 10 and x.shape == (1797, 8, 8)
    expected = sorted((tuple(image / 16), label) for image, label in zip(images, labels, strict=True))
    assert sorted((tuple(image.ravel().tolist()), label) for image, label in zip(x, y, strict=True)) == expected


def test_the_names_known_are_those_that_load_knows():
    assert {"digits", "glyphs", "mnist", "emnist_another10", "cifar100"} < set(data.names())


def test_a_known_set_has_as_many_class_names_as_classes():
    expected = {"glyphs": 20, "emnist_letters": 26, "cifar100": 100}
    for name in data.names():
        assert len(set(KNOWN[name].class_names)) == expected.get(name, 10)


def test_the_classes_of_cifar100_are_in_alphabetical_order():
    assert list(KNOWN["cifar100"].class_names) == sorted(KNOWN["cifar100"].class_names)


def test_an_unknown_name_is_refused_with_the_nearest():
    with pytest.raises(ValueError, match=r"name: got 'fashion_mnits'.*Did you mean 'fashion_mnist'\?"):
        data.load("fashion_mnits")


def test_glyphs_take_their_size_and_number():
    letters = data.load("glyphs", image_size=12, per_class=6, validation=0)
    assert letters.image_shape == (12, 12)
    assert [len(part.y) for part in (letters.train, letters.validation, letters.test)] == [100, 0, 20]


@pytest.mark.parametrize("argument", ["image_size", "per_class"])
def test_a_setting_of_glyphs_is_refused_for_any_other_set(argument):
    with pytest.raises(ValueError, match=rf"{argument}: got 8; expected None for 'digits'"):
        data.load("digits", **{argument: 8})


def test_a_validation_part_of_any_size_below_the_training_images_is_drawn(load_changed, tmp_path):
    load_changed()
    sizes = [len(data.load("some", data_dir=tmp_path, validation=count).validation.y) for count in (0, 7, 59)]
    assert sizes == [0, 7, 59]


@pytest.mark.parametrize("count", [60, 1000])
def test_a_validation_part_that_leaves_no_training_image_is_refused(load_changed, tmp_path, count):
    load_changed()
    with pytest.raises(ValueError, match=rf"validation: got {count}; expected fewer than the 60 training images"):
        data.load("some", data_dir=tmp_path, validation=count)


@pytest.mark.parametrize("arguments", [{"validation": -1}, {"validation": True}, {"seed": -1}])
def test_numbers_that_are_no_counts_are_refused(arguments):
    argument, value = next(iter(arguments.items()))
    with pytest.raises(ValueError, match=rf"{argument}: got {value}; expected an integer of at least 0"):
        data.load("digits", **{argument: value})


def test_the_example_of_the_docstring_holds():
    assert doctest.testmod(loading).failed == 0
    assert doctest.testmod(loading).attempted > 0
