"""Parametric cars and houses. The front is +Z. Lengths in metres, angles in degrees."""

from __future__ import annotations

import numpy as np

from polyglyph.shape.data.procedural.kit import Design, Kit, a
from polyglyph.shape.data.procedural.solids import Solid, box, cushion, extrude, lathe, rotation
from polyglyph.shape.data.procedural.surfaces import Finish

__all__ = ["car", "house"]

DARK = Finish("plastic", "black", 11)


def car(kit: Kit) -> Design:
    """A saloon, hatchback, estate, van or pickup, built from its side view. It looks to +Z."""
    kind = kit.pick("saloon car", "hatchback", "estate car", "van", "pickup truck")
    paint = kit.finish("paint")
    glass = Finish("glass", "navy blue", 12)
    length, width = kit.between(3.7, 4.8), kit.between(1.65, 1.85)
    if kind == "van":
        length, width = kit.between(4.4, 5.2), kit.between(1.8, 2.0)
    wheel, ground = kit.between(0.29, 0.35), kit.between(0.15, 0.22)
    belt = ground + kit.between(0.55, 0.68)
    roof = belt + (kit.between(0.75, 0.95) if kind == "van" else kit.between(0.45, 0.58))
    half, hood = length / 2, kit.between(0.60, 0.80)
    nose = belt - kit.between(0.10, 0.22)
    tail = belt - kit.between(0.0, 0.06)
    body = [
        (-half, ground + 0.15),
        (-half + 0.08, ground),
        (half - 0.10, ground),
        (half, ground + 0.18),
        (half - 0.03, nose),
        (half - length * 0.26 * hood / 0.7, belt),
        (-half + 0.04, tail),
    ]
    # the side view lies in X-Y and is turned so that X points to the front, +Z
    turn = rotation("y", -90)
    kit.add("body", paint, extrude(body, width, inset=0.03).moved(turn=turn))
    _cabin(kit, kind, paint, glass, (half, width, belt, roof))
    _wheels(kit, wheel, width, (half - length * 0.19, -half + length * 0.20))
    level = (ground + 0.18 + nose) / 2 + 0.06
    kit.add_pair(
        "light",
        Finish("paint", "cream", 14),
        cushion((width * 0.36, level, half - 0.02), (0.26, 0.13, 0.10), softness=0.4),
    )
    kit.add_pair(
        "light",
        Finish("paint", "red", 15),
        cushion((width * 0.38, (ground + tail) / 2 + 0.16, -half + 0.03), (0.18, 0.16, 0.10), softness=0.3),
    )
    kit.add(
        "bumper",
        DARK,
        box((0, ground + 0.12, half - 0.02), (width * 0.86, 0.12, 0.10)),
        box((0, ground + 0.12, -half + 0.02), (width * 0.86, 0.12, 0.10)),
    )
    return Design(f"{paint.color} {kind}", f"{a(paint.color)} {kind}")


def _cabin(
    kit: Kit, kind: str, paint: Finish, glass: Finish, size: tuple[float, float, float, float]
) -> None:
    """Windows, roof and pillars; `size` is half the length, the width, and the heights of belt and roof."""
    half, width, belt, roof = size
    turn = rotation("y", -90)
    front = half * 0.5
    windscreen = front - kit.between(0.45, 0.75)
    back = {
        "saloon car": -half * 0.62,
        "hatchback": -half * 0.86,
        "estate car": -half * 0.93,
        "van": -half * 0.97,
        "pickup truck": -half * 0.05,
    }[kind]
    slope = {"saloon car": 0.55, "hatchback": 0.35, "estate car": 0.15, "van": 0.05, "pickup truck": 0.10}[
        kind
    ]
    if kind == "van":
        front, windscreen = half - 0.45, half - 0.95
    cabin = [(back, belt - 0.02), (front, belt - 0.02), (windscreen, roof), (back + slope, roof)]
    kit.add("cabin", glass, extrude(cabin, width * 0.88, inset=0.12).moved(turn=turn))
    lid = [
        (back + slope - 0.04, roof - 0.02),
        (windscreen + 0.04, roof - 0.02),
        (windscreen - 0.08, roof + 0.03),
        (back + slope + 0.08, roof + 0.03),
    ]
    kit.add("roof", paint, extrude(lid, width * 0.82, inset=0.08).moved(turn=turn))
    pillars = [back + slope + 0.02, windscreen - 0.02, (back + slope + windscreen) / 2]
    if kind == "van":
        side = [
            (back, belt - 0.03),
            (windscreen - 0.9, belt - 0.03),
            (windscreen - 0.9, roof - 0.01),
            (back + slope, roof - 0.01),
        ]
        kit.add("body", paint, extrude(side, width * 0.90, inset=0.10).moved(turn=turn))
    else:
        for z in pillars:
            kit.add("cabin", paint, box((0, (belt + roof) / 2, z), (width * 0.875, roof - belt, 0.07)))
    if kind == "pickup truck":
        kit.add(
            "bed", DARK, box((0, belt - 0.01, (back - half) / 2), (width * 0.80, 0.04, half + back - 0.2))
        )


def _wheels(kit: Kit, wheel: float, width: float, places: tuple[float, float]) -> None:
    """Four wheels of radius `wheel` at the two places along the car."""
    for z in places:
        tyre = lathe(
            [
                (wheel * 0.6, -0.1),
                (wheel * 0.95, -0.1),
                (wheel, -0.07),
                (wheel, 0.07),
                (wheel * 0.95, 0.1),
                (wheel * 0.6, 0.1),
            ],
            sides=28,
        )
        hub = lathe([(wheel * 0.58, -0.105), (wheel * 0.55, 0.105), (wheel * 0.15, 0.115)], sides=20)
        place = (width / 2 - 0.07, wheel, z)
        kit.add_pair("wheel", DARK, tyre.moved(turn=rotation("z", -90), shift=place))
        kit.add_pair("wheel", Finish("metal", "steel", 13), hub.moved(turn=rotation("z", -90), shift=place))


def house(kit: Kit) -> Design:
    """A house of one to three floors with a gabled, hipped, flat or shed roof."""
    wall, trim = kit.finish("brick", "plaster", "plaster", "wood"), kit.finish("paint", "wood")
    if wall.kind == "brick":
        wall = Finish("brick", kit.pick("dark red", "brown", "orange", "beige", "grey"), wall.seed)
    tiles = Finish(
        "tiles",
        kit.pick("dark red", "grey", "brown", "black", "olive green"),
        int(kit.random.integers(2**31)),
    )
    glass = Finish("glass", "light blue", int(kit.random.integers(2**31)))
    width, depth, floors = kit.between(6, 12), kit.between(5, 9), int(kit.random.integers(1, 4))
    storey = kit.between(2.5, 3.0)
    high = floors * storey
    kit.add("wall", wall, box((0, high / 2, 0), (width, high, depth)))
    kit.add("base", Finish("plaster", "grey", 21), box((0, 0.1, 0), (width + 0.3, 0.25, depth + 0.3)))
    over = kit.between(0.2, 0.6)
    kind = kit.pick("gabled", "gabled", "hipped", "flat", "shed")
    rise = kit.between(0.25, 0.5) * depth
    _roof(kit, kind, wall, tiles, (width, high, depth), over, rise)
    _openings(kit, trim, glass, (width, storey, depth), floors)
    chimney = kind != "flat" and kit.chance(0.6)
    if chimney:
        x = kit.between(-0.35, 0.35) * width
        kit.add(
            "chimney",
            Finish("brick", "dark red", 22),
            box((x, high + rise * 0.7, -depth * 0.15), (0.7, rise * 1.0 + 0.8, 0.7)),
        )
    count = ("one floor", "two floors", "three floors")[floors - 1]
    words = f"{a(wall.words)} house with {count} and a {kind} {tiles.color} roof"
    return Design(f"{wall.words} house", words + (", with a chimney" if chimney else ""))


def _roof(
    kit: Kit,
    kind: str,
    wall: Finish,
    tiles: Finish,
    size: tuple[float, float, float],
    over: float,
    rise: float,
) -> None:
    """A roof of a kind on walls of `size` (width, height, depth), standing `over` beyond them."""
    width, high, depth = size
    if kind == "gabled":
        gable = [(-depth / 2, high - 0.01), (depth / 2, high - 0.01), (0.0, high + rise)]
        kit.add("wall", wall, extrude(gable, width - 0.02).moved(turn=rotation("y", 90)))
        thick = 0.18
        cap = [
            (-depth / 2 - over, high - over * 2 * rise / depth),
            (0.0, high + rise),
            (depth / 2 + over, high - over * 2 * rise / depth),
            (depth / 2 + over, high - over * 2 * rise / depth + thick),
            (0.0, high + rise + thick * 1.3),
            (-depth / 2 - over, high - over * 2 * rise / depth + thick),
        ]
        kit.add("roof", tiles, extrude(cap, width + 2 * over).moved(turn=rotation("y", 90)))
    elif kind == "hipped":
        kit.add("roof", tiles, _hip(width + 2 * over, depth + 2 * over, high, rise))
    elif kind == "shed":
        wedge = [
            (-depth / 2 - over, high - 0.02),
            (depth / 2 + over, high - 0.02),
            (depth / 2 + over, high + 0.15),
            (-depth / 2 - over, high + rise * 0.7),
        ]
        kit.add("roof", tiles, extrude(wedge, width + 2 * over).moved(turn=rotation("y", -90)))
    else:
        kit.add("roof", tiles, box((0, high + 0.12, 0), (width + 2 * over, 0.3, depth + 2 * over)))


def _openings(kit: Kit, trim: Finish, glass: Finish, size: tuple[float, float, float], floors: int) -> None:
    """Windows on all sides and one door at the front; `size` is the width, a storey's height, the depth."""
    width, storey, depth = size
    columns = max(2, int(width // 2.4))
    door = int(kit.random.integers(columns))
    for floor in range(floors):
        y = floor * storey + storey * 0.55
        for k in range(columns):
            x = width * ((k + 0.5) / columns - 0.5)
            if floor == 0 and k == door:
                kit.add("door", trim, box((x, 1.05, depth / 2), (1.0, 2.1, 0.16)))
                kit.add(
                    "door", Finish("plaster", "grey", 21), box((x, 0.08, depth / 2 + 0.4), (1.4, 0.16, 0.8))
                )
                continue
            for side in (1, -1):
                kit.add("window", glass, box((x, y, side * depth / 2), (1.0, 1.2, 0.10)))
                kit.add(
                    "frame",
                    trim,
                    box((x, y - 0.65, side * depth / 2), (1.2, 0.10, 0.22)),
                    box((x, y, side * depth / 2), (0.06, 1.2, 0.14)),
                )
        for z in (-depth / 4, depth / 4):
            kit.add_pair("window", glass, box((width / 2, y, z), (0.10, 1.2, 0.9)))


def _hip(width: float, depth: float, base: float, rise: float) -> Solid:
    """A roof that slopes on four sides, as a box whose top is pressed to a ridge."""
    solid = box((0, base + rise / 2 - 0.02, 0), (width, rise, depth))
    ridge = max(width - depth, width * 0.2) / width
    points = solid.positions.copy()
    top = points[:, 1] > base + rise / 2
    points[top, 0] *= ridge
    points[top, 2] *= 0.02
    corner = points[solid.faces]
    flat = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    normals = np.zeros_like(points)
    for k in range(3):
        np.add.at(normals, solid.faces[:, k], flat)
    return Solid(points, solid.faces, normals / np.linalg.norm(normals, axis=1, keepdims=True), solid.uvs)
