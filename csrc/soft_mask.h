// The arithmetic of kernels/soft_mask: its __init__.py is the definition. All in double and without fused operations
// (both compilers are told so), so that CPU, CUDA and torch agree on which of several faces is nearer.
#pragma once

#include "common.h"

#if !defined(__CUDACC_RTC__)
using std::exp;
using std::expm1;
#endif

namespace polyglyph {

constexpr double FAR_AWAY = 1e15;  // half heights of the image beyond which a corner counts as not finite
constexpr double LEAST_NORMAL = 2.2250738585072014e-308;
constexpr double PIXEL_MARGIN = 1e-4;

// On screen, in half heights of the image: x to the right, y up, the middle at the origin.
struct Point {
    double x, y;
};

HD double aspect_of(Grid grid) { return double(grid.width) / double(grid.height); }

// Where a vertex is; NaN where faces that have it take no part.
template <class T>
HD Point project(const T* clip, int64_t row, double aspect) {
    const T* p = clip + 4 * row;
    const double w = double(p[3]), x = double(p[0]) / w * aspect, y = double(p[1]) / w;
    const bool takes_part = w > 0 && isfinite(w) && isfinite(double(p[2])) && fabs(x) < FAR_AWAY && fabs(y) < FAR_AWAY;
    return takes_part ? Point{x, y} : Point{NAN, NAN};
}

// Adds what `grad` on screen is in clip space.
template <class T>
HD void project_backward(const T* clip, int64_t row, double aspect, Point grad, T* grad_clip) {
    if (grad.x == 0 && grad.y == 0) return;  // also of vertices that have no place on screen
    const T* p = clip + 4 * row;
    const double per_w = 1 / double(p[3]), x = grad.x * aspect * per_w, y = grad.y * per_w;
    grad_clip[4 * row] += T(x);
    grad_clip[4 * row + 1] += T(y);
    grad_clip[4 * row + 3] -= T((x * double(p[0]) + y * double(p[1])) * per_w);
}

// One edge, its ends in an order that does not depend on the face: faces that share it see the same bits.
struct Segment {
    Point from, to, step;
    double per_length;  // 1 over the squared length; 0 for a point
    bool swap;          // whether `from` is the second of the points given

    HD void set(Point a, Point b) {
        swap = b.x < a.x || (b.x == a.x && b.y < a.y);
        from = swap ? b : a, to = swap ? a : b;
        step = {to.x - from.x, to.y - from.y};
        const double length = step.x * step.x + step.y * step.y;
        per_length = length >= LEAST_NORMAL ? 1 / length : 0.0;
    }
};

// The nearest point of a segment is from + along · step; `away` leads from there to the pixel. N is a number, or
// several pixels of one row side by side.
template <class N>
struct FootOf {
    N along, squared, away_x, away_y;
};

template <class N>
HD FootOf<N> foot_on(const Segment& s, N x, double y) {
    const N u = x - s.from.x;
    const double v = y - s.from.y, v_to = y - s.to.y;
    FootOf<N> foot;
    foot.along = clamped((u * s.step.x + v * s.step.y) * s.per_length, u * 0, u * 0 + 1);
    // Across the segment, which is exact for long ones; at its ends the ends themselves: other edges that end there
    // must see the same distance.
    const N across = (s.step.x * v - s.step.y * u) * s.per_length;
    foot.away_x = foot.along >= 1 ? x - s.to.x : foot.along > 0 ? -s.step.y * across : u;
    foot.away_y = foot.along >= 1 ? u * 0 + v_to : foot.along > 0 ? s.step.x * across : u * 0 + v;
    foot.squared = foot.away_x * foot.away_x + foot.away_y * foot.away_y;
    return foot;
}

// A face on screen. Edge i leads from corner i to the next.
struct Outline {
    Point corner[3], low, high;
    Segment edge[3];

    // Edges are set only when they are wanted: most faces are near no pixel in question.
    HD bool place(Point a, Point b, Point c) {
        corner[0] = a, corner[1] = b, corner[2] = c;
        low = {least(least(a.x, b.x), c.x), least(least(a.y, b.y), c.y)};
        high = {most(most(a.x, b.x), c.x), most(most(a.y, b.y), c.y)};
        return a.x == a.x && b.x == b.x && c.x == c.x;
    }
    HD void set_edges() {
        for (int i = 0; i < 3; ++i) edge[i].set(corner[i], corner[(i + 1) % 3]);
    }

    // The squared distance to the nearest edge, or 0 inside; and which edge, as a number.
    template <class N>
    HD void measure(N x, double y, N& squared, N& nearest) const {
        const N zero = x * 0;
        N lowest = zero, highest = zero;  // of the sides' signs
        for (int i = 0; i < 3; ++i) {
            const Point a = corner[i], b = corner[(i + 1) % 3];
            const N side = (b.x - a.x) * (y - a.y) - (b.y - a.y) * (x - a.x);
            const N here = foot_on(edge[i], x, y).squared;
            lowest = i == 0 ? side : least(lowest, side), highest = i == 0 ? side : most(highest, side);
            nearest = i == 0 ? zero : here < squared ? zero + i : nearest;
            squared = i == 0 ? here : least(squared, here);
        }
        // On the line of a sliver, but beyond its end, rounding may put a pixel on the same side of all edges.
        if (y < low.y || y > high.y) return;
        const N within = least(x - low.x, high.x - x);
        squared = within < 0 ? squared : lowest > 0 ? zero : highest < 0 ? zero : squared;
    }
};

// A face near a pixel. Inside the face `squared` is 0.
struct Neighbour {
    double squared;
    int32_t face, edge;
};

HD bool nearer(const Neighbour& a, const Neighbour& b) {
    return a.squared < b.squared || (a.squared == b.squared && a.face < b.face);
}

// 1 - A = 1 - exp(-squared · sharpness), without loss where it is small.
HD double missed(double squared, double sharpness) {
    const double u = squared * sharpness;
    return u < 0.5 ? -expm1(-u) : 1 - exp(-u);
}

// How the mask changes with the nearest point of one face, over the vector from there to the pixel; `own` is that
// face's 1 - A, `product` that of all. Where the pixel is on the face, the distance has no slope and nothing else counts.
HD double slope(double own, double product, double sharpness) {
    return own > 0 ? 2 * sharpness * (1 - own) * (product / own) : 0.0;
}

// Which rows or columns of pixels, [first, last], may lie within `reach` pixels of [low, high], in pixels.
struct Range {
    int32_t first, last;
};

HD Range range_of(double low, double high, double reach, int64_t size) {
    const double from = least(most(low - reach - PIXEL_MARGIN, 0.0), double(size));
    const double to = most(least(high + reach + PIXEL_MARGIN, double(size - 1)), -1.0);
    const int32_t whole = int32_t(from);
    return {whole + (double(whole) < from), to < 0 ? -1 : int32_t(to)};
}

HD double column_of(double x, Grid grid) { return (x * double(grid.height) + double(grid.width)) / 2 - 0.5; }
HD double row_of(double y, Grid grid) { return (1 - y) * (double(grid.height) / 2) - 0.5; }

}  // namespace polyglyph
