"""Finer meshes: tetrahedra near a surface cut into eight, and triangles into four with smoothing.

Volume subdivision after DMTet (Shen et al., "Deep Marching Tetrahedra", NeurIPS 2021, section 3.1); surface
subdivision after Loop ("Smooth Subdivision Surfaces Based on Triangles", 1987), with weights that may be
learned as in DMTet.

    near = near_surface(sdf, mesh.tets)
    mesh = tet_mesh(mesh.tets[near], mesh.vertex_count)
    finer = subdivide_tets(mesh, positions)
    sdf, positions = mesh.with_midpoints(sdf, dim=-1), mesh.with_midpoints(positions)
    surface = march_tets(sdf[None], positions, finer)
    topology = loop_topology(surface.faces, len(surface.vertices))
    vertices, faces = loop_subdivide(surface.vertices, topology), topology.subdivided

Legend: B meshes, N vertices and T tetrahedra of a volume, V vertices, F faces and E edges of a surface,
W = V + E vertices of the finer surface, C channels.
"""

from jaxtyping import Bool, Float, Int
from torch import Tensor

from polyglyph.base.errors import ConfigError
from polyglyph.kernels.backend import Backend, choose
from polyglyph.kernels.marching_tets import Surface
from polyglyph.kernels.subdivide import reference, vectorised
from polyglyph.kernels.subdivide.edges import check_corners
from polyglyph.kernels.subdivide.loop import LoopTopology, build_topology
from polyglyph.kernels.subdivide.tets import TetMesh

__all__ = [
    "LoopTopology",
    "TetMesh",
    "loop_subdivide",
    "loop_topology",
    "march_tets",
    "near_surface",
    "subdivide_tets",
    "tet_mesh",
]


def tet_mesh(tets: Int[Tensor, "T 4"], vertex_count: int) -> TetMesh:
    """Tetrahedra over vertices 0 to `vertex_count` - 1; its edges are found when first asked for.

    Raises ConfigError where `tets` is not int64, names vertices that do not exist, or one twice in a row.
    """
    check_corners(tets, 4, vertex_count, "tets")
    return TetMesh(tets, vertex_count)


def near_surface(
    sdf: Float[Tensor, "N"], tets: Int[Tensor, "T 4"], *, rings: int = 1, backend: Backend = "auto"
) -> Bool[Tensor, "T"]:
    """The tetrahedra that the surface cuts, and their neighbours.

    A tetrahedron is cut if `sdf` is above 0 at some of its corners but not at all; each of the `rings` adds
    those that share a corner with one found so far. The surface lies in the cut ones alone; one ring lets it
    move a little afterwards.

    Raises ConfigError where `tets` names vertices that `sdf` does not have, and for `rings` below 0.
    """
    check_corners(tets, 4, len(sdf), "tets")
    if rings < 0:
        raise ConfigError(f"`rings` is {rings}", fix="use 1, or 0 for cut tetrahedra only")
    return _implementation(backend, "near_surface").near_surface(sdf, tets, rings)


def subdivide_tets(mesh: TetMesh, positions: Float[Tensor, "N 3"], *, backend: Backend = "auto") -> TetMesh:
    """Every tetrahedron cut into eight of an eighth of its volume.

    Convention: vertex N + e of the result is the midpoint of edge e of `mesh`, so numbers per vertex carry
    over by `mesh.with_midpoints`. Parts 8t to 8t + 3 are at the corners of tetrahedron t, 8t + 4 to 8t + 7
    share the octahedron between them, around the shortest of its three diagonals (the first of 01-23, 02-13,
    03-12 if equal), which keeps repeated subdivision from flattening tetrahedra: parts of a `Lattice`'s
    tetrahedra are those tetrahedra, half as large. All parts are oriented as their parent.

    Tetrahedra that share a face agree on how it is cut. Tetrahedra left out of `mesh` are not cut, so that
    a surface that later reaches them would be open there. Vertices keep their numbers, used or not.

    Not differentiable: `positions` decide nothing but diagonals.

    Raises ConfigError where `positions` do not fit `mesh`.
    """
    _check_volume(positions.new_zeros(1, mesh.vertex_count), positions, mesh)
    return _implementation(backend, "subdivide_tets").subdivide_tets(mesh, positions.detach())


def march_tets(
    sdf: Float[Tensor, "B N"],
    positions: Float[Tensor, "N 3"] | Float[Tensor, "B N 3"],
    mesh: TetMesh,
    *,
    backend: Backend = "auto",
) -> Surface:
    """`marching_tets` over explicit tetrahedra: one surface per row of `sdf`, in the same convention.

    `sdf` is positive inside, and exactly 0 is outside. Vertices are ordered by mesh, then by edge; faces by
    mesh, then by tetrahedron. Faces are counter-clockwise seen from outside where tetrahedra are positively
    oriented. The surface is closed where no tetrahedron with a free face is cut.

    Differentiable in `sdf` and `positions`.

    Raises ConfigError where vertices, batches or devices of the three do not fit together.
    """
    _check_volume(sdf, positions, mesh)
    return _implementation(backend, "march_tets").march_tets(sdf, positions, mesh)


def loop_topology(faces: Int[Tensor, "F 3"], vertex_count: int) -> LoopTopology:
    """What `loop_subdivide` needs to know of a mesh, found once by sorting its edges.

    Raises ConfigError where `faces` is not int64, names vertices that do not exist or one twice in a row,
    and for edges with more than two faces.
    """
    check_corners(faces, 3, vertex_count, "faces")
    return build_topology(faces, vertex_count)


def loop_subdivide(
    vertices: Float[Tensor, "V C"],
    topology: LoopTopology,
    *,
    vertex_weights: Float[Tensor, "V"] | None = None,
    edge_weights: Float[Tensor, "E"] | None = None,
    backend: Backend = "auto",
) -> Float[Tensor, "W C"]:
    """The vertices of a Loop subdivision; their faces are `topology.subdivided`.

    Vertex v moves to (1 - w_v) v + w_v · (mean of its neighbours), and edge e with ends a, b and opposite
    corners c, d gets the vertex (1 - w_e) (a + b) / 2 + w_e (c + d) / 2. None stands for Loop's weights:
    `topology.vertex_weights` (5/8 - (3/8 + cos(2π/k) / 4)² at valence k) and `topology.edge_weights` (1/4).
    Along a boundary, neighbours are those along it (weight 1/4), and edges get their midpoint, whatever
    their weight; a vertex without a face stays.

    Learned weights are any other numbers; within 0 and 1 everything stays in the convex hull. DMTet's α_i is
    w_i divided by the valence. To carry `vertex_weights` to a second subdivision:
    `topology.with_midpoints(vertex_weights)`.

    Differentiable in `vertices` and both weights, to all orders.

    Raises ConfigError where shapes or devices do not fit together.
    """
    w_V = topology.vertex_weights.to(vertices.dtype) if vertex_weights is None else vertex_weights
    w_E = topology.edge_weights.to(vertices.dtype) if edge_weights is None else edge_weights
    expected = (topology.vertex_count, topology.vertex_count, len(topology.edges))
    if (len(vertices), *w_V.shape, *w_E.shape) != expected:
        raise ConfigError(
            f"the topology has {expected[0]} vertices and {expected[2]} edges, but `vertices` is "
            f"{tuple(vertices.shape)}, `vertex_weights` {tuple(w_V.shape)} and `edge_weights` "
            f"{tuple(w_E.shape)}",
            fix="make the topology from this mesh's faces and number of vertices",
        )
    _check_devices(vertices=vertices, vertex_weights=w_V, edge_weights=w_E, topology=topology.edges)
    return _implementation(backend, "loop_subdivide").loop_subdivide(vertices, topology, w_V, w_E)


def _implementation(backend: Backend, operation: str):
    return reference if choose(backend, operation) == "reference" else vectorised


def _check_volume(sdf: Tensor, positions: Tensor, mesh: TetMesh) -> None:
    count = mesh.vertex_count
    if sdf.ndim != 2 or sdf.shape[1] != count or positions.shape[-2:] != (count, 3):
        raise ConfigError(
            f"the tetrahedra have {count} vertices, but `sdf` is {tuple(sdf.shape)} and `positions` "
            f"{tuple(positions.shape)}",
            fix="pass one number and one place for each vertex, as `mesh.with_midpoints` makes them",
        )
    if positions.ndim != 2 and positions.shape[:-2] != sdf.shape[:1]:
        raise ConfigError(
            f"`sdf` has {sdf.shape[0]} meshes and `positions` is {tuple(positions.shape)}",
            fix="pass [B, N] and [B, N, 3], or [N, 3] to share positions",
        )
    _check_devices(sdf=sdf, positions=positions, tets=mesh.tets)


def _check_devices(**tensors: Tensor) -> None:
    if len({tensor.device for tensor in tensors.values()}) > 1:
        places = ", ".join(f"`{name}` on {tensor.device}" for name, tensor in tensors.items())
        raise ConfigError(f"tensors are apart: {places}", fix="move them with `.to(device)`")
