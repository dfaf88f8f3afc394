"""Decompositions run on one thread of LAPACK, and what the user had set comes back."""

import threading

import jax
import numpy as np
import pytest

import evojax_align as ea
from evojax_align.similarity import blas as _blas
from evojax_align.similarity import one_blas_thread


class Library:
    """Stands for OpenBLAS: counts what it is told."""

    def __init__(self, threads):
        self.threads, self.told = threads, []

    def scipy_openblas_get_num_threads(self):
        return self.threads

    def scipy_openblas_set_num_threads(self, threads):
        self.threads = threads
        self.told.append(threads)


@pytest.fixture
def library(monkeypatch):
    found = Library(8)
    monkeypatch.setattr(_blas, "_openblas", lambda: found)
    monkeypatch.setattr(_blas, "_inside", 0)
    return found


def test_the_number_of_threads_comes_back_also_after_an_error_and_from_inside(library):
    with pytest.raises(KeyError), one_blas_thread(), one_blas_thread():
        assert library.threads == 1
        raise KeyError
    assert library.threads == 8 and library.told == [1, 8]


def test_two_threads_that_overlap_leave_what_was_there(library):
    first, second = threading.Event(), threading.Event()

    def other():
        with one_blas_thread():
            first.set()
            second.wait()

    thread = threading.Thread(target=other)
    with one_blas_thread():
        thread.start()
        first.wait()
    assert library.threads == 1
    second.set()
    thread.join()
    assert library.threads == 8


def test_cca_and_alignment_by_cca_take_one_thread(library, key):
    x = jax.random.normal(key, (40, 3))
    ea.similarity.cca(x, x**2)
    assert library.told == [1, 8]
    network = ea.models.MLP(hidden=(3,), classes=2)
    a, b = (network.init(of, x) for of in jax.random.split(key))
    ea.align(network.apply, a, b, x, method=ea.alignment.CCA(ridge=0.1))
    assert library.told == [1, 8, 1, 8]
    ea.align(network.apply, a, b, x)
    assert library.told == [1, 8, 1, 8]


def test_without_openblas_nothing_is_done(monkeypatch, key):
    monkeypatch.setattr(_blas, "_openblas", lambda: None)
    with one_blas_thread():
        assert np.isfinite(np.asarray(ea.similarity.cca(*jax.random.normal(key, (2, 20, 3))).correlations)).all()


def test_the_library_that_scipy_brings_is_found_where_it_brings_one():
    library = _blas._openblas()
    if library is None:
        pytest.skip("scipy has another BLAS here")
    assert library.scipy_openblas_get_num_threads() >= 1
