// The arithmetic of kernels/antialias: its __init__.py is the definition. A pair is a pixel and its neighbour to the right
// (axis 0) or below (axis 1). What the walk finds is kept as one number a pair: 2 · half-edge + (the neighbour is near),
// or -1.
#pragma once

#include "rasterize.h"

namespace polyglyph {

constexpr int WALK_STEPS = 32;

template <class T>
struct Surface {
    const T* clip;
    int64_t rows_per_image;    // 0 for packed clips
    const int32_t* faces;      // [F, 3]
    const int32_t* corner;     // [F, 3]: faces over welded vertices
    const int32_t* following;  // [3F]: the next half-edge on the same edge, and round again
    const int32_t* ids;
    const T* depth;
    int64_t images;
    Grid grid;

    HD int64_t pixels() const { return images * grid.height * grid.width; }
    HD Vec3 at_row(int32_t vertex, int64_t shift) const { return corner_at(clip, vertex + shift).xyw(); }
};

HD double dot(Vec3 u, Vec3 v) { return (u.x * v.x + u.y * v.y) + u.z * v.z; }

// Two neighbouring pixels.
struct Pair {
    int64_t image, row, column;
    int axis;

    HD static Pair of(int64_t pixel, int axis, Grid grid) {
        const int64_t size = grid.height * grid.width;
        return {pixel / size, pixel % size / grid.width, pixel % grid.width, axis};
    }
    HD bool inside(Grid grid) const { return axis == 0 ? column + 1 < grid.width : row + 1 < grid.height; }
    HD Vec3 centre(bool second, Grid grid) const {
        const int64_t right = second && axis == 0, down = second && axis == 1;
        return {centre_x(column + right, grid), centre_y(row + down, grid), 1.0};
    }
};

// The line from the near centre to the far one.
struct Line {
    Vec3 near, far;
    bool across;  // side by side, so that rather upright edges count
    double level, heading;

    HD Line(const Pair& pair, bool second_is_near, Grid grid)
        : near(pair.centre(second_is_near, grid)), far(pair.centre(!second_is_near, grid)), across(pair.axis == 0),
          level(across ? near.y : near.x), heading(across ? near.x - far.x : far.y - near.y) {}

    // Height over the line; for a pair one above the other, distance to its right.
    HD double side(Vec3 v) const { return (across ? v.y : v.x) - level * v.z; }
};

// An edge of the curve that the line cuts out of the surface: the half-edge, and its ends in the order that makes the
// edge function positive on the near side.
struct Crossing {
    int32_t half, start, end;
    bool start_over;
};

HD int32_t turn(int32_t half, int32_t by) { return half - half % 3 + (half % 3 + by) % 3; }

// Where the line leaves the near pixel's own face.
template <class T>
HD bool first_edge(const Surface<T>& surface, const Line& line, int32_t face, int64_t shift, Crossing& out) {
    Vec3 v[3];
    double side[3];
    for (int i = 0; i < 3; ++i) {
        v[i] = surface.at_row(surface.corner[3 * int64_t(face) + i], shift);
        side[i] = line.side(v[i]);
    }
    const double det = dot(v[0], cross(v[1], v[2])), heading = line.heading * det;
    for (int i = 0; i < 3; ++i) {
        const int j = (i + 1) % 3, k = (i + 2) % 3;
        if ((side[j] >= 0) == (side[k] >= 0)) continue;
        if (!((side[j] * v[k].z - side[k] * v[j].z) * heading > 0)) continue;
        const int a = det < 0 ? k : j, b = det < 0 ? j : k;
        out.half = int32_t(3 * int64_t(face) + i);
        out.start = surface.corner[3 * int64_t(face) + a], out.end = surface.corner[3 * int64_t(face) + b];
        out.start_over = side[a] >= 0;
        return true;
    }
    return false;
}

// Faces that are looked at around an edge. A `following` made by hand need not come round.
constexpr int MOST_AROUND = 4096;

// The half-edge of the face that goes on beyond an edge on screen, or `half` itself where none does.
template <class T>
HD int32_t beyond(const Surface<T>& surface, int32_t half, Vec3 normal, int64_t shift, Vec3& apex) {
    int32_t next = surface.following[half];
    for (int count = 0; next != half && count < MOST_AROUND; ++count, next = surface.following[next]) {
        apex = surface.at_row(surface.corner[next], shift);
        if (!(dot(apex, normal) > 0)) return next;
    }
    return half;
}

// What is kept for a pair: -1, or the silhouette between its pixels.
template <class T>
HD int32_t walk(const Surface<T>& surface, const Pair& pair) {
    const Grid grid = surface.grid;
    const int64_t first = (pair.image * grid.height + pair.row) * grid.width + pair.column;
    const int64_t second = first + (pair.axis == 0 ? 1 : grid.width);
    const int32_t id = surface.ids[first], other = surface.ids[second];
    const bool first_near = id >= 0 && (other < 0 || surface.depth[first] <= surface.depth[second]);
    const Line line(pair, !first_near, grid);
    const int64_t shift = pair.image * surface.rows_per_image;
    Crossing at;
    if (!first_edge(surface, line, first_near ? id : other, shift, at)) return -1;
    for (int step = 0; step < WALK_STEPS; ++step) {
        const Vec3 normal = cross(surface.at_row(at.start, shift), surface.at_row(at.end, shift));
        const double at_near = polyglyph::at(normal, line.near.x, line.near.y);
        const double fall = at_near - polyglyph::at(normal, line.far.x, line.far.y);
        if (!(fall > 0 && at_near <= fall)) return -1;
        Vec3 apex;
        const int32_t next = beyond(surface, at.half, normal, shift, apex);
        if (next == at.half) {
            const bool upright = fabs(normal.x / double(grid.width)) >= fabs(normal.y / double(grid.height));
            return upright == line.across ? 2 * at.half + int32_t(!first_near) : -1;
        }
        // The next edge joins the apex to the end of this edge that lies on the other side of the line.
        const bool replaces_start = (line.side(apex) >= 0) == at.start_over;
        const int32_t dropped = replaces_start ? at.start : at.end, one = turn(next, 1);
        (replaces_start ? at.start : at.end) = surface.corner[next];
        at.half = surface.corner[one] == dropped ? one : turn(next, 2);
    }
    return -1;
}

// A silhouette's blend: where the line crosses it, and what its two ends have to do with that.
struct Blend {
    int64_t near, far;  // pixels
    int64_t a, b;       // rows of the clip
    Vec3 at_a, at_b, p, q;
    double at_near, at_far, t;

    template <class T>
    HD Blend(const Surface<T>& surface, const Pair& pair, int32_t code) {
        const Grid grid = surface.grid;
        const int64_t first = (pair.image * grid.height + pair.row) * grid.width + pair.column;
        const int64_t second = first + (pair.axis == 0 ? 1 : grid.width), shift = pair.image * surface.rows_per_image;
        const bool second_near = code & 1;
        near = second_near ? second : first, far = second_near ? first : second;
        a = surface.faces[turn(code >> 1, 1)] + shift, b = surface.faces[turn(code >> 1, 2)] + shift;
        at_a = corner_at(surface.clip, a).xyw(), at_b = corner_at(surface.clip, b).xyw();
        p = pair.centre(second_near, grid), q = pair.centre(!second_near, grid);
        const Vec3 normal = cross(at_a, at_b);
        at_near = polyglyph::at(normal, p.x, p.y), at_far = polyglyph::at(normal, q.x, q.y);
        t = at_near / (at_near - at_far);
    }

    HD int64_t target() const { return t < 0.5 ? near : far; }
    HD double share() const { return 0.5 - t; }
};

// The four pairs that a pixel belongs to: which, and whether it is there.
template <class T>
HD bool pair_around(const Surface<T>& surface, int64_t pixel, int which, Pair& pair) {
    pair = Pair::of(pixel, which & 1, surface.grid);
    if (which >= 2) (pair.axis == 0 ? pair.column : pair.row) -= 1;
    return pair.column >= 0 && pair.row >= 0 && pair.inside(surface.grid);
}

template <class T>
HD int32_t code_of(const Surface<T>& surface, const int32_t* codes, const Pair& pair) {
    const Grid grid = surface.grid;
    return codes[pair.axis * surface.pixels() + (pair.image * grid.height + pair.row) * grid.width + pair.column];
}

// A pixel's colour after blending; a fixed order of its four pairs.
template <class T>
HD void blend_pixel(const Surface<T>& surface, const int32_t* codes, int64_t pixel, const T* color, int64_t channels, T* out) {
    for (int64_t c = 0; c < channels; ++c) out[pixel * channels + c] = color[pixel * channels + c];
    for (int which = 0; which < 4; ++which) {
        Pair pair;
        if (!pair_around(surface, pixel, which, pair)) continue;
        const int32_t code = code_of(surface, codes, pair);
        if (code < 0) continue;
        const Blend blend(surface, pair, code);
        if (blend.target() != pixel) continue;
        const T share = T(blend.share());
        for (int64_t c = 0; c < channels; ++c)
            out[pixel * channels + c] += (color[blend.far * channels + c] - color[blend.near * channels + c]) * share;
    }
}

template <class T>
HD void pull_color(const Surface<T>& surface, const int32_t* codes, int64_t pixel, const T* grad, int64_t channels, T* out) {
    for (int64_t c = 0; c < channels; ++c) out[pixel * channels + c] = grad[pixel * channels + c];
    for (int which = 0; which < 4; ++which) {
        Pair pair;
        if (!pair_around(surface, pixel, which, pair)) continue;
        const int32_t code = code_of(surface, codes, pair);
        if (code < 0) continue;
        const Blend blend(surface, pair, code);
        const T share = T(pixel == blend.far ? blend.share() : -blend.share());
        for (int64_t c = 0; c < channels; ++c) out[pixel * channels + c] += grad[blend.target() * channels + c] * share;
    }
}

// The gradients (x, y, w) of a silhouette's two ends. t = e(near) / (e(near) − e(far)) and e(p) = p · (a × b), so both
// share one weighted point.
template <class T>
HD void pull_ends(const Blend& blend, const T* color, const T* grad, int64_t channels, Vec3& to_a, Vec3& to_b) {
    double g_t = 0;
    for (int64_t c = 0; c < channels; ++c)
        g_t -= double(color[blend.far * channels + c] - color[blend.near * channels + c]) *
               double(grad[blend.target() * channels + c]);
    const double gap = blend.at_near - blend.at_far, scale = g_t / (gap * gap);
    const Vec3 point = {
        scale * (blend.at_near * blend.q.x - blend.at_far * blend.p.x),
        scale * (blend.at_near * blend.q.y - blend.at_far * blend.p.y),
        scale * (blend.at_near * blend.q.z - blend.at_far * blend.p.z),
    };
    to_a = cross(blend.at_b, point), to_b = cross(point, blend.at_a);
}

// Whether a pair is worth a walk: its pixels see different faces and, unless `every`, have different colours.
template <class T>
HD bool differs(const Surface<T>& surface, const Pair& pair, const T* color, int64_t channels, bool every) {
    const Grid grid = surface.grid;
    const int64_t first = (pair.image * grid.height + pair.row) * grid.width + pair.column;
    const int64_t second = first + (pair.axis == 0 ? 1 : grid.width);
    if (surface.ids[first] == surface.ids[second]) return false;
    if (every) return true;
    for (int64_t c = 0; c < channels; ++c)
        if (color[first * channels + c] != color[second * channels + c]) return true;
    return false;
}

}  // namespace polyglyph
