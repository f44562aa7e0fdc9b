// The outer contour of a silhouette, and what its distances from the centre are made of. The same in plain loops:
// kernels/lightfield/reference.py.
#pragma once

#include "lightfield.h"

namespace polyglyph {

// Memory for one silhouette: three pictures and a list of pixels.
struct OutlineMemory {
    uint8_t *grown, *other, *marks;
    int32_t* list;

    static constexpr int64_t PICTURES = 3;
};

// Calls visit(x, y) for the pixels of the contour in order, the first one again at the end; returns how many. The first
// is the lowest, then leftmost; the walk looks left-ahead, ahead, right-ahead, then turns right. A lone pixel is one.
template <class F>
HD int64_t trace(const Silhouette& image, F&& visit) {
    int64_t first = 0;
    const int64_t pixels = int64_t(image.height) * image.width;
    while (first < pixels && !image.mask[first]) ++first;
    if (first == pixels) return 0;
    const int32_t start_x = int32_t(first % image.width), start_y = int32_t(first / image.width);
    // A start with a branch up left and no way up: coming back to the branch's side is not yet the end.
    const bool branch = image.at(start_x - 1, start_y + 1) && !image.at(start_x, start_y + 1) &&
                        (image.at(start_x + 1, start_y + 1) || image.at(start_x + 1, start_y));
    int32_t x = start_x, y = start_y, ahead_x = 0, ahead_y = 1;
    visit(x, y);
    for (int64_t count = 1; count < 4 * pixels;) {
        bool moved = false;
        for (int turn = 0; turn < 4 && !moved; ++turn) {
            const int32_t left_x = -ahead_y, left_y = ahead_x;
            for (int32_t side = 1; side >= -1 && !moved; --side) {
                const int32_t to_x = x + ahead_x + side * left_x, to_y = y + ahead_y + side * left_y;
                if (!image.at(to_x, to_y)) continue;
                x = to_x, y = to_y, moved = true;
                if (side == 1) ahead_x = left_x, ahead_y = left_y;
            }
            if (!moved) ahead_x = -left_x, ahead_y = -left_y;
        }
        if (!moved) return count;
        visit(x, y), ++count;
        if (x == start_x && y == start_y && !(branch && ahead_x == 1)) return count;
    }
    return 0;
}

// Whether more than 95 % of the foreground lies on or within the traced contour: what a flood from the border through
// four neighbours, which does not cross the contour, leaves dry.
HD bool is_one_part(const Silhouette& image, const OutlineMemory& memory) {
    const int64_t pixels = int64_t(image.height) * image.width;
    uint8_t* wet = memory.marks;
    for (int64_t n = 0; n < pixels; ++n) wet[n] = 0;
    trace(image, [&](int32_t x, int32_t y) { wet[int64_t(y) * image.width + x] = 1; });
    int64_t waiting = 0, area = 0, outside = 0;
    const auto reach = [&](int32_t x, int32_t y) {
        if (x < 0 || x >= image.width || y < 0 || y >= image.height) return;
        const int64_t n = int64_t(y) * image.width + x;
        if (wet[n]) return;
        wet[n] = 1, outside += image.mask[n] != 0, memory.list[waiting++] = int32_t(n);
    };
    for (int64_t n = 0; n < pixels; ++n) area += image.mask[n] != 0;
    for (int32_t x = 0; x < image.width; ++x) reach(x, 0), reach(x, image.height - 1);
    for (int32_t y = 0; y < image.height; ++y) reach(0, y), reach(image.width - 1, y);
    while (waiting > 0) {
        const int32_t n = memory.list[--waiting], x = n % image.width, y = n / image.width;
        reach(x - 1, y), reach(x + 1, y), reach(x, y - 1), reach(x, y + 1);
    }
    return double(area - outside) > 0.95 * double(area);
}

// Sets every pixel that has foreground within `reach` columns and rows, the corners of that square aside if said.
HD void grow(const Silhouette& image, int32_t reach, bool corners, uint8_t* grown) {
    for (int64_t n = 0; n < int64_t(image.height) * image.width; ++n) grown[n] = 0;
    for (int32_t y = 0; y < image.height; ++y)
        for (int32_t x = 0; x < image.width; ++x) {
            if (!image.at(x, y)) continue;
            for (int32_t row = most(y - reach, 0); row <= least(y + reach, image.height - 1); ++row)
                for (int32_t column = most(x - reach, 0); column <= least(x + reach, image.width - 1); ++column) {
                    const bool end_row = row == y - reach || row == y + reach;
                    const bool end_column = column == x - reach || column == x + reach;
                    if (corners || !end_row || !end_column) grown[int64_t(row) * image.width + column] = 1;
                }
        }
}

// Whether foreground around a pixel stays as connected without it. The ring starts at the right.
HD bool is_spare(const Silhouette& image, int32_t x, int32_t y) {
    const bool ring[10] = {
        image.at(x + 1, y), image.at(x + 1, y + 1), image.at(x, y + 1), image.at(x - 1, y + 1), image.at(x - 1, y),
        image.at(x - 1, y - 1), image.at(x, y - 1), image.at(x + 1, y - 1), image.at(x + 1, y), image.at(x + 1, y + 1),
    };
    int pieces = 0, count = 0;
    for (int n = 0; n < 8; n += 2) pieces += ring[n] && !(ring[n + 1] && ring[n + 2]);
    for (int n = 0; n < 8; ++n) count += ring[n];
    return pieces <= 1 && count != 1;
}

// Takes pixels that the silhouette has not from the grown one, from below, above, left and right in turns, until no
// more can go without cutting it.
HD void thin(const Silhouette& silhouette, const OutlineMemory& memory) {
    const Silhouette grown{memory.grown, silhouette.height, silhouette.width};
    const int32_t width = silhouette.width;
    int64_t left = 0;
    for (int32_t y = 1; y < silhouette.height - 1; ++y)
        for (int32_t x = 1; x < width - 1; ++x) {
            const int32_t n = y * width + x;
            memory.marks[n] = 0;
            if (memory.grown[n] && !silhouette.mask[n]) memory.list[left++] = n;
        }
    const int32_t beside[4] = {-width, width, -1, 1};
    for (bool changed = true; changed;) {
        changed = false;
        for (int side = 0; side < 4; ++side) {
            for (int64_t k = 0; k < left; ++k) {
                const int32_t n = memory.list[k];
                if (!memory.grown[n + beside[side]]) memory.marks[n] = is_spare(grown, n % width, n / width);
            }
            int64_t kept = 0;
            for (int64_t k = 0; k < left; ++k) {
                const int32_t n = memory.list[k];
                if (memory.marks[n]) memory.grown[n] = memory.marks[n] = 0, changed = true;
                else memory.list[kept++] = n;
            }
            left = kept;
        }
    }
}

// The picture whose contour stands for the silhouette's: itself, or if it has several parts, what joins them.
HD const uint8_t* joined(const Silhouette& silhouette, const OutlineMemory& memory) {
    if (is_one_part(silhouette, memory)) return silhouette.mask;
    const Silhouette other{memory.other, silhouette.height, silhouette.width};
    const Silhouette grown{memory.grown, silhouette.height, silhouette.width};
    grow(silhouette, 1, true, memory.grown);
    if (!is_one_part(grown, memory)) {
        grow(grown, 2, false, memory.other);
        const bool one = is_one_part(other, memory);
        int32_t left = silhouette.width, right = -1, bottom = silhouette.height, top = -1;
        for (int32_t y = 0; y < silhouette.height; ++y)
            for (int32_t x = 0; x < silhouette.width; ++x)
                if (silhouette.at(x, y))
                    left = least(left, x), right = most(right, x), bottom = least(bottom, y), top = most(top, y);
        for (int32_t y = 0; y < silhouette.height; ++y)
            for (int32_t x = 0; x < silhouette.width; ++x) {
                const int64_t n = int64_t(y) * silhouette.width + x;
                memory.grown[n] = one ? memory.other[n] : y >= bottom && y <= top && x >= left && x <= right;
            }
    }
    thin(silhouette, memory);
    return memory.grown;
}

// |F_k| / |F_0|, k = 1..count, of the distances from the centre along the contour.
HD void outline_numbers(
    const Silhouette& silhouette, const Extent& extent, const OutlineMemory& memory, int64_t count, double* numbers
) {
    for (int64_t k = 0; k < count; ++k) numbers[k] = 0;
    if (extent.area == 0) return;
    const Silhouette image{joined(silhouette, memory), silhouette.height, silhouette.width};
    const int64_t length = trace(image, [](int32_t, int32_t) {});
    if (length < 8) return;
    const auto distance = [&](int32_t x, int32_t y) {
        return sqrt((x - extent.x) * (x - extent.x) + (y - extent.y) * (y - extent.y));
    };
    double whole = 0;
    trace(image, [&](int32_t x, int32_t y) { whole += distance(x, y); });
    for (int64_t k = 1; k <= least(count, length / 2); ++k) {
        const double angle = 2 * 3.14159265358979323846 * double(k) / double(length);
        const double turn_x = cos(angle), turn_y = sin(angle);
        double at_x = 1, at_y = 0, real = 0, imaginary = 0;
        trace(image, [&](int32_t x, int32_t y) {
            const double d = distance(x, y), next_x = at_x * turn_x - at_y * turn_y;
            real += d * at_x, imaginary += d * at_y;
            at_y = at_x * turn_y + at_y * turn_x, at_x = next_x;
        });
        numbers[k - 1] = sqrt(real * real + imaginary * imaginary) / whole;
    }
}

}  // namespace polyglyph
