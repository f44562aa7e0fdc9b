// kernels/texture on CUDA: one thread, one sample. Gradients of texels are added atomically, in any order; for a fixed
// order `texture_taps` writes what every sample would add, and torch sums it.
#include "cuda.h"
#include "texture.h"

namespace polyglyph::lookup {

template <class T>
HD void sample_at(const View<T>& view, int64_t sample, T* out) {
    Found<T> found;
    find(view, sample, found);
    blend_all(view, found, out + sample * view.channels);
}

template <class T>
HD void backward_at(
    const View<T>& view, int64_t sample, const T* grad, T* grad_base, T* grad_coarse, const Gradients<T>& to
) {
    Found<T> found;
    find(view, sample, found);
    grad += sample * view.channels;
    if (to.wanted()) pull_sample(view, sample, found, grad, to);
    if (!grad_base) return;
    for (int64_t n = 0; n < found.count; ++n)
        for (int k = 0; k < 4; ++k) {
            const int64_t row = found.taps[n].row[k];
            if (row < 0) continue;
            const T weight = found.taps[n].weight[k] * found.share[n];
            T* sum = row < view.base_rows ? grad_base + row * view.channels
                                        : grad_coarse + (row - view.base_rows) * view.channels;
            for (int64_t c = 0; c < view.channels; ++c)
                if (weight * grad[c] != 0) atomicAdd(sum + c, weight * grad[c]);
        }
}

// 8 rows and weights for each sample; `none` is written as the row of those that it lacks.
template <class T>
HD void taps_of(const View<T>& view, int64_t sample, int64_t none, int64_t* rows, T* weights) {
    Found<T> found;
    find(view, sample, found);
    for (int n = 0; n < 2; ++n)
        for (int k = 0; k < 4; ++k) {
            const bool there = n < found.count && found.taps[n].row[k] >= 0;
            rows[8 * sample + 4 * n + k] = there ? found.taps[n].row[k] : none;
            weights[8 * sample + 4 * n + k] = there ? found.taps[n].weight[k] * found.share[n] : T(0);
        }
}

}  // namespace polyglyph::lookup

using namespace polyglyph;
using namespace polyglyph::lookup;

#define KERNELS(T, NAME)                                                                                  \
    extern "C" __global__ void texture_##NAME(VIEW(T), T* out) {                                          \
        VIEWED(T);                                                                                        \
        ELEMENT(i, samples)                                                                               \
        sample_at(view, i, out);                                                                          \
    }                                                                                                     \
    EMULATED(texture_##NAME)                                                                              \
    extern "C" __global__ void texture_backward_##NAME(                                                   \
        VIEW(T), const T* grad, T* grad_base, T* grad_coarse, T* grad_coordinates, T* grad_derivative,    \
        T* grad_level                                                                                     \
    ) {                                                                                                   \
        VIEWED(T);                                                                                        \
        ELEMENT(i, samples)                                                                               \
        const Gradients<T> to{grad_coordinates, grad_derivative, grad_level};                             \
        backward_at(view, i, grad, grad_base, grad_coarse, to);                                           \
    }                                                                                                     \
    EMULATED(texture_backward_##NAME)                                                                     \
    extern "C" __global__ void texture_taps_##NAME(VIEW(T), int64_t none, int64_t* rows, T* weights) {    \
        VIEWED(T);                                                                                        \
        ELEMENT(i, samples)                                                                               \
        taps_of(view, i, none, rows, weights);                                                            \
    }                                                                                                     \
    EMULATED(texture_taps_##NAME)

KERNELS(float, f32)
KERNELS(double, f64)
