"""Shapes and types that do not fit the kernels: refused before memory is read, on every backend."""

import jaxtyping
import pytest
import torch
from kernel_backends import BACKENDS, FAST

from polyglyph.base.errors import BackendError, ConfigError, DataError
from polyglyph.kernels.antialias import Topology, antialias
from polyglyph.kernels.backend import choose
from polyglyph.kernels.interpolate import interpolate
from polyglyph.kernels.nearest import nearest
from polyglyph.kernels.rasterize import evaluate, rasterize
from polyglyph.kernels.soft_mask import soft_mask
from polyglyph.kernels.texture import texture, texture_cube


@pytest.fixture(autouse=True)
def as_users_have_it():
    """Without the type checks that tests have around every function."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


CLIP = torch.tensor([[[-1.0, -1, 0, 1], [3, -1, 0, 1], [-1, 3, 0, 1]]])
FACES = torch.tensor([[0, 1, 2]])
IDS = torch.zeros(1, 4, 4, dtype=torch.int64)

REFUSED = {
    "evaluate: more pictures than clips": (
        lambda b: evaluate(CLIP, FACES, IDS.expand(2, -1, -1), backend=b),
        "for 1 images and `face_id` for 2",
    ),
    "evaluate: three coordinates": (
        lambda b: evaluate(CLIP[..., :3], FACES, IDS, backend=b),
        "`clip` has shape",
    ),
    "evaluate: one row of pixels": (
        lambda b: evaluate(CLIP, FACES, IDS[0], backend=b),
        "`face_id` has shape",
    ),
    "evaluate: rows that wrap": (
        lambda b: evaluate(CLIP, FACES, IDS - 2**32, backend=b),
        "`face_id` reaches -4294967296",
    ),
    "evaluate: rows that are no numbers of rows": (
        lambda b: evaluate(CLIP, FACES, IDS.float(), backend=b),
        "holds torch.float32, not integers",
    ),
    "rasterize: integers": (lambda b: rasterize(CLIP.long(), FACES, (4, 4), backend=b), "not real numbers"),
    "rasterize: half": (lambda b: rasterize(CLIP.half(), FACES, (4, 4), backend=b), "torch.float16"),
    "rasterize: bfloat16": (lambda b: rasterize(CLIP.bfloat16(), FACES, (4, 4), backend=b), "torch.bfloat16"),
    "rasterize: faces that are no rows": (
        lambda b: rasterize(CLIP, FACES.float(), (4, 4), backend=b),
        "`faces` holds torch.float32",
    ),
    "rasterize: ranges that wrap": (
        lambda b: rasterize(CLIP[0], FACES, (4, 4), ranges=torch.tensor([[2**62, 2**62]]), backend=b),
        "`ranges` reaches outside",
    ),
    "rasterize: truths for faces": (
        lambda b: rasterize(CLIP, FACES.bool(), (4, 4), backend=b),
        "`faces` holds torch.bool",
    ),
    "rasterize: more faces than their numbers can tell apart": (
        lambda b: rasterize(CLIP, FACES.expand(2**31 // 6 + 1, 3), (4, 4), backend=b),
        "357913942 faces of 3 vertices are too many",
    ),
    "rasterize: more vertices than rows can tell apart": (
        lambda b: rasterize(CLIP[:, :1].expand(1, 2**31, 4), FACES, (4, 4), backend=b),
        "1 faces of 2147483648 vertices are too many",
    ),
    "rasterize: ranges that count backwards": (
        lambda b: rasterize(CLIP[0], FACES, (4, 4), ranges=torch.tensor([[1, -1]]), backend=b),
        "`ranges` reaches outside",
    ),
    "rasterize: ranges that are no numbers of rows": (
        lambda b: rasterize(CLIP[0], FACES, (4, 4), ranges=torch.tensor([[0.0, 1.0]]), backend=b),
        "holds torch.float32, not integers",
    ),
    "interpolate: integers": (
        lambda b: interpolate(CLIP.long(), FACES, IDS, torch.zeros(1, 4, 4, 3), backend=b),
        "`attributes` holds torch.int64",
    ),
    "antialias: depth of another picture": (
        lambda b: antialias(
            torch.zeros(1, 4, 4, 1),
            rasterize(CLIP, FACES, (4, 4))._replace(depth=torch.zeros(1, 2, 2)),
            CLIP,
            FACES,
            backend=b,
        ),
        "`depth` has shape",
    ),
    "antialias: integers": (
        lambda b: antialias(
            torch.zeros(1, 4, 4, 1).long(), rasterize(CLIP, FACES, (4, 4)), CLIP, FACES, backend=b
        ),
        "`color` holds torch.int64",
    ),
    "soft_mask: half": (lambda b: soft_mask(CLIP.half(), FACES, IDS, backend=b), "torch.float16"),
    "soft_mask: ranges that wrap": (
        lambda b: soft_mask(CLIP[0], FACES, IDS, ranges=torch.tensor([[2**62, 2**62]]), backend=b),
        "`ranges` reaches outside",
    ),
    "soft_mask: neighbours that are no count": (
        lambda b: soft_mask(CLIP, FACES, IDS, neighbours=30.0, backend=b),
        "`neighbours` is 30.0, not a whole number",
    ),
    "texture: an image of bytes": (
        lambda b: texture(torch.zeros(4, 4, 3, dtype=torch.uint8), torch.zeros(2, 2), backend=b),
        "`image` holds torch.uint8",
    ),
    "texture_cube: directions that are integers": (
        lambda b: texture_cube(torch.zeros(6, 4, 4, 3), torch.ones(2, 3).long(), backend=b),
        "`direction` holds torch.int64",
    ),
    "nearest: integers": (
        lambda b: nearest(torch.zeros(2, 3).long(), torch.zeros(2, 3).long(), backend=b),
        "`query` holds torch.int64",
    ),
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_refused(backend, case):
    call, message = REFUSED[case]
    with pytest.raises(ConfigError, match=message) as caught:
        call(backend)
    assert caught.value.fix


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("shape", [(5, 2), (5, 4), (5,), (1, 5, 3)])
def test_points_that_are_not_places_are_refused(backend, shape):
    for query, points in ((torch.zeros(shape), torch.zeros(2, 3)), (torch.zeros(2, 3), torch.zeros(shape))):
        with pytest.raises(DataError, match="has shape"):
            nearest(query, points, backend=backend)


def test_tensors_of_two_devices_are_refused_by_every_backend_that_looks():
    for backend in ("auto", "cpu", "cuda"):
        with pytest.raises(BackendError, match="has tensors on `cpu`, `meta`"):
            choose(backend, "rasterize", CLIP, FACES.to("meta"))


def test_a_topology_may_be_moved():
    topology = Topology.of(FACES).to("meta")
    assert topology.corner.device == topology.following.device == torch.device("meta")


@pytest.mark.timeout(60)
@pytest.mark.parametrize("backend", [name for name in FAST if name != "cuda"])
def test_a_topology_that_never_comes_round_ends_all_the_same(backend):
    faces = torch.tensor([[0, 1, 2], [0, 2, 3], [0, 3, 1]])
    clip = torch.tensor([[[0.0, 0, 0, 1], [-0.7, -0.6, 0, 1], [0.8, -0.5, 0, 1], [0.1, 0.9, 0, 1]]])
    found = rasterize(clip, faces, (16, 16))
    topology = Topology(faces.int(), torch.full((9,), 4, dtype=torch.int32))
    out = antialias(
        (found.face_id >= 0).float()[..., None], found, clip, faces, topology=topology, backend=backend
    )
    assert out.isfinite().all()
