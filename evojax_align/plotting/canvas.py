"""Figures without a screen, and PNG files that depend only on what is drawn."""

import functools
import io
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from evojax_align import _checks
from evojax_align._types import Int

if TYPE_CHECKING:
    import matplotlib.figure

COLOURS = 256
"""Largest number of colours of a stored picture."""


def figure(
    rows: int = 1, columns: int = 1, *, width: float = 3.6, height: float = 2.6
) -> tuple["matplotlib.figure.Figure", np.ndarray]:
    """Create a figure with a grid of Axes, outside pyplot's global list, so that it needs no screen and no closing.

    Args:
        rows: number of rows of the grid.
        columns: number of columns of the grid.
        width: width of one panel in inches.
        height: height of one panel in inches.

    Returns:
        The figure and its Axes as an object array [rows, columns], also for a single panel.

    Example:
        >>> import evojax_align as ea
        >>> fig, axes = ea.plotting.figure(1, 2)
        >>> axes.shape
        (1, 2)
    """
    rows, columns = _checks.positive("rows", rows), _checks.positive("columns", columns)
    kind = _shown_by_notebooks(_checks.extra("matplotlib.figure", "plotting").Figure)
    fig = kind(figsize=(width * columns, height * rows), layout="constrained", facecolor="white")
    return fig, fig.subplots(rows, columns, squeeze=False)


@functools.cache
def _shown_by_notebooks(base: Any) -> Any:
    """A class of figures that notebooks display without pyplot."""

    class Figure(base):
        def _repr_png_(self) -> bytes:
            image = io.BytesIO()
            self.savefig(image, format="png", dpi=100)
            return image.getvalue()

    return Figure


def save(fig: "matplotlib.figure.Figure", path: str | os.PathLike[str], *, dpi: int = 200) -> Path:
    """Write a figure as PNG, atomically.

    Args:
        fig: a figure from `figure`, or any other.
        path: a path that ends in .png, in an existing folder. An existing file is replaced.
        dpi: pixels per inch.

    Returns:
        The path. Equal drawings give equal bytes with the same version of matplotlib: no date or version is stored. An
        opaque picture has at most 256 colours, which makes the file small.

    Raises:
        ValueError: the path does not end in .png.
    """
    path = Path(path)
    if path.suffix != ".png":
        raise _checks.bad("path", repr(str(path)), "a name ending in .png", f"Use {path.with_suffix('.png').name!r}.")
    image = io.BytesIO()
    fig.savefig(image, format="png", dpi=dpi, metadata={"Software": None})
    content = _with_few_colours(image)
    part = path.with_name(path.name + ".part")
    try:
        part.write_bytes(content)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return path


def _with_few_colours(image: io.BytesIO) -> bytes:
    """The content of a PNG file with a palette of 256 colours; unchanged if it has transparent pixels."""
    pillow = _checks.extra("PIL.Image", "plotting")
    with pillow.open(image) as drawn:
        if drawn.mode != "RGB" and drawn.getchannel("A").getextrema() != (255, 255):
            return image.getvalue()
        pixels, small = np.asarray(drawn.convert("RGB"), np.int64), io.BytesIO()
    packed = pixels @ np.array([1 << 16, 1 << 8, 1])
    known, place, counts = np.unique(packed, return_inverse=True, return_counts=True)
    colours = np.stack([known >> 16, known >> 8 & 255, known & 255], axis=1)
    chosen, nearest = _palette(colours, counts)
    result = pillow.fromarray(nearest[place].reshape(packed.shape).astype(np.uint8), mode="P")
    result.putpalette(colours[chosen].astype(np.uint8).tobytes())
    result.save(small, format="PNG", optimize=True)
    return small.getvalue()


def _palette(
    colours: Int[np.ndarray, "n 3"], counts: Int[np.ndarray, "n"]
) -> tuple[Int[np.ndarray, "k"], Int[np.ndarray, "n"]]:
    """The indices of at most 256 colours, and for each colour the number of the nearest of them.

    The most frequent colours are taken, which are those of areas; then, one by one, those that are farthest from the
    taken ones, weighted by frequency.
    """
    if len(colours) <= COLOURS:
        return np.arange(len(colours)), np.arange(len(colours))
    weight = np.sqrt(counts)
    chosen = [*np.argsort(-counts, kind="stable")[: COLOURS // 2]]
    distance = np.full(len(colours), np.inf)
    nearest = np.zeros(len(colours), np.int64)
    for number in range(COLOURS):
        if number == len(chosen):
            chosen.append(np.argmax(distance * weight))
        apart = ((colours - colours[chosen[number]]) ** 2).sum(axis=1)
        nearest = np.where(apart < distance, number, nearest)
        distance = np.minimum(distance, apart)
    return np.array(chosen), nearest
