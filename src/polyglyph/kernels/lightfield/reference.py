"""The definition, one pixel at a time. Slow on purpose; never optimise this file."""

import cmath
import math

import torch
from torch import Tensor

from polyglyph.kernels.lightfield.numbers import OUTLINE, TABLE_SIDE

__all__ = ["describe", "match"]

Pixel = tuple[int, int]
"""Column and row; row 0 is the lowest."""


def describe(silhouettes: Tensor) -> tuple[Tensor, Tensor]:
    """How much each entry of the table counts in an image's means, and its other 12 numbers."""
    sets, views, height, width = silhouettes.shape
    tables = torch.zeros(sets, views, TABLE_SIDE, TABLE_SIDE, dtype=torch.float64)
    rest = torch.zeros(sets, views, OUTLINE + 2, dtype=torch.float64)
    for s in range(sets):
        images = [{(x, y) for y, x in image.nonzero().tolist()} for image in silhouettes[s]]
        centres = [_centre(image) for image in images]
        pairs = zip(images, centres, strict=True)
        radius = max((math.dist(p, centre) for image, centre in pairs for p in image), default=0.0) or 1.0
        for v, (image, centre) in enumerate(zip(images, centres, strict=True)):
            _look_up(image, centre, radius, tables[s, v])
            rest[s, v, :OUTLINE] = torch.tensor(_outline(image, centre, width, height), dtype=torch.float64)
            rest[s, v, OUTLINE], rest[s, v, OUTLINE + 1] = _circularity(image), _eccentricity(image, centre)
    return tables, rest


def _centre(image: set[Pixel]) -> tuple[float, float]:
    if not image:
        return 0.0, 0.0
    columns, rows = zip(*image, strict=True)
    return (min(columns) + max(columns)) / 2, (min(rows) + max(rows)) / 2


def _look_up(image: set[Pixel], centre: tuple[float, float], radius: float, table: Tensor) -> None:
    half = (TABLE_SIDE - 1) / 2
    for x, y in image:
        column, row = (x - centre[0]) / radius * half + half, (y - centre[1]) / radius * half + half
        j, i = int(column), int(row)
        for to_i, down in ((i, 1 - (row - i)), (i + 1, row - i)):
            for to_j, along in ((j, 1 - (column - j)), (j + 1, column - j)):
                if to_i < TABLE_SIDE and to_j < TABLE_SIDE:
                    table[to_i, to_j] += down * along / len(image)


def _circularity(image: set[Pixel]) -> float:
    near = [(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)]
    border = sum(any((x + i, y + j) not in image for i, j in near) for x, y in image)
    return min(1.0, 4 * math.pi * len(image) / border**2) if border else 0.0


def _eccentricity(image: set[Pixel], centre: tuple[float, float]) -> float:
    m20 = sum((x - centre[0]) ** 2 for x, _ in image)
    m02 = sum((y - centre[1]) ** 2 for _, y in image)
    m11 = sum((x - centre[0]) * (y - centre[1]) for x, y in image)
    if len(image) < 2:
        return 0.0
    return min(1.0, ((m20 - m02) ** 2 + 4 * m11**2) / (m20 + m02) ** 2)


def _outline(image: set[Pixel], centre: tuple[float, float], width: int, height: int) -> list[float]:
    """|F_k| / |F_0| of the distances along the contour of the image, or of what joins its parts."""
    contour = _trace(_joined(image, width, height)) if image else []
    if len(contour) < 8:
        return [0.0] * OUTLINE
    signal, length = [math.dist(p, centre) for p in contour], len(contour)

    def transformed(k: int) -> float:
        return abs(sum(d * cmath.exp(-2j * math.pi * k * n / length) for n, d in enumerate(signal)))

    return [transformed(k) / transformed(0) if k <= length / 2 else 0.0 for k in range(1, OUTLINE + 1)]


_AHEAD = ((0, 1), (1, 0), (0, -1), (-1, 0))
"""Up, right, down, left."""


def _trace(image: set[Pixel]) -> list[Pixel]:
    """The outer contour, its first pixel again at the end, unless it is alone.

    It starts at the lowest row's leftmost pixel, heading up. Of the pixels left-ahead, ahead and
    right-ahead the first that is foreground comes next; after a step left-ahead the walk heads left. Where
    there is none, it turns right. It ends when it comes back to its start; but where the start has a branch
    left-ahead, nothing ahead, and something right-ahead or at its right, not while it heads right.
    """
    start = min(image, key=lambda p: (p[1], p[0]))
    x, y = start
    others = {(x + 1, y + 1), (x + 1, y)} & image
    branch = (x - 1, y + 1) in image and (x, y + 1) not in image and bool(others)
    contour, at, heading = [start], start, 0
    while True:
        for _ in range(4):
            ahead, left = _AHEAD[heading], _AHEAD[heading - 1]
            steps = [
                (at[0] + ahead[0] + side * left[0], at[1] + ahead[1] + side * left[1]) for side in (1, 0, -1)
            ]
            found = next((n for n, step in enumerate(steps) if step in image), None)
            if found is not None:
                at, heading = steps[found], (heading - 1) % 4 if found == 0 else heading
                break
            heading = (heading + 1) % 4
        else:
            return contour
        contour.append(at)
        if at == start and not (branch and heading == 1):
            return contour


def _is_one_part(image: set[Pixel], width: int, height: int) -> bool:
    """Whether more than 95 % of the foreground lies on the contour, or where a flood from outside, through
    four neighbours and not across the contour, does not come."""
    contour = set(_trace(image))
    border = {
        (x, y) for x in range(width) for y in range(height) if x in (0, width - 1) or y in (0, height - 1)
    }
    wet = border - contour
    waiting = list(wet)
    while waiting:
        x, y = waiting.pop()
        for step in ((x - 1, y), (x + 1, y), (x, y - 1), (x, y + 1)):
            if 0 <= step[0] < width and 0 <= step[1] < height and step not in contour and step not in wet:
                wet.add(step)
                waiting.append(step)
    return len(image - wet) > 0.95 * len(image)


def _joined(image: set[Pixel], width: int, height: int) -> set[Pixel]:
    """The image, if it is one part. Otherwise grown by a square of 3 × 3; that, if it is still several, by
    one of 5 × 5 without its corners; if it is still several, its filled bounding box instead: and then
    thinned."""
    if _is_one_part(image, width, height):
        return image
    square = [(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)]
    disc = [(i, j) for i in range(-2, 3) for j in range(-2, 3) if abs(i) + abs(j) < 4]
    grown = image
    for shape in (square, disc):
        grown = {
            (x + i, y + j) for x, y in grown for i, j in shape if 0 <= x + i < width and 0 <= y + j < height
        }
        if _is_one_part(grown, width, height):
            return _thinned(grown, image, width, height)
    columns, rows = zip(*image, strict=True)
    box = {(x, y) for x in range(min(columns), max(columns) + 1) for y in range(min(rows), max(rows) + 1)}
    return _thinned(box, image, width, height)


def _thinned(grown: set[Pixel], image: set[Pixel], width: int, height: int) -> set[Pixel]:
    """`grown` without what can go, which is not in `image` nor on the picture's rim: pixel by pixel from
    below, above, left and right in turns, all those of one side at once."""
    grown = set(grown)
    inner = {(x, y) for x, y in grown if 0 < x < width - 1 and 0 < y < height - 1}
    while True:
        before = len(grown)
        for i, j in ((0, -1), (0, 1), (-1, 0), (1, 0)):
            loose = {p for p in inner & grown - image if (p[0] + i, p[1] + j) not in grown}
            grown -= {p for p in loose if _is_spare(grown, p)}
        if len(grown) == before:
            return grown


def _is_spare(image: set[Pixel], pixel: Pixel) -> bool:
    """Whether the foreground around a pixel stays as connected, through four neighbours, without it."""
    x, y = pixel
    around = [(1, 0), (1, 1), (0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1)]
    ring = [(x + i, y + j) in image for i, j in around]
    pieces = sum(ring[n] and not (ring[n + 1] and ring[(n + 2) % 8]) for n in (0, 2, 4, 6))
    return pieces <= 1 and sum(ring) != 1


def match(a: Tensor, b: Tensor, weights: Tensor, alignments: Tensor) -> Tensor:
    """Distances [N, M]."""
    found = torch.zeros(len(a), len(b), dtype=torch.int32)
    for i, one in enumerate(a.int()):
        for j, other in enumerate(b.int()):
            found[i, j] = min(
                sum(
                    int(((first[v] - second[alignment[v]]).abs() * weights).sum())
                    for v in range(len(alignment))
                )
                for first in one
                for second in other
                for alignment in alignments.tolist()
            )
    return found
