// How far a face is from the pixels of a row, for kernels/soft_mask on the CPU. Compiled once for each kind of processor.
#pragma once

#include <cstring>

#include "lanes.h"
#include "soft_mask.h"

namespace polyglyph {
namespace soft {

inline namespace POLYGLYPH_VARIANT {

// Outline::measure of `count` pixels of one row, LANES at a time. X, squared and edge have room for LANES more.
HD void measure_row(const Outline& outline, const double* X, double Y, int count, double* squared, double* edge) {
    for (int n = 0; n < count; n += LANES) {
        Lanes x, s, e;
        std::memcpy(&x, X + n, sizeof x);
        outline.measure(x, Y, s, e);
        std::memcpy(squared + n, &s, sizeof s);
        std::memcpy(edge + n, &e, sizeof e);
    }
}

}  // namespace POLYGLYPH_VARIANT

using MeasureRow = void(const Outline&, const double*, double, int, double*, double*);

#ifdef POLYGLYPH_X86
MeasureRow measure_avx2, measure_avx512;
#endif

}  // namespace soft
}  // namespace polyglyph
