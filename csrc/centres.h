// Where pixel centres are, once for a picture.
#pragma once

#include <vector>

#include "common.h"

namespace polyglyph {

// Pixels beyond a row that vector units may read, and write where there is something to write.
constexpr int64_t ROW_PADDING = 8;

struct Centres {
    std::vector<double> X, Y;

    explicit Centres(Grid grid) : X(grid.width + ROW_PADDING), Y(grid.height) {
        for (int64_t x = 0; x < grid.width; ++x) X[x] = centre_x(x, grid);
        for (int64_t y = 0; y < grid.height; ++y) Y[y] = centre_y(y, grid);
    }
};

}  // namespace polyglyph
