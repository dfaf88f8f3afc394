import jaxtyping
import numpy as np
import pytest

from evojax_align import plotting


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def ax():
    _, axes = plotting.figure()
    return axes[0, 0]


@pytest.fixture
def unchecked(monkeypatch):
    """Signatures are not enforced, as for a user: what is refused then is refused at the door."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
