// What every operation's arithmetic needs. The headers of this folder are read by three compilers: a C++20
// compiler for the CPU library, NVRTC for CUDA, and a C++20 compiler again for tests of the CUDA kernels.
#pragma once

#if defined(__CUDACC_RTC__)
typedef long long int64_t;
typedef unsigned long long uint64_t;
typedef int int32_t;
typedef unsigned int uint32_t;
typedef unsigned short uint16_t;
typedef unsigned char uint8_t;
#define HD __device__ __forceinline__
#define NAN __longlong_as_double(0x7ff8000000000000ll)
#else
#include <cmath>
#include <cstdint>
#if defined(_MSC_VER)
#define HD __forceinline
#else
// A source file for processors of vector_level() 1 or 2 says so before it includes anything: GCC splits vectors that
// the target has not where a function is written, before it is inlined, so every function has to know.
#if !defined(__x86_64__) || !defined(POLYGLYPH_LEVEL) || POLYGLYPH_LEVEL == 0
#define HD inline __attribute__((always_inline))
#elif POLYGLYPH_LEVEL == 2
#define HD inline __attribute__((always_inline, target("avx2,avx512f,avx512dq,avx512vl")))
#else
#define HD inline __attribute__((always_inline, target("avx2")))
#endif
#endif
using std::ceil;
using std::fabs;
using std::floor;
using std::isfinite;
#endif

namespace polyglyph {

template <class T>
HD T least(T a, T b) {
    return b < a ? b : a;
}

template <class T>
HD T most(T a, T b) {
    return a < b ? b : a;
}

template <class T>
HD T clamped(T value, T low, T high) {
    return least(most(value, low), high);
}

// N is a number, or several numbers side by side.
template <class N>
struct Three {
    N x, y, z;
};

using Vec3 = Three<double>;

template <class N>
HD Three<N> cross(Three<N> u, Three<N> v) {
    return {u.y * v.z - u.z * v.y, u.z * v.x - u.x * v.z, u.x * v.y - u.y * v.x};
}

// Where images are: `height` rows of `width` pixels each; row 0 is the top, centres at half-integers.
struct Grid {
    int64_t height, width;
};

HD double centre_x(int64_t column, Grid grid) { return static_cast<double>(2 * column + 1) / grid.width - 1; }
HD double centre_y(int64_t row, Grid grid) { return 1 - static_cast<double>(2 * row + 1) / grid.height; }

}  // namespace polyglyph
