"""What marching tetrahedra returns: the meshes of a whole batch, packed.

Legend: B meshes, V vertices and F faces of all of them together.
"""

from typing import NamedTuple

from jaxtyping import Float, Int
from torch import Tensor

__all__ = ["Surface"]


class Surface(NamedTuple):
    """Triangle meshes, one after the other in the same tensors.

    `faces` index rows of `vertices` directly (global, not per mesh), counter-clockwise seen from
    outside. The ranges are (first, count) of each mesh; a mesh may be empty.
    """

    vertices: Float[Tensor, "V 3"]
    faces: Int[Tensor, "F 3"]
    vertex_ranges: Int[Tensor, "B 2"]
    face_ranges: Int[Tensor, "B 2"]

    def mesh(self, index: int) -> tuple[Float[Tensor, "v 3"], Int[Tensor, "f 3"]]:
        """Vertices and faces of one mesh, the faces counted from its own first vertex."""
        first_vertex, vertex_count = self.vertex_ranges[index].tolist()
        first_face, face_count = self.face_ranges[index].tolist()
        return (
            self.vertices[first_vertex : first_vertex + vertex_count],
            self.faces[first_face : first_face + face_count] - first_vertex,
        )
