// The arithmetic of kernels/rasterize: its __init__.py is the definition, equation by equation. All in double and
// without fused operations (both compilers are told so), so that CPU, CUDA and the reference decide alike.
#pragma once

#include "common.h"

namespace polyglyph {

constexpr double BOX_MARGIN = 1e-4;
constexpr double DEPTH_STEPS = 2147483648.0;  // 2^31
constexpr uint64_t EMPTY = ~static_cast<uint64_t>(0) >> 1;

template <class N>
struct CornerOf {
    N x, y, z, w;
    HD Three<N> xyw() const { return {x, y, w}; }
};

using Corner = CornerOf<double>;

template <class T>
HD Corner corner_at(const T* clip, int64_t row) {
    const T* p = clip + 4 * row;
    return {double(p[0]), double(p[1]), double(p[2]), double(p[3])};
}

HD double at(Vec3 edge, double X, double Y) { return edge.x * X + (edge.y * Y + edge.z); }

// Which pixels a face may cover: rows [top, bottom], columns [left, right].
struct Box {
    int32_t top, bottom, left, right;
    HD bool empty() const { return top > bottom || left > right; }
};

// Where a corner is on screen, in pixels; NaN when it is not before the camera.
struct Place {
    double row, column;
};

HD Place place_of(Corner c, Grid grid) {
    if (!(c.w > 0)) return {NAN, NAN};
    return {(1 - c.y / c.w) * (double(grid.height) / 2) - 0.5, (c.x / c.w + 1) * (double(grid.width) / 2) - 0.5};
}

// Pixels [first, last] from floor and ceiling of the widened extent; casts truncate, so values are made positive first.
HD void span_of(double a, double b, double c, int64_t size, int32_t& first, int32_t& last) {
    const double low = least(most(least(least(a, b), c) - BOX_MARGIN, 0.0), double(size));
    const double high = least(most(most(a, b), c) + BOX_MARGIN, double(size - 1));
    const int32_t whole = int32_t(low);
    first = whole + (double(whole) < low);
    last = high >= 0 ? int32_t(high) : -1;
}

// The box of a face from where its corners are: all of the image when some corners are behind the camera, nothing
// when all are.
HD Box box_of(const Place& a, const Place& b, const Place& c, Grid grid) {
    const int ahead = (a.row == a.row) + (b.row == b.row) + (c.row == c.row);
    if (ahead == 0) return {0, -1, 0, -1};
    if (ahead < 3) return {0, int32_t(grid.height - 1), 0, int32_t(grid.width - 1)};
    Box box;
    span_of(a.row, b.row, c.row, grid.height, box.top, box.bottom);
    span_of(a.column, b.column, c.column, grid.width, box.left, box.right);
    return box;
}

// Edge functions that are positive inside, and depth as a plane over the image. N may be several faces side by side.
template <class N>
struct FaceOf {
    Three<N> edge[3];
    Three<N> depth;
    N size;  // not above 0, or not finite, where the face covers nothing
};

using Face = FaceOf<double>;

template <class N>
HD FaceOf<N> set_up(CornerOf<N> a, CornerOf<N> b, CornerOf<N> c) {
    const Three<N> e0 = cross(b.xyw(), c.xyw()), e1 = cross(c.xyw(), a.xyw()), e2 = cross(a.xyw(), b.xyw());
    const N det = (a.x * e0.x + a.y * e0.y) + a.w * e0.z;
    const N one = det * 0 + 1, sign = det < 0 ? -one : one;
    FaceOf<N> face;
    face.size = det * sign;
    face.edge[0] = {e0.x * sign, e0.y * sign, e0.z * sign};
    face.edge[1] = {e1.x * sign, e1.y * sign, e1.z * sign};
    face.edge[2] = {e2.x * sign, e2.y * sign, e2.z * sign};
    const Three<N>* e = face.edge;
    face.depth = {
        ((e[0].x * a.z + e[1].x * b.z) + e[2].x * c.z) / face.size,
        ((e[0].y * a.z + e[1].y * b.z) + e[2].y * c.z) / face.size,
        ((e[0].z * a.z + e[1].z * b.z) + e[2].z * c.z) / face.size,
    };
    return face;
}

HD bool covers_something(double size) { return size > 0 && isfinite(size); }

// Whether a centre on or inside an edge belongs to the face (top-left rule).
HD bool owns(Vec3 edge, double value) { return value > 0 || edge.x > 0 || (edge.x == 0 && edge.y < 0); }

// What is compared when several faces cover a pixel: depth in steps, then the face's row.
HD uint64_t depth_key(double depth, int32_t face) {
    const double step = (depth + 1) * DEPTH_STEPS;
    const uint64_t whole = step >= 4294967295.0 ? 4294967295ull : uint64_t(int64_t(step));
    return whole << 31 | uint64_t(uint32_t(face));
}

// One row of a face: its edge functions as functions of X alone.
struct Row {
    const Face& face;
    double edge[3];

    HD Row(const Face& of, double Y) : face(of) {
        for (int i = 0; i < 3; ++i) edge[i] = of.edge[i].y * Y + of.edge[i].z;
    }

    HD bool covers(double X) const {
        const double e0 = face.edge[0].x * X + edge[0], e1 = face.edge[1].x * X + edge[1],
                     e2 = face.edge[2].x * X + edge[2];
        if (!((e0 >= 0) & (e1 >= 0) & (e2 >= 0))) return false;
        if (!((e0 == 0) | (e1 == 0) | (e2 == 0))) return true;
        return owns(face.edge[0], e0) && owns(face.edge[1], e1) && owns(face.edge[2], e2);
    }
};

// The key of a covered centre, or EMPTY outside the near and far planes.
HD uint64_t key_at(Vec3 depth, int32_t face, double X, double Y) {
    const double z = at(depth, X, Y);
    return (z >= -1) & (z <= 1) ? depth_key(z, face) : EMPTY;
}

// Which columns of a row may lie inside all edges, with SPAN_MARGIN to spare for the rounding of a crossing.
constexpr double SPAN_MARGIN = 1e-2;

struct Spans {
    // A crossing is at column (edge function at X = 0) · slope + from; edges on the other side of the row have their
    // `from` at infinity. Level edges have both there.
    double slope[3], from_left[3], from_right[3];

    // With `unused` nothing is worked out.
    HD Spans(const Face& face, Grid grid, bool unused) {
        if (unused) return;
        const double far = 1e300, middle = 0.5 * double(grid.width - 1);
        for (int i = 0; i < 3; ++i) {
            const Vec3 e = face.edge[i];
            const bool level = !(fabs(e.x) > 2e-7 * (fabs(e.y) + fabs(e.z)));
            slope[i] = level ? 0.0 : (-0.5 * double(grid.width)) / e.x;
            from_left[i] = slope[i] < 0 ? middle - SPAN_MARGIN : -far;
            from_right[i] = slope[i] > 0 ? middle + SPAN_MARGIN : far;
        }
    }

    HD void narrow(const Row& row, int32_t& left, int32_t& right) const {
        double low = left, high = right;
        for (int i = 0; i < 3; ++i) {
            const double end = row.edge[i] * slope[i];
            low = most(low, end + from_left[i]);
            high = least(high, end + from_right[i]);
        }
        // Rows in which nothing may lie inside get an empty span; casts of what lies outside are not defined.
        low = least(low, double(right) + 1), high = most(high, double(left) - 1);
        const int32_t whole = int32_t(low);
        left = whole + (double(whole) < low);
        right = int32_t(high);
    }
};

// Barycentrics, depth and the barycentrics' derivatives at one centre of a known face.
struct Sample {
    Corner c[3];
    Vec3 n[3];  // edge functions before the sign
    Vec3 sum;   // of the three

    template <class T, class I>
    HD void load(const T* clip, const I* faces, int64_t face, int64_t shift) {
        for (int i = 0; i < 3; ++i) c[i] = corner_at(clip, int64_t(faces[3 * face + i]) + shift);
        for (int i = 0; i < 3; ++i) n[i] = cross(c[(i + 1) % 3].xyw(), c[(i + 2) % 3].xyw());
        sum = {n[0].x + n[1].x + n[2].x, n[0].y + n[1].y + n[2].y, n[0].z + n[1].z + n[2].z};
    }
};

struct Values {
    double e[3], b[3], per_total;

    HD double across(const Sample& s) const { return e[0] * s.c[0].w + e[1] * s.c[1].w + e[2] * s.c[2].w; }
    HD double depth(const Sample& s, double across) const {
        return (e[0] * s.c[0].z + e[1] * s.c[1].z + e[2] * s.c[2].z) / across;
    }
};

HD Values values_at(const Sample& s, double X, double Y) {
    Values v;
    for (int i = 0; i < 3; ++i) v.e[i] = at(s.n[i], X, Y);
    v.per_total = 1 / (v.e[0] + v.e[1] + v.e[2]);
    for (int i = 0; i < 3; ++i) v.b[i] = v.e[i] * v.per_total;
    return v;
}

// `derivative` (3 corners × column, row) may be null. Per pixel: a column is 2/W of X, a row -2/H of Y.
template <class T>
HD void write_sample(const Sample& s, double X, double Y, Grid grid, T* depth, T* barycentric, T* derivative) {
    const Values v = values_at(s, X, Y);
    *depth = T(v.depth(s, v.across(s)));
    for (int i = 0; i < 3; ++i) barycentric[i] = T(v.b[i]);
    if (!derivative) return;
    for (int i = 0; i < 3; ++i) {
        derivative[2 * i] = T((s.n[i].x - v.b[i] * s.sum.x) * v.per_total * (2.0 / double(grid.width)));
        derivative[2 * i + 1] = T((s.n[i].y - v.b[i] * s.sum.y) * v.per_total * (-2.0 / double(grid.height)));
    }
}

// What pixels of one face pass back, summed where that is cheapest: at the edge functions.
struct Pull {
    Vec3 n[3];
    double z[3], w[3];  // the direct terms of depth

    HD void clear() {
        for (int i = 0; i < 3; ++i) n[i] = {0, 0, 0}, z[i] = w[i] = 0;
    }

    // Each gradient may be null.
    template <class T>
    HD void add(
        const Sample& s, double X, double Y, Grid grid, const T* grad_depth, const T* grad_barycentric,
        const T* grad_derivative
    ) {
        const Values v = values_at(s, X, Y);
        double g[3] = {0, 0, 0};
        if (grad_barycentric) {
            const T* g_b = grad_barycentric;
            const double mean = double(g_b[0]) * v.b[0] + double(g_b[1]) * v.b[1] + double(g_b[2]) * v.b[2];
            for (int i = 0; i < 3; ++i) g[i] = (double(g_b[i]) - mean) * v.per_total;
        }
        if (grad_depth) {
            const double across = v.across(s), depth = v.depth(s, across), g_depth = double(*grad_depth) / across;
            for (int i = 0; i < 3; ++i) {
                g[i] += g_depth * (s.c[i].z - depth * s.c[i].w);
                const double direct = g_depth * v.e[i];
                z[i] += direct, w[i] -= direct * depth;
            }
        }
        if (grad_derivative) {
            add_derivative(s, v, grad_derivative, 0, s.sum.x, 2.0 / double(grid.width), g);
            add_derivative(s, v, grad_derivative, 1, s.sum.y, -2.0 / double(grid.height), g);
        }
        for (int i = 0; i < 3; ++i) n[i].x += g[i] * X, n[i].y += g[i] * Y, n[i].z += g[i];
    }

    // Adds the sums' gradients (x, y, z, w) to those of the three corners.
    HD void write(const Sample& s, double* first, double* second, double* third) const {
        double* grad[3] = {first, second, third};
        for (int i = 0; i < 3; ++i) {
            // n_i is the cross product of the two later corners: a corner is in two of them.
            const int j = (i + 1) % 3, k = (i + 2) % 3;
            const Vec3 one = cross(s.c[j].xyw(), n[k]), other = cross(n[j], s.c[k].xyw());
            grad[i][0] += one.x + other.x, grad[i][1] += one.y + other.y;
            grad[i][2] += z[i], grad[i][3] += one.z + other.z + w[i];
        }
    }

private:
    // d_i = (n_i - b_i Σn) / E along one axis, with b_i = e_i / E and E = Σe. Adds to the gradients of n and, in g, of e.
    template <class T>
    HD void add_derivative(
        const Sample& s, const Values& v, const T* grad_derivative, int axis, double sum, double pixel, double* g
    ) {
        double q[3], along_b = 0, along_d = 0;
        for (int i = 0; i < 3; ++i) {
            q[i] = double(grad_derivative[2 * i + axis]) * pixel * v.per_total;
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
