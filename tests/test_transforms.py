"""Every public function under every transformation and setting of JAX (see `tests.transforms`)."""

import os
import subprocess
import sys

import pytest

from tests.public import calls

PACKAGES = sorted({name.partition(".")[0] for name in calls()})
QUICK = ("matching", "symmetry")
"""Packages that take less than a minute of processor time; the others are for the nightly lane."""
ENV = {
    "JAX_PLATFORMS": "cpu",
    "XLA_FLAGS": "--xla_force_host_platform_device_count=2 --xla_backend_optimization_level=0",
}


def run(*arguments, **env):
    command = [sys.executable, "-m", "tests.transforms", *arguments]
    return subprocess.run(command, env=os.environ | ENV | env, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "package",
    [pytest.param(p, marks=pytest.mark.slow if p in QUICK else pytest.mark.nightly, id=p) for p in PACKAGES],
)
def test_every_cell_passes_or_has_one_of_the_reasons(package):
    done = run(package)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]


@pytest.mark.nightly
def test_a_new_process_with_another_hash_seed_gives_the_same_bits():
    one, other = (run("--digests", PYTHONHASHSEED=seed) for seed in ("1", "2"))
    assert one.returncode == 0, one.stderr[-2000:]
    assert one.stdout == other.stdout and len(one.stdout.splitlines()) == len(calls())
