// What the .cu files share. They are compiled by NVRTC on the user's machine, and in tests by a C++ compiler with
// tests/kernels/shim/emulated.h before them. Kernels have no barriers and no shared memory: one thread, one element.
#pragma once

#include "common.h"

#if defined(__CUDACC_RTC__)
#define EMULATED(kernel)
#endif

// The number of this thread, and a kernel's way out for threads beyond `count`.
#define ELEMENT(i, count)                                                        \
    const int64_t i = int64_t(blockIdx.x) * int64_t(blockDim.x) + int64_t(threadIdx.x); \
    if (i >= (count)) return;
