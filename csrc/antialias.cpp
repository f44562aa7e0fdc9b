// kernels/antialias on the CPU.
#include "antialias.h"

#include <algorithm>
#include <vector>

#include "export.h"
#include "pool.h"

namespace polyglyph {
namespace {

constexpr int64_t GRAIN = 4;  // rows of pixels of a task

template <class T>
void find(const Surface<T>& surface, const T* color, int64_t channels, bool every, int32_t* codes, int64_t threads) {
    const Grid grid = surface.grid;
    parallel_runs(surface.images * grid.height, GRAIN, threads, [&](int64_t first, int64_t last) {
        for (int axis = 0; axis < 2; ++axis)
            for (int64_t y = first; y < last; ++y)
                for (int64_t x = 0; x < grid.width; ++x) {
                    const Pair pair{y / grid.height, y % grid.height, x, axis};
                    codes[axis * surface.pixels() + y * grid.width + x] =
                        pair.inside(grid) && differs(surface, pair, color, channels, every) ? walk(surface, pair) : -1;
                }
    });
}

// Calls visit(pair, code) for every silhouette of the rows [first, last), counted over the batch.
template <class T, class F>
void silhouettes(const Surface<T>& surface, const int32_t* codes, int64_t first, int64_t last, F&& visit) {
    const Grid grid = surface.grid;
    for (int64_t y = first; y < last; ++y)
        for (int axis = 0; axis < 2; ++axis)
            for (int64_t x = 0; x < grid.width; ++x) {
                const int32_t code = codes[axis * surface.pixels() + y * grid.width + x];
                if (code >= 0) visit(Pair{y / grid.height, y % grid.height, x, axis}, code);
            }
}

// Most pixels belong to no silhouette: copy all, then visit the silhouettes of one image after the other.
template <class T>
void blend(const Surface<T>& surface, const int32_t* codes, const T* color, int64_t channels, T* out, int64_t threads) {
    const Grid grid = surface.grid;
    const int64_t size = grid.height * grid.width * channels;
    parallel_for(surface.images, threads, [&](int64_t image) {
        std::copy(color + image * size, color + (image + 1) * size, out + image * size);
        silhouettes(surface, codes, image * grid.height, (image + 1) * grid.height, [&](const Pair& pair, int32_t code) {
            const Blend found(surface, pair, code);
            const T share = T(found.share());
            for (int64_t c = 0; c < channels; ++c)
                out[found.target() * channels + c] +=
                    (color[found.far * channels + c] - color[found.near * channels + c]) * share;
        });
    });
}

template <class T>
void to_color(const Surface<T>& surface, const int32_t* codes, const T* grad, int64_t channels, T* out, int64_t threads) {
    const Grid grid = surface.grid;
    const int64_t size = grid.height * grid.width * channels;
    parallel_for(surface.images, threads, [&](int64_t image) {
        std::copy(grad + image * size, grad + (image + 1) * size, out + image * size);
        silhouettes(surface, codes, image * grid.height, (image + 1) * grid.height, [&](const Pair& pair, int32_t code) {
            const Blend found(surface, pair, code);
            const T share = T(found.share());
            for (int64_t c = 0; c < channels; ++c) {
                const T part = grad[found.target() * channels + c] * share;
                out[found.far * channels + c] += part;
                out[found.near * channels + c] -= part;
            }
        });
    });
}

// Images that have vertices of their own are summed side by side, packed ones one after the other.
template <class T>
void to_clip(
    const Surface<T>& surface, const int32_t* codes, const T* color, const T* grad, int64_t channels, int64_t rows,
    T* grad_clip, int64_t threads
) {
    std::vector<double> sums(rows * 3, 0.0);
    const bool own = surface.rows_per_image > 0;
    const int64_t tasks = own ? surface.images : 1, height = surface.grid.height * (own ? 1 : surface.images);
    parallel_for(tasks, threads, [&](int64_t task) {
        silhouettes(surface, codes, task * height, (task + 1) * height, [&](const Pair& pair, int32_t code) {
            const Blend found(surface, pair, code);
            Vec3 to_a, to_b;
            pull_ends(found, color, grad, channels, to_a, to_b);
            double *a = &sums[3 * found.a], *b = &sums[3 * found.b];
            a[0] += to_a.x, a[1] += to_a.y, a[2] += to_a.z;
            b[0] += to_b.x, b[1] += to_b.y, b[2] += to_b.z;
        });
    });
    for (int64_t row = 0; row < rows; ++row) {
        T* out = grad_clip + 4 * row;
        out[0] = T(sums[3 * row]), out[1] = T(sums[3 * row + 1]), out[2] = 0, out[3] = T(sums[3 * row + 2]);
    }
}

}  // namespace
}  // namespace polyglyph

using namespace polyglyph;

#define SURFACE(T)                                                                                                   \
    const T *clip, int64_t rows, int64_t rows_per_image, const int32_t *faces, const int32_t *corner,                \
        const int32_t *following, const int32_t *ids, const T *depth, int64_t images, int64_t height, int64_t width
#define ANTIALIAS(T, NAME)                                                                                           \
    /* color [images, H, W, C] -> codes [2, images, H, W] */                                                         \
    POLYGLYPH_EXPORT int polyglyph_antialias_find_##NAME(                                                            \
        SURFACE(T), const T* color, int64_t channels, int64_t every, int32_t* codes, int64_t threads                 \
    ) {                                                                                                              \
        (void)rows;                                                                                                  \
        return guarded([&] {                                                                                         \
            find<T>({clip, rows_per_image, faces, corner, following, ids, depth, images, {height, width}}, color,    \
                    channels, every != 0, codes, threads);                                                           \
        });                                                                                                          \
    }                                                                                                                \
    POLYGLYPH_EXPORT int polyglyph_antialias_blend_##NAME(                                                           \
        SURFACE(T), const int32_t* codes, const T* color, int64_t channels, T* out, int64_t threads                  \
    ) {                                                                                                              \
        (void)rows;                                                                                                  \
        return guarded([&] {                                                                                         \
            blend<T>({clip, rows_per_image, faces, corner, following, ids, depth, images, {height, width}}, codes,   \
                     color, channels, out, threads);                                                                 \
        });                                                                                                          \
    }                                                                                                                \
    /* writes grad_color [images, H, W, C] and grad_clip [rows, 4]; either may be null */                            \
    POLYGLYPH_EXPORT int polyglyph_antialias_backward_##NAME(                                                        \
        SURFACE(T), const int32_t* codes, const T* color, const T* grad, int64_t channels, T* grad_color,            \
        T* grad_clip, int64_t threads                                                                                \
    ) {                                                                                                              \
        return guarded([&] {                                                                                         \
            const Surface<T> surface{clip, rows_per_image, faces, corner, following, ids, depth, images,             \
                                     {height, width}};                                                               \
            if (grad_color) to_color(surface, codes, grad, channels, grad_color, threads);                           \
            if (grad_clip) to_clip(surface, codes, color, grad, channels, rows, grad_clip, threads);                 \
        });                                                                                                          \
    }

ANTIALIAS(float, f32)
ANTIALIAS(double, f64)
