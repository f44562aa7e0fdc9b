// The arithmetic of kernels/interpolate: a pixel's value is the blend of its face's three corners.
#pragma once

#include "common.h"

namespace polyglyph {

// Where the attributes of a pixel's corners begin.
template <class T>
struct Corners {
    const T* at[3];

    HD Corners(const T* attributes, const int32_t* faces, int64_t face, int64_t shift, int64_t channels) {
        for (int i = 0; i < 3; ++i) at[i] = attributes + (int64_t(faces[3 * face + i]) + shift) * channels;
    }
};

template <class T>
HD void blend(const Corners<T>& corners, const T* weights, int64_t channels, T* out) {
    for (int64_t c = 0; c < channels; ++c)
        out[c] = weights[0] * corners.at[0][c] + weights[1] * corners.at[1][c] + weights[2] * corners.at[2][c];
}

// What a pixel passes back to its weights.
template <class T>
HD void pull_weights(const Corners<T>& corners, const T* grad_out, int64_t channels, T* grad_weights) {
    for (int i = 0; i < 3; ++i) {
        T sum = 0;
        for (int64_t c = 0; c < channels; ++c) sum += corners.at[i][c] * grad_out[c];
        grad_weights[i] = sum;
    }
}

}  // namespace polyglyph
