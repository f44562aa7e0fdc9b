// A face, and what its pixels see of it and pass back to it: one corner after the other, or the three side by side.
// Compiled once for each kind of processor.
#pragma once

#include <cstring>

#include "centres.h"
#include "evaluate.h"
#include "processor.h"

namespace polyglyph {

template <class T>
struct KnownFaces {
    const T* clip;
    const int32_t* faces;
    const int32_t* ids;
    Grid grid;
    int64_t rows_per_image;
    Centres centres{grid};

    HD int64_t shift(int64_t y) const { return y / grid.height * rows_per_image; }  // y counts over the batch
    HD int64_t vertex(int32_t face, int corner) const { return faces[3 * int64_t(face) + corner]; }
};

// Where evaluate writes; the derivative may be null.
template <class T>
struct Fragments {
    T *depth, *barycentric, *derivative;

    HD void nothing(int64_t pixel) const {
        depth[pixel] = 1;
        for (int i = 0; i < 3; ++i) barycentric[3 * pixel + i] = 0;
        if (derivative)
            for (int i = 0; i < 6; ++i) derivative[6 * pixel + i] = 0;
    }
};

inline namespace POLYGLYPH_VARIANT {

// A face, and what its pixels pass back.
template <class T>
class OneByOne {
public:
    HD OneByOne(const KnownFaces<T>& scene, int32_t face, int64_t shift) : grid_(scene.grid) {
        sample_.load(scene.clip, scene.faces, face, shift);
    }

    HD void evaluate(double X, double Y, const Fragments<T>& to, int64_t pixel) const {
        write_sample(sample_, X, Y, grid_, to.depth + pixel, to.barycentric + 3 * pixel,
                     to.derivative ? to.derivative + 6 * pixel : nullptr);
    }

    HD void add(double X, double Y, const Given<T>& given, int64_t pixel) {
        pull_.add(sample_, X, Y, grid_, given.asked(), given.at(pixel));
    }

    HD void write(double* const* sums) const {
        double corner[3][4];
        pull_.write(sample_, corner);
        for (int i = 0; i < 3; ++i)
            for (int axis = 0; axis < 4; ++axis) sums[i][axis] += corner[i][axis];
    }

private:
    Grid grid_;
    Sample sample_;
    Pull pull_;
};

#if POLYGLYPH_LEVEL > 0

#if __has_builtin(__builtin_shufflevector)
#define SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define SHUFFLE(a, b, ...) __builtin_shuffle(a, b, Order{__VA_ARGS__})
#endif

typedef double Four __attribute__((vector_size(32)));
typedef long long Order __attribute__((vector_size(32)));

HD void add_to(double* to, Four more) {
    Four held;
    std::memcpy(&held, to, sizeof held);
    held += more;
    std::memcpy(to, &held, sizeof held);
}

// The same, the three corners side by side, without derivatives and, unless said, without gradients of depth. Lane 3
// repeats corner 2.
template <class T, bool of_depth = false>
class SideBySide {
public:
    HD SideBySide(const KnownFaces<T>& scene, int32_t face, int64_t shift) {
        Four p[3];
        for (int i = 0; i < 3; ++i) {
            const T* row = scene.clip + 4 * (scene.vertex(face, i) + shift);
            p[i] = Four{double(row[0]), double(row[1]), double(row[2]), double(row[3])};
        }
        const Four xy = SHUFFLE(p[0], p[1], 0, 4, 1, 5), zw = SHUFFLE(p[0], p[1], 2, 6, 3, 7);
        c_ = {SHUFFLE(xy, p[2], 0, 1, 4, 4), SHUFFLE(xy, p[2], 2, 3, 5, 5), SHUFFLE(zw, p[2], 2, 3, 7, 7)};
        z_ = SHUFFLE(zw, p[2], 0, 1, 6, 6);
        n_ = cross(next(c_), after(c_));
    }

    HD void evaluate(double X, double Y, const Fragments<T>& to, int64_t pixel) const {
        const Four e = edges(X, Y), b = e * (1 / sum(e));
        to.depth[pixel] = T(sum(e * z_) / sum(e * c_.z));
        for (int i = 0; i < 3; ++i) to.barycentric[3 * pixel + i] = T(b[i]);
    }

    HD void add(double X, double Y, const Given<T>& given, int64_t pixel) {
        const Four e = edges(X, Y);
        Four pull{};
        if (!of_depth || given.barycentric) {
            const T* g = given.barycentric + 3 * pixel;
            const Four g_b{double(g[0]), double(g[1]), double(g[2]), 0};
            const double per_total = 1 / sum(e);
            pull = (g_b - sum(g_b * (e * per_total))) * per_total;
        }
        if constexpr (of_depth) {
            const double across = sum(e * c_.z), depth = sum(e * z_) / across, g = double(given.depth[pixel]) / across;
            const Four direct = g * e;
            pull += g * (z_ - depth * c_.z);
            pull_z_ += direct, pull_w_ -= direct * depth;
        }
        pull_.x += pull * X, pull_.y += pull * Y, pull_.z += pull;
    }

    HD void write(double* const* sums) const {
        const Three<Four> one = cross(next(c_), after(pull_)), other = cross(next(pull_), after(c_));
        const Four x = one.x + other.x, y = one.y + other.y, z = pull_z_;
        const Four w = of_depth ? one.z + other.z + pull_w_ : one.z + other.z;
        const Four xy01 = SHUFFLE(x, y, 0, 4, 1, 5), zw01 = SHUFFLE(z, w, 0, 4, 1, 5);
        const Four xy2 = SHUFFLE(x, y, 2, 6, 2, 6), zw2 = SHUFFLE(z, w, 2, 6, 2, 6);
        add_to(sums[0], SHUFFLE(xy01, zw01, 0, 1, 4, 5));
        add_to(sums[1], SHUFFLE(xy01, zw01, 2, 3, 6, 7));
        add_to(sums[2], SHUFFLE(xy2, zw2, 0, 1, 4, 5));
    }

private:
    Three<Four> c_, n_, pull_{};  // corners (x, y, w); edge functions, and what is passed back to them
    Four z_, pull_z_{}, pull_w_{};  // the corners' z; the direct terms of depth

    HD Four edges(double X, double Y) const { return n_.x * X + (n_.y * Y + n_.z); }
    HD static Four next(Four v) { return SHUFFLE(v, v, 1, 2, 0, 3); }
    HD static Four after(Four v) { return SHUFFLE(v, v, 2, 0, 1, 3); }
    HD static Three<Four> next(const Three<Four>& v) { return {next(v.x), next(v.y), next(v.z)}; }
    HD static Three<Four> after(const Three<Four>& v) { return {after(v.x), after(v.y), after(v.z)}; }
    HD static double sum(Four v) { return v[0] + v[1] + v[2]; }
};

#endif

}  // namespace POLYGLYPH_VARIANT
}  // namespace polyglyph
