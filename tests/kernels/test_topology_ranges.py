"""Meshes of one call that touch each other in space, each in its own image."""

import pytest
import torch
from kernel_backends import BACKENDS, FAST

import polyglyph.compat.nvdiffrast.torch as dr
from polyglyph.kernels.antialias import Topology, antialias
from polyglyph.kernels.rasterize import rasterize
from polyglyph.kernels.soft_mask import soft_mask

# Two triangles of a square, with vertices of their own: the diagonal is a silhouette of either alone.
LOWER = torch.tensor([[-0.75, -0.7, 0, 1], [0.8, -0.7, 0, 1], [-0.75, 0.85, 0, 1]])
UPPER = torch.tensor([[0.8, -0.7, 0, 1], [0.8, 0.85, 0, 1], [-0.75, 0.85, 0, 1]])
FACE = torch.tensor([[0, 1, 2]])
BOTH, FACES = torch.cat([LOWER, UPPER]), torch.tensor([[0, 1, 2], [3, 4, 5]])


def softened(clip, faces, ranges, backend, **more):
    clip = clip.clone().requires_grad_()
    found = rasterize(clip, faces, (9, 9), ranges=torch.tensor(ranges), backend=backend)
    mask = (found.face_id >= 0).float()[..., None]
    out = antialias(mask, found, clip, faces, ranges=torch.tensor(ranges), backend=backend, **more)
    (grad,) = torch.autograd.grad((out * torch.linspace(0, 1, out.numel()).view_as(out)).sum(), clip)
    return out, grad


@pytest.mark.parametrize("backend", BACKENDS)
def test_meshes_of_different_images_are_not_welded(backend):
    together, grad = softened(BOTH, FACES, [[0, 1], [1, 1]], backend)
    alone = [softened(clip, FACE, [[0, 1]], backend) for clip in (LOWER, UPPER)]
    assert torch.equal(together, torch.cat([out for out, _ in alone]).detach())
    weights = torch.linspace(0, 1, together.numel()).view_as(together)
    for image, clip in enumerate((LOWER, UPPER)):
        own = clip.clone().requires_grad_()
        found = rasterize(own[None], FACE, (9, 9), backend=backend)
        out = antialias((found.face_id >= 0).float()[..., None], found, own[None], FACE, backend=backend)
        (expected,) = torch.autograd.grad((out * weights[image]).sum(), own)
        torch.testing.assert_close(grad[3 * image : 3 * image + 3], expected)


def test_meshes_of_one_image_are_welded_and_faces_of_no_image_stand_alone():
    assert Topology.of(FACES, BOTH).following.tolist() != list(range(6))
    assert Topology.of(FACES, BOTH, ranges=torch.tensor([[0, 2]])).following.tolist() != list(range(6))
    for apart in ([[0, 1], [1, 1]], [[1, 1], [0, 1]], [[0, 1], [0, 0]], [[1, 1], [2, 0]]):
        assert Topology.of(FACES, BOTH, ranges=torch.tensor(apart)).following.tolist() == list(range(6))
    overlapping = Topology.of(FACES, BOTH, ranges=torch.tensor([[0, 2], [1, 1]]))
    assert overlapping.following.tolist() == Topology.of(FACES, BOTH).following.tolist()


def test_programs_written_for_nvdiffrast_see_the_same():
    glctx, ranges = dr.RasterizeCudaContext(), torch.tensor([[0, 1], [1, 1]], dtype=torch.int32)
    rast, _ = dr.rasterize(glctx, BOTH, FACES.int(), resolution=[9, 9], ranges=ranges)
    out = dr.antialias((rast[..., 3:] > 0).float(), rast, BOTH, FACES.int())
    for image, clip in enumerate((LOWER, UPPER)):
        alone, _ = dr.rasterize(glctx, clip[None], FACE.int(), resolution=[9, 9])
        expected = dr.antialias((alone[..., 3:] > 0).float(), alone, clip[None], FACE.int())
        assert torch.equal(out[image], expected[0])


def test_ranges_are_ignored_by_nvdiffrasts_instanced_mode():
    glctx = dr.RasterizeCudaContext()
    rast, _ = dr.rasterize(glctx, LOWER[None], FACE.int(), resolution=[9, 9])
    given = torch.tensor([[5, 7]], dtype=torch.int32)
    assert torch.equal(dr.rasterize(glctx, LOWER[None], FACE.int(), resolution=[9, 9], ranges=given)[0], rast)


@pytest.mark.parametrize("backend", FAST)
def test_vertices_count_as_one_only_if_they_coincide_in_every_image(backend):
    apart = BOTH.clone()
    apart[3:] += torch.tensor([0.4, 0.3, 0, 0])
    clip = torch.stack([BOTH, apart])
    found = rasterize(clip, FACES, (9, 9), backend=backend)
    mask = (found.face_id >= 0).float()[..., None]
    out = antialias(mask, found, clip, FACES, backend=backend)
    alone = rasterize(apart[None], FACES, (9, 9), backend=backend)
    assert torch.equal(out[1:], antialias(mask[1:], alone, apart[None], FACES, backend=backend))


@pytest.mark.parametrize("backend", FAST)
def test_ranges_and_colours_with_gaps_are_read_in_their_order(backend):
    ranges = torch.tensor([[0, 1], [1, 1]])
    strided = ranges.t().contiguous().t()
    assert not strided.is_contiguous()
    found = rasterize(BOTH, FACES, (9, 9), ranges=ranges, backend=backend)
    assert torch.equal(found.face_id, rasterize(BOTH, FACES, (9, 9), ranges=strided, backend=backend).face_id)
    color = torch.rand(2, 3, 9, 9, generator=torch.Generator().manual_seed(0)).permute(0, 2, 3, 1)
    outs = [
        antialias(given, found, BOTH, FACES, ranges=strided, backend=backend)
        for given in (color, color.contiguous())
    ]
    assert torch.equal(*outs)
    masks = [
        soft_mask(BOTH, FACES, found.face_id, ranges=given, backend=backend) for given in (ranges, strided)
    ]
    assert torch.equal(*masks)
