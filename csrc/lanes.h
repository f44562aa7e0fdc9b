// Several faces or pixels side by side, one in each lane of a vector, and how corners get there.
#pragma once

#include "processor.h"
#include "rasterize.h"

namespace polyglyph {

#if !defined(POLYGLYPH_PORTABLE) && (defined(__GNUC__) || defined(__clang__))
#define POLYGLYPH_VECTORS_OF_GCC 1
constexpr int LANES = 8;
typedef double Lanes __attribute__((vector_size(8 * LANES)));
#else
constexpr int LANES = 1;
typedef double Lanes;
#endif

inline namespace POLYGLYPH_VARIANT {

#ifdef POLYGLYPH_VECTORS_OF_GCC
HD double lane_of(const Lanes& lanes, int lane) { return lanes[lane]; }
HD void set_lane(Lanes& lanes, int lane, double value) { lanes[lane] = value; }
typedef int32_t Ints __attribute__((vector_size(4 * LANES)));
HD Lanes lanes_from(const int32_t* values) {
    Ints packed;
    __builtin_memcpy(&packed, values, sizeof packed);
    return __builtin_convertvector(packed, Lanes);
}
// Truncated; of values that an int32_t can hold.
HD void store_lanes(const Lanes& lanes, int32_t* values) {
    const Ints packed = __builtin_convertvector(lanes, Ints);
    __builtin_memcpy(values, &packed, sizeof packed);
}
// Of values that an int32_t can hold, too.
HD Lanes truncated(const Lanes& lanes) { return __builtin_convertvector(__builtin_convertvector(lanes, Ints), Lanes); }
#else
HD double lane_of(const Lanes& lanes, int) { return lanes; }
HD void set_lane(Lanes& lanes, int, double value) { lanes = value; }
HD Lanes lanes_from(const int32_t* values) { return *values; }
HD void store_lanes(const Lanes& lanes, int32_t* values) { *values = int32_t(lanes); }
HD Lanes truncated(const Lanes& lanes) { return int32_t(lanes); }
#endif

// Which lanes are not below 0 (and no NaN), one bit each.
HD uint32_t at_least_zero(const Lanes& lanes) {
#if POLYGLYPH_LEVEL == 2
    return _mm512_cmp_pd_mask(lanes, _mm512_setzero_pd(), _CMP_GE_OQ);
#elif POLYGLYPH_LEVEL == 1
    __m256d half[2];
    __builtin_memcpy(half, &lanes, sizeof half);
    const int low = _mm256_movemask_pd(_mm256_cmp_pd(half[0], _mm256_setzero_pd(), _CMP_GE_OQ));
    return low | _mm256_movemask_pd(_mm256_cmp_pd(half[1], _mm256_setzero_pd(), _CMP_GE_OQ)) << 4;
#else
    uint32_t bits = 0;
    for (int lane = 0; lane < LANES; ++lane) bits |= uint32_t(lane_of(lanes, lane) >= 0) << lane;
    return bits;
#endif
}

HD uint32_t finite_lanes(const Lanes& lanes) { return at_least_zero(lanes - lanes); }

// The functions of common.h, of columns and rows side by side.
HD Lanes centre_x(const Lanes& column, Grid grid) { return (2 * column + 1) / double(grid.width) - 1; }
HD Lanes centre_y(const Lanes& row, Grid grid) { return 1 - (2 * row + 1) / double(grid.height); }

// Corners of LANES faces, from the rows of their vertices.
template <class T>
HD void load_lanes(const T* clip, const int32_t* vertex, CornerOf<Lanes>& corner) {
    for (int lane = 0; lane < LANES; ++lane) {
        const Corner c = corner_at(clip, vertex[lane]);
        set_lane(corner.x, lane, c.x), set_lane(corner.y, lane, c.y);
        set_lane(corner.z, lane, c.z), set_lane(corner.w, lane, c.w);
    }
}

// Places of LANES vertices.
HD void load_lanes(const Place* places, const int32_t* vertex, Lanes& row, Lanes& column) {
    for (int lane = 0; lane < LANES; ++lane) {
        set_lane(row, lane, places[vertex[lane]].row);
        set_lane(column, lane, places[vertex[lane]].column);
    }
}

#if POLYGLYPH_LEVEL > 0
// Rows of four numbers, rows n and n + 4 in row[n], turned into the first `count` columns.
HD void turn(const __m256* row, Lanes* column, int count = 4) {
    typedef float Floats __attribute__((vector_size(4 * LANES)));
    const __m256 xy01 = _mm256_unpacklo_ps(row[0], row[1]), zw01 = _mm256_unpackhi_ps(row[0], row[1]);
    const __m256 xy23 = _mm256_unpacklo_ps(row[2], row[3]), zw23 = _mm256_unpackhi_ps(row[2], row[3]);
    column[0] = __builtin_convertvector((Floats)_mm256_shuffle_ps(xy01, xy23, 0x44), Lanes);
    column[1] = __builtin_convertvector((Floats)_mm256_shuffle_ps(xy01, xy23, 0xee), Lanes);
    column[2] = __builtin_convertvector((Floats)_mm256_shuffle_ps(zw01, zw23, 0x44), Lanes);
    if (count > 3) column[3] = __builtin_convertvector((Floats)_mm256_shuffle_ps(zw01, zw23, 0xee), Lanes);
}

HD void load_lanes(const float* clip, const int32_t* vertex, CornerOf<Lanes>& corner) {
    __m256 row[4];
    for (int n = 0; n < 4; ++n)
        row[n] = _mm256_loadu2_m128(clip + 4 * int64_t(vertex[n + 4]), clip + 4 * int64_t(vertex[n]));
    Lanes column[4];
    turn(row, column);
    corner = {column[0], column[1], column[2], column[3]};
}
#endif

}  // namespace POLYGLYPH_VARIANT
}  // namespace polyglyph
