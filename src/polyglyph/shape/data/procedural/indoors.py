"""Parametric tables and lamps. The front is +Z. Lengths in metres, angles in degrees."""

from __future__ import annotations

import math

import numpy as np

from polyglyph.shape.data.procedural.kit import Design, Kit, a
from polyglyph.shape.data.procedural.solids import Solid, box, lathe, rod, rotation, sphere
from polyglyph.shape.data.procedural.surfaces import Finish

__all__ = ["lamp", "table"]


def table(kit: Kit) -> Design:
    """A dining, coffee or side table, or a desk with drawers."""
    kind = kit.pick("dining table", "coffee table", "side table", "desk")
    low, high = {
        "dining table": (0.70, 0.78),
        "coffee table": (0.35, 0.48),
        "side table": (0.45, 0.62),
        "desk": (0.71, 0.76),
    }[kind]
    height, thick = kit.between(low, high), kit.between(0.02, 0.045)
    width = {
        "dining table": kit.between(1.0, 2.0),
        "coffee table": kit.between(0.7, 1.2),
        "side table": kit.between(0.4, 0.55),
        "desk": kit.between(1.0, 1.6),
    }[kind]
    depth = min(width, kit.between(0.55, 0.95) if kind != "side table" else width)
    frame = kit.finish("wood", "wood", "metal", "paint")
    top = frame if frame.kind == "wood" and kit.chance(0.6) else kit.finish("wood", "paint", "plastic")
    round_top = kind != "desk" and kit.chance(0.35)
    if round_top:
        disc = lathe([(0.48, -thick), (0.5, -thick * 0.7), (0.5, -thick * 0.2), (0.48, 0.0)], sides=40)
        stretch = np.array([width, 1.0, depth])
        kit.add(
            "top", top, Solid(disc.positions * stretch + [0, height, 0], disc.faces, disc.normals, disc.uvs)
        )
    else:
        kit.add("top", top, box((0, height - thick / 2, 0), (width, thick, depth)))
    if round_top and kit.chance(0.6):
        foot = min(width, depth) * 0.33
        profile = [
            (foot, 0.0),
            (foot * 0.95, 0.02),
            (0.05, 0.06),
            (kit.between(0.03, 0.06), height * 0.5),
            (0.05, height - 0.06),
            (0.14, height - thick),
        ]
        kit.add("leg", frame, lathe(profile, sides=28))
        return Design(f"{top.words} {kind}", f"a round {top.words} {kind} on {a(frame.words)} pedestal")
    share = 0.62 if round_top else 1.0
    x, z, radius = width / 2 * share - 0.05, depth / 2 * share - 0.05, kit.between(0.018, 0.04)
    splay = kit.between(0, 0.08) if kit.chance(0.5) else 0.0
    square = kit.chance(0.5)
    for side in (-1, 1):
        leg = rod(
            (x + splay, 0, side * (z + splay)),
            (x, height - thick, side * z),
            radius * 0.7,
            radius,
            sides=4 if square else 14,
        )
        kit.add_pair("leg", frame, leg)
    if not round_top:
        _apron(kit, frame, (x, height - thick, z))
    words = a(f"{'round ' if round_top else ''}{top.words} {kind} with {frame.words} legs")
    if kind == "desk":
        count = _drawers(kit, frame, top, (x, height - thick, z), width * 0.28)
        words += f" and {count} drawers"
    return Design(f"{top.words} {kind}", words)


def _apron(kit: Kit, finish: Finish, corner: tuple[float, float, float]) -> None:
    """Boards between the legs, right under the top."""
    x, top, z = corner
    tall = kit.between(0.05, 0.10)
    for side in (-1, 1):
        kit.add("apron", finish, box((0, top - tall / 2, side * z), (2 * x, tall, 0.018)))
    kit.add_pair("apron", finish, box((x, top - tall / 2, 0), (0.018, tall, 2 * z)))


def _drawers(kit: Kit, frame: Finish, front: Finish, corner: tuple[float, float, float], wide: float) -> int:
    """A cabinet of two or three drawers under a desk's top, right at `corner`; returns how many."""
    x, top, z = corner
    count, low = int(kit.random.integers(2, 4)), 0.12
    body = top - low
    kit.add("cabinet", frame, box((x - wide / 2, low + body / 2, 0), (wide, body, 2 * z - 0.02)))
    for k in range(count):
        y = low + body * (k + 0.5) / count
        kit.add("drawer", front, box((x - wide / 2, y, z), (wide * 0.9, body / count * 0.86, 0.03)))
        left, right = (x - wide / 2 - 0.05, y, z + 0.03), (x - wide / 2 + 0.05, y, z + 0.03)
        kit.add("handle", Finish("metal", "steel", 3), rod(left, right, 0.007, sides=8))
    return count


def lamp(kit: Kit) -> Design:
    """A table or floor lamp with a shade, or a desk lamp with an arm."""
    kind = kit.pick("table lamp", "floor lamp", "desk lamp")
    metal = kit.finish("metal", "wood", "paint", "plastic")
    if kind == "desk lamp":
        return _desk_lamp(kit, metal)
    tall = kit.between(1.2, 1.6) if kind == "floor lamp" else kit.between(0.22, 0.40)
    foot = kit.between(0.12, 0.16) if kind == "floor lamp" else kit.between(0.06, 0.10)
    style = kit.pick("slim", "turned") if kind == "table lamp" else "slim"
    if style == "slim":
        kit.add(
            "base",
            metal,
            lathe([(foot, 0.0), (foot, 0.012), (0.02, 0.03), (0.009, 0.06), (0.009, tall)], sides=24),
        )
    else:
        heights = np.linspace(0.03, tall, 16)
        belly = foot * (0.45 + 0.5 * np.abs(np.sin(heights / tall * math.pi * kit.between(0.8, 2.2))))
        profile = [
            (foot, 0.0),
            (foot, 0.02),
            *zip(belly.tolist(), heights.tolist(), strict=True),
            (0.012, tall + 0.02),
        ]
        kit.add("base", metal, lathe(profile, sides=28))
    shade = kit.finish("fabric", "striped fabric", "plaid fabric", "paint", "velvet")
    wide = foot * kit.between(1.3, 2.0) if kind == "table lamp" else kit.between(0.18, 0.26)
    narrow, deep = wide * kit.between(0.5, 1.0), wide * kit.between(0.9, 1.5)
    wall = 0.004
    y = tall - deep * 0.2
    outline = [(wide, y), (narrow, y + deep), (narrow - wall, y + deep), (wide - wall, y), (wide, y)]
    kit.add("shade", shade, lathe(outline, sides=36))
    kit.add(
        "bulb", Finish("paint", "cream", 5), sphere((0, tall + deep * 0.3, 0), (0.03, 0.04, 0.03), around=14)
    )
    kit.add("holder", metal, rod((0, tall - 0.02, 0), (0, tall + deep * 0.3, 0), 0.010, sides=10))
    for angle in (0.0, 2.1, 4.2):
        end = ((narrow - wall / 2) * math.sin(angle), y + deep - 0.01, (narrow - wall / 2) * math.cos(angle))
        kit.add("holder", metal, rod((0, tall + deep * 0.2, 0), end, 0.0025, sides=6))
    return Design(f"{shade.words} {kind}", f"{a(kind)} with {a(shade.words)} shade on {a(metal.words)} base")


def _desk_lamp(kit: Kit, metal: Finish) -> Design:
    """A lamp with a jointed arm and a tilted shade."""
    kit.add("base", metal, lathe([(0.10, 0.0), (0.10, 0.012), (0.09, 0.02)], sides=28))
    bend = (0, kit.between(0.22, 0.30), -kit.between(0.05, 0.12))
    tip = (0, bend[1] + kit.between(0.08, 0.18), kit.between(0.12, 0.20))
    kit.add(
        "arm",
        metal,
        rod((0, 0.015, 0), bend, 0.008),
        rod(bend, tip, 0.008),
        sphere(bend, (0.016,) * 3, around=12),
    )
    shade = kit.finish("paint", "metal")
    cone = lathe(
        [
            (0.065, -0.05),
            (0.03, 0.03),
            (0.025, 0.05),
            (0.0, 0.055),
            (0.0, 0.048),
            (0.02, 0.044),
            (0.06, -0.05),
            (0.065, -0.05),
        ],
        sides=24,
    )
    kit.add("shade", shade, cone.moved(turn=rotation("x", kit.between(-40, -10)), shift=tip))
    return Design(
        f"{shade.words} desk lamp",
        f"a desk lamp with {a(shade.words)} shade on a jointed {metal.words} arm",
    )
