"""Parametric chairs and stools. The front is +Z, so backs stand at −Z. Metres and degrees."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from polyglyph.shape.data.procedural.chair_parts import (
    Size,
    add_arms,
    add_back,
    add_legs,
    add_seat,
    add_stretchers,
    random_size,
)
from polyglyph.shape.data.procedural.kit import Design, Kit, a, grid
from polyglyph.shape.data.procedural.solids import cushion, lathe, rod, rotation, sheet, sphere, tube
from polyglyph.shape.data.procedural.surfaces import FABRICS, Finish

__all__ = ["chair"]


def chair(kit: Kit) -> Design:
    """A chair or stool of one of eight kinds."""
    kinds: dict[str, tuple[float, Callable[[Kit], Design]]] = {
        "dining": (0.38, _dining),
        "shell": (0.13, _shell),
        "armchair": (0.13, _armchair),
        "office": (0.10, _office),
        "stool": (0.08, _stool),
        "bar": (0.07, _bar_stool),
        "cantilever": (0.06, _cantilever),
        "rocking": (0.05, _rocking),
    }
    weights = np.array([weight for weight, _ in kinds.values()])
    choice = int(kit.random.choice(len(kinds), p=weights / weights.sum()))
    return list(kinds.values())[choice][1](kit)


def _dining(kit: Kit) -> Design:
    size = random_size(kit)
    frame = kit.finish("wood", "wood", "wood", "paint", "metal")
    splay = kit.between(0, 0.06) if kit.chance(0.6) else 0.0
    legs = add_legs(kit, frame, size, splay=splay)
    if kit.chance(0.4):
        add_stretchers(kit, frame, size, splay)
    seat, seat_finish = add_seat(kit, frame, size)
    fabric = seat_finish if seat_finish.kind in FABRICS else kit.finish(*FABRICS)
    back = add_back(kit, frame, fabric, size, height=kit.between(0.32, 0.62), lean=kit.between(2, 14))
    arms = kit.chance(0.2)
    if arms:
        add_arms(kit, frame, size)
    return Design(
        f"{frame.words} chair",
        f"{a(frame.words)} chair with {back}, {seat}{', arms' if arms else ''} and {legs}",
    )


def _shell(kit: Kit) -> Design:
    """Seat and back from one bent sheet, as plastic and plywood chairs are made."""
    size, finish = random_size(kit), kit.finish("plastic", "plastic", "plastic", "wood", "leather")
    high, dip = kit.between(0.30, 0.42), kit.between(0.01, 0.05)
    turn, lean = kit.between(0.06, 0.12), math.radians(kit.between(8, 22))
    across = np.linspace(-1, 1, 13)
    # the profile from the front edge over the seat and round the corner up the back: (z, y)
    front, corner = size.depth / 2, -size.depth / 2 + turn
    bend = np.linspace(0, math.pi / 2 - lean, 6)
    profile = [(front, -0.02), (front - 0.04, 0.0), (front / 3, -dip * 0.5), (corner, -dip * 0.3)]
    profile += [(corner - turn * math.sin(t), turn * (1 - math.cos(t)) - dip * 0.3) for t in bend[1:]]
    z, y = profile[-1]
    profile += [
        (z - s * high * math.sin(lean), y + s * high * math.cos(lean)) for s in np.linspace(0.2, 1.0, 5)
    ]
    line = np.array(profile)
    share = np.linspace(0, 1, len(line))
    narrow = 1 - kit.between(0.0, 0.3) * np.clip(share - 0.5, 0, 1) * 2
    wrap = kit.between(0.0, 0.10)
    u, row = grid(np.arange(len(line)), across)
    half = size.width / 2 * narrow[u] * (1 - 0.35 * np.clip((share[u] - 0.6) / 0.4, 0, 1) ** 2)
    raised = wrap * np.abs(row) ** 3
    points = np.stack(
        [
            row * half,
            size.height + line[u, 1] + raised * (share[u] < 0.6),
            line[u, 0] + raised * (share[u] >= 0.6),
        ],
        axis=-1,
    )
    kit.add("seat", finish, sheet(points, kit.between(0.008, 0.018)))
    base = kit.pick("rods", "legs", "pedestal")
    if base == "pedestal":
        metal = kit.finish("metal", "paint")
        low = size.height - dip - 0.01
        kit.add(
            "leg",
            metal,
            lathe(
                [(0.24, 0.0), (0.23, 0.012), (0.06, 0.03), (0.025, 0.10), (0.022, low - 0.06), (0.09, low)],
                sides=28,
            ),
        )
        return Design(
            f"{finish.words} chair", f"{a(finish.words)} shell chair on a round {metal.words} pedestal"
        )
    metal = kit.finish("metal") if base == "rods" else kit.finish("wood")
    under = Size(size.width * 0.75, size.depth * 0.8, size.height - dip * 0.4, 0.03)
    if base == "rods":
        radius, top = kit.between(0.007, 0.012), under.height - 0.012
        for z in (-1, 1):
            foot = (size.width * 0.48, 0.0, z * size.depth * 0.46)
            kit.add_pair(
                "leg", metal, rod(foot, (under.width * 0.25, top, z * under.depth * 0.3), radius, sides=10)
            )
    else:
        add_legs(kit, metal, under, splay=kit.between(0.04, 0.09))
    return Design(f"{finish.words} chair", f"{a(finish.words)} shell chair on {metal.words} legs")


def _armchair(kit: Kit) -> Design:
    finish = kit.finish(*FABRICS)
    width, depth, high = kit.between(0.68, 0.95), kit.between(0.70, 0.85), kit.between(0.70, 1.0)
    arm, foot = kit.between(0.10, 0.20), kit.between(0.05, 0.14)
    seat = kit.between(0.38, 0.45)
    soft, lean = kit.between(0.12, 0.45), kit.between(4, 12)
    inner = width - 2 * arm
    kit.add(
        "seat",
        finish,
        cushion((0, (foot + seat - 0.10) / 2, 0), (width - 0.02, seat - 0.10 - foot, depth), softness=0.12),
    )
    kit.add("seat", finish, cushion((0, seat - 0.06, 0.04), (inner, 0.15, depth - 0.14), softness=soft))
    top = kit.between(0.55, 0.66)
    kit.add_pair(
        "arm",
        finish,
        cushion(
            (width / 2 - arm / 2, (foot + top) / 2, 0.02), (arm, top - foot, depth - 0.02), softness=soft
        ),
    )
    thick = kit.between(0.14, 0.22)
    back = cushion(
        (0, (foot + high) / 2, -depth / 2 + thick / 2),
        (width - 0.04, high - foot, thick),
        softness=soft,
        turn=rotation("x", -lean),
    )
    kit.add("back", finish, back)
    pillow = kit.chance(0.4)
    if pillow:
        other = kit.finish(*FABRICS)
        kit.add(
            "cushion",
            other,
            cushion(
                (0, seat + 0.17, -depth / 2 + thick + 0.09),
                (0.36, 0.34, 0.12),
                softness=0.5,
                turn=rotation("x", -lean - 8),
            ),
        )
    wood = kit.finish("wood", "metal")
    taper = kit.between(0.6, 1.0)
    for z in (-1, 1):
        x, deep = width / 2 - 0.07, z * (depth / 2 - 0.07)
        kit.add_pair(
            "leg",
            wood,
            rod(
                (x, 0, deep), (x, foot + 0.03, deep), 0.022 * taper, 0.022, sides=4 if kit.chance(0.5) else 12
            ),
        )
    return Design(
        f"{finish.words} armchair",
        f"{a(finish.words)} armchair with {'a cushion and ' if pillow else ''}{wood.words} feet",
    )


def _office(kit: Kit) -> Design:
    fabric, metal = kit.finish("fabric", "leather", "tweed"), kit.finish("metal", "plastic")
    size = Size(
        kit.between(0.46, 0.54), kit.between(0.44, 0.52), kit.between(0.44, 0.54), kit.between(0.06, 0.10)
    )
    reach, wheel = kit.between(0.26, 0.33), kit.between(0.022, 0.03)
    turn = kit.between(0, 72)
    for k in range(5):
        angle = math.radians(72 * k + turn)
        x, z = reach * math.sin(angle), reach * math.cos(angle)
        kit.add("base", metal, rod((0, 0.11, 0), (x, 2 * wheel + 0.015, z), 0.022, 0.013, sides=8))
        black = Finish("plastic", "black", 1)
        kit.add("wheel", black, sphere((x, wheel, z), (wheel, wheel, wheel), around=12))
    kit.add("base", metal, rod((0, 0.08, 0), (0, size.height - size.thickness, 0), 0.028, 0.022, sides=14))
    middle = (0, size.height - size.thickness / 2, 0)
    kit.add(
        "seat",
        fabric,
        cushion(middle, (size.width, size.thickness, size.depth), softness=kit.between(0.15, 0.4)),
    )
    high, lean, gap = kit.between(0.35, 0.65), kit.between(3, 12), kit.between(0.06, 0.14)
    z = -size.depth / 2
    back = (0, size.height + gap + high / 2, z - math.tan(math.radians(lean)) * high / 2)
    soft = cushion(
        back,
        (size.width * kit.between(0.75, 1.0), high, 0.07),
        softness=kit.between(0.2, 0.5),
        turn=rotation("x", -lean),
    )
    kit.add("back", fabric, soft)
    path = [
        (0, size.height - size.thickness * 0.7, 0),
        (0, size.height - size.thickness * 0.8, z),
        (0, size.height, z - 0.04),
        (0, size.height + gap + 0.15, z - 0.05),
    ]
    kit.add("back", metal, tube(path, 0.017))
    arms = kit.chance(0.6)
    if arms:
        x, level = size.width / 2 + 0.03, size.height + kit.between(0.16, 0.22)
        kit.add_pair(
            "arm",
            metal,
            tube(
                [
                    (x - 0.05, size.height - size.thickness * 0.6, 0),
                    (x, size.height - 0.02, 0),
                    (x, level, 0),
                ],
                0.014,
            ),
        )
        kit.add_pair(
            "arm", Finish("plastic", "black", 1), cushion((x, level, 0.02), (0.055, 0.03, 0.25), softness=0.3)
        )
    return Design(
        f"{fabric.words} office chair",
        f"{a(fabric.words)} office chair on {a(metal.words)} star base with wheels"
        + (" and arms" if arms else ""),
    )


def _stool(kit: Kit) -> Design:
    side = kit.between(0.32, 0.42)
    size = Size(side, side, kit.between(0.42, 0.50), kit.between(0.03, 0.05))
    frame = kit.finish("wood", "wood", "paint", "metal")
    splay = kit.between(0.0, 0.08)
    legs = add_legs(kit, frame, size, splay=splay, inset=0.06)
    if kit.chance(0.6):
        add_stretchers(kit, frame, Size(size.width - 0.06, size.depth - 0.06, size.height, 0.03), splay)
    seat, _ = add_seat(kit, frame, size)
    return Design(f"{frame.words} stool", f"{a(frame.words)} stool with {seat} and {legs}")


def _bar_stool(kit: Kit) -> Design:
    radius, high = kit.between(0.17, 0.21), kit.between(0.65, 0.80)
    metal, top = kit.finish("metal", "paint"), kit.finish("leather", "wood", "plastic", "fabric")
    thick = kit.between(0.04, 0.08)
    kit.add(
        "seat",
        top,
        lathe(
            [
                (radius * 0.9, high - thick),
                (radius, high - thick * 0.7),
                (radius, high - thick * 0.25),
                (radius * 0.9, high),
            ],
            sides=28,
        ),
    )
    if kit.chance(0.5):
        kit.add(
            "base",
            metal,
            lathe([(0.22, 0), (0.215, 0.015), (0.05, 0.03), (0.03, 0.06), (0.028, high - thick)], sides=28),
        )
        ring = kit.between(0.13, 0.17)
        loop = [
            (ring * math.sin(t), 0.28, ring * math.cos(t)) for t in np.linspace(0.5, 2 * math.pi - 0.5, 24)
        ]
        kit.add(
            "footrest",
            metal,
            tube(loop, 0.009, sides=8),
            rod((-ring, 0.28, 0), (ring, 0.28, 0), 0.008, sides=8),
        )
        words = "a round foot"
    else:
        size = Size(radius * 1.9, radius * 1.9, high, thick)
        splay = kit.between(0.04, 0.09)
        words = add_legs(kit, metal, size, splay=splay, inset=0.07)
        add_stretchers(kit, metal, Size(size.width - 0.08, size.depth - 0.08, high, 0.03), splay)
    if kit.chance(0.4):
        angle = np.linspace(math.pi * 0.65, math.pi * 1.35, 13)
        up, around = grid(np.linspace(0.06, 0.20, 4), angle)
        points = np.stack([radius * np.sin(around), high + up, radius * np.cos(around)], axis=-1)
        kit.add("back", top, sheet(points[::-1], 0.018))
        for x in (-0.06, 0.06):
            z = -math.sqrt(radius**2 - x**2)
            kit.add("back", metal, rod((x, high - thick, z * 0.9), (x, high + 0.10, z), 0.008, sides=8))
        words += " and a low back"
    return Design(
        f"{top.words} bar stool", f"a bar stool with {a(top.words)} seat, {metal.words} frame and {words}"
    )


def _cantilever(kit: Kit) -> Design:
    size, metal = random_size(kit, 0.43, 0.47), kit.finish("metal")
    fabric = kit.finish("leather", "fabric", "wicker", "plastic")
    x, radius = size.width / 2, kit.between(0.010, 0.014)
    high, lean = kit.between(0.34, 0.44), kit.between(5, 14)
    z0, z1 = -size.depth / 2, size.depth / 2
    run = math.tan(math.radians(lean))
    side = [
        (x, radius, z0 - 0.04), (x, radius, z1 - 0.08), (x, 0.03, z1 - 0.02), (x, 0.08, z1),
        (x, size.height - 0.08, z1),
        (x, size.height - 0.03, z1 - 0.02), (x, size.height - 0.01, z1 - 0.08),
        (x, size.height - 0.01, z0 + 0.06),
        (x, size.height + 0.02, z0), (x, size.height + 0.07, z0 - 0.02),
        (x, size.height + high, z0 - 0.02 - high * run),
    ]  # fmt: skip
    kit.add_pair("frame", metal, tube(side, radius))
    kit.add("frame", metal, rod((-x, radius, z0 - 0.04), (x, radius, z0 - 0.04), radius))
    kit.add(
        "seat", fabric, cushion((0, size.height, 0), (size.width, 0.035, size.depth - 0.04), softness=0.2)
    )
    tall = high * kit.between(0.5, 0.8)
    middle = (0, size.height + high - tall / 2, z0 - 0.02 - (high - tall / 2) * run)
    kit.add(
        "back", fabric, cushion(middle, (size.width, tall, 0.03), softness=0.2, turn=rotation("x", -lean))
    )
    return Design(
        f"{fabric.words} cantilever chair",
        f"a cantilever chair of {metal.words} tube with {fabric.words} seat and back",
    )


def _rocking(kit: Kit) -> Design:
    size, frame = random_size(kit, 0.40, 0.44), kit.finish("wood", "paint")
    lift = 0.05
    raised = Size(size.width, size.depth, size.height + lift, size.thickness)
    add_legs(kit, frame, raised, splay=0.02)
    seat, seat_finish = add_seat(kit, frame, raised)
    fabric = seat_finish if seat_finish.kind in FABRICS else kit.finish(*FABRICS)
    back = add_back(kit, frame, fabric, raised, height=kit.between(0.55, 0.70), lean=kit.between(12, 20))
    add_arms(kit, frame, raised)
    reach = size.depth * kit.between(0.85, 1.0)
    x = size.width / 2 - 0.01
    arc = [(x, 0.02 + 0.22 * (t / reach) ** 2 * reach, t - 0.05) for t in np.linspace(-reach, reach, 17)]
    kit.add_pair("rocker", frame, tube(arc, 0.016, sides=4))
    return Design(
        f"{frame.words} rocking chair", f"{a(frame.words)} rocking chair with {back}, {seat} and arms"
    )
