// Small work on whole tensors. torch would share it among threads of its own, which then spin for a while on the cores
// that the next kernel of this library needs.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include "common.h"
#include "export.h"
#include "pool.h"

namespace polyglyph {
namespace {

constexpr int64_t GRAIN = 1 << 18;  // elements that one thread goes through in less time than it takes to wake another

template <class T>
void index_range(const T* index, int64_t count, int64_t* range, int64_t threads) {
    std::vector<T> lows((count + GRAIN - 1) / GRAIN), highs(lows.size());
    parallel_runs(count, GRAIN, threads, [&](int64_t first, int64_t last) {
        T low = index[first], high = low;
        for (int64_t n = first; n < last; ++n) low = least(low, index[n]), high = most(high, index[n]);
        lows[first / GRAIN] = low, highs[first / GRAIN] = high;
    });
    range[0] = *std::min_element(lows.begin(), lows.end());
    range[1] = *std::max_element(highs.begin(), highs.end());
}

}  // namespace
}  // namespace polyglyph

using namespace polyglyph;

#define INDEX_RANGE(T, NAME)                                                                                     \
    /* index [count >= 1] -> range: the lowest and the highest */                                                \
    POLYGLYPH_EXPORT int polyglyph_index_range_##NAME(                                                           \
        const T* index, int64_t count, int64_t* range, int64_t threads                                           \
    ) {                                                                                                          \
        return guarded([&] { index_range(index, count, range, threads); });                                      \
    }

INDEX_RANGE(int32_t, i32)
INDEX_RANGE(int64_t, i64)

// index [count] -> narrow [count]
POLYGLYPH_EXPORT int polyglyph_narrow(const int64_t* index, int64_t count, int32_t* narrow, int64_t threads) {
    return guarded([&] {
        parallel_runs(count, GRAIN, threads, [&](int64_t first, int64_t last) {
            for (int64_t n = first; n < last; ++n) narrow[n] = int32_t(index[n]);
        });
    });
}

POLYGLYPH_EXPORT int polyglyph_zero(char* memory, int64_t bytes, int64_t threads) {
    return guarded([&] {
        parallel_runs(bytes, GRAIN * 8, threads, [&](int64_t first, int64_t last) {
            std::memset(memory + first, 0, size_t(last - first));
        });
    });
}
