// kernels/rasterize on CUDA. Small faces are drawn by the thread that set them up; large ones are queued, and drawn by
// blocks of threads. The least key of a pixel wins whatever the order, so the result is deterministic.
#include "cuda.h"
#include "drawn.h"
#include "evaluate.h"

namespace polyglyph {

constexpr int64_t SMALL = 32;   // pixels of a box that one thread draws
constexpr int64_t SLICES = 16;  // blocks that share one large face

struct Job {
    int64_t image;
    int32_t row;
    Box box;
    Face face;
};

template <class T>
HD bool prepare(const T* clip, const Drawn& drawn, int64_t i, Grid grid, Job& job) {
    job.image = drawn.image_of(i);
    job.row = drawn.face_of(i, job.image);
    Corner c[3];
    for (int k = 0; k < 3; ++k)
        c[k] = corner_at(clip, drawn.faces[3 * int64_t(job.row) + k] + job.image * drawn.vertices_per_image);
    job.box = box_of(place_of(c[0], grid), place_of(c[1], grid), place_of(c[2], grid), grid);
    if (job.box.empty()) return false;
    job.face = set_up(c[0], c[1], c[2]);
    return covers_something(job.face.size);
}

HD void offer(const Job& job, int64_t y, int64_t x, Grid grid, const uint64_t* above, uint64_t* keys) {
    const double X = centre_x(x, grid), Y = centre_y(y, grid);
    if (!Row(job.face, Y).covers(X)) return;
    const uint64_t key = key_at(job.face.depth, job.row, X, Y);
    const int64_t pixel = (job.image * grid.height + y) * grid.width + x;
    if (above && key <= above[pixel]) return;
    if (key < keys[pixel]) atomicMin(keys + pixel, key);
}

template <class T>
HD void draw_small(
    int64_t i, const T* clip, const Drawn& drawn, Grid grid, const uint64_t* above, uint64_t* keys, int32_t* queue,
    int32_t* queued
) {
    Job job;
    if (!prepare(clip, drawn, i, grid, job)) return;
    const Box box = job.box;
    const int64_t area = int64_t(box.bottom - box.top + 1) * int64_t(box.right - box.left + 1);
    if (area > SMALL) {
        queue[atomicAdd(queued, 1)] = int32_t(i);
        return;
    }
    for (int64_t y = box.top; y <= box.bottom; ++y)
        for (int64_t x = box.left; x <= box.right; ++x) offer(job, y, x, grid, above, keys);
}

template <class T>
HD void draw_large(
    int64_t block, int64_t blocks, int64_t thread, int64_t threads, const T* clip, const Drawn& drawn, Grid grid,
    const uint64_t* above, uint64_t* keys, const int32_t* queue, const int32_t* queued
) {
    const int64_t work = int64_t(*queued) * SLICES;
    for (int64_t n = block; n < work; n += blocks) {
        Job job;
        prepare(clip, drawn, queue[n / SLICES], grid, job);
        const int64_t width = job.box.right - job.box.left + 1, height = job.box.bottom - job.box.top + 1;
        const int64_t slice = n % SLICES, from = height * slice / SLICES, to = height * (slice + 1) / SLICES;
        for (int64_t pixel = from * width + thread; pixel < to * width; pixel += threads)
            offer(job, job.box.top + pixel / width, job.box.left + pixel % width, grid, above, keys);
    }
}

// The keys that fragments of the next layer must exceed.
template <class T>
HD void floor_at(int64_t pixel, const T* clip, const int32_t* faces, int64_t per_image, const int32_t* behind, Grid grid,
                 uint64_t* above) {
    const int32_t id = behind[pixel];
    above[pixel] = EMPTY;
    if (id < 0) return;
    const int64_t size = grid.height * grid.width, shift = pixel / size * per_image;
    Corner c[3];
    for (int k = 0; k < 3; ++k) c[k] = corner_at(clip, faces[3 * int64_t(id) + k] + shift);
    const Face face = set_up(c[0], c[1], c[2]);
    const int64_t y = pixel % size / grid.width, x = pixel % grid.width;
    above[pixel] = depth_key(at(face.depth, centre_x(x, grid), centre_y(y, grid)), id);
}

template <class T>
HD void evaluate_at(
    int64_t pixel, const T* clip, const int32_t* faces, int64_t per_image, const int32_t* ids, Grid grid, T* depth,
    T* barycentric, T* derivative
) {
    T* b = barycentric + 3 * pixel;
    T* d = derivative ? derivative + 6 * pixel : nullptr;
    if (ids[pixel] < 0) {
        depth[pixel] = 1;
        for (int i = 0; i < 3; ++i) b[i] = 0;
        if (d)
            for (int i = 0; i < 6; ++i) d[i] = 0;
        return;
    }
    const int64_t size = grid.height * grid.width;
    Sample sample;
    sample.load(clip, faces, ids[pixel], pixel / size * per_image);
    write_sample(sample, centre_x(pixel % grid.width, grid), centre_y(pixel % size / grid.width, grid), grid,
                 depth + pixel, b, d);
}

// With `apart` (pixels × 3 corners × 4) nothing is summed: every pixel's part is written by itself.
template <class T>
HD void evaluate_backward_at(
    int64_t pixel, const T* clip, const int32_t* faces, int64_t per_image, const int32_t* ids, Grid grid,
    const T* grad_depth, const T* grad_barycentric, const T* grad_derivative, T* grad_clip, double* apart
) {
    if (ids[pixel] < 0) return;
    const int64_t size = grid.height * grid.width, shift = pixel / size * per_image;
    Sample sample;
    sample.load(clip, faces, ids[pixel], shift);
    const Given<T> given{grad_depth, grad_barycentric, grad_derivative};
    Pull pull;
    pull.add(sample, centre_x(pixel % grid.width, grid), centre_y(pixel % size / grid.width, grid), grid, given.asked(),
             given.at(pixel));
    double grad[3][4];
    pull.write(sample, grad);
    for (int i = 0; i < 3; ++i) {
        const int64_t row = faces[3 * int64_t(ids[pixel]) + i] + shift;
        for (int axis = 0; axis < 4; ++axis) {
            if (apart) apart[12 * pixel + 4 * i + axis] = grad[i][axis];
            else if (grad[i][axis] != 0) atomicAdd(grad_clip + 4 * row + axis, T(grad[i][axis]));
        }
    }
}

}  // namespace polyglyph

using namespace polyglyph;

extern "C" __global__ void ids_of_keys(int64_t count, const uint64_t* keys, int32_t* ids) {
    ELEMENT(i, count)
    ids[i] = keys[i] == EMPTY ? -1 : int32_t(keys[i] & 0x7fffffff);
}
EMULATED(ids_of_keys)

#define KERNELS(T, NAME)                                                                                              \
    extern "C" __global__ void draw_small_##NAME(                                                                     \
        int64_t count, const T* clip, const int32_t* faces, int64_t face_count, const int64_t* starts,                \
        const int64_t* firsts, int64_t images, int64_t per_image, int64_t height, int64_t width,                      \
        const uint64_t* above, uint64_t* keys, int32_t* queue, int32_t* queued                                        \
    ) {                                                                                                               \
        ELEMENT(i, count)                                                                                             \
        draw_small(i, clip, {faces, starts, firsts, images, face_count, per_image}, {height, width}, above, keys,     \
                   queue, queued);                                                                                    \
    }                                                                                                                 \
    EMULATED(draw_small_##NAME)                                                                                       \
    extern "C" __global__ void draw_large_##NAME(                                                                     \
        int64_t, const T* clip, const int32_t* faces, int64_t face_count, const int64_t* starts,                      \
        const int64_t* firsts, int64_t images, int64_t per_image, int64_t height, int64_t width,                      \
        const uint64_t* above, uint64_t* keys, const int32_t* queue, const int32_t* queued                            \
    ) {                                                                                                               \
        draw_large(blockIdx.x, gridDim.x, threadIdx.x, blockDim.x, clip,                                              \
                   Drawn{faces, starts, firsts, images, face_count, per_image}, {height, width}, above, keys, queue,  \
                   queued);                                                                                           \
    }                                                                                                                 \
    EMULATED(draw_large_##NAME)                                                                                       \
    extern "C" __global__ void floors_##NAME(                                                                         \
        int64_t count, const T* clip, const int32_t* faces, int64_t per_image, const int32_t* behind, int64_t height, \
        int64_t width, uint64_t* above                                                                                \
    ) {                                                                                                               \
        ELEMENT(pixel, count)                                                                                         \
        floor_at(pixel, clip, faces, per_image, behind, {height, width}, above);                                      \
    }                                                                                                                 \
    EMULATED(floors_##NAME)                                                                                           \
    extern "C" __global__ void evaluate_##NAME(                                                                       \
        int64_t count, const T* clip, const int32_t* faces, int64_t per_image, const int32_t* ids, int64_t height,    \
        int64_t width, T* depth, T* barycentric, T* derivative                                                        \
    ) {                                                                                                               \
        ELEMENT(pixel, count)                                                                                         \
        evaluate_at(pixel, clip, faces, per_image, ids, {height, width}, depth, barycentric, derivative);             \
    }                                                                                                                 \
    EMULATED(evaluate_##NAME)                                                                                         \
    extern "C" __global__ void evaluate_backward_##NAME(                                                              \
        int64_t count, const T* clip, const int32_t* faces, int64_t per_image, const int32_t* ids, int64_t height,    \
        int64_t width, const T* grad_depth, const T* grad_barycentric, const T* grad_derivative, T* grad_clip,        \
        double* apart                                                                                                 \
    ) {                                                                                                               \
        ELEMENT(pixel, count)                                                                                         \
        evaluate_backward_at(pixel, clip, faces, per_image, ids, {height, width}, grad_depth, grad_barycentric,       \
                             grad_derivative, grad_clip, apart);                                                      \
    }                                                                                                                 \
    EMULATED(evaluate_backward_##NAME)

KERNELS(float, f32)
KERNELS(double, f64)
