import numpy as np
import pytest

from evojax_align.data.upright import deskewed, resized


def test_resizing_keeps_what_is_linear_and_the_size_that_is_there():
    slope = np.broadcast_to(np.linspace(0, 1, 28), (2, 28, 28)).astype(np.float32)
    smaller = resized(slope, 16)
    assert smaller.shape == (2, 16, 16)
    np.testing.assert_allclose(np.diff(smaller, axis=2), 28 / 16 / 27, rtol=1e-4)
    np.testing.assert_allclose(resized(slope, 28), slope, atol=1e-6)


def slanted(slant, size=32):
    """A bar that leans to one side."""
    down = np.arange(size)[:, None]
    middle = size / 2 + slant * (down - size / 2)
    inside = (np.abs(down - size / 2) < 9).astype(np.float32)
    return (np.exp(-((np.arange(size) - middle) ** 2) / 4) * inside)[None].astype(np.float32)


@pytest.mark.parametrize("slant", [-0.6, 0.3, 0.5])
def test_a_leaning_bar_is_made_upright(slant):
    upright = deskewed(slanted(slant))
    middles = (upright[0] @ np.arange(32))[10:22] / upright[0].sum(axis=1)[10:22]
    assert np.ptp(middles) < 0.3
    np.testing.assert_allclose(upright.sum(), slanted(slant).sum(), rtol=1e-3)


def test_an_upright_bar_an_empty_image_and_a_single_row_stay_as_they_are():
    bar, row = slanted(0.0), np.zeros((1, 8, 8), np.float32)
    np.testing.assert_allclose(deskewed(bar), bar, atol=1e-3)
    np.testing.assert_array_equal(deskewed(row), row)
    row[0, 3] = np.arange(8)
    np.testing.assert_array_equal(deskewed(row), row)
