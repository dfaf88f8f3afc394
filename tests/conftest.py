"""Strict by default: shapes in signatures are enforced, rank promotion is an error, plots need no screen."""

import os

os.environ.setdefault("MPLBACKEND", "Agg")

import jaxtyping

HOOK = jaxtyping.install_import_hook("evojax_align", "beartype.beartype")

import jax
import pytest

jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture
def key():
    return jax.random.key(0)
