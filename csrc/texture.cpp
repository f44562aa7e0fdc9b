// kernels/texture on the CPU. Gradients of texels are summed in the order of the samples, whatever the number of
// threads: one thread adds as it goes; several first list, for bands of texels, which samples reach them, and then
// each band is summed by one thread.
#include "texture.h"

#include <cstdint>
#include <vector>

#include "export.h"
#include "pool.h"

namespace polyglyph::lookup {
namespace {

constexpr int64_t CHUNK = 8192;  // samples that one task takes
constexpr int BATCH = 16;       // samples whose texels are fetched from memory at once

// Each level is cut into so many bands of texels, and band n is the n-th of every level: those that a sample blends lie
// in the same place of their levels, so most samples reach one band only.
constexpr int64_t BANDS = 64;

template <class T>
struct Sums {
    T* base;
    T* coarse;
    int64_t base_rows, channels;

    T* row(int64_t n) const { return n < base_rows ? base + n * channels : coarse + (n - base_rows) * channels; }
};

template <int G, class T>
void add_group(T* sum, T weight, const T* grad) {
    for (int g = 0; g < G; ++g) sum[g] += weight * grad[g];
}

template <class T>
void add(T* sum, T weight, const T* grad, int64_t channels) {
    if (channels == 3) return add_group<3>(sum, weight, grad);
    int64_t first = 0;
    for (; first + 4 <= channels; first += 4) add_group<4>(sum + first, weight, grad + first);
    for (; first < channels; ++first) add_group<1>(sum + first, weight, grad + first);
}

// body(level of the sample, row, weight)
template <class T, class F>
void each_tap(const Found<T>& found, F&& body) {
    for (int64_t n = 0; n < found.count; ++n)
        for (int k = 0; k < 4; ++k)
            if (found.taps[n].row[k] >= 0) body(n, found.taps[n].row[k], found.taps[n].weight[k] * found.share[n]);
}

inline void prefetch(const void* place) {
#if defined(__GNUC__) || defined(__clang__)
    __builtin_prefetch(place);
#else
    (void)place;
#endif
}

// body(sample, found) for samples [first, last) that are `wanted`; the others have found.count = 0.
template <class T, class W, class P, class F>
void each_sample(const View<T>& view, int64_t first, int64_t last, W&& wanted, P&& fetch, F&& body) {
    Found<T> found[BATCH];
    for (; first < last; first += BATCH) {
        const int64_t count = least<int64_t>(BATCH, last - first);
        for (int64_t i = 0; i < count; ++i) {
            found[i].count = 0, found[i].slopes = false;
            if (!wanted(first + i)) continue;
            find(view, first + i, found[i]);
            each_tap(found[i], [&](int64_t, int64_t row, T) { fetch(row); });
        }
        for (int64_t i = 0; i < count; ++i) body(first + i, found[i]);
    }
}

template <class T>
void forward(const View<T>& view, T* out, int64_t threads) {
    parallel_runs(view.samples, CHUNK, threads, [&](int64_t first, int64_t last) {
        each_sample(
            view, first, last, [](int64_t) { return true; }, [&](int64_t row) { prefetch(view.texel(row)); },
            [&](int64_t sample, const Found<T>& found) { blend_all(view, found, out + sample * view.channels); }
        );
    });
}

// Which band the rows of a sample's levels are in.
template <class T>
struct Bands {
    int64_t start[2], rows[2];

    Bands(const Stack& stack, const Found<T>& found) {
        for (int64_t n = 0; n < found.count; ++n)
            start[n] = stack.start(found.level[n]), rows[n] = stack.rows(found.level[n]);
    }
    int64_t of(int64_t n, int64_t row) const { return (row - start[n]) * BANDS / rows[n]; }
};

using Lists = std::vector<std::vector<int64_t>>;  // [chunks * BANDS] of samples

template <class T>
void sum_bands(const View<T>& view, const T* grad, const Lists& lists, const Sums<T>& sums, int64_t threads) {
    parallel_for(BANDS, threads, [&](int64_t band) {
        for (size_t chunk = 0; chunk < lists.size() / BANDS; ++chunk)
            for (const int64_t sample : lists[chunk * BANDS + band]) {
                Found<T> found;
                find(view, sample, found);
                const Bands<T> bands(view.stack, found);
                each_tap(found, [&](int64_t n, int64_t row, T weight) {
                    if (bands.of(n, row) != band) return;
                    add(sums.row(row), weight, grad + sample * view.channels, view.channels);
                });
            }
    });
}

template <class T>
void list(const Stack& stack, int64_t sample, const Found<T>& found, std::vector<int64_t>* lists) {
    const Bands<T> bands(stack, found);
    uint64_t reached = 0;
    each_tap(found, [&](int64_t n, int64_t row, T) { reached |= uint64_t(1) << bands.of(n, row); });
    for (int64_t band = 0; reached; ++band, reached >>= 1)
        if (reached & 1) lists[band].push_back(sample);
}

// `sums.base` is null where texels need no gradient.
template <class T>
void backward(const View<T>& view, const T* grad, const Sums<T>& sums, const Gradients<T>& to, int64_t threads) {
    const int64_t channels = view.channels, chunks = (view.samples + CHUNK - 1) / CHUNK;
    const bool direct = sums.base && threads == 1;
    Lists lists(sums.base && !direct ? chunks * BANDS : 0);
    parallel_runs(view.samples, CHUNK, threads, [&](int64_t first, int64_t last) {
        const auto wanted = [&](int64_t sample) {
            for (int64_t c = 0; c < channels; ++c)
                if (grad[sample * channels + c] != 0) return true;
            return false;
        };
        const auto fetch = [&](int64_t row) {
            if (to.wanted()) prefetch(view.texel(row));
            if (direct) prefetch(sums.row(row));
        };
        each_sample(view, first, last, wanted, fetch, [&](int64_t sample, const Found<T>& found) {
            const T* own = grad + sample * channels;
            if (to.wanted()) pull_sample(view, sample, found, own, to);
            const auto add_here = [&](int64_t, int64_t row, T weight) { add(sums.row(row), weight, own, channels); };
            if (direct) each_tap(found, add_here);
            else if (sums.base) list(view.stack, sample, found, &lists[first / CHUNK * BANDS]);
        });
    });
    if (!lists.empty()) sum_bands(view, grad, lists, sums, threads);
}

}  // namespace
}  // namespace polyglyph::lookup

using namespace polyglyph;
using namespace polyglyph::lookup;

#define TEXTURE(T, NAME)                                                                                         \
    /* -> out [samples, channels] */                                                                             \
    POLYGLYPH_EXPORT int polyglyph_texture_##NAME(VIEW(T), T* out, int64_t threads) {                            \
        return guarded([&] {                                                                                     \
            VIEWED(T);                                                                                           \
            forward(view, out, threads);                                                                         \
        });                                                                                                      \
    }                                                                                                            \
    /* grad [samples, channels] -> adds to grad_base and grad_coarse; writes the others. All may be null. */     \
    POLYGLYPH_EXPORT int polyglyph_texture_backward_##NAME(                                                      \
        VIEW(T), const T* grad, T* grad_base, T* grad_coarse, T* grad_coordinates, T* grad_derivative,           \
        T* grad_level, int64_t threads                                                                           \
    ) {                                                                                                          \
        return guarded([&] {                                                                                     \
            VIEWED(T);                                                                                           \
            const Sums<T> sums{grad_base, grad_coarse, view.base_rows, channels};                                \
            backward(view, grad, sums, {grad_coordinates, grad_derivative, grad_level}, threads);                \
        });                                                                                                      \
    }

TEXTURE(float, f32)
TEXTURE(double, f64)
