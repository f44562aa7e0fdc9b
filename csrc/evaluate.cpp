// kernels/rasterize on the CPU: depth and barycentrics of pixels whose face is known, and their gradients.
#include "evaluate_rows.h"
#include "export.h"
#include "pool.h"

namespace polyglyph {
namespace {

// The loops for this processor. Corners are three numbers wide: there AVX-512 has nothing to add.
template <class T>
EvaluateRows<T>* evaluate_rows_for([[maybe_unused]] int level) {
#ifdef POLYGLYPH_X86
    if (level > 0) return evaluate_avx2;
#endif
    return evaluate_rows<T>;
}

template <class T>
PullRows<T>* pull_rows_for([[maybe_unused]] int level) {
#ifdef POLYGLYPH_X86
    if (level > 1) return pull_avx512;
    if (level > 0) return pull_avx2;
#endif
    return pull_rows<T>;
}

template <class T>
void evaluate(const KnownFaces<T>& scene, int64_t images, const Fragments<T>& to, int64_t threads) {
    const auto evaluate_rows = evaluate_rows_for<T>(vector_level());
    parallel_runs(images * scene.grid.height, 8, threads, [&](int64_t first, int64_t last) {
        evaluate_rows(scene, first, last, to);
    });
}

template <class T>
void evaluate_backward(
    const KnownFaces<T>& scene, int64_t images, int64_t vertices, const Given<T>& given, T* grad_clip, int64_t threads
) {
    const Slabs slabs = slabs_of(scene.ids, scene.faces, images, scene.grid.height, scene.grid.width,
                                 scene.rows_per_image, vertices, threads);
    const auto pull = pull_rows_for<T>(vector_level());
    scatter<double>(slabs, 4, grad_clip, threads, [&](const Slab& slab, auto&& reach) {
        pull(scene, slab, given, reach(0));
    });
}

}  // namespace
}  // namespace polyglyph

using namespace polyglyph;

#define EVALUATE(T, NAME)                                                                                           \
    /* clip [vertices over all images, 4], faces [F, 3], ids [images, H, W] -> depth [images, H, W],                \
       barycentric [.., 3], derivative [.., 3, 2] or null. vertices_per_image is 0 for packed clips. */             \
    POLYGLYPH_EXPORT int polyglyph_evaluate_##NAME(                                                                 \
        const T* clip, int64_t vertices_per_image, const int32_t* faces, const int32_t* ids, int64_t images,        \
        int64_t height, int64_t width, T* depth, T* barycentric, T* derivative, int64_t threads                     \
    ) {                                                                                                             \
        return guarded([&] {                                                                                        \
            evaluate<T>({clip, faces, ids, {height, width}, vertices_per_image}, images,                            \
                        {depth, barycentric, derivative}, threads);                                                 \
        });                                                                                                         \
    }                                                                                                               \
    /* -> grad_clip [vertices, 4]; the gradients may be null */                                                     \
    POLYGLYPH_EXPORT int polyglyph_evaluate_backward_##NAME(                                                        \
        const T* clip, int64_t vertices, int64_t vertices_per_image, const int32_t* faces, const int32_t* ids,      \
        int64_t images, int64_t height, int64_t width, const T* grad_depth, const T* grad_barycentric,              \
        const T* grad_derivative, T* grad_clip, int64_t threads                                                     \
    ) {                                                                                                             \
        return guarded([&] {                                                                                        \
            evaluate_backward<T>({clip, faces, ids, {height, width}, vertices_per_image}, images, vertices,         \
                                 {grad_depth, grad_barycentric, grad_derivative}, grad_clip, threads);              \
        });                                                                                                         \
    }

EVALUATE(float, f32)
EVALUATE(double, f64)
