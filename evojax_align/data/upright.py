"""Small, upright digits: resizing and deskewing of images."""

import numpy as np

from evojax_align import _checks
from evojax_align._types import Float


def resized(images: Float[np.ndarray, "n height width"], side: int) -> Float[np.ndarray, "n side side"]:
    """Resize images by linear interpolation."""
    _checks.positive("side", side)
    for axis in (1, 2):
        length = images.shape[axis]
        at = np.clip((np.arange(side) + 0.5) * length / side - 0.5, 0, length - 1)
        low = np.minimum(at.astype(int), max(length - 2, 0))
        high, share = np.minimum(low + 1, length - 1), at - low
        share = share[:, None] if axis == 1 else share
        images = images.take(low, axis) * (1 - share) + images.take(high, axis) * share
    return images.astype(np.float32)


def deskewed(images: Float[np.ndarray, "n height width"]) -> Float[np.ndarray, "n height width"]:
    """Remove the slant of images by shifting rows horizontally; an image of one bright row is not changed."""
    count, height, width = images.shape
    mass = np.maximum(images.sum(axis=(1, 2)), 1e-12)
    down, across = np.arange(height), np.arange(width)
    below = down - (images.sum(axis=2) @ down / mass)[:, None]
    horizontal = across - (images.sum(axis=1) @ across / mass)[:, None]
    tall = np.einsum("nhw,nh->n", images, below**2)
    lean = np.einsum("nhw,nh,nw->n", images, below, horizontal)
    slant = np.where(tall < 1e-2, 0.0, lean / np.maximum(tall, 1e-2))
    at = across + slant[:, None, None] * (down - height / 2)[:, None]
    low = np.floor(at).astype(int)
    rows = np.arange(count)[:, None, None], down[:, None]

    def pixels(place: np.ndarray) -> np.ndarray:
        inside = (place >= 0) & (place < width)
        return np.where(inside, images[(*rows, np.clip(place, 0, width - 1))], 0.0)

    return (pixels(low) * (low + 1 - at) + pixels(low + 1) * (at - low)).astype(np.float32)
