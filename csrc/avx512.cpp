// What is compiled for processors with AVX-512.
#define POLYGLYPH_LEVEL 2
#include "rasterize_rows.h"
#include "soft_mask_rows.h"

#ifdef POLYGLYPH_X86
namespace polyglyph {

#define WIDE(T)                                                                                                     \
    AVX512 void draw_avx512(                                                                                        \
        const T* clip, int64_t shift, const int32_t* faces, const std::vector<Entry>& entries, const Canvas& canvas \
    ) {                                                                                                             \
        draw_entries(clip, shift, faces, entries, canvas);                                                          \
    }

WIDE(float)
WIDE(double)

namespace soft {

AVX512 void measure_avx512(
    const Outline& outline, const double* X, double Y, int count, double* squared, double* edge
) {
    measure_row(outline, X, Y, count, squared, edge);
}

}  // namespace soft

}  // namespace polyglyph
#endif
