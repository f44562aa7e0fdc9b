// The arithmetic of pixels whose face is known: kernels/rasterize/__init__.py says what is meant.
#pragma once

#include "rasterize.h"

namespace polyglyph {

// A face.
struct Sample {
    Corner c[3];
    Vec3 n[3];  // edge functions before the sign
    Vec3 sum;   // of the three

    template <class T>
    HD void load(const T* clip, const int32_t* faces, int64_t face, int64_t shift) {
        for (int i = 0; i < 3; ++i) c[i] = corner_at(clip, int64_t(faces[3 * face + i]) + shift);
        for (int i = 0; i < 3; ++i) n[i] = cross(c[(i + 1) % 3].xyw(), c[(i + 2) % 3].xyw());
        sum = {n[0].x + n[1].x + n[2].x, n[0].y + n[1].y + n[2].y, n[0].z + n[1].z + n[2].z};
    }
};

// The face at one centre.
struct Values {
    double e[3], b[3], per_total;

    HD Values(const Sample& s, double X, double Y) {
        for (int i = 0; i < 3; ++i) e[i] = at(s.n[i], X, Y);
        per_total = 1 / (e[0] + e[1] + e[2]);
        for (int i = 0; i < 3; ++i) b[i] = e[i] * per_total;
    }

    HD double across(const Sample& s) const { return e[0] * s.c[0].w + e[1] * s.c[1].w + e[2] * s.c[2].w; }
    HD double depth(const Sample& s, double across) const {
        return (e[0] * s.c[0].z + e[1] * s.c[1].z + e[2] * s.c[2].z) / across;
    }
};

// `derivative` (3 corners × column, row) may be null. Per pixel: a column is 2/W of X, a row -2/H of Y.
template <class T>
HD void write_sample(const Sample& s, double X, double Y, Grid grid, T* depth, T* barycentric, T* derivative) {
    const Values v(s, X, Y);
    *depth = T(v.depth(s, v.across(s)));
    for (int i = 0; i < 3; ++i) barycentric[i] = T(v.b[i]);
    if (!derivative) return;
    for (int i = 0; i < 3; ++i) {
        derivative[2 * i] = T((s.n[i].x - v.b[i] * s.sum.x) * v.per_total * (2.0 / double(grid.width)));
        derivative[2 * i + 1] = T((s.n[i].y - v.b[i] * s.sum.y) * v.per_total * (-2.0 / double(grid.height)));
    }
}

// Gradients of what was asked for at one centre; the rest is not read.
struct Gradient {
    double depth, barycentric[3], derivative[3][2];
};

struct Asked {
    bool depth, barycentric, derivative;
};

// The gradients of all pixels; each may be null.
template <class T>
struct Given {
    const T *depth, *barycentric, *derivative;

    HD Asked asked() const { return {depth != nullptr, barycentric != nullptr, derivative != nullptr}; }

    HD Gradient at(int64_t pixel) const {
        Gradient g{};
        if (depth) g.depth = double(depth[pixel]);
        for (int i = 0; i < 3; ++i) {
            if (barycentric) g.barycentric[i] = double(barycentric[3 * pixel + i]);
            if (derivative)
                for (int axis = 0; axis < 2; ++axis) g.derivative[i][axis] = double(derivative[6 * pixel + 2 * i + axis]);
        }
        return g;
    }
};

// What pixels of one face pass back, summed where that is cheapest: at the edge functions.
struct Pull {
    Vec3 n[3] = {};
    double z[3] = {}, w[3] = {};  // the direct terms of depth

    HD void add(const Sample& s, double X, double Y, Grid grid, Asked asked, const Gradient& given) {
        const Values v(s, X, Y);
        double g[3] = {};
        if (asked.barycentric) {
            const double* g_b = given.barycentric;
            const double mean = g_b[0] * v.b[0] + g_b[1] * v.b[1] + g_b[2] * v.b[2];
            for (int i = 0; i < 3; ++i) g[i] = (g_b[i] - mean) * v.per_total;
        }
        if (asked.depth) {
            const double across = v.across(s), depth = v.depth(s, across), g_depth = given.depth / across;
            for (int i = 0; i < 3; ++i) {
                g[i] += g_depth * (s.c[i].z - depth * s.c[i].w);
                const double direct = g_depth * v.e[i];
                z[i] += direct, w[i] -= direct * depth;
            }
        }
        if (asked.derivative) {
            add_derivative(s, v, given, 0, s.sum.x, 2.0 / double(grid.width), g);
            add_derivative(s, v, given, 1, s.sum.y, -2.0 / double(grid.height), g);
        }
        for (int i = 0; i < 3; ++i) n[i].x += g[i] * X, n[i].y += g[i] * Y, n[i].z += g[i];
    }

    // The gradients (x, y, z, w) of the three corners.
    HD void write(const Sample& s, double grad[3][4]) const {
        for (int i = 0; i < 3; ++i) {
            // n_i is the cross product of the two later corners: a corner is in two of them.
            const int j = (i + 1) % 3, k = (i + 2) % 3;
            const Vec3 one = cross(s.c[j].xyw(), n[k]), other = cross(n[j], s.c[k].xyw());
            grad[i][0] = one.x + other.x, grad[i][1] = one.y + other.y;
            grad[i][2] = z[i], grad[i][3] = one.z + other.z + w[i];
        }
    }

private:
    // d_i = (n_i - b_i Σn) / E along one axis, with b_i = e_i / E and E = Σe. Adds to the gradients of n and, in g, of e.
    HD void add_derivative(
        const Sample& s, const Values& v, const Gradient& given, int axis, double sum, double pixel, double* g
    ) {
        double q[3], along_b = 0, along_d = 0;
        for (int i = 0; i < 3; ++i) {
            q[i] = given.derivative[i][axis] * pixel * v.per_total;
            along_b += q[i] * v.b[i];
            along_d += q[i] * ((axis == 0 ? s.n[i].x : s.n[i].y) - v.b[i] * sum);
        }
        for (int i = 0; i < 3; ++i) {
            g[i] -= (sum * (q[i] - along_b) + along_d) * v.per_total;
            (axis == 0 ? n[i].x : n[i].y) += q[i] - along_b;
        }
    }
};

}  // namespace polyglyph
