// Several faces or pixels side by side, one in each lane of a vector, and how corners get there.
#pragma once

#include "processor.h"
#include "rasterize.h"

namespace polyglyph {

#if defined(__GNUC__) || defined(__clang__)
constexpr int LANES = 8;
typedef double Lanes __attribute__((vector_size(8 * LANES)));
#else
constexpr int LANES = 1;
typedef double Lanes;
#endif

inline namespace POLYGLYPH_VARIANT {

#if defined(__GNUC__) || defined(__clang__)
HD double lane_of(const Lanes& lanes, int lane) { return lanes[lane]; }
HD void set_lane(Lanes& lanes, int lane, double value) { lanes[lane] = value; }
#else
HD double lane_of(const Lanes& lanes, int) { return lanes; }
HD void set_lane(Lanes& lanes, int, double value) { lanes = value; }
#endif

// Corners of LANES faces, from the rows of their vertices.
template <class T>
HD void load_lanes(const T* clip, const int32_t* vertex, CornerOf<Lanes>& corner) {
    for (int lane = 0; lane < LANES; ++lane) {
        const Corner c = corner_at(clip, vertex[lane]);
        set_lane(corner.x, lane, c.x), set_lane(corner.y, lane, c.y);
        set_lane(corner.z, lane, c.z), set_lane(corner.w, lane, c.w);
    }
}

#if POLYGLYPH_LEVEL > 0
// Four rows and four rows, turned into four columns.
HD void load_lanes(const float* clip, const int32_t* vertex, CornerOf<Lanes>& corner) {
    typedef float Floats __attribute__((vector_size(4 * LANES)));
    __m256 row[4];
    for (int n = 0; n < 4; ++n)
        row[n] = _mm256_loadu2_m128(clip + 4 * int64_t(vertex[n + 4]), clip + 4 * int64_t(vertex[n]));
    const __m256 xy01 = _mm256_unpacklo_ps(row[0], row[1]), zw01 = _mm256_unpackhi_ps(row[0], row[1]);
    const __m256 xy23 = _mm256_unpacklo_ps(row[2], row[3]), zw23 = _mm256_unpackhi_ps(row[2], row[3]);
    corner.x = __builtin_convertvector((Floats)_mm256_shuffle_ps(xy01, xy23, 0x44), Lanes);
    corner.y = __builtin_convertvector((Floats)_mm256_shuffle_ps(xy01, xy23, 0xee), Lanes);
    corner.z = __builtin_convertvector((Floats)_mm256_shuffle_ps(zw01, zw23, 0x44), Lanes);
    corner.w = __builtin_convertvector((Floats)_mm256_shuffle_ps(zw01, zw23, 0xee), Lanes);
}
#endif

}  // namespace POLYGLYPH_VARIANT
}  // namespace polyglyph
