"""Pieces of chairs: legs, stretchers, seats, backs, arms. Lengths in metres, angles in degrees."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from polyglyph.shape.data.procedural.kit import Kit, grid
from polyglyph.shape.data.procedural.solids import Solid, box, cushion, lathe, rod, rotation, sheet, tube
from polyglyph.shape.data.procedural.surfaces import FABRICS, Finish

__all__ = ["Size", "add_arms", "add_back", "add_legs", "add_seat", "add_stretchers", "random_size"]


@dataclass(frozen=True)
class Size:
    """Outer measures of a seat."""

    width: float
    depth: float
    height: float
    """Of the top of the seat."""
    thickness: float


def random_size(kit: Kit, low: float = 0.42, high: float = 0.48) -> Size:
    return Size(
        kit.between(0.40, 0.54), kit.between(0.38, 0.50), kit.between(low, high), kit.between(0.025, 0.05)
    )


def add_legs(kit: Kit, finish: Finish, size: Size, *, splay: float, inset: float = 0.03) -> str:
    """Four legs under the seat; returns their description."""
    shape = kit.pick("square", "round", "tapered", "turned")
    radius = kit.between(0.013, 0.026)
    top = size.height - size.thickness * 0.8
    for z in (-1.0, 1.0):
        x, deep = size.width / 2 - inset, z * (size.depth / 2 - inset)
        foot = (x + splay, 0.0, deep + z * splay)
        if shape == "square":
            leg = rod(foot, (x, top, deep), radius, sides=4)
        elif shape == "round":
            leg = rod(foot, (x, top, deep), radius)
        elif shape == "tapered":
            leg = rod(foot, (x, top, deep), radius * 0.55, radius * 1.3, sides=4 if kit.chance(0.5) else 14)
        else:
            steps = np.linspace(0, 1, 15)
            line = np.outer(1 - steps, foot) + np.outer(steps, (x, top, deep))
            leg = tube(line, radius * (1 + 0.35 * np.sin(steps * 6 * math.pi) * (steps < 0.85)), sides=12)
        kit.add_pair("leg", finish, leg)
    return f"{shape} legs"


def add_stretchers(kit: Kit, finish: Finish, size: Size, splay: float) -> None:
    height = kit.between(0.10, 0.25)
    share = splay * (1 - height / size.height)
    x, z, radius = size.width / 2 - 0.03 + share, size.depth / 2 - 0.03 + share, kit.between(0.008, 0.012)
    kit.add_pair("stretcher", finish, rod((x, height, -z), (x, height, z), radius))
    if kit.chance(0.5):
        kit.add("stretcher", finish, rod((-x, height, 0), (x, height, 0), radius))
    else:
        for side in (-z, z):
            kit.add("stretcher", finish, rod((-x, height + 0.04, side), (x, height + 0.04, side), radius))


def add_seat(kit: Kit, frame: Finish, size: Size) -> tuple[str, Finish]:
    """A seat of some kind; returns its description and its finish."""
    kind = kit.pick("flat", "flat", "padded", "padded", "round", "wicker")
    middle = (0.0, size.height - size.thickness / 2, 0.0)
    if kind == "padded":
        finish = kit.finish(*FABRICS)
        kit.add(
            "seat",
            frame,
            box((0, size.height - size.thickness, 0), (size.width, size.thickness * 0.6, size.depth)),
        )
        pad = size.thickness * kit.between(1.0, 1.8)
        soft = cushion(
            (0, size.height - size.thickness * 0.7 + pad / 2, 0), (size.width, pad, size.depth), softness=0.35
        )
        kit.add("seat", finish, soft)
        return f"a padded {finish.words} seat", finish
    if kind == "round":
        radius, low = min(size.width, size.depth) / 2, size.height - size.thickness
        edge = size.thickness * 0.3
        profile = [
            (radius - edge, low),
            (radius, low + edge),
            (radius, size.height - edge),
            (radius - edge, size.height),
        ]
        disc = lathe(profile, sides=32)
        stretch = np.array([size.width / 2 / radius, 1.0, size.depth / 2 / radius])
        kit.add("seat", frame, Solid(disc.positions * stretch, disc.faces, disc.normals, disc.uvs))
        return "a rounded seat", frame
    if kind == "wicker":
        finish = (
            kit.finish("wicker")
            if kit.chance(0.5)
            else Finish("wicker", "beige", int(kit.random.integers(2**31)))
        )
        kit.add("seat", finish, box(middle, (size.width * 0.9, size.thickness * 0.7, size.depth * 0.9)))
        rim = size.width * 0.05
        kit.add_pair(
            "seat", frame, box((size.width / 2 - rim / 2, middle[1], 0), (rim, size.thickness, size.depth))
        )
        for side in (-1, 1):
            z = side * (size.depth / 2 - rim / 2)
            kit.add("seat", frame, box((0, middle[1], z), (size.width - 2 * rim, size.thickness, rim)))
        return "a woven seat", finish
    finish = frame if kit.chance(0.7) else kit.finish("wood", "paint")
    kit.add("seat", finish, box(middle, (size.width, size.thickness, size.depth)))
    return "a flat seat", finish


def add_back(kit: Kit, frame: Finish, fabric: Finish, size: Size, *, height: float, lean: float) -> str:
    """A back of some kind between two posts; returns its description."""
    x, z = size.width / 2 - 0.025, -size.depth / 2 + 0.02
    run = math.tan(math.radians(lean))
    radius = kit.between(0.012, 0.02)

    def at(across: float, up: float) -> tuple[float, float, float]:
        """A point of the back's plane; `up` from 0 at the seat to 1 at the top."""
        return (across, size.height + up * height, z - up * height * run)

    sides = 4 if kit.chance(0.5) else 12
    post = rod((x, size.height - size.thickness, z), at(x, 1.0), radius, radius * 0.8, sides=sides)
    kit.add_pair("back", frame, post)
    kind = kit.pick("slats", "ladder", "spindles", "board", "upholstered", "cross", "frame", "curved")
    if kind in ("slats", "spindles"):
        kit.add("back", frame, _rail(at, x, 0.97, 0.05, radius), _rail(at, x, 0.18, 0.03, radius))
        count = int(kit.random.integers(3, 8))
        for across in np.linspace(-x, x, count + 2)[1:-1]:
            if kind == "slats":
                wide = min(0.045, 1.2 * x / count)
                kit.add("back", frame, _board(at, float(across), 0.16, 0.97, wide, 0.010))
            else:
                kit.add("back", frame, rod(at(float(across), 0.16), at(float(across), 0.97), 0.007, sides=8))
        return f"a back of {count} {'vertical slats' if kind == 'slats' else 'spindles'}"
    if kind == "ladder":
        count = int(kit.random.integers(2, 6))
        for up in np.linspace(1.0, 0.3, count):
            kit.add("back", frame, _rail(at, x, float(up) - 0.03, kit.between(0.03, 0.06), 0.008))
        return f"a ladder back with {count} rungs"
    if kind in ("board", "upholstered", "curved"):
        low = kit.between(0.0, 0.4)
        finish = fabric if kind == "upholstered" else frame
        middle = at(0.0, (1 + low) / 2)
        if kind == "curved":
            across, up = grid(np.linspace(-x, x, 11), np.linspace(low, 1.0, 5))
            bow = 0.06 * (np.cos(across / x * math.pi / 2) - 0.2)
            deep = z - up * height * run - bow
            board = sheet(np.stack([across, size.height + up * height, deep], axis=-1), 0.014)
            kit.add("back", finish, board)
            return "a curved back"
        extent = (2 * x, (1 - low) * height, 0.05 if kind == "upholstered" else 0.016)
        turn = rotation("x", -lean)
        kit.add(
            "back",
            finish,
            cushion(middle, extent, softness=0.35, turn=turn)
            if kind == "upholstered"
            else box(middle, extent, turn=turn),
        )
        return f"a {finish.words} back" if kind == "upholstered" else "a solid back"
    kit.add("back", frame, _rail(at, x, 0.97, 0.06, radius))
    if kind == "cross":
        kit.add("back", frame, rod(at(-x, 0.1), at(x, 0.93), 0.010), rod(at(x, 0.1), at(-x, 0.93), 0.010))
        return "a cross back"
    kit.add("back", frame, _rail(at, x, kit.between(0.4, 0.6), 0.05, radius))
    return "an open back"


def _rail(
    at: Callable[[float, float], tuple[float, float, float]], x: float, up: float, tall: float, deep: float
) -> Solid:
    """A bar across the back, `tall` metres high."""
    low, high = np.array(at(0.0, 0.0)), np.array(at(0.0, 1.0))
    lean = math.degrees(math.atan2(-(high - low)[2], (high - low)[1]))
    return box(at(0.0, up), (2 * x, tall, 1.4 * deep), turn=rotation("x", -lean))


def _board(
    at: Callable[[float, float], tuple[float, float, float]],
    across: float,
    low: float,
    high: float,
    wide: float,
    thick: float,
) -> Solid:
    """An upright board in the back's plane."""
    start, end = np.array(at(across, low)), np.array(at(across, high))
    lean = math.degrees(math.atan2(-(end - start)[2], (end - start)[1]))
    return box(
        (start + end) / 2, (wide, float(np.linalg.norm(end - start)), thick), turn=rotation("x", -lean)
    )


def add_arms(kit: Kit, finish: Finish, size: Size, *, reach: float = 1.0) -> None:
    x, high = size.width / 2 + 0.01, size.height + kit.between(0.18, 0.26)
    back, front = -size.depth / 2 + 0.02, size.depth / 2 * reach - 0.05
    radius = kit.between(0.012, 0.018)
    if kit.chance(0.5):
        path = [
            (x, high, back),
            (x, high, front - 0.05),
            (x, high - 0.02, front),
            (x, high - 0.06, front + 0.01),
            (x, size.height - 0.02, front + 0.01),
        ]
        kit.add_pair("arm", finish, tube(path, radius))
    else:
        kit.add_pair("arm", finish, box((x, high, (back + front) / 2), (0.045, 0.022, front - back + 0.04)))
        kit.add_pair(
            "arm", finish, rod((x, size.height - 0.02, front - 0.03), (x, high, front - 0.03), radius)
        )
