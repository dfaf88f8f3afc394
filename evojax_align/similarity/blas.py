"""LAPACK with one thread, for programs that decompose matrices on a CPU.

On a CPU, JAX calls LAPACK from the OpenBLAS of scipy. Its threads wait for each other in busy loops, and for cores that
are used by XLA's threads or by another process. Decompositions of a few hundred neurons therefore take many times as
long with several threads as with one (`experiments/benchmarks/core`).
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
    """Restrict LAPACK to one thread inside the block; call `jax.block_until_ready` on results inside it.

    The functions of this library that decompose matrices do this themselves outside a trace. Use it around your own
    compiled functions on a CPU that call them. If scipy uses another BLAS than OpenBLAS, it has no effect.

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
    """The OpenBLAS library in scipy's wheels, which JAX calls; None if there is none."""
    folder = scipy.__path__[0]
    for pattern in (f"{folder}.libs/libscipy_openblas*", f"{folder}/.dylibs/libscipy_openblas*"):
        for path in sorted(glob.glob(pattern)):
            with contextlib.suppress(OSError):
                library = ctypes.CDLL(path)
                if hasattr(library, "scipy_openblas_set_num_threads"):
                    return library
    return None
