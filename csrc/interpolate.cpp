// kernels/interpolate on the CPU.
#include "interpolate.h"

#include <algorithm>

#include "export.h"
#include "pool.h"
#include "scatter.h"

namespace polyglyph {
namespace {

constexpr int64_t GRAIN = 4096;  // pixels of a task

template <class T>
struct Scene {
    const T* attributes;
    int64_t rows, rows_per_image, channels;  // rows_per_image is 0 when images share their attributes
    const int32_t* faces;
    const int32_t* ids;
    int64_t images, height, width;
    const T* weights;

    int64_t pixels() const { return images * height * width; }
    int64_t shift(int64_t pixel) const { return pixel / (height * width) * rows_per_image; }
    Corners<T> corners(int64_t pixel) const { return {attributes, faces, ids[pixel], shift(pixel), channels}; }
};

template <class T>
void forward(const Scene<T>& scene, T* out, int64_t threads) {
    parallel_runs(scene.pixels(), GRAIN, threads, [&](int64_t first, int64_t last) {
        for (int64_t pixel = first; pixel < last; ++pixel) {
            T* own = out + pixel * scene.channels;
            if (scene.ids[pixel] < 0) std::fill(own, own + scene.channels, T(0));
            else blend(scene.corners(pixel), scene.weights + 3 * pixel, scene.channels, own);
        }
    });
}

template <class T>
void to_attributes(const Scene<T>& scene, const T* grad_out, T* grad, int64_t threads) {
    const Slabs slabs = slabs_of(scene.ids, scene.faces, scene.images, scene.height, scene.width,
                                 scene.rows_per_image, scene.rows, threads);
    scatter<T>(slabs, scene.channels, grad, threads, [&](const Slab& slab, auto&& reach) {
        for (int64_t pixel = slab.first_row * scene.width; pixel < slab.last_row * scene.width; ++pixel) {
            const int32_t id = scene.ids[pixel];
            if (id < 0) continue;
            const T* g = grad_out + pixel * scene.channels;
            const int64_t shift = scene.shift(pixel);
            for (int i = 0; i < 3; ++i) {
                T* sum = reach(scene.faces[3 * int64_t(id) + i] + shift);
                const T weight = scene.weights[3 * pixel + i];
                for (int64_t c = 0; c < scene.channels; ++c) sum[c] += weight * g[c];
            }
        }
    });
}

template <class T>
void to_weights(const Scene<T>& scene, const T* grad_out, T* grad, int64_t threads) {
    parallel_runs(scene.pixels(), GRAIN, threads, [&](int64_t first, int64_t last) {
        for (int64_t pixel = first; pixel < last; ++pixel) {
            if (scene.ids[pixel] < 0) std::fill(grad + 3 * pixel, grad + 3 * pixel + 3, T(0));
            else pull_weights(scene.corners(pixel), grad_out + pixel * scene.channels, scene.channels, grad + 3 * pixel);
        }
    });
}

}  // namespace
}  // namespace polyglyph

using namespace polyglyph;

#define INTERPOLATE(T, NAME)                                                                                       \
    /* attributes [rows, C], faces [F, 3], ids [images, H, W], weights [images, H, W, 3] -> out [.., C] */         \
    POLYGLYPH_EXPORT int polyglyph_interpolate_##NAME(                                                             \
        const T* attributes, int64_t rows, int64_t rows_per_image, int64_t channels, const int32_t* faces,         \
        const int32_t* ids, int64_t images, int64_t height, int64_t width, const T* weights, T* out, int64_t threads \
    ) {                                                                                                            \
        return guarded([&] {                                                                                       \
            forward<T>({attributes, rows, rows_per_image, channels, faces, ids, images, height, width, weights},   \
                       out, threads);                                                                              \
        });                                                                                                        \
    }                                                                                                              \
    /* -> grad [rows, C], grad_weights [.., 3]; either may be null */                                              \
    POLYGLYPH_EXPORT int polyglyph_interpolate_backward_##NAME(                                                    \
        const T* attributes, int64_t rows, int64_t rows_per_image, int64_t channels, const int32_t* faces,         \
        const int32_t* ids, int64_t images, int64_t height, int64_t width, const T* weights, const T* grad_out,    \
        T* grad, T* grad_weights, int64_t threads                                                                  \
    ) {                                                                                                            \
        return guarded([&] {                                                                                       \
            const Scene<T> scene{attributes, rows, rows_per_image, channels, faces, ids, images, height, width,    \
                                 weights};                                                                         \
            if (grad) to_attributes(scene, grad_out, grad, threads);                                               \
            if (grad_weights) to_weights(scene, grad_out, grad_weights, threads);                                  \
        });                                                                                                        \
    }

INTERPOLATE(float, f32)
INTERPOLATE(double, f64)
