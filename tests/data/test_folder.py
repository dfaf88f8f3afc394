import numpy as np
import pytest

from evojax_align import data


def save(path, small, **changes):
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **(small | changes))


def test_any_name_with_a_file_works_and_its_classes_are_named_by_their_labels(small, tmp_path):
    save(tmp_path / "my own set.npz", small)
    loaded = data.load("my own set", data_dir=str(tmp_path))
    assert loaded.name == "my own set" and loaded.class_names == ("0", "1", "2")


def test_a_known_name_brings_its_class_names_to_a_file(small, tmp_path):
    save(tmp_path / "emnist_another10.npz", small)
    assert data.load("emnist_another10", data_dir=tmp_path).class_names == tuple("klmnopqrst")


def test_a_folder_goes_before_the_source_of_the_same_name(small, tmp_path):
    save(tmp_path / "digits.npz", small)
    assert data.load("digits", data_dir=tmp_path).image_shape == (6, 5)


def test_the_environment_variable_names_a_folder_too(small, tmp_path, monkeypatch):
    save(tmp_path / "some.npz", small)
    monkeypatch.setenv("EVOJAX_ALIGN_DATA", str(tmp_path))
    assert data.load("some").image_shape == (6, 5)


def test_the_argument_goes_before_the_environment_variable(small, tmp_path, monkeypatch):
    save(tmp_path / "one" / "some.npz", small)
    save(tmp_path / "two" / "some.npz", small, x_train=small["x_train"][:, :4], x_test=small["x_test"][:, :4])
    monkeypatch.setenv("EVOJAX_ALIGN_DATA", str(tmp_path / "one"))
    assert data.load("some", data_dir=tmp_path / "two").image_shape == (4, 5)


@pytest.mark.parametrize("place", ["", "nowhere"])
def test_a_folder_of_the_environment_without_the_file_is_passed_over_for_a_known_set(tmp_path, monkeypatch, place):
    monkeypatch.setenv("EVOJAX_ALIGN_DATA", str(tmp_path / place))
    assert data.load("digits").image_shape == (8, 8)


def test_a_folder_of_the_environment_without_the_file_of_an_unknown_set_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setenv("EVOJAX_ALIGN_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"EVOJAX_ALIGN_DATA: got .*no file of 'some'.*Put it at .*some\.npz"):
        data.load("some")


def test_a_folder_given_without_the_file_is_an_error_that_says_what_to_put_where(tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        data.load("mnist", data_dir=tmp_path)
    assert f"data_dir: got {tmp_path}, which contains no file of 'mnist'; expected mnist.npz" in str(caught.value)
    assert "mnist/train-images-idx3-ubyte.gz" in str(caught.value)
    assert str(tmp_path / "mnist.npz") in str(caught.value)


def test_a_folder_that_does_not_exist_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere, which is not a folder"):
        data.load("digits", data_dir=tmp_path / "nowhere")


@pytest.mark.parametrize(("name", "nearest"), [("my_sett", "my_set"), ("mnits", "mnist")])
def test_the_nearest_name_is_suggested_from_the_folder_and_the_known_sets(small, tmp_path, name, nearest):
    save(tmp_path / "my_set.npz", small)
    with pytest.raises(FileNotFoundError, match=rf"did you mean '{nearest}'\?$"):
        data.load(name, data_dir=tmp_path)


def test_files_that_do_not_say_what_set_they_are_count_only_where_the_folder_is_given(
    tmp_path, monkeypatch, write_mnist
):
    write_mnist(tmp_path)
    assert data.load("kmnist", data_dir=tmp_path).image_shape == (6, 5)
    monkeypatch.setenv("EVOJAX_ALIGN_DATA", str(tmp_path))
    assert data.load("digits").image_shape == (8, 8)


def test_files_in_a_folder_of_the_name_count_before_those_beside_it(small, tmp_path, write_mnist):
    write_mnist(tmp_path, y_test=(small["y_test"] + 1) % 3)
    write_mnist(tmp_path / "kmnist")
    np.testing.assert_array_equal(data.load("kmnist", data_dir=tmp_path).test.y, small["y_test"])


@pytest.mark.parametrize("place", ["", "emnist_letters", "gzip"])
def test_the_letters_of_nist_come_upright_and_counted_from_zero(small, tmp_path, write_mnist, place):
    raw = {"y_train": 1 + np.arange(60) % 26, "y_test": 1 + np.arange(20) % 26}
    write_mnist(tmp_path / place, prefix="emnist-letters-", test="test", end=".gz", **raw)
    letters = data.load("emnist_letters", data_dir=tmp_path)
    assert letters.image_shape == (5, 6) and letters.num_classes == 26
    np.testing.assert_array_equal(letters.test.y, np.arange(20))
    np.testing.assert_allclose(letters.test.x * 255, small["x_test"].swapaxes(1, 2), rtol=1e-6)


def test_transpose_restores_the_raw_letters(small, tmp_path, write_mnist):
    write_mnist(tmp_path, prefix="emnist-letters-", test="test", y_train=np.full(60, 1), y_test=np.full(20, 26))
    raw = data.load("emnist_letters", data_dir=tmp_path, transpose=True)
    np.testing.assert_allclose(raw.test.x * 255, small["x_test"], rtol=1e-6)
    assert raw.test.x.flags.c_contiguous


def test_two_tasks_of_ten_letters_are_cut_from_all_letters(small, tmp_path):
    save(tmp_path / "emnist_letters.npz", small, y_train=np.arange(60) % 26, y_test=np.arange(20))
    first, second = (data.load(f"emnist_{name}", data_dir=tmp_path) for name in ("10letters", "another10"))
    np.testing.assert_array_equal(first.test.y, np.arange(10))
    np.testing.assert_array_equal(second.test.y, np.arange(10))
    np.testing.assert_allclose(first.test.x * 255, small["x_test"][:10], rtol=1e-6)
    np.testing.assert_allclose(second.test.x * 255, small["x_test"][10:], rtol=1e-6)
    assert (first.class_names[0], second.class_names[0]) == ("a", "k")


def test_a_task_of_ten_letters_is_not_cut_from_files_that_do_not_say_what_they_are(tmp_path, write_mnist):
    write_mnist(tmp_path)
    as_they_are = data.load("kmnist", data_dir=tmp_path).train.y
    np.testing.assert_array_equal(data.load("emnist_another10", data_dir=tmp_path).train.y, as_they_are)


def test_letters_that_are_counted_from_one_are_refused_before_a_task_is_cut_from_them(small, tmp_path):
    save(tmp_path / "emnist_letters.npz", small, y_train=1 + np.arange(60) % 26)
    with pytest.raises(ValueError, match=r"emnist_letters\.npz: train labels: got the label 26; expected .* 0 to 25"):
        data.load("emnist_10letters", data_dir=tmp_path)


def test_letters_of_the_wrong_shape_are_refused_before_they_are_turned(small, tmp_path, write_mnist):
    flat = {key: small[key].reshape(-1, 30) for key in ("x_train", "x_test")}
    write_mnist(tmp_path, prefix="emnist-letters-", test="test", **flat)
    with pytest.raises(ValueError, match=r"train images: got shape \(60, 30\)"):
        data.load("emnist_10letters", data_dir=tmp_path)


def test_the_pickled_form_of_cifar_is_refused_with_the_form_to_take(tmp_path):
    (tmp_path / "cifar-10-batches-py").mkdir()
    with pytest.raises(FileNotFoundError, match=r"which holds pickles; .*cifar-10-batches-bin"):
        data.load("cifar10", data_dir=tmp_path)
