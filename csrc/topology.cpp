// Which faces share an edge, and which vertices coincide: kernels/antialias/topology.py on the CPU.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include "export.h"

namespace polyglyph {
namespace {

// Half-edges are gathered by their lower vertex; within such a group, which is small on any ordinary mesh, equal upper
// vertices make an edge.
void link(const int32_t* corner, int64_t faces, int64_t vertices, int32_t* following) {
    struct Half {
        int32_t upper, half;
    };
    const auto ends = [&](int64_t half, int32_t& lower, int32_t& upper) {
        const int32_t* face = corner + half / 3 * 3;
        const int32_t a = face[(half + 1) % 3], b = face[(half + 2) % 3];
        lower = std::min(a, b), upper = std::max(a, b);
    };
    std::vector<int64_t> start(vertices + 1, 0);
    std::vector<Half> halves(3 * faces);
    int32_t lower, upper;
    for (int64_t half = 0; half < 3 * faces; ++half) ends(half, lower, upper), ++start[lower + 1];
    for (int64_t vertex = 0; vertex < vertices; ++vertex) start[vertex + 1] += start[vertex];
    std::vector<int64_t> next(start.begin(), start.end() - 1);
    for (int64_t half = 0; half < 3 * faces; ++half) {
        ends(half, lower, upper);
        halves[next[lower]++] = {upper, int32_t(half)};
    }
    for (int64_t vertex = 0; vertex < vertices; ++vertex) {
        const auto first = halves.begin() + start[vertex], last = halves.begin() + start[vertex + 1];
        std::sort(first, last, [](const Half& a, const Half& b) {
            return a.upper != b.upper ? a.upper < b.upper : a.half < b.half;
        });
        for (auto from = first; from != last;) {
            auto to = from;
            while (to + 1 != last && (to + 1)->upper == from->upper) following[to->half] = (to + 1)->half, ++to;
            following[to->half] = from->half;
            from = to + 1;
        }
    }
}

// The first row that equals each row of `bytes` bytes.
void weld(const char* rows, int64_t count, int64_t bytes, int32_t* first) {
    uint64_t size = 16;
    while (size < uint64_t(count) * 2) size *= 2;
    std::vector<int32_t> table(size, -1);
    for (int64_t row = 0; row < count; ++row) {
        uint64_t hash = 1469598103934665603ull;
        for (int64_t byte = 0; byte + 4 <= bytes; byte += 4) {
            uint32_t word;
            std::memcpy(&word, rows + row * bytes + byte, 4);
            hash = (hash ^ word) * 1099511628211ull;
        }
        hash ^= hash >> 32;
        for (uint64_t place = hash;; ++place) {
            int32_t& held = table[place & (size - 1)];
            if (held < 0) held = int32_t(row);
            if (std::memcmp(rows + held * bytes, rows + row * bytes, bytes) != 0) continue;
            first[row] = held;
            break;
        }
    }
}

}  // namespace
}  // namespace polyglyph

using namespace polyglyph;

// corner [faces, 3] -> following [3 · faces]
POLYGLYPH_EXPORT int polyglyph_topology(
    const int32_t* corner, int64_t faces, int64_t vertices, int32_t* following, int64_t
) {
    return guarded([&] { link(corner, faces, vertices, following); });
}

// rows [count] of `bytes` bytes, a multiple of 4 -> first [count]
POLYGLYPH_EXPORT int polyglyph_weld(const char* rows, int64_t count, int64_t bytes, int32_t* first, int64_t) {
    return guarded([&] { weld(rows, count, bytes, first); });
}
