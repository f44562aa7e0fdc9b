// The arithmetic of kernels/nearest: its __init__.py says what is meant.
#pragma once

#include "common.h"

namespace polyglyph {

// Differences, never |a|² - 2ab + |b|²: points may lie far from the origin.
template <class T>
HD T squared_distance(T px, T py, T pz, T x, T y, T z) {
    const T dx = px - x, dy = py - y, dz = pz - z;
    return dx * dx + dy * dy + dz * dz;
}

}  // namespace polyglyph
