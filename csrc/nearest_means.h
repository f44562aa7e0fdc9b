// All distances of two small clouds, several side by side: both clouds' nearest ones in one pass. Compiled once for
// each kind of processor.
#pragma once

#include <cstring>
#include <vector>

#include "nearest.h"
#include "processor.h"

namespace polyglyph {

// A cloud's coordinates apart, and the squared distance of each point to the nearest of the other cloud. Points beyond
// `count`, up to whole vectors, lie at infinity.
template <class T>
struct Cloud {
    static constexpr int64_t WHOLE = 64 / sizeof(T);
    int64_t count = 0, padded = 0;
    std::vector<T> x, y, z, squared;

    void load(const T* points, int64_t many) {
        count = many, padded = (many + WHOLE - 1) / WHOLE * WHOLE;
        for (std::vector<T>* axis : {&x, &y, &z}) axis->assign(padded, T(INFINITY));
        squared.assign(padded, T(INFINITY));
        for (int64_t n = 0; n < many; ++n) x[n] = points[3 * n], y[n] = points[3 * n + 1], z[n] = points[3 * n + 2];
    }
};

inline namespace POLYGLYPH_VARIANT {

// As many numbers as a register holds, and as many rows as there are registers for.
template <class T>
struct Wide {
#if !defined(POLYGLYPH_PORTABLE) && (defined(__GNUC__) || defined(__clang__))
    static constexpr int BYTES = POLYGLYPH_LEVEL == 2 ? 64 : POLYGLYPH_LEVEL == 1 ? 32 : 16;
    typedef T Numbers __attribute__((vector_size(BYTES)));
#else
    typedef T Numbers;
#endif
    static constexpr int64_t WIDTH = sizeof(Numbers) / sizeof(T), ROWS = POLYGLYPH_LEVEL == 2 ? 4 : 2;

    HD static Numbers load(const T* from) {
        Numbers found;
        std::memcpy(&found, from, sizeof found);
        return found;
    }
    HD static void store(const Numbers& numbers, T* to) { std::memcpy(to, &numbers, sizeof numbers); }
};

// Points [first, first + ROWS) of a, as far as there are any, against all of b.
template <class T>
HD void compare_rows(Cloud<T>& a, int64_t first, Cloud<T>& b) {
    using Numbers = typename Wide<T>::Numbers;
    constexpr int64_t ROWS = Wide<T>::ROWS, WIDTH = Wide<T>::WIDTH;
    Numbers x[ROWS], y[ROWS], z[ROWS], nearest[ROWS];
    for (int64_t row = 0; row < ROWS; ++row) {
        const int64_t from = least(first + row, a.count - 1);
        const Numbers none{};
        x[row] = none + a.x[from], y[row] = none + a.y[from], z[row] = none + a.z[from];
        nearest[row] = none + T(INFINITY);
    }
    for (int64_t n = 0; n < b.padded; n += WIDTH) {
        const Numbers bx = Wide<T>::load(&b.x[n]), by = Wide<T>::load(&b.y[n]), bz = Wide<T>::load(&b.z[n]);
        Numbers back = Wide<T>::load(&b.squared[n]);
        for (int64_t row = 0; row < ROWS; ++row) {
            const Numbers dx = bx - x[row], dy = by - y[row], dz = bz - z[row];
            const Numbers squared = dx * dx + dy * dy + dz * dz;
            nearest[row] = squared < nearest[row] ? squared : nearest[row];
            back = squared < back ? squared : back;
        }
        Wide<T>::store(back, &b.squared[n]);
    }
    for (int64_t row = 0; row < ROWS && first + row < a.count; ++row) {
        T found[WIDTH], best = T(INFINITY);
        Wide<T>::store(nearest[row], found);
        for (int64_t n = 0; n < WIDTH; ++n) best = least(best, found[n]);
        a.squared[first + row] = best;
    }
}

template <class T>
HD void compare_clouds(Cloud<T>& a, Cloud<T>& b) {
    for (int64_t first = 0; first < a.count; first += Wide<T>::ROWS) compare_rows(a, first, b);
}

}  // namespace POLYGLYPH_VARIANT

template <class T>
using CompareClouds = void(Cloud<T>&, Cloud<T>&);

#ifdef POLYGLYPH_X86
CompareClouds<float> compare_avx2, compare_avx512;
CompareClouds<double> compare_avx2, compare_avx512;
#endif

}  // namespace polyglyph
