"""nvdiffrast's conventions, as its documentation states them, over our kernels."""

import pytest
import torch

import polyglyph.compat.nvdiffrast.torch as dr
from polyglyph.base.errors import ConfigError, PolyglyphError
from polyglyph.kernels.rasterize import rasterize


@pytest.fixture
def triangle():
    """One triangle over the lower left half of the picture, with three attributes."""
    pos = torch.tensor([[[-1.0, -1, 0.5, 1], [1, -1, 0.5, 1], [-1, 1, 0.5, 1]]])
    return pos, torch.tensor([[0, 1, 2]], dtype=torch.int32), torch.eye(3)[None]


def test_row_0_is_the_bottom_and_numbers_begin_at_1(triangle):
    pos, tri, _ = triangle
    rast, rast_db = dr.rasterize(dr.RasterizeCudaContext(), pos, tri, resolution=[4, 4])
    assert rast.shape == rast_db.shape == (1, 4, 4, 4)
    assert rast[0, 0, :, 3].tolist() == [1, 1, 1, 0]  # the bottom row: the last centre lies beyond the edge
    assert rast[0, 3, :, 3].tolist() == [0, 0, 0, 0]
    # The first pixel's centre is an eighth of the legs' length away from the right angle: weights 3/4, 1/8.
    torch.testing.assert_close(rast[0, 0, 0], torch.tensor([0.75, 0.125, 0.5, 1]))
    assert rast[0, 3].eq(0).all()


def test_derivatives_are_per_pixel_with_y_upwards(triangle):
    pos, tri, _ = triangle
    rast, rast_db = dr.rasterize(dr.RasterizeCudaContext(), pos, tri, resolution=[4, 4])
    # u falls by a quarter per pixel to the right and upwards, v grows by a quarter to the right.
    torch.testing.assert_close(rast_db[0, 0, 0], torch.tensor([-0.25, -0.25, 0.25, 0]))
    torch.testing.assert_close((rast[0, 1, 0] - rast[0, 0, 0])[:2], rast_db[0, 0, 0, [1, 3]])
    torch.testing.assert_close((rast[0, 0, 1] - rast[0, 0, 0])[:2], rast_db[0, 0, 0, [0, 2]])
    _, none = dr.rasterize(dr.RasterizeGLContext(output_db=False), pos, tri, resolution=[4, 4])
    assert none.shape == (1, 4, 4, 0)


def test_attributes_and_their_derivatives(triangle):
    pos, tri, attr = triangle
    rast, rast_db = dr.rasterize(dr.RasterizeCudaContext(), pos, tri, resolution=[4, 4])
    out, nothing = dr.interpolate(attr, rast, tri)
    torch.testing.assert_close(out[0, 0, 0], torch.tensor([0.75, 0.125, 0.125]))
    assert nothing.shape == (1, 4, 4, 0)
    _, change = dr.interpolate(attr, rast, tri, rast_db=rast_db, diff_attrs="all")
    torch.testing.assert_close(change[0, 0, 0], torch.tensor([-0.25, -0.25, 0.25, 0, 0, 0.25]))
    _, chosen = dr.interpolate(attr, rast, tri, rast_db=rast_db, diff_attrs=[2, 1])
    torch.testing.assert_close(chosen[0, 0, 0], torch.tensor([0, 0.25, 0.25, 0]))
    for unasked in ({"rast_db": rast_db}, {"rast_db": rast_db, "diff_attrs": []}, {"diff_attrs": []}):
        assert dr.interpolate(attr, rast, tri, **unasked)[1].shape == (1, 4, 4, 0)
    with pytest.raises(ConfigError, match="without `rast_db`"):
        dr.interpolate(attr, rast, tri, diff_attrs="all")


def test_shared_attributes_serve_every_image_of_a_batch(triangle):
    pos, tri, attr = triangle
    rast, _ = dr.rasterize(dr.RasterizeCudaContext(), pos.expand(3, -1, -1), tri, resolution=[4, 4])
    for given in (attr, attr[0], attr.expand(3, -1, -1)):
        out, _ = dr.interpolate(given, rast, tri)
        torch.testing.assert_close(out[2], dr.interpolate(attr, rast[:1], tri)[0][0])


def test_range_mode_draws_the_faces_of_each_image(triangle):
    pos, tri, _ = triangle
    packed = torch.cat([pos[0], -pos[0] * torch.tensor([1, 1, -1, -1])])
    tris, ranges = torch.cat([tri, tri + 3]), torch.tensor([[0, 1], [1, 1]], dtype=torch.int32)
    rast, _ = dr.rasterize(dr.RasterizeCudaContext(), packed, tris, [4, 4], ranges=ranges)
    assert rast[0, 0, 0, 3] == 1
    assert rast[1, 3, 3, 3] == 2
    out, _ = dr.interpolate(torch.arange(6.0)[:, None], rast, tris)
    torch.testing.assert_close(out[1, 3, 3, 0], torch.tensor(3 * 0.75 + 4 * 0.125 + 5 * 0.125))
    soft = dr.antialias((rast[..., 3:] > 0).float(), rast, packed, tris)
    assert soft.shape == (2, 4, 4, 1)


def test_peeling_goes_through_the_layers(triangle):
    pos, tri, _ = triangle
    pos = torch.cat([pos, pos + torch.tensor([0, 0, 0.2, 0])], dim=1)
    tris = torch.cat([tri + 3, tri])
    with dr.DepthPeeler(dr.RasterizeCudaContext(), pos, tris, [4, 4]) as peeler:
        layers = [peeler.rasterize_next_layer()[0][0, 0, 0, 3].item() for _ in range(3)]
    assert layers == [2, 1, 0]
    with pytest.raises(ConfigError, match="`with` block"):
        peeler.rasterize_next_layer()


def test_gradients_reach_positions_through_every_path(triangle):
    pos, tri, attr = triangle
    pos = pos.clone().requires_grad_()
    rast, rast_db = dr.rasterize(dr.RasterizeCudaContext(), pos, tri, resolution=[8, 8])
    out, change = dr.interpolate(attr, rast, tri, rast_db, "all")
    soft = dr.antialias(out, rast, pos, tri)
    for value in (out[..., 1], change[..., 0], soft[..., 0]):
        (grad,) = torch.autograd.grad(value.square().sum(), pos, retain_graph=True)
        assert grad.abs().sum() > 0
    # Moving a face backwards adds as much to z/w of each of its pixels.
    (grad,) = torch.autograd.grad(rast[..., 2].sum(), pos, retain_graph=True)
    torch.testing.assert_close(grad[..., 2].sum(), rast[..., 3].sum())
    _, held = dr.rasterize(dr.RasterizeCudaContext(), pos, tri, resolution=[8, 8], grad_db=False)
    assert not held.requires_grad


def test_antialiasing_agrees_upside_down_and_takes_a_kept_topology(triangle):
    pos, tri, _ = triangle
    pos = pos * torch.tensor([0.9, 0.77, 1, 1])  # no edge through a centre, none at 45 degrees
    rast, _ = dr.rasterize(dr.RasterizeCudaContext(), pos, tri, resolution=[6, 6])
    mask = (rast[..., 3:] > 0).float()
    kept = dr.antialias_construct_topology_hash(tri)
    soft = dr.antialias(mask, rast, pos, tri, topology_hash=kept)
    turned = pos * torch.tensor([1.0, -1, 1, 1])
    theirs, _ = dr.rasterize(dr.RasterizeCudaContext(), turned, tri, resolution=[6, 6])
    below = dr.antialias((theirs[..., 3:] > 0).float(), theirs, turned, tri)
    assert (soft != mask).sum() > 4
    torch.testing.assert_close(soft.flip(1), below)


def test_a_level_edge_is_softened_where_it_is():
    pos = torch.tensor([[[-3.0, -3, 0, 1], [3, -3, 0, 1], [3, 0.1, 0, 1], [-3, 0.1, 0, 1]]])
    tri = torch.tensor([[0, 1, 2], [0, 2, 3]], dtype=torch.int32)
    rast, _ = dr.rasterize(dr.RasterizeCudaContext(), pos, tri, resolution=[4, 3])
    soft = dr.antialias((rast[..., 3:] > 0).float(), rast, pos, tri)
    torch.testing.assert_close(soft[0, :, 1, 0], torch.tensor([1, 1, 0.2, 0]))  # from the bottom upwards


def test_a_boost_scales_the_gradient_and_not_the_value(triangle):
    pos, tri, _ = triangle
    rast, _ = dr.rasterize(dr.RasterizeCudaContext(), pos, tri, resolution=[6, 6])
    mask, results = (rast[..., 3:] > 0).float(), []
    for boost in (1.0, 3.0):
        own = (pos * 0.9).requires_grad_()
        soft = dr.antialias(mask, rast, own, tri, pos_gradient_boost=boost)
        results.append((soft, torch.autograd.grad(soft.square().sum(), own)[0]))
    assert torch.equal(results[0][0], results[1][0])
    torch.testing.assert_close(results[0][1] * 3, results[1][1])


def test_numbers_beyond_2_to_the_24_survive_float32():
    count = (1 << 24) + 3
    number = torch.tensor([0, 1, 1 << 24, count])
    assert dr._as_int(dr._as_float(number, torch.float32)).tolist() == number.tolist()
    assert dr._as_int(dr._as_float(number, torch.float64)).tolist() == number.tolist()
    # Written as floats, larger numbers stay larger.
    assert dr._as_float(number, torch.float32).diff().gt(0).all()


def test_our_own_fragments_are_the_same_upside_down():
    rng = torch.Generator().manual_seed(0)
    xyz = torch.rand(1, 60, 3, generator=rng) * 2 - 1
    pos, tri = torch.cat([xyz, torch.ones(1, 60, 1)], dim=2), torch.arange(60, dtype=torch.int32).view(-1, 3)
    rast, _ = dr.rasterize(dr.RasterizeCudaContext(), pos, tri, resolution=[24, 20])
    ours = rasterize(pos, tri, (24, 20))
    # Not on centres that lie on an edge, of which random vertices have none.
    assert torch.equal(rast[..., 3].flip(1).int() - 1, ours.face_id)
    torch.testing.assert_close(rast[..., :2].flip(1), ours.barycentric[..., :2])


# Textures: the first texel is at v = 0, whatever a picture's row order.
def test_texture_modes_and_layouts():
    tex = torch.arange(4.0).view(1, 2, 2, 1)
    uv = torch.tensor([[[[0.25, 0.25], [0.75, 0.25], [0.5, 0.5], [0.25, 0.75]]]])
    assert dr.texture(tex, uv, filter_mode="nearest")[0, 0, [0, 1, 3], 0].tolist() == [0, 1, 2]
    torch.testing.assert_close(dr.texture(tex, uv)[0, 0, :, 0], torch.tensor([0, 1, 1.5, 2]))
    coarse = torch.full((1, 1, 4, 4), 0.0)
    coarse[..., [0, 3]] = 10.0  # ten pictures a pixel: the 1 × 1 level
    torch.testing.assert_close(dr.texture(tex, uv, coarse)[0, 0, :, 0], torch.full((4,), 1.5))
    flat = dr.texture(tex, uv, mip_level_bias=torch.full((1, 1, 4), 9.0), max_mip_level=0)
    torch.testing.assert_close(flat, dr.texture(tex, uv))
    kept = dr.texture_construct_mip(tex)
    torch.testing.assert_close(dr.texture(tex, uv, coarse, mip=kept), dr.texture(tex, uv, coarse))


def test_beyond_its_border_a_texture_repeats_or_stops_or_is_zero():
    tex, uv = torch.arange(1.0, 5).view(1, 2, 2, 1), torch.tensor([[[[1.25, 0.25], [0.25, -0.4]]]])
    for mode, expected in (("wrap", [1, 3]), ("clamp", [2, 1]), ("zero", [0, 0])):
        found = dr.texture(tex, uv, filter_mode="nearest", boundary_mode=mode)
        assert found.flatten().tolist() == expected


def test_mip_filters_take_the_nearest_level_or_blend_two():
    tex = torch.rand(1, 8, 8, 2, generator=torch.Generator().manual_seed(0))
    uv, bias = torch.rand(1, 3, 3, 2), torch.full((1, 3, 3), 0.75)
    fine, coarse = dr.texture(tex, uv), dr.texture(dr.texture_construct_mip(tex)[0], uv)
    nearest = dr.texture(tex, uv, mip_level_bias=bias, filter_mode="linear-mipmap-nearest")
    torch.testing.assert_close(nearest, coarse)
    blended = dr.texture(tex, uv, mip_level_bias=bias)
    torch.testing.assert_close(blended, 0.25 * fine + 0.75 * coarse)


def test_a_stack_of_ones_own_is_used_up_to_the_level_asked_for():
    tex, uv = torch.rand(1, 8, 8, 2, generator=torch.Generator().manual_seed(0)), torch.rand(1, 3, 3, 2)
    kept, far = dr.texture_construct_mip(tex), torch.full((1, 3, 3), 9.0)
    found = dr.texture(tex, uv, mip_level_bias=far, mip=kept, max_mip_level=1)
    torch.testing.assert_close(found, dr.texture(kept[0], uv))


def test_the_change_of_uv_is_read_coordinate_by_coordinate():
    tex, uv = torch.rand(1, 4, 16, 2, generator=torch.Generator().manual_seed(0)), torch.rand(1, 3, 3, 2)
    # u changes by two of its 16 texels along Y, and v not at all: level 1.
    change = torch.tensor([0, 0.125, 0, 0]).expand(1, 3, 3, 4)
    torch.testing.assert_close(dr.texture(tex, uv, change), dr.texture(dr.texture_construct_mip(tex)[0], uv))


def test_a_cube_map_is_looked_up_by_direction():
    tex = torch.arange(6.0).view(1, 6, 1, 1, 1).expand(1, 6, 4, 4, 1)
    axes = torch.cat([torch.eye(3), -torch.eye(3)])[[0, 3, 1, 4, 2, 5]].view(1, 1, 6, 3)
    found = dr.texture(tex, axes, boundary_mode="cube", filter_mode="linear")
    assert found[0, 0, :, 0].tolist() == [0, 1, 2, 3, 4, 5]
    fuzzy = dr.texture(tex, axes, uv_da=torch.full((1, 1, 6, 6), 100.0) * torch.rand(6), boundary_mode="cube")
    assert fuzzy.shape == (1, 1, 6, 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"filter_mode": "cubic"}, "`filter_mode` is `cubic`"),
        ({"boundary_mode": "mirror"}, "`boundary_mode` is `mirror`"),
        ({"tex": torch.zeros(1, 6, 2, 2, 1), "filter_mode": "linear-mipmap-linear"}, "`tex` has shape"),
    ],
)
def test_what_is_not_known_is_refused(change, message):
    with pytest.raises(PolyglyphError, match=message) as caught:
        dr.texture(**({"tex": torch.zeros(1, 2, 2, 1), "uv": torch.zeros(1, 1, 1, 2)} | change))
    assert caught.value.fix
