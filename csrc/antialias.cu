// kernels/antialias on CUDA. Pixels gather from their four pairs, so colours and their gradients need no atomics.
#include "antialias.h"
#include "cuda.h"

namespace polyglyph {

template <class T>
HD void find_at(int64_t i, const Surface<T>& surface, const T* color, int64_t channels, bool every, int32_t* codes) {
    const Pair pair = Pair::of(i % surface.pixels(), int(i / surface.pixels()), surface.grid);
    const bool worth = pair.inside(surface.grid) && differs(surface, pair, color, channels, every);
    codes[i] = worth ? walk(surface, pair) : -1;
}

// With `apart` (pairs × 2 ends × 3) nothing is summed: every pair's part is written by itself.
template <class T>
HD void to_clip_at(
    int64_t i, const Surface<T>& surface, const int32_t* codes, const T* color, const T* grad, int64_t channels,
    T* grad_clip, double* apart
) {
    if (codes[i] < 0) return;
    const Blend blend(surface, Pair::of(i % surface.pixels(), int(i / surface.pixels()), surface.grid), codes[i]);
    Vec3 to[2];
    pull_ends(blend, color, grad, channels, to[0], to[1]);
    for (int end = 0; end < 2; ++end) {
        if (apart) {
            double* own = apart + 6 * i + 3 * end;
            own[0] = to[end].x, own[1] = to[end].y, own[2] = to[end].z;
            continue;
        }
        T* sum = grad_clip + 4 * (end == 0 ? blend.a : blend.b);
        atomicAdd(sum, T(to[end].x));
        atomicAdd(sum + 1, T(to[end].y));
        atomicAdd(sum + 3, T(to[end].z));
    }
}

}  // namespace polyglyph

using namespace polyglyph;

#define SURFACE(T)                                                                                          \
    int64_t count, const T *clip, int64_t rows_per_image, const int32_t *faces, const int32_t *corner,      \
        const int32_t *following, const int32_t *ids, const T *depth, int64_t images, int64_t height,       \
        int64_t width
#define GIVEN(T) \
    Surface<T> { clip, rows_per_image, faces, corner, following, ids, depth, images, { height, width } }
#define KERNELS(T, NAME)                                                                                           \
    extern "C" __global__ void find_##NAME(                                                                        \
        SURFACE(T), const T* color, int64_t channels, int64_t every, int32_t* codes                                \
    ) {                                                                                                            \
        ELEMENT(i, count)                                                                                          \
        find_at(i, GIVEN(T), color, channels, every != 0, codes);                                                  \
    }                                                                                                              \
    EMULATED(find_##NAME)                                                                                          \
    extern "C" __global__ void blend_##NAME(                                                                       \
        SURFACE(T), const int32_t* codes, const T* color, int64_t channels, T* out                                 \
    ) {                                                                                                            \
        ELEMENT(pixel, count)                                                                                      \
        blend_pixel(GIVEN(T), codes, pixel, color, channels, out);                                                 \
    }                                                                                                              \
    EMULATED(blend_##NAME)                                                                                         \
    extern "C" __global__ void to_color_##NAME(                                                                    \
        SURFACE(T), const int32_t* codes, const T* grad, int64_t channels, T* out                                  \
    ) {                                                                                                            \
        ELEMENT(pixel, count)                                                                                      \
        pull_color(GIVEN(T), codes, pixel, grad, channels, out);                                                   \
    }                                                                                                              \
    EMULATED(to_color_##NAME)                                                                                      \
    extern "C" __global__ void to_clip_##NAME(                                                                     \
        SURFACE(T), const int32_t* codes, const T* color, const T* grad, int64_t channels, T* grad_clip, double* apart \
    ) {                                                                                                            \
        ELEMENT(i, count)                                                                                          \
        to_clip_at(i, GIVEN(T), codes, color, grad, channels, grad_clip, apart);                                   \
    }                                                                                                              \
    EMULATED(to_clip_##NAME)

KERNELS(float, f32)
KERNELS(double, f64)
