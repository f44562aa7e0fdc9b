// Which faces may cover something in which rows, for the CPU rasterizer: boxes worked out side by side. Compiled once
// for each kind of processor.
#pragma once

#include <bit>
#include <vector>

#include "lanes.h"

namespace polyglyph {

// A face of a band.
struct Entry {
    int32_t face;
    Box box;
};

// Bands of 2^bits rows. The order of their entries does not matter.
struct Bands {
    int bits;
    std::vector<Entry>* entries;

    void add(int32_t face, const Box& box) const {
        for (int32_t band = box.top >> bits; band <= box.bottom >> bits; ++band) entries[band].push_back({face, box});
    }
};

inline namespace POLYGLYPH_VARIANT {

// span_of in every lane, but `last` is not rounded down yet; empty where last < first. Of NaN it makes 0, so that casts
// are defined: the order of what is compared does it.
HD void span_of(const Lanes& a, const Lanes& b, const Lanes& c, int64_t size, Lanes& first, Lanes& last) {
    const Lanes none = Lanes{}, one = none + 1;
    const Lanes low = least(most(none, least(least(a, b), c) - BOX_MARGIN), none + double(size));
    const Lanes high = least(none + double(size - 1), most(most(a, b), c) + BOX_MARGIN);
    const Lanes whole = truncated(low);
    first = whole + (whole < low ? one : none);
    last = high >= none ? high : -one;
}

HD void sort_faces(const Place* places, const int32_t* faces, int64_t from, int64_t to, Grid grid, const Bands& bands) {
    for (int64_t face = from; face < to; face += LANES) {
        const int count = int(least<int64_t>(to - face, LANES));
        const int32_t* corner = faces + 3 * face;
        Lanes row[3], column[3];
        for (int i = 0; i < 3; ++i) {
            int32_t vertex[LANES];
            for (int lane = 0; lane < LANES; ++lane) vertex[lane] = corner[3 * (lane < count ? lane : 0) + i];
            load_lanes(places, vertex, row[i], column[i]);
        }
        const uint32_t some = (1u << count) - 1;
        uint32_t known = some;
        for (int i = 0; i < 3; ++i) known &= finite_lanes(row[i]) & finite_lanes(column[i]);
        for (uint32_t rest = some & ~known; rest; rest &= rest - 1) {
            const int32_t* of = corner + 3 * std::countr_zero(rest);
            const Box box = box_of(places[of[0]], places[of[1]], places[of[2]], grid);
            if (!box.empty()) bands.add(int32_t(face + std::countr_zero(rest)), box);
        }
        Lanes top, bottom, left, right;
        span_of(row[0], row[1], row[2], grid.height, top, bottom);
        span_of(column[0], column[1], column[2], grid.width, left, right);
        int32_t of_top[LANES], of_bottom[LANES], of_left[LANES], of_right[LANES];
        store_lanes(top, of_top), store_lanes(bottom, of_bottom);
        store_lanes(left, of_left), store_lanes(right, of_right);
        known &= at_least_zero(bottom - top) & at_least_zero(right - left);
        for (; known; known &= known - 1) {
            const int lane = std::countr_zero(known);
            bands.add(int32_t(face + lane), {of_top[lane], of_bottom[lane], of_left[lane], of_right[lane]});
        }
    }
}

}  // namespace POLYGLYPH_VARIANT

using SortFaces = void(const Place*, const int32_t*, int64_t, int64_t, Grid, const Bands&);

#ifdef POLYGLYPH_X86
SortFaces sort_avx2, sort_avx512;
#endif

}  // namespace polyglyph
