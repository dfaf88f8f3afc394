"""LAPACK on one thread, for programs that decompose matrices on a CPU.

There JAX calls LAPACK from the OpenBLAS that scipy brings. Its threads wait for each other in busy loops, and for cores
that XLA's threads or another process hold, so that decompositions of a few hundred neurons take many times as long on
several threads as on one (`experiments/benchmarks/core`).
"""

import contextlib
import ctypes
import functools
import glob
import threading
from collections.abc import Iterator
from typing import Any

import scipy

_lock = threading.Lock()
_inside = 0
_before = 0


@contextlib.contextmanager
def one_blas_thread() -> Iterator[None]:
    """Let LAPACK use one thread while the block runs; results must be waited for inside it.

    The functions of this library that decompose matrices do so themselves outside a trace. Use it around programs of
    your own on a CPU that call them. Where scipy has another BLAS than OpenBLAS, nothing is done.

    Example:
        >>> import jax, evojax_align as ea
        >>> x, y = jax.random.normal(jax.random.key(0), (2, 50, 3))
        >>> with ea.similarity.one_blas_thread():
        ...     found = jax.block_until_ready(jax.jit(ea.similarity.cca)(x, y))
        >>> found.correlations.shape
        (3,)
    """
    global _inside, _before
    library = _openblas()
    if library is None:
        yield
        return
    with _lock:
        if _inside == 0:
            _before = library.scipy_openblas_get_num_threads()
            library.scipy_openblas_set_num_threads(1)
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                library.scipy_openblas_set_num_threads(_before)


@functools.cache
def _openblas() -> Any:
    """The library that scipy's wheels bring, which is the one that JAX calls; None where there is none."""
    folder = scipy.__path__[0]
    for pattern in (f"{folder}.libs/libscipy_openblas*", f"{folder}/.dylibs/libscipy_openblas*"):
        for path in sorted(glob.glob(pattern)):
            with contextlib.suppress(OSError):
                library = ctypes.CDLL(path)
                if hasattr(library, "scipy_openblas_set_num_threads"):
                    return library
    return None
