// What is compiled for processors with AVX-512.
#define POLYGLYPH_LEVEL 2
#include "processor.h"

#ifdef POLYGLYPH_X86
#include "evaluate_rows.h"
#include "nearest_means.h"
#include "rasterize_groups.h"
#include "soft_mask_rows.h"

namespace polyglyph {

#define WIDE(T)                                                                                                     \
    AVX512 void compare_avx512(Cloud<T>& a, Cloud<T>& b) { compare_clouds(a, b); }                                  \
    AVX512 void draw_avx512(                                                                                        \
        const T* clip, int64_t shift, const int32_t* faces, const std::vector<Entry>& entries, const Canvas& canvas \
    ) {                                                                                                             \
        draw_entries(clip, shift, faces, entries, canvas);                                                          \
    }                                                                                                               \
    AVX512 void pull_avx512(const KnownFaces<T>& scene, const Slab& slab, const Given<T>& given, double* grad) {    \
        pull_rows(scene, slab, given, grad);                                                                        \
    }

WIDE(float)
WIDE(double)

AVX512 void sort_avx512(
    const Place* places, const int32_t* faces, int64_t from, int64_t to, Grid grid, const Bands& bands
) {
    sort_faces(places, faces, from, to, grid, bands);
}

namespace soft {

AVX512 void measure_avx512(
    const Outline& outline, const double* X, double Y, int count, double* squared, double* edge
) {
    measure_row(outline, X, Y, count, squared, edge);
}

}  // namespace soft

}  // namespace polyglyph
#endif
