import numpy as np
import pytest
import torch

from polyglyph.base.errors import ConfigError, DataError
from polyglyph.kernels.texture import texture
from polyglyph.scene.atlas import Atlas, unwrap
from polyglyph.scene.bake import bake, dilate, layout


def waves(points: torch.Tensor) -> torch.Tensor:
    return 0.5 + 0.4 * torch.sin(3 * points + torch.tensor([0.0, 1.0, 2.0]))


@pytest.mark.parametrize("method", ["xatlas", "box"])
@pytest.mark.parametrize("name", ["box", "sphere", "torus"])
def test_the_texture_gives_the_field_back_anywhere_on_the_surface(name, method, shapes):
    positions, faces = shapes[name]()
    atlas = unwrap(positions, faces, method=method, resolution=256)
    baked = bake(atlas, positions, waves, 256)
    rng = np.random.default_rng(0)
    face = rng.integers(0, len(faces), 4000)
    weight = rng.dirichlet((1, 1, 1), 4000).astype(np.float32)
    weight[:300] = np.eye(3, dtype=np.float32)[rng.integers(0, 3, 300)]  # corners, where charts end
    points = (positions[faces[face]] * weight[..., None]).sum(1)
    uv = (atlas.uvs[atlas.faces[face]] * weight[..., None]).sum(1)
    seen = texture(torch.from_numpy(baked.image), torch.from_numpy(uv), wrap="clamp")
    error = (seen - waves(torch.from_numpy(points))).abs()
    assert float(error.max()) < 0.05
    assert float(error.mean()) < 0.006


def test_black_texels_stay_black_and_are_spread_like_any_other(shapes):
    positions, faces = shapes["box"]()
    atlas = unwrap(positions, faces, method="box", resolution=64)
    baked = bake(atlas, positions, lambda points: torch.zeros(len(points), 3), 64)
    assert (baked.image == 0).all()
    half = bake(atlas, positions, lambda points: (points[:, :1] > 0).float().expand(-1, 3), 64)
    plan = layout(atlas, 64)
    corners = torch.from_numpy(positions[faces])[plan.face_id[0].long()]
    x = corners * plan.barycentric[0][..., None]
    expected = (x.sum(2)[..., 0] > 0).numpy()
    np.testing.assert_array_equal(half.image[half.coverage][:, 0] > 0, expected[half.coverage])


def test_row_zero_of_the_texture_is_v_zero():
    atlas = Atlas(
        np.arange(4),
        np.array([[0, 1, 2], [0, 2, 3]], dtype=np.int32),
        np.float32([[0, 0], [1, 0], [1, 1], [0, 1]]),
        "box",
    )
    positions = np.concatenate([atlas.uvs, np.zeros((4, 1), np.float32)], 1)
    image = bake(atlas, positions, lambda points: points[:, :2], 8).image
    np.testing.assert_allclose(image[0, :, 1], 0.5 / 8, atol=1e-6)
    np.testing.assert_allclose(image[:, 3, 0], 3.5 / 8, atol=1e-6)


def test_dilation_takes_the_nearest_covered_texel_and_leaves_the_covered_alone():
    rng = np.random.default_rng(0)
    image = rng.random((20, 20, 3)).astype(np.float32)
    coverage = rng.random((20, 20)) < 0.05
    filled = dilate(image, coverage)
    np.testing.assert_array_equal(filled[coverage], image[coverage])
    known = np.argwhere(coverage)
    for row in range(20):
        for column in range(20):
            distance = ((known - [row, column]) ** 2).sum(1)
            nearest = [image[tuple(known[i])] for i in np.flatnonzero(distance == distance.min())]
            assert any(np.array_equal(filled[row, column], value) for value in nearest)


def test_dilation_can_be_limited_in_reach():
    image = np.zeros((1, 9, 1), dtype=np.float32)
    image[0, 4] = 1
    coverage = image[..., 0] > 0
    np.testing.assert_array_equal(dilate(image, coverage, reach=2)[0, :, 0], [0, 0, 1, 1, 1, 1, 1, 0, 0])


def test_the_field_is_asked_in_chunks_without_gradients(shapes):
    sizes = []

    def field(points):
        sizes.append(len(points))
        assert not torch.is_grad_enabled()
        return points * 0

    positions, faces = shapes["box"]()
    atlas = unwrap(positions, faces, method="box", resolution=64)
    baked = bake(atlas, positions, field, 64, chunk=500)
    assert max(sizes) == 500
    assert sum(sizes) == baked.coverage.sum()


def test_fields_that_fail_and_textures_that_are_too_small_are_refused(shapes):
    positions, faces = shapes["box"]()
    atlas = unwrap(positions, faces, method="box", resolution=64)
    with pytest.raises(DataError, match="not finite"):
        bake(atlas, positions, lambda points: points / 0, 32)
    with pytest.raises(ConfigError, match="2 texels"):
        layout(atlas, 2)
    tiny = Atlas(atlas.vertex_map, atlas.faces, atlas.uvs * 1e-3, "box")
    with pytest.raises(DataError, match="no texel"):
        bake(tiny, positions, waves, 16)
