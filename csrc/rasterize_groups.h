// How the CPU rasterizer draws many faces: set up side by side, and where they cover few pixels drawn side by side too.
// The same operations in the same order as Row::covers and key_at, so the same bits. Compiled once for each kind of
// processor.
#pragma once

#include <bit>
#include <vector>

#include "rasterize_boxes.h"
#include "rasterize_rows.h"

namespace polyglyph {
inline namespace POLYGLYPH_VARIANT {

constexpr int32_t SMALL_SIDE = 3;  // rows and columns up to which faces are drawn side by side

HD Vec3 lane_of(const Three<Lanes>& of, int lane) {
    return {lane_of(of.x, lane), lane_of(of.y, lane), lane_of(of.z, lane)};
}

HD Face lane_of(const FaceOf<Lanes>& of, int lane) {
    return {
        {lane_of(of.edge[0], lane), lane_of(of.edge[1], lane), lane_of(of.edge[2], lane)},
        lane_of(of.depth, lane),
        lane_of(of.size, lane),
    };
}

// Faces to be drawn together, LANES or fewer, because their boxes have the same few rows and columns; or of any size,
// and then `rows` is 0.
struct Group {
    int count = 0;
    int32_t rows = 0, columns = 0;
    const Entry* entries[LANES];

    HD const Entry& at(int lane) const { return *entries[lane < count ? lane : 0]; }
};

// One group for every small shape of boxes, and one for larger boxes and those that reach beyond the canvas.
struct Groups {
    static constexpr int COUNT = 1 + SMALL_SIDE * SMALL_SIDE;
    Group all[COUNT];

    HD Groups() {
        for (int n = 1; n < COUNT; ++n) all[n].rows = 1 + (n - 1) / SMALL_SIDE, all[n].columns = 1 + (n - 1) % SMALL_SIDE;
    }
    HD Group& of(const Box& box, const Canvas& canvas) {
        const int32_t rows = box.bottom - box.top, columns = box.right - box.left;
        const bool small = rows < SMALL_SIDE && columns < SMALL_SIDE && box.top >= canvas.top && box.bottom <= canvas.bottom;
        return all[small ? 1 + rows * SMALL_SIDE + columns : 0];
    }
};

// Draws a group of small boxes, a pixel of each at a time.
template <bool peel>
HD void draw_side_by_side(const FaceOf<Lanes>& faces, uint32_t alive, const Group& group, const Canvas& canvas) {
    int32_t top[LANES], left[LANES];
    int64_t corner[LANES];
    for (int lane = 0; lane < LANES; ++lane) {
        const Box& box = group.at(lane).box;
        top[lane] = box.top, left[lane] = box.left;
        corner[lane] = (box.top - canvas.top) * canvas.grid.width + box.left;
    }
    const Lanes first_row = lanes_from(top), first_column = lanes_from(left);
    Lanes X[SMALL_SIDE];
    for (int32_t n = 0; n < group.columns; ++n) X[n] = centre_x(first_column + double(n), canvas.grid);
    for (int32_t row = 0; row < group.rows; ++row) {
        const Lanes Y = centre_y(first_row + double(row), canvas.grid), from = faces.depth.y * Y + faces.depth.z;
        Lanes edge[3];
        for (int i = 0; i < 3; ++i) edge[i] = faces.edge[i].y * Y + faces.edge[i].z;
        for (int32_t column = 0; column < group.columns; ++column) {
            Lanes e[3];
            for (int i = 0; i < 3; ++i) e[i] = faces.edge[i].x * X[column] + edge[i];
            uint32_t inside = alive & at_least_zero(e[0]) & at_least_zero(e[1]) & at_least_zero(e[2]);
            if (!inside) continue;
            const uint32_t tied = at_least_zero(-e[0]) | at_least_zero(-e[1]) | at_least_zero(-e[2]);
            const Lanes z = faces.depth.x * X[column] + from;
            inside &= at_least_zero(z + 1) & at_least_zero(1 - z);
            for (; inside; inside &= inside - 1) {
                const int lane = std::countr_zero(inside);
                if (tied >> lane & 1) {
                    const Face face = lane_of(faces, lane);
                    if (!Row(face, lane_of(Y, lane)).covers(lane_of(X[column], lane))) continue;
                }
                const uint64_t key = depth_key(lane_of(z, lane), group.entries[lane]->face);
                const int64_t pixel = corner[lane] + row * canvas.grid.width + column;
                if (!peel || key > canvas.floor[pixel]) canvas.keys[pixel] = least(canvas.keys[pixel], key);
            }
        }
    }
}

template <bool peel, class T>
HD void draw_group(const T* clip, const int32_t* faces, const Group& group, const Canvas& canvas) {
    CornerOf<Lanes> corners[3];
    int32_t vertex[3][LANES];
    for (int lane = 0; lane < LANES; ++lane)
        for (int i = 0; i < 3; ++i) vertex[i][lane] = faces[3 * int64_t(group.at(lane).face) + i];
    for (int i = 0; i < 3; ++i) load_lanes(clip, vertex[i], corners[i]);
    const FaceOf<Lanes> side_by_side = set_up(corners[0], corners[1], corners[2]);
    uint32_t alive = finite_lanes(side_by_side.size) & ~at_least_zero(-side_by_side.size);
    alive &= (1u << group.count) - 1;
    if (group.rows) return draw_side_by_side<peel>(side_by_side, alive, group, canvas);
    for (; alive; alive &= alive - 1) {
        const int lane = std::countr_zero(alive);
        draw<peel>(lane_of(side_by_side, lane), group.at(lane).face, group.at(lane).box, canvas);
    }
}

template <bool peel, class T>
HD void draw_all(
    const T* clip, int64_t shift, const int32_t* faces, const std::vector<Entry>& entries, const Canvas& canvas
) {
    Groups groups;
    const size_t count = entries.size();
    for (size_t n = 0; n < count + Groups::COUNT; ++n) {  // the last rounds draw what is left in each group
        Group& group = n < count ? groups.of(entries[n].box, canvas) : groups.all[n - count];
        if (n < count) group.entries[group.count++] = &entries[n];
        if (group.count < (n < count ? LANES : 1)) continue;
        draw_group<peel>(clip + 4 * shift, faces, group, canvas);
        group.count = 0;
    }
}

template <class T>
HD void draw_entries(
    const T* clip, int64_t shift, const int32_t* faces, const std::vector<Entry>& entries, const Canvas& canvas
) {
    if (canvas.floor) draw_all<true>(clip, shift, faces, entries, canvas);
    else draw_all<false>(clip, shift, faces, entries, canvas);
}

}  // namespace POLYGLYPH_VARIANT

template <class T>
using DrawEntries = void(const T*, int64_t, const int32_t*, const std::vector<Entry>&, const Canvas&);

#ifdef POLYGLYPH_X86
DrawEntries<float> draw_avx2, draw_avx512;
DrawEntries<double> draw_avx2, draw_avx512;
#endif

}  // namespace polyglyph
