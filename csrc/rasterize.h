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

// Where a corner is on screen, in pixels; both are NaN when it is not before the camera, or nowhere.
struct Place {
    double row, column;
};

HD Place place_of(Corner c, Grid grid) {
    const double row = (1 - c.y / c.w) * (double(grid.height) / 2) - 0.5;
    const double column = (c.x / c.w + 1) * (double(grid.width) / 2) - 0.5;
    const bool known = (c.w > 0) & (row == row) & (column == column);
    return {known ? row : NAN, known ? column : NAN};
}

// Pixels [first, last] from floor and ceiling of the widened extent; casts truncate, so values are made positive first.
HD void span_of(double a, double b, double c, int64_t size, int32_t& first, int32_t& last) {
    const double low = least(most(least(least(a, b), c) - BOX_MARGIN, 0.0), double(size));
    const double high = least(most(most(a, b), c) + BOX_MARGIN, double(size - 1));
    const int32_t whole = int32_t(low);
    first = whole + (double(whole) < low);
    last = high >= 0 ? int32_t(high) : -1;
}

// The box of a face from where its corners are: nothing when none is on screen or beside it, all of the image when some
// are not (a face with a corner that is nowhere covers nothing in the end).
HD Box box_of(const Place& a, const Place& b, const Place& c, Grid grid) {
    const int known = (a.row == a.row) + (b.row == b.row) + (c.row == c.row);
    if (known == 0) return {0, -1, 0, -1};
    if (known < 3) return {0, int32_t(grid.height - 1), 0, int32_t(grid.width - 1)};
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
    return ((z >= -1) & (z <= 1)) ? depth_key(z, face) : EMPTY;
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

}  // namespace polyglyph
