"""Strict by default: shapes in signatures are enforced, rank promotion is an error, plots need no screen."""

import gc
import os
import subprocess
import sys
from pathlib import Path

os.environ.setdefault("MPLBACKEND", "Agg")
# Most tests compile far longer than they compute: these flags make compiling three times as fast. `XLA_FLAGS= pytest`
# tests the programs that a user gets. With jaxlib 0.10.2 the first two together compute NaN in one training of a VGG
# (tests/experiments/test_safe_crossover_deep.py), which either of them alone does not: a test that fails is to be tried
# without them.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1",
)

import jaxtyping

HOOK = jaxtyping.install_import_hook("evojax_align", "beartype.beartype")

import jax
import jax.numpy as jnp
import pytest

import evojax_align as ea
from evojax_align import _compiling

BLAS = ea.similarity.one_blas_thread()
BLAS.__enter__()  # until the end: tests run beside each other
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.devices()  # JAX begins with one device, whichever test comes first; scripts would make each core one


def pytest_collection_finish():
    """What was imported stays: the garbage collector need not look through it again and again."""
    gc.freeze()


@pytest.fixture
def key():
    return jax.random.key(0)


@pytest.fixture
def unchecked(monkeypatch):
    """Lets badly shaped arguments reach the library's own errors, past the checks of the import hook."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


@pytest.fixture(scope="session")
def task():
    """A small problem that a network can learn: three noisy directions, (x, y) with 120 samples."""
    key_x, key_y = jax.random.split(jax.random.key(7))
    y = jax.random.randint(key_y, (120,), 0, 3)
    x = jax.random.normal(key_x, (120, 6)) * 0.5 + 2 * jax.nn.one_hot(y, 6)
    return x, y


@pytest.fixture(scope="session")
def network():
    """A small network, and its parameters from a key."""
    module = ea.models.MLP(hidden=(8, 5), classes=3)
    return module.apply, lambda key: module.init(key, jnp.zeros((1, 6)))


CACHE = jax.config.jax_compilation_cache_dir
MAPS = Path("/proc/self/maps")


@pytest.fixture(autouse=True, scope="module")
def _compiled_programs_are_dropped_before_memory_maps_run_out():
    """A compiled program holds a few memory maps (Linux allows a process 65 530) and about half a megabyte."""
    yield
    if not MAPS.exists() or MAPS.read_bytes().count(b"\n") > 4_000:
        jax.clear_caches()


TWO_DEVICES = """
import warnings; warnings.simplefilter("error")
import jax, jax.numpy as jnp, numpy as np
jax.config.update("jax_num_cpu_devices", 2)
{program}
found = [evolved(mesh) for mesh in (None, jax.make_mesh((2,), ("members",)))]
for p, q in zip(*map(jax.tree.leaves, found), strict=True):
    np.testing.assert_allclose(p, q, atol=1e-5)
"""


@pytest.fixture
def error_on_two_devices():
    """Runs a program in a new process with two CPU devices, and returns its error: "" if `evolved(mesh)` gives the same
    with and without a mesh."""

    def run(program):
        env, code = dict(os.environ, JAX_PLATFORMS="cpu"), TWO_DEVICES.format(program=program)
        done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
        return "" if done.returncode == 0 else done.stderr or f"exit status {done.returncode}"

    return run


@pytest.fixture(autouse=True)
def _each_test_compiles_as_often_as_it_likes():
    _compiling.forget()


@pytest.fixture(autouse=True)
def _the_compile_cache_of_an_experiment_ends_with_its_test():
    yield
    if jax.config.jax_compilation_cache_dir != CACHE:
        jax.config.update("jax_compilation_cache_dir", CACHE)
