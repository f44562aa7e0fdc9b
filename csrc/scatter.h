// Sums from pixels to vertices in a fixed order, whatever the number of threads: pixels are cut into slabs of rows,
// each slab sums into a buffer of its own, and the buffers are added in their order.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>
#include <utility>
#include <vector>

#include "common.h"
#include "pool.h"

namespace polyglyph {

struct Slab {
    int64_t first_row, last_row;  // rows of pixels, counted over the batch
    int64_t low, high;            // the rows of the output that it can reach
};

struct Slabs {
    std::vector<Slab> list;
    int64_t outputs;
};

// How a batch is cut depends on its size alone, so that sums do not depend on the number of threads.
constexpr int64_t SLABS = 16, SLAB_PIXELS = 1 << 17;

// `vertices_per_image` is 0 when images share one list of vertices; then a slab's reach is found by looking.
inline Slabs slabs_of(
    const int32_t* ids, const int32_t* faces, int64_t images, int64_t height, int64_t width,
    int64_t vertices_per_image, int64_t vertices, int64_t threads
) {
    Slabs slabs{{}, vertices};
    const auto cut = [&](int64_t first, int64_t rows, int64_t parts, int64_t low, int64_t high) {
        for (int64_t part = 0; part < parts; ++part) {
            const int64_t from = first + rows * part / parts, to = first + rows * (part + 1) / parts;
            if (from < to) slabs.list.push_back({from, to, low, high});
        }
    };
    if (vertices_per_image > 0 && images > 0) {
        const int64_t parts = clamped<int64_t>(height * width / SLAB_PIXELS, 1, most<int64_t>(1, SLABS / images));
        for (int64_t image = 0; image < images; ++image)
            cut(image * height, height, parts, image * vertices_per_image, (image + 1) * vertices_per_image);
        return slabs;
    }
    cut(0, images * height, clamped<int64_t>(images * height * width / SLAB_PIXELS, 4, SLABS), 0, 0);
    parallel_for(int64_t(slabs.list.size()), threads, [&](int64_t n) {
        Slab& slab = slabs.list[n];
        int32_t held = -1, low = INT32_MAX, high = -1;
        for (int64_t pixel = slab.first_row * width; pixel < slab.last_row * width; ++pixel) {
            if (ids[pixel] < 0 || ids[pixel] == held) continue;
            held = ids[pixel];
            for (int i = 0; i < 3; ++i) {
                const int32_t vertex = faces[3 * int64_t(held) + i];
                low = least(low, vertex), high = most(high, vertex);
            }
        }
        slab.low = high < 0 ? 0 : low, slab.high = high + 1;
    });
    return slabs;
}

// Whether every row of the output belongs to exactly one slab.
inline bool partition(const Slabs& slabs) {
    int64_t end = 0;
    for (const Slab& slab : slabs.list) {
        if (slab.low != end) return false;
        end = slab.high;
    }
    return end == slabs.outputs;
}

// What a slab sums into; zeros at first. Pages that no pixel reaches are never touched.
template <class Sum>
class Sums {
public:
    void allocate(const Slab& slab, int64_t channels) {
        if (slab.low == slab.high) return;
        memory_.reset(static_cast<Sum*>(std::calloc((slab.high - slab.low) * channels, sizeof(Sum))));
        if (!memory_) throw std::bad_alloc();
    }
    Sum* get() const { return memory_.get(); }

private:
    struct Free {
        void operator()(Sum* p) const { std::free(p); }
    };
    std::unique_ptr<Sum, Free> memory_;
};

// Writes out [outputs, channels]. `body(slab, reach)` is called once for each slab; reach(row) is where it adds to
// that row's channels.
template <class Sum, class T, class F>
void scatter(const Slabs& slabs, int64_t channels, T* out, int64_t threads, F&& body) {
    const int64_t count = int64_t(slabs.list.size());
    const bool alone = partition(slabs);  // then a slab's sums are written while they are in the cache
    std::vector<Sums<Sum>> sums(count);
    parallel_for(count, threads, [&](int64_t n) {
        const Slab& slab = slabs.list[n];
        Sums<Sum> own;
        own.allocate(slab, channels);
        Sum* base = own.get();
        if (base) body(slab, [=](int64_t row) { return base + (row - slab.low) * channels; });
        if (alone) std::copy(base, base + (slab.high - slab.low) * channels, out + slab.low * channels);
        else sums[n] = std::move(own);
    });
    if (alone) return;
    parallel_runs(slabs.outputs, 4096, threads, [&](int64_t first, int64_t last) {
        std::fill(out + first * channels, out + last * channels, T(0));
        for (int64_t n = 0; n < count; ++n) {
            const Slab& slab = slabs.list[n];
            const int64_t from = most(first, slab.low), to = least(last, slab.high);
            const Sum* sum = sums[n].get();
            for (int64_t i = from * channels; i < to * channels; ++i) out[i] += T(sum[i - slab.low * channels]);
        }
    });
}

}  // namespace polyglyph
