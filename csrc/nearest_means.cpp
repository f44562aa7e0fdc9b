// How far one cloud is from each of many, on average: kernels/nearest/means.py on the CPU.
#include <cmath>

#include "export.h"
#include "nearest_means.h"
#include "pool.h"

namespace polyglyph {
namespace {

template <class T>
CompareClouds<T>* compare_for([[maybe_unused]] int level) {
#ifdef POLYGLYPH_X86
    if (level > 1) return compare_avx512;
    if (level > 0) return compare_avx2;
#endif
    return compare_clouds<T>;
}

template <class T>
double mean(const Cloud<T>& cloud, bool squared) {
    double sum = 0;
    for (int64_t n = 0; n < cloud.count; ++n) {
        const double found = double(cloud.squared[n]);
        sum += squared ? found : std::sqrt(found);
    }
    return sum / double(cloud.count);
}

template <class T>
void means(
    const T* one, int64_t points, const T* many, int64_t clouds, int64_t each, bool squared, double* found,
    int64_t threads
) {
    const auto compare = compare_for<T>(vector_level());
    parallel_runs(clouds, 4, threads, [&](int64_t first, int64_t last) {
        Cloud<T> a, b;
        for (int64_t n = first; n < last; ++n) {
            a.load(one, points), b.load(many + 3 * n * each, each);
            compare(a, b);
            found[2 * n] = mean(a, squared), found[2 * n + 1] = mean(b, squared);
        }
    });
}

}  // namespace
}  // namespace polyglyph

using namespace polyglyph;

#define MEANS(T, NAME)                                                                                             \
    /* one [points >= 1, 3], many [clouds, each >= 1, 3], all finite -> found [clouds, 2]: from one, and back */   \
    POLYGLYPH_EXPORT int polyglyph_nearest_means_##NAME(                                                           \
        const T* one, int64_t points, const T* many, int64_t clouds, int64_t each, int64_t squared, double* found, \
        int64_t threads                                                                                            \
    ) {                                                                                                            \
        return guarded([&] { means(one, points, many, clouds, each, squared != 0, found, threads); });             \
    }

MEANS(float, f32)
MEANS(double, f64)
