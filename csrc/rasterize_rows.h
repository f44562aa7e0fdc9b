// The inner loop of the CPU rasterizer: the pixels of one row of a face, several at a time where the machine can.
// The same operations in the same order as Row::covers and key_at, so the same bits.
#pragma once

#include "processor.h"
#include "rasterize.h"

namespace polyglyph {

// Faces that are set up side by side.
#if defined(__GNUC__) || defined(__clang__)
constexpr int LANES = 8;
typedef double Lanes __attribute__((vector_size(8 * LANES)));
inline double lane_of(const Lanes& lanes, int lane) { return lanes[lane]; }
inline void set_lane(Lanes& lanes, int lane, double value) { lanes[lane] = value; }
#else
constexpr int LANES = 1;
typedef double Lanes;
inline double lane_of(const Lanes& lanes, int) { return lanes; }
inline void set_lane(Lanes& lanes, int, double value) { lanes = value; }
#endif

// Corners of LANES faces, from the numbers of their vertices.
template <class T>
HD void load_lanes(const T* clip, const int32_t* vertex, CornerOf<Lanes>& corner) {
    for (int lane = 0; lane < LANES; ++lane) {
        const Corner c = corner_at(clip, vertex[lane]);
        set_lane(corner.x, lane, c.x), set_lane(corner.y, lane, c.y);
        set_lane(corner.z, lane, c.z), set_lane(corner.w, lane, c.w);
    }
}

HD Face face_of(const FaceOf<Lanes>& faces, int lane) {
    const auto three = [&](const Three<Lanes>& of) -> Vec3 {
        return {lane_of(of.x, lane), lane_of(of.y, lane), lane_of(of.z, lane)};
    };
    return {
        {three(faces.edge[0]), three(faces.edge[1]), three(faces.edge[2])}, three(faces.depth),
        lane_of(faces.size, lane)
    };
}

// Pixels by which the arrays that a Span points to must be readable and writable beyond the row.
constexpr int64_t ROW_PADDING = 8;

struct Span {
    int32_t left, right;
    const double* X;         // of the whole row
    uint64_t* keys;          // of the whole row
    const uint64_t* above;   // with peeling, what a key must exceed
};

template <bool peel>
void span_portable(const Row& row, Vec3 depth, int32_t face, double Y, const Span& span) {
    for (int32_t x = span.left; x <= span.right; ++x) {
        if (!row.covers(span.X[x])) continue;
        const uint64_t key = key_at(depth, face, span.X[x], Y);
        if (!peel || key > span.above[x]) span.keys[x] = least(span.keys[x], key);
    }
}

#ifdef POLYGLYPH_X86

template <bool peel>
AVX2 inline void span_avx2(const Row& row, Vec3 depth, int32_t face, double Y, const Span& span) {
    const __m256d zero = _mm256_setzero_pd(), one = _mm256_set1_pd(1), from = _mm256_set1_pd(depth.y * Y + depth.z);
    const __m256d whole = _mm256_set1_pd(4503599627370496.0);  // 2^52: the mantissa then holds an integer
    const __m256i mantissa = _mm256_set1_epi64x((1ll << 52) - 1), id = _mm256_set1_epi64x(face);
    const __m256i lane = _mm256_set_epi64x(3, 2, 1, 0);
    for (int32_t x = span.left; x <= span.right; x += 4) {
        const __m256d X = _mm256_loadu_pd(span.X + x);
        __m256d e[3], least_e;
        for (int i = 0; i < 3; ++i)
            e[i] = _mm256_add_pd(_mm256_mul_pd(_mm256_set1_pd(row.face.edge[i].x), X), _mm256_set1_pd(row.edge[i]));
        least_e = _mm256_min_pd(_mm256_min_pd(e[0], e[1]), e[2]);
        const __m256i within = _mm256_cmpgt_epi64(_mm256_set1_epi64x(span.right - x + 1), lane);
        __m256d inside = _mm256_and_pd(_mm256_cmp_pd(least_e, zero, _CMP_GE_OQ), _mm256_castsi256_pd(within));
        if (_mm256_testz_pd(inside, inside)) continue;
        const __m256d tied = _mm256_and_pd(inside, _mm256_cmp_pd(least_e, zero, _CMP_EQ_OQ));
        if (!_mm256_testz_pd(tied, tied)) {
            span_portable<peel>(row, depth, face, Y, {x, least(x + 3, span.right), span.X, span.keys, span.above});
            continue;
        }
        const __m256d z = _mm256_add_pd(_mm256_mul_pd(_mm256_set1_pd(depth.x), X), from);
        inside = _mm256_and_pd(inside, _mm256_cmp_pd(z, _mm256_sub_pd(zero, one), _CMP_GE_OQ));
        inside = _mm256_and_pd(inside, _mm256_cmp_pd(z, one, _CMP_LE_OQ));
        __m256d step = _mm256_mul_pd(_mm256_add_pd(z, one), _mm256_set1_pd(DEPTH_STEPS));
        step = _mm256_round_pd(_mm256_min_pd(step, _mm256_set1_pd(4294967295.0)), _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC);
        const __m256i steps = _mm256_and_si256(_mm256_castpd_si256(_mm256_add_pd(step, whole)), mantissa);
        const __m256i key = _mm256_or_si256(_mm256_slli_epi64(steps, 31), id);
        __m256i* out = reinterpret_cast<__m256i*>(span.keys + x);
        const __m256i held = _mm256_loadu_si256(out);
        __m256i wins = _mm256_and_si256(_mm256_cmpgt_epi64(held, key), _mm256_castpd_si256(inside));
        if (peel) {
            const __m256i above = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(span.above + x));
            wins = _mm256_and_si256(wins, _mm256_cmpgt_epi64(key, above));
        }
        _mm256_storeu_si256(out, _mm256_blendv_epi8(held, key, wins));
    }
}

template <bool peel>
AVX512 inline void span_avx512(const Row& row, Vec3 depth, int32_t face, double Y, const Span& span) {
    const __m512d zero = _mm512_setzero_pd(), one = _mm512_set1_pd(1);
    const __m512d from = _mm512_set1_pd(depth.y * Y + depth.z);
    for (int32_t x = span.left; x <= span.right; x += 8) {
        const __mmask8 within = span.right - x >= 7 ? 0xff : uint8_t((1 << (span.right - x + 1)) - 1);
        const __m512d X = _mm512_loadu_pd(span.X + x);
        __m512d e[3];
        for (int i = 0; i < 3; ++i)
            e[i] = _mm512_add_pd(_mm512_mul_pd(_mm512_set1_pd(row.face.edge[i].x), X), _mm512_set1_pd(row.edge[i]));
        const __m512d least_e = _mm512_min_pd(_mm512_min_pd(e[0], e[1]), e[2]);
        __mmask8 inside = _mm512_mask_cmp_pd_mask(within, least_e, zero, _CMP_GE_OQ);
        if (!inside) continue;
        if (_mm512_mask_cmp_pd_mask(inside, least_e, zero, _CMP_EQ_OQ)) {
            span_portable<peel>(row, depth, face, Y, {x, least(x + 7, span.right), span.X, span.keys, span.above});
            continue;
        }
        const __m512d z = _mm512_add_pd(_mm512_mul_pd(_mm512_set1_pd(depth.x), X), from);
        inside = _mm512_mask_cmp_pd_mask(inside, z, _mm512_set1_pd(-1), _CMP_GE_OQ);
        inside = _mm512_mask_cmp_pd_mask(inside, z, one, _CMP_LE_OQ);
        const __m512d step = _mm512_mul_pd(_mm512_add_pd(z, one), _mm512_set1_pd(DEPTH_STEPS));
        const __m512i steps = _mm512_cvttpd_epu64(_mm512_min_pd(step, _mm512_set1_pd(4294967295.0)));
        const __m512i key = _mm512_or_si512(_mm512_slli_epi64(steps, 31), _mm512_set1_epi64(face));
        if (peel) inside = _mm512_mask_cmpgt_epu64_mask(inside, key, _mm512_loadu_si512(span.above + x));
        const __m512i held = _mm512_loadu_si512(span.keys + x);
        _mm512_mask_storeu_epi64(span.keys + x, inside, _mm512_min_epu64(held, key));
    }
}

template <bool peel>
struct Avx2 {
    template <class T>
    AVX2 static inline void load(const T* clip, const int32_t* vertex, CornerOf<Lanes>& corner) {
        load_lanes(clip, vertex, corner);
    }
    AVX2 static inline void fill(const Row& row, Vec3 depth, int32_t face, double Y, const Span& span) {
        span_avx2<peel>(row, depth, face, Y, span);
    }
};

template <bool peel>
struct Avx512 {
    AVX512 static inline void load(const float* clip, const int32_t* vertex, CornerOf<Lanes>& corner) {
        const __m256i row = _mm256_slli_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(vertex)), 2);
        corner.x = _mm512_cvtps_pd(_mm256_i32gather_ps(clip, row, 4));
        corner.y = _mm512_cvtps_pd(_mm256_i32gather_ps(clip + 1, row, 4));
        corner.z = _mm512_cvtps_pd(_mm256_i32gather_ps(clip + 2, row, 4));
        corner.w = _mm512_cvtps_pd(_mm256_i32gather_ps(clip + 3, row, 4));
    }
    AVX512 static inline void load(const double* clip, const int32_t* vertex, CornerOf<Lanes>& corner) {
        load_lanes(clip, vertex, corner);
    }
    AVX512 static inline void fill(const Row& row, Vec3 depth, int32_t face, double Y, const Span& span) {
        span_avx512<peel>(row, depth, face, Y, span);
    }
};

#endif

// How a row is filled, as types, so that it is inlined where rows are visited.
template <bool peel>
struct Portable {
    template <class T>
    static void load(const T* clip, const int32_t* vertex, CornerOf<Lanes>& corner) {
        load_lanes(clip, vertex, corner);
    }
    static void fill(const Row& row, Vec3 depth, int32_t face, double Y, const Span& span) {
        span_portable<peel>(row, depth, face, Y, span);
    }
};

}  // namespace polyglyph
