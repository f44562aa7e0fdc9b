"""Which vertices a Loop subdivision averages: found once for a list of faces, used at every step.

Legend: V vertices, F faces, E edges, P pairs of a vertex and a neighbour that it is averaged with.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from polyglyph.base.errors import ConfigError
from polyglyph.kernels.subdivide.edges import unique_edges, with_midpoints

__all__ = ["BOUNDARY_WEIGHT", "EDGE_WEIGHT", "SIDES", "LoopTopology", "build_topology", "vertex_weight"]

SIDES = ((0, 1), (1, 2), (2, 0))
EDGE_WEIGHT = 1 / 4
"""Loop's 3/8, 3/8, 1/8, 1/8: a quarter for the opposite corners."""
BOUNDARY_WEIGHT = 1 / 4
"""Loop's 3/4, 1/8, 1/8 along a boundary: a quarter for the neighbours."""


def vertex_weight(valence: Tensor) -> Tensor:
    """Loop's weight of all neighbours together: 5/8 - (3/8 + cos(2π/k) / 4)²."""
    return 5 / 8 - (3 / 8 + torch.cos(2 * torch.pi / valence) / 4) ** 2


@dataclass(frozen=True, eq=False, kw_only=True)
class LoopTopology:
    """A triangle mesh without places.

    Indices are int64. After a subdivision, vertex v is vertex v moved, and V + e is the new one on edge e.
    """

    vertex_count: int
    faces: Int[Tensor, "F 3"]
    edges: Int[Tensor, "E 2"]
    """Ends of every edge, lower index first, in lexicographic order."""
    opposite: Int[Tensor, "E 2"]
    """The corners across an edge in its two faces; its own ends on a boundary edge."""
    boundary: Bool[Tensor, "E"]
    """True for edges with one face."""
    pairs: Int[Tensor, "P 2"]
    """A vertex, and a neighbour that it is averaged with: on a boundary only its neighbours along it."""
    vertex_weights: Float[Tensor, "V"]
    """Loop's weights, float64: by valence, 1/4 on a boundary, 0 for vertices without a face."""
    edge_weights: Float[Tensor, "E"]
    """Loop's weights, float64: 1/4, and 0 on a boundary."""
    subdivided: Int[Tensor, "4*F 3"]
    """The faces after a subdivision: 4f to 4f + 2 at the corners of face f, and 4f + 3 in its middle, all
    turned as face f is."""

    def with_midpoints(self, x: Float[Tensor, "..."], dim: int = 0) -> Float[Tensor, "..."]:
        """Numbers per vertex (along `dim`), with the means of both ends of every edge appended.

        Carries learned vertex weights to the next subdivision, as DMTet does. Differentiable in `x`.
        """
        return with_midpoints(x, self.edges, dim)


def build_topology(faces: Tensor, vertex_count: int) -> LoopTopology:
    """See `loop_topology` in the façade."""
    edges, face_edges = unique_edges(faces, SIDES, vertex_count)
    count = len(edges)
    side_edge = face_edges.flatten()
    valence_E = torch.bincount(side_edge, minlength=count)
    if len(side_edge) and int(valence_E.max()) > 2:
        worst = int(valence_E.argmax())
        raise ConfigError(
            f"edge {tuple(edges[worst].tolist())} has {int(valence_E[worst])} faces, and Loop's rules "
            "are for one or two",
            fix="split the mesh along such edges first",
        )
    boundary = valence_E == 1
    # Sides in the order of their edges: the first and the last side of an edge are the same on a boundary.
    across = faces.roll(1, dims=1).flatten().index_select(0, side_edge.argsort(stable=True))
    last = valence_E.cumsum(0) - 1
    opposite = torch.stack([across[last + 1 - valence_E], across[last]], dim=1)
    on_boundary = torch.zeros(vertex_count, dtype=torch.bool, device=faces.device)
    on_boundary[edges[boundary].flatten()] = True

    pairs = torch.cat([edges, edges.flip(1)])
    pairs = pairs[boundary.repeat(2) | ~on_boundary[pairs[:, 0]]]
    valence_V = torch.bincount(pairs[:, 0], minlength=vertex_count).double()
    weights = torch.where(on_boundary, BOUNDARY_WEIGHT, vertex_weight(valence_V.clamp(min=1)))
    return LoopTopology(
        vertex_count=vertex_count,
        faces=faces,
        edges=edges,
        opposite=torch.where(boundary[:, None], edges, opposite),
        boundary=boundary,
        pairs=pairs,
        vertex_weights=torch.where(valence_V > 0, weights, 0.0),
        edge_weights=torch.where(boundary, 0.0, torch.full_like(boundary, EDGE_WEIGHT, dtype=torch.float64)),
        subdivided=_subdivided(faces, face_edges + vertex_count),
    )


def _subdivided(faces: Tensor, middles: Tensor) -> Tensor:
    (a, b, c), (ab, bc, ca) = faces.unbind(1), middles.unbind(1)
    parts = [(a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca)]
    return torch.stack([torch.stack(part, dim=1) for part in parts], dim=1).reshape(-1, 3)
