"""Outlines in numpy and scipy: what `reference.py` defines in plain loops.

Row 0 is the lowest; pictures are boolean [H, W].
"""

import numpy as np
from scipy import ndimage

from polyglyph.kernels.lightfield.numbers import OUTLINE

__all__ = ["outline_numbers"]

_AHEAD = ((0, 1), (1, 0), (0, -1), (-1, 0))


def outline_numbers(image: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """|F_k| / |F_0|, k = 1..10, of the distances from the centre (column, row) along the contour."""
    numbers = np.zeros(OUTLINE)
    contour = trace(joined(image)) if image.any() else []
    if len(contour) < 8:
        return numbers
    size = np.abs(np.fft.rfft(np.linalg.norm(np.asarray(contour) - centre, axis=1)))
    found = size[1 : OUTLINE + 1] / size[0]
    numbers[: len(found)] = found
    return numbers


def trace(image: np.ndarray) -> list[tuple[int, int]]:
    """The pixels (column, row) of the outer contour, the first again at the end, unless it is alone."""
    padded = np.pad(image, 1)
    width = padded.shape[1]
    lit = padded.ravel().tolist()
    start = lit.index(True)
    steps = [dy * width + dx for dx, dy in _AHEAD]
    up, left = steps[0], steps[3]
    branch = lit[start + left + up] and not lit[start + up] and (lit[start - left + up] or lit[start - left])
    found, at, heading = [start], start, 0
    while True:
        for _ in range(4):
            ahead, aside = at + steps[heading], steps[heading - 1]
            if lit[ahead + aside]:
                at, heading = ahead + aside, (heading - 1) % 4
            elif lit[ahead]:
                at = ahead
            elif lit[ahead - aside]:
                at = ahead - aside
            else:
                heading = (heading + 1) % 4
                continue
            break
        else:
            break
        found.append(at)
        if at == start and not (branch and heading == 1):
            break
    return [(place % width - 1, place // width - 1) for place in found]


def is_one_part(image: np.ndarray) -> bool:
    """Whether more than 95 % of the foreground lies on or within the contour."""
    free = np.ones(np.add(image.shape, 2), dtype=bool)
    for column, row in trace(image):
        free[row + 1, column + 1] = False
    labels = np.zeros(free.shape, dtype=np.int32)
    ndimage.label(free, output=labels)  # four neighbours; the rim that was added is outside
    outside = (labels == labels[0, 0])[1:-1, 1:-1]
    return bool((image & ~outside).sum() > 0.95 * image.sum())


def joined(image: np.ndarray) -> np.ndarray:
    """The picture whose contour stands for the image's: what joins its parts, where it has several."""
    if is_one_part(image):
        return image
    disc = np.ones((5, 5), dtype=bool)
    disc[[0, 0, 4, 4], [0, 4, 0, 4]] = False
    grown = image
    for shape in (np.ones((3, 3), dtype=bool), disc):
        grown = ndimage.binary_dilation(grown, shape)
        if is_one_part(grown):
            return thinned(grown, image)
    rows, columns = np.flatnonzero(image.any(axis=1)), np.flatnonzero(image.any(axis=0))
    box = np.zeros_like(image)
    box[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = True
    return thinned(box, image)


def thinned(grown: np.ndarray, image: np.ndarray) -> np.ndarray:
    """`grown` without the pixels that can go one after the other and are not in `image`."""
    padded = np.pad(grown, 1)
    loose = np.pad((grown & ~image)[1:-1, 1:-1], 2)  # the picture's rim stays
    around = ((0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1))
    while True:
        before = padded.sum()
        for side in (6, 2, 4, 0):  # below, above, left, right
            ring = [np.roll(padded, (-row, -column), (0, 1)) for row, column in around]
            pieces = sum((ring[n] & ~(ring[n + 1] & ring[(n + 2) % 8])).astype(int) for n in (0, 2, 4, 6))
            count = sum(neighbour.astype(int) for neighbour in ring)
            padded = padded & ~(loose & ~ring[side] & (pieces <= 1) & (count != 1))
        if padded.sum() == before:
            return padded[1:-1, 1:-1]
