// The arithmetic of kernels/texture: its __init__.py is the definition. All in the tensors' number type and without
// fused operations, so that every backend finds the same texels.
//
// Texels are packed: level 0 of all images in one array, levels 1, 2, … one after another in a second one. A `row` is
// a texel counted over both; `line` and `column` are a texel's place in its image.
#pragma once

#include "common.h"
#include "texture_cube.h"

namespace polyglyph::lookup {

#if !defined(__CUDACC_RTC__)
using std::log2;
using std::sqrt;
#endif

enum Filter : int64_t { NEAREST, BILINEAR, BILINEAR_MIPMAP, TRILINEAR };
enum Wrap : int64_t { REPEAT, CLAMP, ZERO, CUBE };

// The largest whole number not above x.
template <class T>
HD T whole(T x) {
#if !defined(__CUDACC_RTC__)
    // Without this, processors of the base instruction set call a library.
    if (fabs(x) < T(1 << 30)) {
        const T cut = T(int32_t(x));
        return cut - T(x < cut);
    }
#endif
    return floor(x);
}

struct Stack {
    int64_t images, height, width, levels, filter, wrap;

    HD int64_t faces() const { return wrap == CUBE ? 6 : 1; }
    HD int64_t high(int64_t level) const { return most<int64_t>(height >> level, 1); }
    HD int64_t wide(int64_t level) const { return most<int64_t>(width >> level, 1); }
    HD int64_t rows(int64_t level) const { return images * faces() * high(level) * wide(level); }
    HD int64_t start(int64_t level) const {  // the first row of `level`
        int64_t row = 0;
        for (int64_t finer = 0; finer < level; ++finer) row += rows(finer);
        return row;
    }
    HD bool mipmapped() const { return filter >= BILINEAR_MIPMAP; }
};

// Where a sample lies.
template <class T>
struct Spot {
    bool sound;  // false: the result is 0 and nothing is passed back
    int64_t face;
    T u, v;      // in the image or the face
    T level;     // before it is clamped
    T slope[4];  // how `level` changes with d(u, v)/d(column, row)
};

// log2 of the longer axis, in texels, of the ellipse whose half-axes are J's image of the unit circle.
template <class T>
HD T footprint_level(const T* derivative, T width, T height, T* slope) {
    const T size[4] = {width, width, height, height};
    T J[4], scale = 0;
    for (int k = 0; k < 4; ++k) {
        J[k] = derivative[k] * size[k], slope[k] = 0;
        if (!finite(J[k])) return T(NAN);
        scale = most(scale, T(fabs(J[k])));
    }
    if (!(scale > 0)) return T(-1e30);
    for (int k = 0; k < 4; ++k) J[k] = J[k] / scale;  // squares of what is left neither overflow nor vanish
    const T p = J[0] * J[0] + J[1] * J[1], r = J[2] * J[2] + J[3] * J[3], q = J[0] * J[2] + J[1] * J[3];
    const T half = (p - r) / 2, root = sqrt(half * half + q * q), longer = (p + r) / 2 + root;
    const T by_q = root > 0 ? q / root : T(0), tilt = root > 0 ? half / (2 * root) : T(0);
    const T by_p = T(0.5) + tilt, by_r = T(0.5) - tilt, per = T(0.7213475204444817) / longer / scale;  // 1 / (2 ln 2)
    slope[0] = (2 * J[0] * by_p + J[2] * by_q) * per * width;
    slope[1] = (2 * J[1] * by_p + J[3] * by_q) * per * width;
    slope[2] = (2 * J[2] * by_r + J[0] * by_q) * per * height;
    slope[3] = (2 * J[3] * by_r + J[1] * by_q) * per * height;
    return log2(scale) + log2(longer) / 2;
}

// `derivative` and `level` may be null.
template <class T>
HD Spot<T> locate(const Stack& stack, const T* coordinate, const T* derivative, const T* level) {
    Spot<T> spot;
    const T* per_pixel = derivative;
    T change[4];
    spot.face = 0, spot.level = 0;
    if (stack.wrap == CUBE) {
        const Facing<T> facing(coordinate, derivative);
        spot.sound = facing.face >= 0, spot.face = facing.face;
        if (!spot.sound) return spot;
        spot.u = (facing.st[0] + 1) / 2, spot.v = (facing.st[1] + 1) / 2;
        if (derivative) {
            for (int k = 0; k < 4; ++k) change[k] = facing.change[k] / 2;
            per_pixel = change;
        }
    } else {
        spot.u = coordinate[0], spot.v = coordinate[1];
        spot.sound = finite(spot.u) && finite(spot.v);
        if (!spot.sound) return spot;
        if (stack.wrap == REPEAT) spot.u -= whole(spot.u), spot.v -= whole(spot.v);
    }
    if (!stack.mipmapped()) return spot;
    if (derivative) spot.level = footprint_level(per_pixel, T(stack.width), T(stack.height), spot.slope);
    if (level) spot.level += *level;
    spot.sound = spot.level == spot.level;
    return spot;
}

// Texel -1 is the one before the first. The result is -1 where there is none. The last texel of a cube's face is
// clamped to: the face's far edge belongs to it.
HD int64_t wrapped(int64_t texel, int64_t size, int64_t wrap) {
    if (texel >= 0 && texel < size) return texel;
    if (wrap == ZERO) return -1;
    if (wrap == REPEAT) return texel < 0 ? texel + size : texel - size;
    return texel < 0 ? 0 : size - 1;
}

// The texels of one level that a sample blends.
template <class T>
struct Taps {
    int64_t row[4];                   // -1: none
    T weight[4], across[4], down[4];  // and its derivatives by column and row
};

template <class T>
struct Between {
    int64_t first;
    T weight[2];

    HD Between(T coordinate, int64_t size) {
        // Clamped to where no texel of the image is near: casts of what lies outside the integers are not defined.
        const T place = clamped(coordinate * T(size) - T(0.5), T(-2), T(size + 1)), low = whole(place);
        first = int64_t(low), weight[1] = place - low, weight[0] = 1 - weight[1];
    }
};

template <class T>
HD int64_t nearest_texel(T place, int64_t size, int64_t wrap) {
    return wrapped(int64_t(whole(clamped(place, T(-1), T(size)))), size, wrap);
}

// Rows across the edges of a cube. Beyond a corner there is no texel; the mean of the other three stands in for it.
template <class T>
HD void fold_taps(int64_t first_line, int64_t first_column, int64_t own, int64_t size, int64_t start, Taps<T>& taps) {
    int missing = -1;
    for (int k = 0; k < 4; ++k) {
        int64_t face = own % 6, line = first_line + k / 2, column = first_column + k % 2;
        const bool beyond = line < 0 || line >= size, beside = column < 0 || column >= size;
        if (beyond && beside) {
            missing = k, taps.row[k] = -1;
            continue;
        }
        if (beyond || beside) across_edge(size, face, line, column);
        taps.row[k] = start + ((own - own % 6 + face) * size + line) * size + column;
    }
    for (int k = 0; k < 4; ++k)
        if (missing >= 0 && k != missing) {
            taps.weight[k] += taps.weight[missing] / 3;
            taps.across[k] += taps.across[missing] / 3;
            taps.down[k] += taps.down[missing] / 3;
        }
}

template <class T>
HD void place_taps(const Stack& stack, int64_t image, const Spot<T>& spot, int64_t level, Taps<T>& taps) {
    const int64_t height = stack.high(level), width = stack.wide(level), start = stack.start(level);
    const int64_t face = image * stack.faces() + spot.face;  // counted over all images
    if (stack.filter == NEAREST) {
        const int64_t line = nearest_texel(spot.v * T(height), height, stack.wrap);
        const int64_t column = nearest_texel(spot.u * T(width), width, stack.wrap);
        for (int k = 0; k < 4; ++k) taps.row[k] = -1, taps.weight[k] = taps.across[k] = taps.down[k] = 0;
        taps.weight[0] = 1;
        if (line >= 0 && column >= 0) taps.row[0] = start + (face * height + line) * width + column;
        return;
    }
    const Between<T> y(spot.v, height), x(spot.u, width);
    for (int k = 0; k < 4; ++k) {
        const int a = k / 2, b = k % 2;
        taps.weight[k] = y.weight[a] * x.weight[b];
        taps.across[k] = b ? y.weight[a] : -y.weight[a];
        taps.down[k] = a ? x.weight[b] : -x.weight[b];
    }
    if (stack.wrap == CUBE) return fold_taps(y.first, x.first, face, width, start, taps);
    int64_t lines[2], columns[2];
    for (int n = 0; n < 2; ++n) {
        lines[n] = wrapped(y.first + n, height, stack.wrap);
        columns[n] = wrapped(x.first + n, width, stack.wrap);
    }
    for (int k = 0; k < 4; ++k) {
        const int64_t line = lines[k / 2], column = columns[k % 2];
        taps.row[k] = line < 0 || column < 0 ? -1 : start + (face * height + line) * width + column;
    }
}

// All that one sample blends.
template <class T>
struct Found {
    Spot<T> spot;
    int64_t count;     // of levels: 0 for a sample that is not sound, 1, or 2
    int64_t level[2];
    T share[2];
    bool slopes;       // whether the level is inside its range, where the result changes with it
    Taps<T> taps[2];
};

// What is looked up. `coarse`, `derivative` and `level` may be null.
template <class T>
struct View {
    Stack stack;
    const T* base;
    const T* coarse;
    int64_t channels;
    const T* coordinates;
    const T* derivative;
    const T* level;
    int64_t samples;
    int64_t base_rows;

    HD int64_t axes() const { return stack.wrap == CUBE ? 3 : 2; }
    HD const T* texel(int64_t row) const {
        return row < base_rows ? base + row * channels : coarse + (row - base_rows) * channels;
    }
    HD int64_t image_of(int64_t sample) const { return stack.images > 1 ? sample / (samples / stack.images) : 0; }
};

template <class T>
HD void find(const View<T>& view, int64_t sample, Found<T>& found) {
    const Stack& stack = view.stack;
    const int64_t axes = view.axes(), image = view.image_of(sample);
    found.spot = locate(
        stack, view.coordinates + axes * sample, view.derivative ? view.derivative + 2 * axes * sample : nullptr,
        view.level ? view.level + sample : nullptr
    );
    found.count = found.spot.sound, found.slopes = false;
    found.level[0] = 0, found.share[0] = 1;
    if (!found.count) return;
    if (stack.mipmapped()) {
        const T top = T(stack.levels - 1), level = clamped(found.spot.level, T(0), top);
        if (stack.filter == BILINEAR_MIPMAP) {
            found.level[0] = int64_t(whole(level + T(0.5)));
        } else {
            found.level[0] = int64_t(whole(level));
            found.slopes = found.spot.level >= 0 && found.spot.level < top;
            if (found.slopes) {
                found.count = 2, found.level[1] = found.level[0] + 1;
                found.share[1] = level - T(found.level[0]), found.share[0] = 1 - found.share[1];
            }
        }
    }
    for (int64_t n = 0; n < found.count; ++n) place_taps(stack, image, found.spot, found.level[n], found.taps[n]);
}

// Channels [first, first + G) of the result.
template <int G, class T>
HD void blend(const View<T>& view, const Found<T>& found, int64_t first, T* out) {
    T sum[G] = {};
    for (int64_t n = 0; n < found.count; ++n)
        for (int k = 0; k < 4; ++k) {
            const Taps<T>& taps = found.taps[n];
            if (taps.row[k] < 0) continue;
            const T* texel = view.texel(taps.row[k]) + first;
            const T weight = taps.weight[k] * found.share[n];
            for (int g = 0; g < G; ++g) sum[g] += weight * texel[g];
        }
    for (int g = 0; g < G; ++g) out[first + g] = sum[g];
}

template <class T>
HD void blend_all(const View<T>& view, const Found<T>& found, T* out) {
    if (view.channels == 3) return blend<3>(view, found, 0, out);
    int64_t first = 0;
    for (; first + 4 <= view.channels; first += 4) blend<4>(view, found, first, out);
    for (; first < view.channels; ++first) blend<1>(view, found, first, out);
}

// What is passed back to where a sample lies; any may be null.
template <class T>
struct Gradients {
    T* coordinates;
    T* derivative;
    T* level;
    HD bool wanted() const { return coordinates || derivative || level; }
};

template <class T>
HD T dot(const T* a, const T* b, int64_t channels) {
    if (channels == 3) return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
    T sum = 0;
    for (int64_t c = 0; c < channels; ++c) sum += a[c] * b[c];
    return sum;
}

// Writes the gradients of one sample whose result has the gradient `grad` [channels].
template <class T>
HD void pull_sample(const View<T>& view, int64_t sample, const Found<T>& found, const T* grad, const Gradients<T>& to) {
    const Stack& stack = view.stack;
    T g_uv[2] = {0, 0}, total[2] = {0, 0};
    for (int64_t n = 0; n < found.count; ++n) {
        const Taps<T>& taps = found.taps[n];
        T across = 0, down = 0;
        for (int k = 0; k < 4; ++k) {
            if (taps.row[k] < 0) continue;
            const T along = dot(grad, view.texel(taps.row[k]), view.channels);
            across += taps.across[k] * along, down += taps.down[k] * along, total[n] += taps.weight[k] * along;
        }
        g_uv[0] += across * found.share[n] * T(stack.wide(found.level[n]));
        g_uv[1] += down * found.share[n] * T(stack.high(found.level[n]));
    }
    const T g_level = found.slopes ? total[1] - total[0] : T(0);
    const int64_t axes = view.axes();
    T g_change[4] = {};
    if (found.slopes && view.derivative)
        for (int k = 0; k < 4; ++k) g_change[k] = g_level * found.spot.slope[k];
    T* g_coordinate = to.coordinates ? to.coordinates + axes * sample : nullptr;
    T* g_derivative = to.derivative ? to.derivative + 2 * axes * sample : nullptr;
    if (to.level) to.level[sample] = g_level;
    if (!found.count) {
        for (int64_t k = 0; k < axes && g_coordinate; ++k) g_coordinate[k] = 0;
        for (int64_t k = 0; k < 2 * axes && g_derivative; ++k) g_derivative[k] = 0;
    } else if (stack.wrap == CUBE) {
        const T* derivative = view.derivative ? view.derivative + 2 * axes * sample : nullptr;
        const Facing<T> facing(view.coordinates + axes * sample, derivative);
        facing.pull(derivative, g_uv, derivative ? g_change : nullptr, g_coordinate, g_derivative);
    } else {
        for (int k = 0; k < 2 && g_coordinate; ++k) g_coordinate[k] = g_uv[k];
        for (int k = 0; k < 4 && g_derivative; ++k) g_derivative[k] = g_change[k];
    }
}

}  // namespace polyglyph::lookup

// What every function here takes. base [images, faces, height, width, channels]; coarse: levels 1, 2, … one after
// another, or null; coordinates [samples, 2 or 3]; derivative [samples, 2 or 3, 2] or null; level [samples] or null.
#define VIEW(T)                                                                                                    \
    int64_t samples, const T *base, const T *coarse, int64_t images, int64_t height, int64_t width,                \
        int64_t channels, int64_t levels, int64_t filter, int64_t wrap, const T *coordinates, const T *derivative, \
        const T *level
#define VIEWED(T)                                                                                         \
    const Stack stack{images, height, width, levels, filter, wrap};                                       \
    const View<T> view{stack, base, coarse, channels, coordinates, derivative, level, samples, stack.rows(0)}
