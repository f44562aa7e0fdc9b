// Runs: neighbours in a row of pixels that see the same face. Where faces cover few pixels, LANES runs pass back side by
// side, a pixel of each at a time: the operations of SideBySide, in their order. For AVX-512 alone: what is held at once
// does not fit the registers of AVX2, where it took 1.8 times as long as one run after the other.
#pragma once

#include <vector>

#include "evaluate_faces.h"
#include "lanes.h"

namespace polyglyph {

struct Run {
    int32_t face, length, column;
    int64_t first;  // pixel, counted over the batch
    double Y;
};

#if POLYGLYPH_LEVEL > 1
inline namespace POLYGLYPH_VARIANT {

// The runs of one row after another, found without a branch for each pixel.
class Runs {
public:
    HD explicit Runs(int64_t width) : width_(width), starts_(width + 1), list_(width + LANES) {}

    // Call it when `take` has nothing more to give.
    HD void add_row(const int32_t* of_batch, int64_t row, double Y) {
        if (width_ == 0) return;
        const int64_t first = row * width_;
        const int32_t* ids = of_batch + first;
        held_ -= taken_;
        for (int64_t n = 0; n < held_; ++n) list_[n] = list_[taken_ + n];
        taken_ = 0;
        int64_t count = 1;
        starts_[0] = 0;
        for (int64_t x = 1; x < width_; ++x) {
            starts_[count] = int32_t(x);
            count += ids[x] != ids[x - 1];
        }
        starts_[count] = int32_t(width_);
        for (int64_t n = 0; n < count; ++n) {
            const int32_t x = starts_[n], face = ids[x];
            list_[held_] = {face, starts_[n + 1] - x, x, first + x, Y};
            held_ += face >= 0;
        }
    }

    // The next LANES runs, or at the end what is left; 0 for none.
    HD int take(bool end, const Run*& runs) {
        const int64_t left = held_ - taken_;
        const int count = left >= LANES ? LANES : end ? int(left) : 0;
        runs = list_.data() + taken_;
        taken_ += count;
        return count;
    }

private:
    int64_t width_, held_ = 0, taken_ = 0;
    std::vector<int32_t> starts_;
    std::vector<Run> list_;
};

// Three numbers a pixel, of LANES pixels.
template <class T>
HD void load_three(const T* from, const int64_t* pixel, Lanes* to) {
    for (int lane = 0; lane < LANES; ++lane)
        for (int i = 0; i < 3; ++i) set_lane(to[i], lane, double(from[3 * pixel[lane] + i]));
}

HD void load_three(const float* from, const int64_t* pixel, Lanes* to) {
    const __m128i three = _mm_setr_epi32(-1, -1, -1, 0);  // what follows the last pixel is not ours to read
    __m256 row[4];
    for (int n = 0; n < 4; ++n)
        row[n] = _mm256_set_m128(
            _mm_maskload_ps(from + 3 * pixel[n + 4], three), _mm_maskload_ps(from + 3 * pixel[n], three)
        );
    turn(row, to, 3);
}

// LANES runs or fewer, a pixel of each at a time. Lanes beyond `count` repeat the first run, for nobody.
template <class T>
class SideBySideRuns {
public:
    HD SideBySideRuns(const KnownFaces<T>& scene, int64_t shift, const Run* runs, int count) : count_(count) {
        double Y[LANES];
        for (int lane = 0; lane < LANES; ++lane) {
            const Run& run = runs[lane < count ? lane : 0];
            length_[lane] = run.length;
            longest_ = most(longest_, run.length), pixels_ += run.length;
            first_[lane] = run.first, X_[lane] = &scene.centres.X[run.column], Y[lane] = run.Y;
            for (int i = 0; i < 3; ++i) vertex_[i][lane] = scene.faces[3 * int64_t(run.face) + i];
        }
        std::memcpy(&of_Y_, Y, sizeof Y);
        for (int i = 0; i < 3; ++i) load_lanes(scene.clip + 4 * shift, vertex_[i], c_[i]);
    }

    // Whether the lanes have about as many pixels each: where not, one run after the other is faster.
    HD bool even() const { return 7 * longest_ < 4 * pixels_ + 32; }

    template <bool of_depth>
    HD void pull(const Given<T>& given, double* grad) const {
        Three<Lanes> n[3], back[3]{};
        edges(n);
        Lanes back_z[3]{}, back_w[3]{};  // the direct terms of depth
        const Lanes length = lanes_from(length_);
        for (int32_t step = 0; step < longest_; ++step) {
            int64_t pixel[LANES];
            const Lanes X = go_to(step, pixel);
            Lanes e[3], pull[3]{};
            for (int i = 0; i < 3; ++i) e[i] = n[i].x * X + (n[i].y * of_Y_ + n[i].z);
            const Lanes none{};
            const auto here = length > double(step);
            if (!of_depth || given.barycentric) {
                Lanes g[3];
                load_three(given.barycentric, pixel, g);
                const Lanes per_total = 1 / (e[0] + e[1] + e[2]);
                const Lanes mean = g[0] * (e[0] * per_total) + g[1] * (e[1] * per_total) + g[2] * (e[2] * per_total);
                for (int i = 0; i < 3; ++i) pull[i] = (g[i] - mean) * per_total;
            }
            if constexpr (of_depth) {
                const Lanes across = this->across(e);
                const Lanes depth = (e[0] * c_[0].z + e[1] * c_[1].z + e[2] * c_[2].z) / across;
                Lanes g{};
                for (int lane = 0; lane < LANES; ++lane) set_lane(g, lane, double(given.depth[pixel[lane]]));
                g /= across;
                for (int i = 0; i < 3; ++i) {
                    const Lanes direct = here ? g * e[i] : none;
                    pull[i] += g * (c_[i].z - depth * c_[i].w);
                    back_z[i] += direct, back_w[i] -= direct * depth;
                }
            }
            for (int i = 0; i < 3; ++i) {
                const Lanes kept = here ? pull[i] : none;
                back[i].x += kept * X, back[i].y += kept * of_Y_, back[i].z += kept;
            }
        }
        for (int i = 0; i < 3; ++i) {
            const int j = (i + 1) % 3, k = (i + 2) % 3;
            const Three<Lanes> one = cross(c_[j].xyw(), back[k]), other = cross(back[j], c_[k].xyw());
            const Lanes row[4] = {one.x + other.x, one.y + other.y, back_z[i], one.z + other.z + back_w[i]};
            add_rows(row, vertex_[i], grad);
        }
    }

private:
    int count_;
    int32_t longest_ = 0, pixels_ = 0, length_[LANES], vertex_[3][LANES];
    int64_t first_[LANES];
    const double* X_[LANES];
    Lanes of_Y_;
    CornerOf<Lanes> c_[3];

    HD void edges(Three<Lanes>* n) const {
        for (int i = 0; i < 3; ++i) n[i] = cross(c_[(i + 1) % 3].xyw(), c_[(i + 2) % 3].xyw());
    }
    HD Lanes across(const Lanes* e) const { return e[0] * c_[0].w + e[1] * c_[1].w + e[2] * c_[2].w; }

    // Where each run has its next pixel. A run that is over stays at its last one.
    HD Lanes go_to(int32_t step, int64_t* pixel) const {
        double x[LANES];
        for (int lane = 0; lane < LANES; ++lane) {
            const int32_t at = least(step, length_[lane] - 1);
            pixel[lane] = first_[lane] + at, x[lane] = X_[lane][at];
        }
        Lanes X;
        std::memcpy(&X, x, sizeof x);
        return X;
    }

    // Row vertex[lane] of the sums gets lane's (x, y, z, w).
    HD void add_rows(const Lanes* more, const int32_t* vertex, double* sums) const {
        Four half[4][2], row[LANES];
        for (int i = 0; i < 4; ++i) std::memcpy(half[i], &more[i], sizeof half[i]);
        for (int n = 0; n < 2; ++n) {
            const Four x = half[0][n], y = half[1][n], z = half[2][n], w = half[3][n];
            const Four xy02 = SHUFFLE(x, y, 0, 4, 2, 6), xy13 = SHUFFLE(x, y, 1, 5, 3, 7);
            const Four zw02 = SHUFFLE(z, w, 0, 4, 2, 6), zw13 = SHUFFLE(z, w, 1, 5, 3, 7);
            row[4 * n] = SHUFFLE(xy02, zw02, 0, 1, 4, 5), row[4 * n + 1] = SHUFFLE(xy13, zw13, 0, 1, 4, 5);
            row[4 * n + 2] = SHUFFLE(xy02, zw02, 2, 3, 6, 7), row[4 * n + 3] = SHUFFLE(xy13, zw13, 2, 3, 6, 7);
        }
        for (int lane = 0; lane < count_; ++lane) add_to(sums + 4 * int64_t(vertex[lane]), row[lane]);
    }
};

}  // namespace POLYGLYPH_VARIANT
#endif

}  // namespace polyglyph
