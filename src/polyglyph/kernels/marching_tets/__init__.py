"""Signed distances on a tetrahedral lattice to triangle meshes (marching tetrahedra).

Doi and Koide 1991; made differentiable and put on deformable lattices by DMTet (Shen et al. 2021).

Legend: B meshes, N lattice vertices, V and F vertices and faces of all meshes together.
"""

from jaxtyping import Float
from torch import Tensor

from polyglyph.base.errors import ConfigError
from polyglyph.kernels.backend import Backend, choose
from polyglyph.kernels.marching_tets import reference, vectorised
from polyglyph.kernels.marching_tets.lattice import TET_EDGES, Lattice, kuhn_lattice
from polyglyph.kernels.marching_tets.surface import Surface

__all__ = ["TET_EDGES", "Lattice", "Surface", "kuhn_lattice", "marching_tets"]


def marching_tets(
    sdf: Float[Tensor, "B N"],
    positions: Float[Tensor, "N 3"] | Float[Tensor, "B N 3"],
    lattice: Lattice,
    *,
    backend: Backend = "auto",
) -> Surface:
    """The surface where `sdf` changes sign, one mesh per row of `sdf`.

    Convention: `sdf` is positive inside; exactly 0 counts as outside. A vertex lies on every
    lattice edge whose ends differ, at the zero of the linear function along it:
    v = (v_a s_b - v_b s_a) / (s_b - s_a). Faces are counter-clockwise seen from outside, as long as
    `positions` keep the lattice unfolded. Vertices are ordered by mesh, then by lattice edge; faces
    by mesh, then by tetrahedron.

    The mesh is closed and 2-manifold where the lattice boundary is outside, and open (cut by the
    box) where it is not. Where all values agree the mesh is empty.

    `sdf` must be finite: NaN counts as outside. `positions` may be shared by the batch. Everything
    lives on one device; the result has the promoted dtype of `sdf` and `positions`.

    Differentiable in `sdf` and `positions`, exactly: dv/ds_a = s_b (v_a - v_b) / (s_b - s_a)² and
    dv/ds_b = -s_a (v_a - v_b) / (s_b - s_a)², which is large where both values are near 0. Not
    differentiable in which edges are cut.

    Raises ConfigError where vertices, batches or devices of the three do not fit together.
    """
    _check(sdf, positions, lattice)
    if choose(backend, "marching_tets") == "reference":
        return reference.marching_tets(sdf, positions, lattice)
    return vectorised.marching_tets(sdf, positions, lattice)


def _check(sdf: Tensor, positions: Tensor, lattice: Lattice) -> None:
    count = lattice.vertex_count
    if sdf.shape[-1] != count or positions.shape[-2] != count:
        raise ConfigError(
            f"a lattice of resolution {lattice.resolution} has {count} vertices, but `sdf` is "
            f"{tuple(sdf.shape)} and `positions` {tuple(positions.shape)}",
            fix="evaluate both at `lattice.positions`",
        )
    if positions.ndim == 3 and positions.shape[0] != sdf.shape[0]:
        raise ConfigError(
            f"`sdf` has {sdf.shape[0]} meshes and `positions` {positions.shape[0]}",
            fix="pass [B, N] and [B, N, 3], or [N, 3] to share positions",
        )
    if not sdf.device == positions.device == lattice.edges.device:
        raise ConfigError(
            f"`sdf` is on {sdf.device}, `positions` on {positions.device}, "
            f"the lattice on {lattice.edges.device}",
            fix="use `lattice.to(device)`",
        )
