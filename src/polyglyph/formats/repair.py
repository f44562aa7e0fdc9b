"""What every mesh writer checks before a byte is written, and the few things it puts right.

Legend: V vertices, F faces, H W picture size.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from polyglyph.base.errors import FormatError
from polyglyph.formats.model import Material, Part

__all__ = ["checked_part", "face_normals", "transformed", "vertex_normals", "with_tangents"]


def checked_part(part: Part, *, need_tangents: bool = True) -> Part:
    """`part` ready to be written: right types, unit normals and tangents, no degenerate indices.

    Coordinates are left out when the material has no picture, tangents when it has no normal picture.
    Raises FormatError naming the part and what is wrong with it.
    """
    where = f"part `{part.name}`"
    positions = _floats(part.positions, 3, f"{where}: positions")
    count = len(positions)
    faces = _faces(part.faces, count, where)
    material = part.material
    _check_material(material)
    pictures = (material.base_color_image, material.orm_image, material.normal_image)
    pictured = any(picture is not None for picture in pictures)
    if pictured and part.uvs is None:
        raise FormatError(
            f"{where}: material `{material.name}` has a picture, and the part has no UV coordinates",
            fix="give `uvs`, or take the pictures out of the material",
        )
    uvs = _floats(part.uvs, 2, f"{where}: uvs", count) if pictured and part.uvs is not None else None
    normals = part.normals
    if normals is not None:
        normals = _floats(normals, 3, f"{where}: normals", count)
        normals = _unit_normals(normals, positions, faces)
    tangents = None
    if material.normal_image is not None and need_tangents:
        if part.tangents is None or normals is None:
            raise FormatError(
                f"{where}: material `{material.name}` has a normal picture, which needs normals and tangents",
                fix="compute `tangents` for the part, or take the normal picture out of the material",
            )
        tangents = _unit_tangents(_floats(part.tangents, 4, f"{where}: tangents", count), normals)
    colors = None
    if part.colors is not None:
        colors = _floats(part.colors, 4, f"{where}: colors", count)
        if colors.min(initial=0.0) < -1e-3 or colors.max(initial=1.0) > 1 + 1e-3:
            raise FormatError(
                f"{where}: vertex colours run from {colors.min():g} to {colors.max():g}",
                fix="scale them to [0, 1], linear",
            )
        colors = np.clip(colors, 0.0, 1.0)
    return dataclasses.replace(
        part, positions=positions, faces=faces, normals=normals, uvs=uvs, colors=colors, tangents=tangents
    )


def _floats(array: np.ndarray, columns: int, what: str, rows: int | None = None) -> np.ndarray:
    array = np.asarray(array)
    if array.ndim != 2 or array.shape[1] != columns or not np.issubdtype(array.dtype, np.number):
        raise FormatError(
            f"{what} are {array.dtype} {list(array.shape)}", fix=f"give float32 [vertices, {columns}]"
        )
    if rows is not None and len(array) != rows:
        raise FormatError(f"{what} have {len(array)} rows for {rows} vertices", fix="give one row per vertex")
    with np.errstate(over="ignore"):
        array = array.astype("<f4")
    if not np.isfinite(array).all():
        bad = int((~np.isfinite(array)).any(axis=1).argmax())
        raise FormatError(
            f"{what} are not finite, first at vertex {bad}", fix="remove NaN and infinite values"
        )
    return array


def _faces(faces: np.ndarray, vertices: int, where: str) -> np.ndarray:
    faces = np.asarray(faces)
    if faces.ndim != 2 or faces.shape[1] != 3 or not np.issubdtype(faces.dtype, np.integer):
        raise FormatError(
            f"{where}: faces are {faces.dtype} {list(faces.shape)}", fix="give integers [faces, 3]"
        )
    if len(faces) and (faces.min() < 0 or faces.max() >= vertices):
        raise FormatError(
            f"{where}: faces name vertices {faces.min()} to {faces.max()}, and there are {vertices}",
            fix="indices start at 0 and end below the vertex count",
        )
    a, b, c = faces.T
    faces = faces[(a != b) & (b != c) & (c != a)].astype(np.int32)
    if not len(faces):
        raise FormatError(f"{where} has no triangles", fix="leave the part out")
    return faces


def _check_material(material: Material) -> None:
    where = f"material `{material.name}`"
    factors = (*material.base_color, material.metallic, material.roughness, *material.emissive)
    if len(material.base_color) != 4 or len(material.emissive) != 3:
        raise FormatError(f"{where}: a factor has the wrong length", fix="give RGBA, and RGB for `emissive`")
    if not all(0.0 <= float(value) <= 1.0 for value in factors):
        raise FormatError(f"{where}: a factor is outside [0, 1]", fix="scale colours and factors to [0, 1]")
    if material.alpha_mode not in ("OPAQUE", "MASK", "BLEND"):
        raise FormatError(
            f"{where}: there is no alpha mode `{material.alpha_mode}`", fix="use OPAQUE, MASK or BLEND"
        )
    if material.alpha_mode == "MASK" and not 0.0 <= material.alpha_cutoff <= 1.0:
        raise FormatError(f"{where}: the alpha cut-off is {material.alpha_cutoff}", fix="use 0.5")
    allowed = {"base_color_image": (3, 4), "orm_image": (3,), "normal_image": (3,)}
    for name, channels in allowed.items():
        image = getattr(material, name)
        if image is None:
            continue
        good = isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.ndim == 3
        if not good or image.shape[2] not in channels or 0 in image.shape:
            shape = f"{getattr(image, 'dtype', type(image).__name__)} {list(getattr(image, 'shape', []))}"
            raise FormatError(
                f"{where}: `{name}` is {shape}", fix=f"give uint8 [H, W, {' or '.join(map(str, channels))}]"
            )


def face_normals(positions: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Twice-area-weighted normals [F, 3], float64: the cross product of two edges."""
    a, b, c = positions.astype(np.float64)[faces].transpose(1, 0, 2)
    return np.cross(b - a, c - a)


def vertex_normals(positions: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Unit area-weighted vertex normals, float32 [V, 3]; (0, 1, 0) where no face has area."""
    weighted = face_normals(positions, faces)
    total = np.zeros((len(positions), 3))
    for corner in range(3):
        for axis in range(3):
            total[:, axis] += np.bincount(faces[:, corner], weighted[:, axis], minlength=len(positions))
    length = np.linalg.norm(total, axis=1, keepdims=True)
    # normalise by the largest first: areas of tiny meshes underflow in float32
    good = length[:, 0] > 0
    total[good] /= length[good]
    total[~good] = (0.0, 1.0, 0.0)
    return total.astype("<f4")


def _unit_normals(normals: np.ndarray, positions: np.ndarray, faces: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(normals.astype(np.float64), axis=1)
    good = length > 1e-12
    unit = np.zeros_like(normals)
    unit[good] = normals[good] / length[good, None]
    if not good.all():
        unit[~good] = vertex_normals(positions, faces)[~good]
    return unit


def _unit_tangents(tangents: np.ndarray, normals: np.ndarray) -> np.ndarray:
    direction = tangents[:, :3].astype(np.float64)
    length = np.linalg.norm(direction, axis=1)
    zero = length < 1e-12
    if zero.any():  # any direction at right angles to the normal
        away = np.eye(3)[np.abs(normals[zero]).argmin(axis=1)]
        direction[zero] = np.cross(normals[zero], away)
        length[zero] = np.linalg.norm(direction[zero], axis=1)
    sign = np.where(tangents[:, 3:] < 0, -1.0, 1.0)
    return np.concatenate([direction / length[:, None], sign], axis=1).astype("<f4")


def transformed(part: Part, matrix: np.ndarray) -> Part:
    """`part` moved by a 4x4 matrix: positions, normals (inverse transpose), tangents, and the winding.

    A mirroring matrix turns the faces over so that they still face outwards.
    """
    linear = np.asarray(matrix, dtype=np.float64)[:3, :3]
    mirrored = np.linalg.det(linear) < 0
    with np.errstate(over="ignore", invalid="ignore"):
        positions = part.positions.astype(np.float64) @ linear.T + np.asarray(matrix)[:3, 3]
        positions = positions.astype(np.float32)
    # the cofactor matrix is the inverse transpose up to scale, and exists for flat matrices too
    cofactor = np.stack([np.cross(linear[(i + 1) % 3], linear[(i + 2) % 3]) for i in range(3)])
    normals = None
    if part.normals is not None:
        normals = _unit_rows(part.normals @ (cofactor.T * (-1.0 if mirrored else 1.0)))
    tangents = None
    if part.tangents is not None:
        sign = part.tangents[:, 3:] * (-1.0 if mirrored else 1.0)
        tangents = np.concatenate([_unit_rows(part.tangents[:, :3] @ linear.T), sign], axis=1)
    return dataclasses.replace(
        part,
        positions=positions,
        faces=np.ascontiguousarray(part.faces[:, ::-1]) if mirrored else part.faces,
        normals=normals,
        tangents=None if tangents is None else tangents.astype(np.float32),
    )


def _unit_rows(rows: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.where(length > 1e-30, rows / np.where(length > 1e-30, length, 1.0), 0.0).astype(np.float32)


def with_tangents(part: Part) -> Part:
    """`part` with normals and tangents [V, 4], one per vertex as given (no vertex is split).

    A vertex's tangent is the mean of its faces' directions of growing U, weighted by the corner's angle
    and made perpendicular to the normal, as MikkTSpace does within one smoothing group; w is -1 where the
    coordinates are mirrored. V grows downwards in glTF, hence the bitangent is against growing V.
    """
    if part.uvs is None:
        raise FormatError(f"part `{part.name}` has no UV coordinates, so no tangents", fix="unwrap it first")
    positions, uvs, faces = part.positions.astype(np.float64), part.uvs.astype(np.float64), part.faces
    normals = part.normals if part.normals is not None else vertex_normals(part.positions, faces)
    corners, coordinates = positions[faces], uvs[faces]
    edge_1, edge_2 = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    du_1, dv_1 = (coordinates[:, 1] - coordinates[:, 0]).T
    du_2, dv_2 = (coordinates[:, 2] - coordinates[:, 0]).T
    area = du_1 * dv_2 - du_2 * dv_1
    flip = np.where(area < 0, -1.0, 1.0)[:, None]
    along_u = _unit_rows((edge_1 * dv_2[:, None] - edge_2 * dv_1[:, None]) * flip).astype(np.float64)
    along_v = _unit_rows((edge_2 * du_1[:, None] - edge_1 * du_2[:, None]) * flip).astype(np.float64)
    total_u, total_v = np.zeros((len(positions), 3)), np.zeros((len(positions), 3))
    for corner in range(3):
        before = _unit_rows(corners[:, corner - 1] - corners[:, corner])
        after = _unit_rows(corners[:, (corner + 1) % 3] - corners[:, corner])
        angle = np.arccos(np.clip((before * after).sum(axis=1), -1.0, 1.0))[:, None]
        np.add.at(total_u, faces[:, corner], along_u * angle)
        np.add.at(total_v, faces[:, corner], along_v * angle)
    direction = total_u - normals * (normals * total_u).sum(axis=1, keepdims=True)
    # glTF: bitangent = cross(normal, tangent) * w points along the picture's upward direction, -V
    sign = np.where((np.cross(normals, direction) * -total_v).sum(axis=1) < 0, -1.0, 1.0)
    tangents = np.concatenate([_unit_rows(direction), sign[:, None]], axis=1)
    tangents = _unit_tangents(tangents, np.asarray(normals, dtype=np.float64))
    return dataclasses.replace(part, normals=np.asarray(normals, dtype=np.float32), tangents=tangents)
