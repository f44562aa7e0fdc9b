// Which faces a batch draws, numbered over all its images. The numbers of kernels/ragged.py.
#pragma once

#include "common.h"

namespace polyglyph {

struct Drawn {
    const int32_t* faces;
    const int64_t* starts;  // ragged: running count of faces before each image; null: every image draws all faces
    const int64_t* firsts;  // ragged: the first face of each image
    int64_t images, face_count, vertices_per_image;

    HD int64_t image_of(int64_t i) const {
        if (!starts) return i / face_count;
        int64_t low = 0, high = images;
        while (high - low > 1) {
            const int64_t middle = (low + high) / 2;
            if (starts[middle] <= i) low = middle;
            else high = middle;
        }
        return low;
    }
    HD int32_t face_of(int64_t i, int64_t image) const {
        return int32_t(starts ? firsts[image] + i - starts[image] : i % face_count);
    }
};

}  // namespace polyglyph
