// kernels/nearest on CUDA: every query looks at every point. Threads of a block read the same point at the same time.
#include "cuda.h"
#include "nearest.h"

namespace polyglyph {

template <class T>
HD int64_t nearest_of(const T* query, const T* points, int64_t among) {
    const T x = query[0], y = query[1], z = query[2];
    T best = squared_distance(points[0], points[1], points[2], x, y, z);
    int64_t found = 0;
    for (int64_t n = 1; n < among; ++n) {
        const T* p = points + 3 * n;
        const T squared = squared_distance(p[0], p[1], p[2], x, y, z);
        if (squared < best) best = squared, found = n;
    }
    return found;
}

}  // namespace polyglyph

using namespace polyglyph;

#define KERNELS(T, NAME)                                                                             \
    extern "C" __global__ void nearest_##NAME(                                                       \
        int64_t count, const T* query, const T* points, int64_t among, int64_t* index                \
    ) {                                                                                              \
        ELEMENT(i, count)                                                                            \
        index[i] = nearest_of(query + 3 * i, points, among);                                         \
    }                                                                                                \
    EMULATED(nearest_##NAME)

KERNELS(float, f32)
KERNELS(double, f64)
