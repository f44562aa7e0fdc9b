"""The library's small work on whole tensors against torch's, and where its threads may run."""

import os
import subprocess
import sys

import pytest
import torch
from kernel_backends import threads_of_torch

from polyglyph.kernels.native import index_range, indices, run, zeros_like

GRAIN = 1 << 18
"""Elements of one task, in csrc/tensors.cpp."""


@pytest.fixture
def three_threads():
    with threads_of_torch(3):
        yield


@pytest.mark.parametrize("dtype", [torch.int16, torch.int32, torch.int64])
@pytest.mark.parametrize("count", [1, 7, GRAIN - 1, GRAIN, GRAIN + 1, 3 * GRAIN + 5])
def test_the_range_of_indices_is_found_wherever_its_ends_lie(three_threads, count, dtype):
    index = torch.randint(-50, 50, (count,), generator=torch.Generator().manual_seed(0)).to(dtype)
    assert index_range(index) == (int(index.min()), int(index.max()))
    for place in {0, count // 2, count - 1}:
        moved = index.clone()
        moved[place] = 1000
        assert index_range(moved)[1] == 1000
        moved[place] = -1000
        assert index_range(moved)[0] == -1000


def test_the_range_sees_numbers_beyond_32_bits_and_tensors_with_gaps():
    index = torch.arange(40).reshape(4, 10)
    index[1, 3] = 1 << 40
    assert index_range(index) == (0, 1 << 40)
    assert index_range(index[:, ::2]) == (0, 38)
    assert index_range(index.T[::3, 2:]) == (20, 39)


@pytest.mark.parametrize("dtype", [torch.int16, torch.int32, torch.int64])
def test_indices_are_int32_side_by_side_with_their_values_kept(three_threads, dtype):
    index = torch.randint(-9, 9, (GRAIN + 7, 3)).to(dtype)
    for given in (index, index[::2], index.T, index[:0]):
        narrow = indices(given)
        assert narrow.dtype == torch.int32
        assert narrow.is_contiguous()
        assert torch.equal(narrow.long(), given.long())
    already = index.int()
    assert indices(already).data_ptr() == already.data_ptr()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_zeros_have_the_shape_and_type_asked_for_and_no_gaps(three_threads, dtype):
    for shape in ((5 * GRAIN, 3), (6, 4), (0, 4)):
        like = torch.ones(shape, dtype=dtype).T
        zeros = zeros_like(like)
        assert zeros.dtype == dtype
        assert zeros.shape == like.shape
        assert zeros.is_contiguous()
        assert not zeros.any()


PLACES = """
import os, torch
from polyglyph.kernels.native import index_range

torch.set_num_threads(3)
index = torch.arange(2_000_000)  # torch's own threads are there now
allowed, before = os.sched_getaffinity(0), set(os.listdir("/proc/self/task"))
assert index_range(index) == (0, 1_999_999)
assert os.sched_getaffinity(0) == allowed
helpers = set(os.listdir("/proc/self/task")) - before
assert len(helpers) == min(2, len(allowed) - 1)
assert all(os.sched_getaffinity(int(helper)) < allowed for helper in helpers)
os.sched_setaffinity(0, {min(allowed)})
assert index_range(index) == (0, 1_999_999)
"""


@pytest.mark.skipif(
    not sys.platform.startswith("linux") or len(os.sched_getaffinity(0)) < 2,
    reason="Linux alone tells where threads may run, and it takes two cores",
)
def test_helpers_keep_off_the_callers_core_and_the_caller_stays_where_it_may_be():
    subprocess.run([sys.executable, "-c", PLACES], check=True, timeout=120)


def test_an_unknown_function_is_no_silent_success():
    with pytest.raises(AttributeError):
        run("no_such_function")
