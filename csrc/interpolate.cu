// kernels/interpolate on CUDA.
#include "cuda.h"
#include "interpolate.h"

namespace polyglyph {

template <class T>
struct Scene {
    const T* attributes;
    int64_t rows_per_image, channels;
    const int32_t* faces;
    const int32_t* ids;
    int64_t pixels_per_image;
    const T* weights;

    HD int64_t shift(int64_t pixel) const { return pixel / pixels_per_image * rows_per_image; }
    HD Corners<T> corners(int64_t pixel) const { return {attributes, faces, ids[pixel], shift(pixel), channels}; }
};

template <class T>
HD void forward_at(int64_t pixel, const Scene<T>& scene, T* out) {
    T* own = out + pixel * scene.channels;
    if (scene.ids[pixel] >= 0) return blend(scene.corners(pixel), scene.weights + 3 * pixel, scene.channels, own);
    for (int64_t c = 0; c < scene.channels; ++c) own[c] = 0;
}

// With `apart` (pixels × 3 corners × C) every pixel's part is written by itself instead of summed.
template <class T>
HD void to_attributes_at(int64_t pixel, const Scene<T>& scene, const T* grad_out, T* grad, T* apart) {
    const int32_t id = scene.ids[pixel];
    if (id < 0) return;
    for (int i = 0; i < 3; ++i) {
        T* sum = grad + (int64_t(scene.faces[3 * int64_t(id) + i]) + scene.shift(pixel)) * scene.channels;
        for (int64_t c = 0; c < scene.channels; ++c) {
            const T part = scene.weights[3 * pixel + i] * grad_out[pixel * scene.channels + c];
            if (apart) apart[(3 * pixel + i) * scene.channels + c] = part;
            else atomicAdd(sum + c, part);
        }
    }
}

template <class T>
HD void to_weights_at(int64_t pixel, const Scene<T>& scene, const T* grad_out, T* grad) {
    if (scene.ids[pixel] >= 0)
        return pull_weights(scene.corners(pixel), grad_out + pixel * scene.channels, scene.channels, grad + 3 * pixel);
    for (int i = 0; i < 3; ++i) grad[3 * pixel + i] = 0;
}

}  // namespace polyglyph

using namespace polyglyph;

#define SCENE(T)                                                                                          \
    int64_t count, const T *attributes, int64_t rows_per_image, int64_t channels, const int32_t *faces,   \
        const int32_t *ids, int64_t pixels_per_image, const T *weights
#define KERNELS(T, NAME)                                                                                        \
    extern "C" __global__ void interpolate_##NAME(SCENE(T), T* out) {                                           \
        ELEMENT(pixel, count)                                                                                   \
        forward_at<T>(pixel, {attributes, rows_per_image, channels, faces, ids, pixels_per_image, weights}, out); \
    }                                                                                                           \
    EMULATED(interpolate_##NAME)                                                                                \
    extern "C" __global__ void to_attributes_##NAME(SCENE(T), const T* grad_out, T* grad, T* apart) {           \
        ELEMENT(pixel, count)                                                                                   \
        to_attributes_at<T>(pixel, {attributes, rows_per_image, channels, faces, ids, pixels_per_image,         \
                                    weights}, grad_out, grad, apart);                                           \
    }                                                                                                           \
    EMULATED(to_attributes_##NAME)                                                                              \
    extern "C" __global__ void to_weights_##NAME(SCENE(T), const T* grad_out, T* grad) {                        \
        ELEMENT(pixel, count)                                                                                   \
        to_weights_at<T>(pixel, {attributes, rows_per_image, channels, faces, ids, pixels_per_image, weights},  \
                         grad_out, grad);                                                                       \
    }                                                                                                           \
    EMULATED(to_weights_##NAME)

KERNELS(float, f32)
KERNELS(double, f64)
