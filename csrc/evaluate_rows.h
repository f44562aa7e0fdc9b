// The rows of evaluate and of its gradient on the CPU. Compiled once for each kind of processor.
#pragma once

#include "evaluate_faces.h"
#include "evaluate_runs.h"
#include "scatter.h"

namespace polyglyph {
inline namespace POLYGLYPH_VARIANT {

// Rows [first, last) of pixels, counted over the batch. A face is loaded once for neighbours that see it.
template <class Face, class T>
HD void evaluate_with(const KnownFaces<T>& scene, int64_t first, int64_t last, const Fragments<T>& to) {
    const int64_t width = scene.grid.width;
    for (int64_t y = first; y < last; ++y) {
        const int64_t row = y * width, shift = scene.shift(y);
        const double Y = scene.centres.Y[y % scene.grid.height];
        for (int64_t x = 0; x < width;) {
            const int32_t id = scene.ids[row + x];
            if (id < 0) {
                to.nothing(row + x++);
                continue;
            }
            const Face face(scene, id, shift);
            do face.evaluate(scene.centres.X[x], Y, to, row + x);
            while (++x < width && scene.ids[row + x] == id);
        }
    }
}

// What the pixels of a run pass back together. Row r of the clip has its sums at grad[4 r].
template <class Face, class T>
HD void pull_run(const KnownFaces<T>& scene, int64_t shift, const Run& run, const Given<T>& given, double* grad) {
    Face face(scene, run.face, shift);
    const double* X = &scene.centres.X[run.column];
    for (int32_t n = 0; n < run.length; ++n) face.add(X[n], run.Y, given, run.first + n);
    double* sums[3];
    for (int i = 0; i < 3; ++i) sums[i] = grad + 4 * (scene.vertex(run.face, i) + shift);
    face.write(sums);
}

template <class Face, class T>
HD void pull_with(const KnownFaces<T>& scene, const Slab& slab, const Given<T>& given, double* grad) {
    const int64_t width = scene.grid.width, shift = scene.shift(slab.first_row);  // a slab has one image, or packed ones
    for (int64_t y = slab.first_row; y < slab.last_row; ++y) {
        const int32_t* ids = scene.ids + y * width;
        const double Y = scene.centres.Y[y % scene.grid.height];
        for (int64_t x = 0; x < width;) {
            const int64_t start = x;
            while (++x < width && ids[x] == ids[start]);
            if (ids[start] < 0) continue;
            pull_run<Face>(scene, shift, {ids[start], int32_t(x - start), int32_t(start), y * width + start, Y}, given, grad);
        }
    }
}

#if POLYGLYPH_LEVEL > 1
// The same, LANES runs side by side where they are about as long.
template <bool of_depth, class T>
HD void pull_side_by_side(const KnownFaces<T>& scene, const Slab& slab, const Given<T>& given, double* grad) {
    const int64_t width = scene.grid.width, shift = scene.shift(slab.first_row);
    Runs runs(width);
    for (int64_t y = slab.first_row; y < slab.last_row; ++y) {
        runs.add_row(scene.ids, y, scene.centres.Y[y % scene.grid.height]);
        const Run* next;
        while (const int count = runs.take(y + 1 == slab.last_row, next)) {
            const SideBySideRuns<T> lanes(scene, shift, next, count);
            if (lanes.even()) lanes.template pull<of_depth>(given, grad + 4 * shift);
            else
                for (int n = 0; n < count; ++n) pull_run<SideBySide<T, of_depth>>(scene, shift, next[n], given, grad);
        }
    }
}
#endif

template <class T>
HD void evaluate_rows(const KnownFaces<T>& scene, int64_t first, int64_t last, const Fragments<T>& to) {
#if POLYGLYPH_LEVEL > 0
    if (!to.derivative) return evaluate_with<SideBySide<T>>(scene, first, last, to);
#endif
    evaluate_with<OneByOne<T>>(scene, first, last, to);
}

template <class T>
HD void pull_rows(const KnownFaces<T>& scene, const Slab& slab, const Given<T>& given, double* grad) {
#if POLYGLYPH_LEVEL > 1
    if (given.depth && !given.derivative) return pull_side_by_side<true>(scene, slab, given, grad);
    if (given.barycentric && !given.derivative) return pull_side_by_side<false>(scene, slab, given, grad);
#elif POLYGLYPH_LEVEL > 0
    if (given.depth && !given.derivative) return pull_with<SideBySide<T, true>>(scene, slab, given, grad);
    if (given.barycentric && !given.derivative) return pull_with<SideBySide<T>>(scene, slab, given, grad);
#endif
    pull_with<OneByOne<T>>(scene, slab, given, grad);
}

}  // namespace POLYGLYPH_VARIANT

template <class T>
using EvaluateRows = void(const KnownFaces<T>&, int64_t, int64_t, const Fragments<T>&);
template <class T>
using PullRows = void(const KnownFaces<T>&, const Slab&, const Given<T>&, double*);

#ifdef POLYGLYPH_X86
EvaluateRows<float> evaluate_avx2;
EvaluateRows<double> evaluate_avx2;
PullRows<float> pull_avx2, pull_avx512;
PullRows<double> pull_avx2, pull_avx512;
#endif

}  // namespace polyglyph
