"""The compiled library as a whole: threads, fork, vector units, bad calls."""

import inspect
import multiprocessing
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
from kernel_backends import threads_of_torch

from polyglyph.base.errors import BackendError
from polyglyph.kernels import backend as backends
from polyglyph.kernels.backend import choose
from polyglyph.kernels.interpolate import interpolate
from polyglyph.kernels.library import library
from polyglyph.kernels.native import run
from polyglyph.kernels.rasterize import rasterize


@pytest.fixture
def threads():
    """Two threads for the library; the machine's setting is put back."""
    with threads_of_torch(2):
        yield


def picture(scene):
    found = rasterize(*scene, backend="cpu")
    return found.face_id, found.barycentric


def test_this_machine_has_the_library_so_that_its_tests_ran():
    assert library() is not None, "no compiler was found when polyglyph was installed"


def test_pictures_and_gradients_do_not_depend_on_the_number_of_threads(sphere):
    scene = sphere(40, rings=12, bumps=0.3)
    results = []
    for count in (1, 2, 5):
        with threads_of_torch(count):
            clip = scene.clip.clone().requires_grad_()
            found = rasterize(clip, scene.faces, (300, 400), backend="cpu")
            (grad,) = torch.autograd.grad(found.barycentric.square().sum() + found.depth.sum(), clip)
            weights, shared = found.barycentric.detach(), scene.clip[0].clone().requires_grad_()
            color = interpolate(shared, scene.faces, found.face_id, weights, backend="cpu")
            (to_shared,) = torch.autograd.grad(color.square().sum(), shared)
            results.append((found.face_id, weights, grad, to_shared))
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def _in_child(scene, queue):
    queue.put([part.numpy() for part in picture(scene)])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_the_pool_survives_fork(sphere, threads):
    scene = sphere(64, rings=12)
    expected = picture(scene)  # the parent's helpers exist from here on
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    children = [context.Process(target=_in_child, args=(scene, queue)) for _ in range(2)]
    for child in children:
        child.start()
    for _ in children:
        found = queue.get(timeout=60)
        assert all(torch.equal(a, torch.from_numpy(b)) for a, b in zip(expected, found, strict=True))
    for child in children:
        child.join(timeout=60)
        assert child.exitcode == 0
    assert torch.equal(picture(scene)[0], expected[0])


def test_callers_in_several_threads_get_their_own_pictures(sphere, threads):
    scenes = [sphere(48, rings=rings) for rings in (4, 7, 11)]
    expected, wrong = [picture(scene)[0] for scene in scenes], []

    def draw(n):
        for _ in range(20):
            if not torch.equal(picture(scenes[n])[0], expected[n]):
                wrong.append(n)

    callers = [threading.Thread(target=draw, args=(n,)) for n in range(3)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert not wrong


def test_a_call_waits_for_its_slowest_part(sphere, threads):
    scene = sphere(8, rings=150, bumps=0.2)  # milliseconds of drawing
    clip, faces = scene.clip[0], scene.faces
    ranges = torch.tensor([[0, 1], [0, len(faces)], [0, 1], [0, len(faces)]])
    expected = rasterize(clip, faces, (64, 64), ranges=ranges, backend="vectorised").face_id
    for _ in range(20):
        found = rasterize(clip, faces, (64, 64), ranges=ranges, backend="cpu").face_id
        assert torch.equal(found, expected)


_LEVELS = """
import hashlib, os, pathlib, torch
from polyglyph.kernels import library as loader
if "BUILT" in os.environ:
    loader.find_library = lambda: pathlib.Path(os.environ["BUILT"])
library = loader.library
from polyglyph.kernels.rasterize import evaluate, rasterize
rng, bits = torch.Generator().manual_seed(0), hashlib.sha256()
faces = torch.arange(3000).view(-1, 3)

def draw(clip):
    first = rasterize(clip, faces[: clip.shape[1] // 3], (40, 72), backend="cpu")
    second = rasterize(clip, faces[: clip.shape[1] // 3], (40, 72), behind=first, backend="cpu")
    bits.update(first.face_id.numpy().tobytes() + second.face_id.numpy().tobytes())
    return first.face_id

clip = torch.cat([torch.rand(1, 3000, 3, generator=rng) * 2 - 1, torch.full((1, 3000, 1), 0.9)], dim=2)
clip[0, :600, :2] = (clip[0, :600, :2] * 8).round() / 8  # edges through pixel centres
clip[0, 600:900, :2] *= 0.02
seen = draw(clip)

flat = clip[:, :36].double()
levels = [0.5 + 0.75 / 2**31, 0.5, 1, 1.5, -1, -1]  # one step; on and beyond the far plane; on the near one
flat[0, :, 2] = torch.tensor(levels, dtype=torch.float64).repeat_interleave(6)  # two faces each
flat[..., 3] = 1
draw(flat), draw(flat[:, :12]), draw(flat[:, 12:24])

# Several bands of many small faces, some behind the camera or across it, some nowhere, some far beyond.
crowd = torch.rand(1, 6000, 1, 4, generator=rng).double() * 2 - 1
crowd = crowd + torch.randn(1, 6000, 3, 4, generator=rng).double() * torch.tensor([0.01, 0.01, 0.2, 0.1])
crowd[..., 3] += 0.8
flaws = [float("nan"), float("inf"), -float("inf"), 1e150, -1e200, 1e300, 1e-320, 0.0]
for n, flaw in enumerate(flaws * 8):
    crowd[0, 7 * n, n % 3, n // 8 % 4] = flaw
for positions in (crowd, crowd.float()):
    packed, first = positions.reshape(1, -1, 4).contiguous(), None
    for _ in range(2):
        first = rasterize(packed, torch.arange(18000).view(-1, 3), (300, 200), behind=first, backend="cpu")
        bits.update(first.face_id.numpy().tobytes())
    assert first.face_id.ge(0).any()

weight, results = torch.rand(1, 40, 72, 4, generator=rng).double(), []
for backend, positions in (("vectorised", clip.double()), ("cpu", clip.double()), ("cpu", clip.clone())):
    corners = positions.requires_grad_()
    found = evaluate(corners, faces, seen, backend=backend)
    turned = (found.barycentric * weight[..., :3]).sum()
    deep = (found.depth * weight[..., 3]).sum()
    losses = (turned, deep, turned + deep)
    grads = [torch.autograd.grad(loss, corners, retain_graph=True)[0].double() for loss in losses]
    results.append((found.depth, found.barycentric, *(grad / grad.abs().max() for grad in grads)))
for expected, wide, narrow in zip(*results):
    torch.testing.assert_close(wide, expected, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(narrow.double(), expected, rtol=1e-6, atol=1e-7)
print(library().polyglyph_vector_level(), bits.hexdigest())
"""


def drawn_with(**environment: str) -> list[str]:
    """The vector level that drew, and a digest of what it drew."""
    done = subprocess.run(
        [sys.executable, "-c", _LEVELS],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


def test_all_vector_units_draw_the_same_bits_and_pass_back_the_same_gradients():
    told = [drawn_with(POLYGLYPH_VECTORS=level) for level in "012"]
    assert told[0][0] == "0"
    assert len({bits for _, bits in told}) == 1


def test_a_library_for_other_processors_and_compilers_draws_the_same_bits(tmp_path):
    built = tmp_path / "portable.so"
    flags = ["-std=c++20", "-O1", "-ffp-contract=off", "-fno-math-errno", "-Wall", "-Wextra", "-Werror"]
    flags += ["-Wno-maybe-uninitialized"]  # as CMakeLists.txt
    sources = sorted(map(str, (Path(__file__).parents[2] / "csrc").glob("*.cpp")))
    command = ["c++", *flags, "-DPOLYGLYPH_PORTABLE", "-shared", "-fPIC", "-pthread", *sources, "-o", built]
    subprocess.run(command, check=True)
    level, bits = drawn_with(BUILT=str(built))
    assert level == "0"
    assert bits == drawn_with()[1]


def test_memory_larger_than_one_threads_share_is_cleared_to_the_end(threads):
    filled = torch.ones((1 << 18) + 1, dtype=torch.float64)
    run("zero", filled, filled.numel() * 8)
    assert filled.eq(0).all()


def test_a_call_with_strided_memory_is_our_own_fault_and_said_so():
    with pytest.raises(ValueError, match="contiguous"):
        run("weld", torch.zeros(4, 4).t(), 4, 16, torch.zeros(4).int())


def test_memory_that_runs_out_in_a_task_is_told(threads):
    faces, ids = torch.tensor([[0, 1, 2]]).int(), torch.zeros(1, 4, 1).int()
    one, weights, channels = torch.zeros(4), torch.zeros(1, 4, 1, 3), 1 << 46  # more than any address space
    with pytest.raises(BackendError, match="`interpolate_backward_f32` ran out of memory") as caught:
        run("interpolate_backward_f32", one, 3, 0, channels, faces, ids, 1, 4, 1, weights, one, one, None)
    assert caught.value.fix


def test_auto_falls_back_where_no_kernel_was_written(monkeypatch):
    floats, halves = torch.zeros(1), torch.zeros(1, dtype=torch.float16)
    assert choose("auto", "x", floats) == "cpu"
    assert choose("auto", "x", halves) == "vectorised"
    assert choose("auto", "x", floats.to("meta")) == "vectorised"
    monkeypatch.setattr(backends, "library", lambda: None)
    assert choose("auto", "x", floats) == "vectorised"
    with pytest.raises(BackendError, match="no compiled library") as caught:
        choose("cpu", "x", floats)
    assert "compiler" in caught.value.fix


@pytest.mark.parametrize(
    ("backend", "tensor", "message"),
    [
        ("gpu", torch.zeros(1), "`x` has no backend `gpu`"),
        ("cpu", torch.zeros(1, dtype=torch.bfloat16), "takes float32 and float64"),
        ("cpu", torch.zeros(1, device="meta"), "takes tensors in main memory, not on meta"),
    ],
)
def test_a_backend_that_cannot_run_is_refused(backend, tensor, message):
    with pytest.raises(BackendError, match=message) as caught:
        inspect.unwrap(choose)(backend, "x", tensor)
    assert caught.value.fix


def test_tensors_in_main_memory_are_refused_by_the_gpu(monkeypatch):
    monkeypatch.undo()  # no emulation
    with pytest.raises(BackendError, match="takes tensors on a GPU, not on cpu"):
        choose("cuda", "x", torch.zeros(1))
