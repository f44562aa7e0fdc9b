// kernels/lightfield on the CPU: light fields of silhouettes described, and compared.
#include <cmath>
#include <cstdlib>
#include <vector>

#include "export.h"
#include "outline.h"
#include "pool.h"

namespace polyglyph {
namespace {

void describe(
    const uint8_t* masks, int64_t sets, int64_t views, int64_t height, int64_t width, int64_t side, int64_t count,
    double* tables, double* rest, int64_t threads
) {
    const int64_t pixels = height * width;
    std::vector<Extent> extents(sets * views);
    const auto image = [&](int64_t n) { return Silhouette{masks + n * pixels, int32_t(height), int32_t(width)}; };
    parallel_for(sets * views, threads, [&](int64_t n) {
        std::vector<uint8_t> pictures(OutlineMemory::PICTURES * pixels);
        std::vector<int32_t> list(pixels);
        const Extent extent = extents[n] = measure(image(n));
        double* to = rest + n * (count + 2);
        to[count] = extent.circularity, to[count + 1] = extent.eccentricity;
        uint8_t* own = pictures.data();
        outline_numbers(image(n), extent, {own, own + pixels, own + 2 * pixels, list.data()}, count, to);
    });
    parallel_for(sets * views, threads, [&](int64_t n) {
        const Extent* field = extents.data() + n / views * views;
        double farthest = 0;
        for (int64_t view = 0; view < views; ++view) farthest = most(farthest, field[view].farthest);
        splat(image(n), extents[n], farthest > 0 ? std::sqrt(farthest) : 1, int32_t(side), tables + n * side * side);
    });
}

// The numbers of many images, each as often as it weighs: a weighted difference is then a plain one, which compilers
// turn into sums of absolute differences of bytes. Rows are padded with zeros.
class Weighted {
public:
    Weighted(const uint8_t* numbers, int64_t images, const int32_t* weights, int64_t count) {
        for (int64_t n = 0; n < count; ++n) stride_ += weights[n];
        stride_ = (stride_ + ROW - 1) / ROW * ROW;
        rows_.resize(images * stride_);
        for (int64_t image = 0; image < images; ++image) {
            uint8_t* to = rows_.data() + image * stride_;
            for (int64_t n = 0; n < count; ++n)
                for (int32_t copy = 0; copy < weights[n]; ++copy) *to++ = numbers[image * count + n];
        }
    }

    int32_t difference(int64_t image, const Weighted& other, int64_t its) const {
        const uint8_t *a = rows_.data() + image * stride_, *b = other.rows_.data() + its * stride_;
        int32_t sum = 0;
        for (int64_t n = 0; n < stride_; n += ROW)
            for (int64_t k = 0; k < ROW; ++k) sum += std::abs(int32_t(a[n + k]) - int32_t(b[n + k]));
        return sum;
    }

private:
    static constexpr int64_t ROW = 64;
    int64_t stride_ = 0;
    std::vector<uint8_t> rows_;
};

struct Shape {
    int64_t sets, views;
    HD int64_t images() const { return sets * views; }
};

int32_t distance(
    const Weighted& a, int64_t i, const Weighted& b, int64_t j, Shape shape, const int32_t* alignments, int64_t count,
    int32_t* cost
) {
    int32_t best = INT32_MAX;
    for (int64_t s = 0; s < shape.sets; ++s)
        for (int64_t t = 0; t < shape.sets; ++t) {
            const int64_t first = (i * shape.sets + s) * shape.views, second = (j * shape.sets + t) * shape.views;
            for (int64_t u = 0; u < shape.views; ++u)
                for (int64_t v = 0; v < shape.views; ++v)
                    cost[u * shape.views + v] = a.difference(first + u, b, second + v);
            best = least(best, best_alignment(cost, alignments, count, shape.views));
        }
    return best;
}

void match(
    const uint8_t* a, int64_t rows, const uint8_t* b, int64_t columns, Shape shape, const int32_t* weights,
    int64_t numbers, const int32_t* alignments, int64_t count, int32_t* distances, int64_t threads
) {
    const Weighted of_a(a, rows * shape.images(), weights, numbers);
    const Weighted of_b(b, columns * shape.images(), weights, numbers);
    parallel_runs(rows * columns, 4, threads, [&](int64_t first, int64_t last) {
        std::vector<int32_t> cost(shape.views * shape.views);
        for (int64_t n = first; n < last; ++n)
            distances[n] = distance(of_a, n / columns, of_b, n % columns, shape, alignments, count, cost.data());
    });
}

}  // namespace
}  // namespace polyglyph

using namespace polyglyph;

extern "C" {

// masks [sets, views, height, width], not 0 for foreground -> tables [sets, views, side, side]: how much each entry
// counts in the mean over the pixels; rest [sets, views, count + 2]: the outline, circularity, eccentricity
POLYGLYPH_EXPORT int polyglyph_lightfield_describe(
    const uint8_t* masks, int64_t sets, int64_t views, int64_t height, int64_t width, int64_t side, int64_t count,
    double* tables, double* rest, int64_t threads
) {
    return guarded([&] { describe(masks, sets, views, height, width, side, count, tables, rest, threads); });
}

// a [rows, sets, views, numbers], b [columns, ...], weights [numbers], alignments [count, views] -> distances
// [rows, columns]
POLYGLYPH_EXPORT int polyglyph_lightfield_match(
    const uint8_t* a, int64_t rows, const uint8_t* b, int64_t columns, int64_t sets, int64_t views,
    const int32_t* weights, int64_t numbers, const int32_t* alignments, int64_t count, int32_t* distances,
    int64_t threads
) {
    return guarded([&] {
        match(a, rows, b, columns, {sets, views}, weights, numbers, alignments, count, distances, threads);
    });
}

}
