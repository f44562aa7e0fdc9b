"""The compiled library as a whole: threads, fork, vector units, bad calls."""

import inspect
import multiprocessing
import os
import subprocess
import sys
import threading

import pytest
import torch

from polyglyph.base.errors import BackendError
from polyglyph.kernels import backend as backends
from polyglyph.kernels.backend import choose
from polyglyph.kernels.library import library
from polyglyph.kernels.native import run
from polyglyph.kernels.rasterize import rasterize


@pytest.fixture
def threads():
    """Two threads for the library; the machine's setting is put back."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def picture(scene):
    found = rasterize(*scene, backend="cpu")
    return found.face_id, found.barycentric


def test_this_machine_has_the_library_so_that_its_tests_ran():
    assert library() is not None, "no compiler was found when polyglyph was installed"


def test_pictures_and_gradients_do_not_depend_on_the_number_of_threads(sphere):
    scene = sphere(40, rings=12, bumps=0.3)
    before, results = torch.get_num_threads(), []
    for count in (1, 2, 5):
        torch.set_num_threads(count)
        try:
            clip = scene.clip.clone().requires_grad_()
            found = rasterize(clip, scene.faces, (300, 400), backend="cpu")
            (grad,) = torch.autograd.grad(found.barycentric.square().sum() + found.depth.sum(), clip)
            results.append((found.face_id, found.barycentric.detach(), grad))
        finally:
            torch.set_num_threads(before)
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


_LEVELS = """
import ctypes, hashlib, torch
from polyglyph.kernels.library import library
from polyglyph.kernels.rasterize import rasterize
rng = torch.Generator().manual_seed(0)
clip = torch.cat([torch.rand(1, 3000, 3, generator=rng) * 2 - 1, torch.full((1, 3000, 1), 0.9)], dim=2)
clip[0, :600, :2] = (clip[0, :600, :2] * 8).round() / 8  # edges through pixel centres
clip[0, 600:900, :2] *= 0.02
first = rasterize(clip, torch.arange(3000).view(-1, 3), (40, 72), backend="cpu")
second = rasterize(clip, torch.arange(3000).view(-1, 3), (40, 72), behind=first, backend="cpu")
bits = hashlib.sha256(first.face_id.numpy().tobytes() + second.face_id.numpy().tobytes())
print(library().polyglyph_vector_level(), bits.hexdigest())
"""


def test_all_vector_units_draw_the_same_bits():
    told = []
    for level in ("0", "1", "2"):
        environment = os.environ | {"POLYGLYPH_VECTORS": level}
        done = subprocess.run(
            [sys.executable, "-c", _LEVELS], env=environment, capture_output=True, text=True, check=True
        )
        told.append(done.stdout.split())
    assert told[0][0] == "0"
    assert len({bits for _, bits in told}) == 1


def test_a_call_with_strided_memory_is_our_own_fault_and_said_so():
    with pytest.raises(ValueError, match="contiguous"):
        run("weld", torch.zeros(4, 4).t(), 4, 16, torch.zeros(4).int())


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
