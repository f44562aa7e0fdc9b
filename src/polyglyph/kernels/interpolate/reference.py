"""The definition, one pixel at a time. Slow on purpose; never optimise this file."""

import torch
from torch import Tensor


def interpolate(attributes: Tensor, faces: Tensor, face_id: Tensor, barycentric: Tensor) -> Tensor:
    """Blend each face's three vertex attributes at every pixel."""
    batch, height, width = face_id.shape
    pixels = []
    for image in range(batch):
        vertices = attributes[image] if attributes.ndim == 3 else attributes
        for row in range(height):
            for column in range(width):
                face = int(face_id[image, row, column])
                if face < 0:
                    pixels.append(vertices.new_zeros(vertices.shape[1]))
                    continue
                corners = vertices[faces[face].to(torch.int64)]  # (3, C)
                pixels.append((barycentric[image, row, column, :, None] * corners).sum(dim=0))
    return torch.stack(pixels).reshape(batch, height, width, -1)
