// The arithmetic of kernels/lightfield: its __init__.py says what is meant.
#pragma once

#include "common.h"

namespace polyglyph {

// One silhouette: what is not 0 is foreground. Row 0 is the lowest.
struct Silhouette {
    const uint8_t* mask;
    int32_t height, width;

    HD bool at(int32_t x, int32_t y) const {
        return x >= 0 && x < width && y >= 0 && y < height && mask[int64_t(y) * width + x];
    }
};

// What `measure` finds of a silhouette, all 0 without foreground. The centre is the middle of its pixels' bounding box.
struct Extent {
    double x, y, farthest;  // centre; largest squared distance of a pixel from it
    double circularity, eccentricity;
    int64_t area;
};

HD bool on_border(const Silhouette& image, int32_t x, int32_t y) {
    for (int32_t dy = -1; dy <= 1; ++dy)
        for (int32_t dx = -1; dx <= 1; ++dx)
            if (!image.at(x + dx, y + dy)) return true;
    return false;
}

HD Extent measure(const Silhouette& image) {
    int32_t left = image.width, right = -1, bottom = image.height, top = -1;
    int64_t area = 0, border = 0;
    for (int32_t y = 0; y < image.height; ++y)
        for (int32_t x = 0; x < image.width; ++x) {
            if (!image.at(x, y)) continue;
            left = least(left, x), right = most(right, x), bottom = least(bottom, y), top = most(top, y);
            ++area, border += on_border(image, x, y);
        }
    if (area == 0) return {};
    Extent found{0.5 * (left + right), 0.5 * (bottom + top), 0, 0, 0, area};
    double m20 = 0, m02 = 0, m11 = 0;
    for (int32_t y = bottom; y <= top; ++y)
        for (int32_t x = left; x <= right; ++x) {
            if (!image.at(x, y)) continue;
            const double dx = x - found.x, dy = y - found.y;
            m20 += dx * dx, m02 += dy * dy, m11 += dx * dy;
            found.farthest = most(found.farthest, dx * dx + dy * dy);
        }
    const double length = double(border), pi = 3.14159265358979323846;
    if (border > 0) found.circularity = least(1.0, 4 * pi * double(area) / (length * length));
    const double spread = m20 + m02, skew = m20 - m02;
    if (area > 1 && spread > 0) found.eccentricity = least(1.0, (skew * skew + 4 * m11 * m11) / (spread * spread));
    return found;
}

// How much a table [side, side], which spans the disc of `radius` about the centre, counts at each of its entries in the
// mean over the pixels of bilinear lookups.
HD void splat(const Silhouette& image, const Extent& extent, double radius, int32_t side, double* table) {
    for (int64_t n = 0; n < int64_t(side) * side; ++n) table[n] = 0;
    const double half = 0.5 * (side - 1), share = 1 / double(extent.area);
    for (int32_t y = 0; y < image.height; ++y) {
        const double row = (y - extent.y) / radius * half + half;
        const int32_t i = int32_t(row);
        const double down = row - i;
        for (int32_t x = 0; x < image.width; ++x) {
            if (!image.at(x, y)) continue;
            const double column = (x - extent.x) / radius * half + half;
            const int32_t j = int32_t(column);
            const double along = column - j;
            double* entry = table + int64_t(i) * side + j;
            const bool right = j + 1 < side, above = i + 1 < side;  // beyond lies nothing
            entry[0] += share * (1 - down) * (1 - along);
            if (right) entry[1] += share * (1 - down) * along;
            if (above) entry[side] += share * down * (1 - along);
            if (right && above) entry[side + 1] += share * down * along;
        }
    }
}

// The smallest sum, over `count` alignments, of the costs [views, views] of one light field's images against another's.
HD int32_t best_alignment(const int32_t* cost, const int32_t* alignments, int64_t count, int64_t views) {
    int32_t best = 2147483647;
    for (int64_t n = 0; n < count; ++n) {
        int32_t sum = 0;
        for (int64_t view = 0; view < views; ++view) sum += cost[view * views + alignments[n * views + view]];
        best = least(best, sum);
    }
    return best;
}

}  // namespace polyglyph
