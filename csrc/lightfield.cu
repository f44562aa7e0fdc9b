// kernels/lightfield on CUDA: one thread an image, or a pair of light fields.
#include "cuda.h"
#include "outline.h"

using namespace polyglyph;

// rest [images, count + 2]: the outline's numbers, circularity, eccentricity. extents [images, 4]: centre, largest
// squared distance, area. pictures [images, 3, H, W] and list [images, H, W] are memory.
extern "C" __global__ void lightfield_measure(
    int64_t images, const uint8_t* masks, int64_t height, int64_t width, int64_t count, uint8_t* pictures,
    int32_t* list, double* extents, double* rest
) {
    ELEMENT(n, images)
    const int64_t pixels = height * width;
    const Silhouette image{masks + n * pixels, int32_t(height), int32_t(width)};
    const Extent extent = measure(image);
    uint8_t* own = pictures + n * OutlineMemory::PICTURES * pixels;
    double* to = rest + n * (count + 2);
    to[count] = extent.circularity, to[count + 1] = extent.eccentricity;
    outline_numbers(image, extent, {own, own + pixels, own + 2 * pixels, list + n * pixels}, count, to);
    double* told = extents + 4 * n;
    told[0] = extent.x, told[1] = extent.y, told[2] = extent.farthest, told[3] = double(extent.area);
}
EMULATED(lightfield_measure)

extern "C" __global__ void lightfield_splat(
    int64_t images, const uint8_t* masks, int64_t height, int64_t width, const double* extents, const double* radii,
    int64_t side, double* tables
) {
    ELEMENT(n, images)
    const Silhouette image{masks + n * height * width, int32_t(height), int32_t(width)};
    const double* told = extents + 4 * n;
    const Extent extent{told[0], told[1], told[2], 0, 0, int64_t(told[3])};
    splat(image, extent, radii[n], int32_t(side), tables + n * side * side);
}
EMULATED(lightfield_splat)

// distances [rows, columns, sets, sets], of one light field to another; cost [.., views, views] is memory.
extern "C" __global__ void lightfield_match(
    int64_t pairs, const uint8_t* a, const uint8_t* b, int64_t columns, int64_t sets, int64_t views,
    const int32_t* weights, int64_t numbers, const int32_t* alignments, int64_t count, int32_t* cost, int32_t* distances
) {
    ELEMENT(n, pairs)
    const int64_t t = n % sets, s = n / sets % sets, shapes = n / sets / sets;
    const uint8_t* first = a + (shapes / columns * sets + s) * views * numbers;
    const uint8_t* second = b + (shapes % columns * sets + t) * views * numbers;
    int32_t* own = cost + n * views * views;
    for (int64_t u = 0; u < views; ++u)
        for (int64_t v = 0; v < views; ++v) {
            int32_t sum = 0;
            for (int64_t k = 0; k < numbers; ++k) {
                const int32_t apart = int32_t(first[u * numbers + k]) - int32_t(second[v * numbers + k]);
                sum += weights[k] * (apart < 0 ? -apart : apart);
            }
            own[u * views + v] = sum;
        }
    distances[n] = best_alignment(own, alignments, count, views);
}
EMULATED(lightfield_match)
