"""The letters a to t, drawn from the fonts of matplotlib with small random distortions; no download.

Outlines are in the integer units of the font files, and the value of a pixel is the area that the letter covers in it.
The result therefore does not depend on a font renderer, on hinting or on the fonts of the machine.
"""

import functools
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float, UInt8

from evojax_align import _checks
from evojax_align.data.catalog import LETTERS
from evojax_align.data.dataset import Source, keep_classes

CHARACTERS = LETTERS[:20]
TASKS = {"glyphs": range(20), "glyphs_10letters": range(10), "glyphs_another10": range(10, 20)}
"""The names of the set and of the two tasks of ten letters in it, with their letters."""
FONTS = (
    *("DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSans-BoldOblique"),
    *("DejaVuSansMono", "DejaVuSansMono-Bold", "DejaVuSansMono-Oblique", "DejaVuSansMono-BoldOblique"),
    *("DejaVuSerif", "DejaVuSerif-Bold", "DejaVuSerif-Italic", "DejaVuSerif-BoldItalic"),
    *("STIXGeneral", "STIXGeneralBol", "STIXGeneralItalic", "STIXGeneralBolIta"),
    *("cmr10", "cmb10", "cmti10", "cmmi10", "cmss10", "cmtt10"),
)
CURVE_PIECES = 6  # straight segments that approximate one curve of an outline
SCAN_LINES = 8  # per pixel; along a line the covered length is exact

Edges: TypeAlias = Float[np.ndarray, "edges 2 2"]
"""Directed straight segments of an outline, [edge, start | end, x | y], y downwards; the inside is on their right."""


def glyphs(*, image_size: int = 8, per_class: int = 200, seed: int = 0) -> Source:
    """Draw `per_class` images of each letter; equal arguments give the same bits in any process.

    The fonts are used in turn. Each image is slightly rotated, slanted and stretched, scaled to fill 80 to 100 per cent
    of the frame, and placed at a random position in it. The brightest pixel is white.

    Args:
        image_size: height and width; at 28 all letters are easily read, at 8 most are.
        per_class: images of each of the 20 letters.
        seed: draws the distortions.
    """
    if _checks.positive("image_size", image_size) < 8:
        raise _checks.bad("image_size", image_size, "at least 8", "Pass image_size=8 or image_size=28.")
    labels = np.repeat(np.arange(len(CHARACTERS)), _checks.positive("per_class", per_class))
    outlines = _read_outlines()
    draws = np.random.default_rng(seed).random((len(labels), 6))
    images = np.empty((len(labels), image_size, image_size), dtype=np.uint8)
    for i, label in enumerate(labels):
        outline = outlines[FONTS[i % per_class % len(FONTS)], CHARACTERS[label]]
        images[i] = _rasterise(_distort(outline, draws[i], image_size), image_size)
    return Source((images, labels), None, "glyphs")


def task(letters: Source, name: str) -> Source:
    """The letters of one of `TASKS`, with labels from 0."""
    return Source(keep_classes(letters.train, TASKS[name]), None, letters.where)


def _distort(edges: Edges, draw: Float[np.ndarray, "6"], size: int) -> Edges:
    # Plain sums and products: sines, cosines and matrix products may differ by a bit between machines.
    tilt, slant, stretch, scale, right, down = draw
    tilt, slant, stretch = 0.3 * (tilt - 0.5), 0.3 * (slant - 0.5), 0.85 + 0.3 * stretch
    x, y = edges[..., 0], edges[..., 1]
    x, y = stretch * (x - (tilt + slant) * y), y + tilt * x
    width, height = x.max() - x.min(), y.max() - y.min()
    scale = size * (0.8 + 0.2 * scale) / max(width, height)
    x = (x - x.min()) * scale + _place(size - scale * width, right)
    y = (y - y.min()) * scale + _place(size - scale * height, down)
    return np.stack([x, y], axis=-1)


def _place(margin: float, draw: float) -> float:
    """The offset of the letter, in the middle third of the margin."""
    return margin * (1 + draw) / 3


def _rasterise(edges: Edges, size: int) -> UInt8[np.ndarray, "size size"]:
    """The area of each pixel inside the outline, scaled so that the largest value is 255."""
    lines = (np.arange(size * SCAN_LINES) + 0.5) / SCAN_LINES
    start, end = edges[:, 0, :, None], edges[:, 1, :, None]
    downwards = (start[:, 1] <= lines) & (lines < end[:, 1])
    upwards = (end[:, 1] <= lines) & (lines < start[:, 1])
    edge, line = np.nonzero(downwards | upwards)
    (x0, y0), (x1, y1) = edges[edge, 0].T, edges[edge, 1].T
    crossing = x0 + (lines[line] - y0) * (x1 - x0) / (y1 - y0)
    # An upward edge enters the letter: everything to its right is inside, until a downward edge.
    entered = np.where(upwards[edge, line], 1.0, -1.0)
    to_the_right = np.clip(np.arange(1, size + 1) - crossing[:, None], 0, 1)
    inside = np.zeros((size * SCAN_LINES, size))
    np.add.at(inside, line, entered[:, None] * to_the_right)
    cover = np.clip(inside, 0, 1).reshape(size, SCAN_LINES, size).mean(axis=1)
    return np.rint(255 * cover / cover.max()).astype(np.uint8)


@functools.cache
def _read_outlines() -> dict[tuple[str, str], Edges]:
    """The outline of every letter in every font; reads the font files of matplotlib, once in a process."""
    matplotlib = _checks.extra("matplotlib", "plotting")
    tools = _checks.extra("fontTools.ttLib", "plotting")
    logs = _checks.extra("fontTools.misc.loggingTools", "plotting")
    folder = Path(matplotlib.get_data_path(), "fonts", "ttf")
    outlines = {}
    with logs.CapturingLogHandler("fontTools", "WARNING"):  # about dates in the older files
        for font_name in FONTS:
            font = tools.TTFont(folder / f"{font_name}.ttf")
            shapes, names = font.getGlyphSet(), font.getBestCmap()
            for character in CHARACTERS:
                outlines[font_name, character] = _outline(shapes, names[ord(character)])
    return outlines


def _outline(shapes: Any, name: str) -> Edges:
    from fontTools.pens.basePen import decomposeQuadraticSegment
    from fontTools.pens.recordingPen import DecomposingRecordingPen

    pen = DecomposingRecordingPen(shapes)
    shapes[name].draw(pen)
    edges = []
    first = here = (0.0, 0.0)
    for operation, points in pen.value:
        if operation == "moveTo":
            first = here = points[0]
            continue
        if operation == "qCurveTo":
            corners = []
            for control, end in decomposeQuadraticSegment(points):
                corners += _curve(corners[-1] if corners else here, control, end)
        else:  # "lineTo", or "closePath", which returns to the start of the contour
            corners = list(points) or [first]
        edges += zip([here, *corners[:-1]], corners, strict=True)
        here = corners[-1]
    result = np.array(edges, dtype=float) * [1, -1]
    (x0, y0), (x1, y1) = result[:, 0].T, result[:, 1].T
    # Twice the signed area: some fonts have contours of the opposite orientation.
    return result if np.sum(x0 * y1 - x1 * y0) > 0 else result[:, ::-1]


def _curve(start: Any, control: Any, end: Any) -> list[tuple[float, float]]:
    """Points on a quadratic curve, without its start and with its end."""
    points = list(zip(start, control, end, strict=True))
    steps = [i / CURVE_PIECES for i in range(1, CURVE_PIECES + 1)]
    return [tuple((1 - t) * (1 - t) * a + 2 * t * (1 - t) * b + t * t * c for a, b, c in points) for t in steps]
