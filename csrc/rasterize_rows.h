// How the CPU rasterizer draws one face: the pixels of a row, several at a time where the machine can. The same
// operations in the same order as Row::covers and key_at, so the same bits. Compiled once for each kind of processor.
#pragma once

#include "centres.h"
#include "lanes.h"

namespace polyglyph {

// The rows [top, bottom] of one image. `floor`, where it is not null, holds for each pixel the key that a fragment must
// exceed.
struct Canvas {
    int64_t top, bottom;
    Grid grid;
    const Centres& centres;
    uint64_t* keys;
    const uint64_t* floor;
};

inline namespace POLYGLYPH_VARIANT {

// The arrays are readable and writable ROW_PADDING elements beyond the row.
struct Span {
    int32_t left, right;
    const double* X;         // of the whole row
    uint64_t* keys;          // of the whole row
    const uint64_t* above;   // with peeling, what a key must exceed
};

template <bool peel>
HD void span_portable(const Row& row, Vec3 depth, int32_t face, double Y, const Span& span) {
    for (int32_t x = span.left; x <= span.right; ++x) {
        if (!row.covers(span.X[x])) continue;
        const uint64_t key = key_at(depth, face, span.X[x], Y);
        if (!peel || key > span.above[x]) span.keys[x] = least(span.keys[x], key);
    }
}

#if POLYGLYPH_LEVEL == 1

template <bool peel>
HD void fill_span(const Row& row, Vec3 depth, int32_t face, double Y, const Span& span) {
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

#elif POLYGLYPH_LEVEL == 2

template <bool peel>
HD void fill_span(const Row& row, Vec3 depth, int32_t face, double Y, const Span& span) {
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

#else

template <bool peel>
HD void fill_span(const Row& row, Vec3 depth, int32_t face, double Y, const Span& span) {
    span_portable<peel>(row, depth, face, Y, span);
}

#endif

constexpr int32_t NARROW = 16;  // columns up to which every pixel of a face's box is tried

template <bool peel>
HD void draw(const Face& face, int32_t row, const Box& box, const Canvas& canvas) {
    const int64_t first = most<int64_t>(box.top, canvas.top), last = least<int64_t>(box.bottom, canvas.bottom);
    const bool narrow = box.right - box.left < NARROW;  // too few columns for spans to pay
    const Spans spans(face, canvas.grid, narrow);
    for (int64_t y = first; y <= last; ++y) {
        const Row of_row(face, canvas.centres.Y[y]);
        const int64_t offset = (y - canvas.top) * canvas.grid.width;
        Span span{box.left, box.right, canvas.centres.X.data(), canvas.keys + offset, peel ? canvas.floor + offset : nullptr};
        if (!narrow) spans.narrow(of_row, span.left, span.right);
        fill_span<peel>(of_row, face.depth, row, canvas.centres.Y[y], span);
    }
}

}  // namespace POLYGLYPH_VARIANT
}  // namespace polyglyph
