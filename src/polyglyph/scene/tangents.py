"""Tangents for normal maps, in the manner of MikkTSpace.

What is as MikkTSpace: tangents are made per corner from the texture gradient of its face, projected on the
plane of the vertex normal, normalised, and averaged weighted by the corner's angle; corners are averaged
only where position, normal and texture coordinate agree *and* the faces' texture mappings have the same
handedness; w is that handedness, and the bitangent is w · (normal × tangent).

What is not: MikkTSpace averages only over faces joined by shared *edges*, and it splits a vertex whose faces
disagree in handedness. Here a vertex belongs to one tangent, so the handedness with the larger total angle
wins; charts of an atlas never mix the two, so nothing is lost there.

Legend: V vertices, F faces.
"""

import numpy as np
from jaxtyping import Float, Integer

from polyglyph.scene.normals import weld

__all__ = ["tangents"]


def tangents(
    positions: Float[np.ndarray, "V 3"],
    faces: Integer[np.ndarray, "F 3"],
    normals: Float[np.ndarray, "V 3"],
    uvs: Float[np.ndarray, "V 2"],
) -> Float[np.ndarray, "V 4"]:
    """Unit tangents along increasing u, and in w the sign of the bitangent.

    Convention: `uvs` as glTF (origin top left, v down); the bitangent w · (normal × tangent) points towards
    *decreasing* v, which is "up" in the picture and the green of a +Y normal map. A vertex whose faces have
    no texture area gets any tangent at right angles to its normal, w = 1.
    """
    corner = positions[faces].astype(np.float64)
    coordinate = uvs[faces].astype(np.float64)
    coordinate[..., 1] = 1 - coordinate[..., 1]
    edge1, edge2 = corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]
    du1, dv1 = (coordinate[:, 1] - coordinate[:, 0]).T
    du2, dv2 = (coordinate[:, 2] - coordinate[:, 0]).T
    area = du1 * dv2 - du2 * dv1
    along_u = (edge1 * dv2[:, None] - edge2 * dv1[:, None]) * np.sign(area)[:, None]
    usable = (np.abs(area) > 1e-20) & (np.linalg.norm(along_u, axis=1) > 1e-30)

    point = weld(np.concatenate([positions, normals, uvs], 1).astype(np.float64))
    total = np.zeros((2, int(point.max(initial=-1)) + 1, 3))
    weight = np.zeros((2, total.shape[1]))
    side = (area > 0).astype(np.int64)
    for i in range(3):
        normal = normals[faces[:, i]].astype(np.float64)
        flat = along_u - (along_u * normal).sum(1, keepdims=True) * normal
        length = np.linalg.norm(flat, axis=1)
        angle = _angle(corner[:, i], corner[:, (i + 1) % 3], corner[:, (i + 2) % 3])
        share = np.where(usable & (length > 1e-30), angle, 0.0)
        rows = (side, point[faces[:, i]])
        np.add.at(total, rows, flat / np.maximum(length, 1e-30)[:, None] * share[:, None])
        np.add.at(weight, rows, share)

    right = weight[1] >= weight[0]
    chosen = np.where(right[:, None], total[1], total[0])[point]
    sign = np.where(right, 1.0, -1.0)[point]
    chosen -= (chosen * normals).sum(1, keepdims=True) * normals
    length = np.linalg.norm(chosen, axis=1)
    lost = length < 1e-12
    result = np.where(lost[:, None], _any_perpendicular(normals), chosen / np.maximum(length, 1e-12)[:, None])
    return np.concatenate([result, np.where(lost, 1.0, sign)[:, None]], 1).astype(np.float32)


def _angle(apex: np.ndarray, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """The angle at `apex` of each triangle, radians."""
    a, b = left - apex, right - apex
    return np.arctan2(np.linalg.norm(np.cross(a, b), axis=1), (a * b).sum(1))


def _any_perpendicular(normals: np.ndarray) -> np.ndarray:
    axis = np.where(np.abs(normals[:, :1]) < 0.9, [[1.0, 0.0, 0.0]], [[0.0, 1.0, 0.0]])
    side = axis - (axis * normals).sum(1, keepdims=True) * normals
    return side / np.maximum(np.linalg.norm(side, axis=1, keepdims=True), 1e-12)
