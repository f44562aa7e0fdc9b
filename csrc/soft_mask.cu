// kernels/soft_mask on CUDA. Every face lies in one cell of a pyramid of grids, of the first level whose cells are at
// least as large as the face; a pixel looks through the cells of every level that may hold a face in its reach.
#include "cuda.h"
#include "drawn.h"
#include "soft_mask.h"

namespace polyglyph {

// All lengths in pixels. The size of a cell doubles from level to level; the level after the last has one cell for
// everything larger.
struct Pyramid {
    double reach, smallest;
    int64_t levels;
    Grid grid;

    HD double size(int64_t level) const { return smallest * double(int64_t(1) << level); }
    // A face no larger than a cell has its middle at most half a cell beyond the reach.
    HD int64_t along(int64_t pixels, double cell) const { return int64_t((double(pixels) + 2 * reach) / cell) + 2; }
    HD int64_t cells(int64_t level) const {
        return level < levels ? along(grid.width, size(level)) * along(grid.height, size(level)) : 1;
    }
    HD int64_t index(double at, double cell, int64_t pixels) const {
        return int64_t(clamped((at + reach) / cell + 0.5, 0.0, double(along(pixels, cell) - 1)));
    }
};

HD bool place(const Drawn& drawn, const Point* points, int64_t image, int32_t face, Outline& outline) {
    const int32_t* v = drawn.faces + 3 * int64_t(face);
    const Point* of = points + image * drawn.vertices_per_image;
    return outline.place(of[v[0]], of[v[1]], of[v[2]]);
}

// The cell of a face, counted over images and levels; -1 where it reaches no pixel.
HD int64_t cell_of(int64_t i, const Point* points, const Drawn& drawn, const Pyramid& pyramid, int64_t per_image) {
    const int64_t image = drawn.image_of(i);
    Outline outline;
    if (!place(drawn, points, image, drawn.face_of(i, image), outline)) return -1;
    const Grid grid = pyramid.grid;
    const double left = column_of(outline.low.x, grid), right = column_of(outline.high.x, grid);
    const double top = row_of(outline.high.y, grid), bottom = row_of(outline.low.y, grid);
    const Range rows = range_of(top, bottom, pyramid.reach, grid.height);
    const Range columns = range_of(left, right, pyramid.reach, grid.width);
    if (rows.first > rows.last || columns.first > columns.last) return -1;
    int64_t cell = image * per_image, level = 0;
    for (; level < pyramid.levels && most(right - left, bottom - top) > pyramid.size(level); ++level)
        cell += pyramid.cells(level);
    if (level == pyramid.levels) return cell;
    const double size = pyramid.size(level);
    return cell + pyramid.index((top + bottom) / 2, size, grid.height) * pyramid.along(grid.width, size) +
           pyramid.index((left + right) / 2, size, grid.width);
}

// The nearest faces of one pixel, in memory that threads share entry by entry. `face` is the row · 4 + the edge.
struct Held {
    double* squared;
    int64_t* face;
    int64_t stride, room, count, farthest;

    HD bool farther(int64_t a, int64_t b) const {
        const double p = squared[a * stride], q = squared[b * stride];
        return p > q || (p == q && face[a * stride] > face[b * stride]);
    }
    HD void find_farthest() {
        farthest = 0;
        for (int64_t n = 1; n < count; ++n)
            if (farther(n, farthest)) farthest = n;
    }
    HD void offer(double distance, int64_t id) {
        if (count == room) {
            const double q = squared[farthest * stride];
            if (distance > q || (distance == q && id > face[farthest * stride])) return;
        }
        const int64_t place = count < room ? count++ : farthest;
        squared[place * stride] = distance, face[place * stride] = id;
        if (count == room) find_farthest();
    }
};

struct Scene {
    const Point* points;
    Drawn drawn;
    Pyramid pyramid;
    double sharpness, cutoff;
    const int32_t* face_id;
    const int64_t *order, *cell_starts;  // drawn faces by cell; where each cell's begin
    int64_t per_image;                   // cells

    HD Grid grid() const { return pyramid.grid; }
    HD int64_t image_of(int64_t pixel) const { return pixel / (grid().height * grid().width); }
    HD Point centre(int64_t pixel) const {
        const int64_t row = pixel / grid().width % grid().height;
        return {centre_x(pixel % grid().width, grid()) * aspect_of(grid()), centre_y(row, grid())};
    }

    HD void look_in(int64_t cell, int64_t image, Point p, Held& held) const {
        Outline outline;
        for (int64_t n = cell_starts[cell]; n < cell_starts[cell + 1]; ++n) {
            const int32_t face = drawn.face_of(order[n], image);
            place(drawn, points, image, face, outline);
            // Where the box alone is too far by more than rounding.
            const double x = most(most(outline.low.x - p.x, p.x - outline.high.x), 0.0);
            const double y = most(most(outline.low.y - p.y, p.y - outline.high.y), 0.0);
            const double limit = held.count < held.room ? cutoff : held.squared[held.farthest * held.stride];
            if ((x * x + y * y) * (1 - 1e-9) > limit) continue;
            outline.set_edges();
            double squared, edge;
            outline.measure(p.x, p.y, squared, edge);
            if (squared < cutoff) held.offer(squared, int64_t(face) * 4 + int64_t(edge));
        }
    }

    HD void search(int64_t pixel, Held& held) const {
        const Grid grid = this->grid();
        const double column = double(pixel % grid.width), row = double(pixel / grid.width % grid.height);
        const int64_t image = image_of(pixel);
        const Point p = centre(pixel);
        int64_t cell = image * per_image;
        for (int64_t level = 0; level < pyramid.levels; ++level) {
            const double size = pyramid.size(level), span = pyramid.reach + size / 2 + PIXEL_MARGIN;
            const int64_t across = pyramid.along(grid.width, size);
            const int64_t left = pyramid.index(column - span, size, grid.width);
            const int64_t right = pyramid.index(column + span, size, grid.width);
            const int64_t bottom = pyramid.index(row + span, size, grid.height);
            for (int64_t y = pyramid.index(row - span, size, grid.height); y <= bottom; ++y)
                for (int64_t x = left; x <= right; ++x) look_in(cell + y * across + x, image, p, held);
            cell += pyramid.cells(level);
        }
        look_in(cell, image, p, held);
    }
};

HD double search_and_multiply(const Scene& scene, int64_t pixel, Held& held) {
    scene.search(pixel, held);
    double product = 1;
    for (int64_t n = 0; n < held.count; ++n) product *= missed(held.squared[n * held.stride], scene.sharpness);
    return product;
}

// `apart` (of each pixel, `room` entries × from, to × x, y) and `rows`, the vertices that these belong to, may be
// null; then everything is added to on_screen [vertices, 2].
HD void pull(
    const Scene& scene, int64_t pixel, int64_t in_run, double grad, Held& held, double* on_screen, double* apart,
    int64_t* rows
) {
    const double product = search_and_multiply(scene, pixel, held);
    const Point p = scene.centre(pixel);
    const int64_t shift = scene.image_of(pixel) * scene.drawn.vertices_per_image;
    for (int64_t n = 0; n < held.count; ++n) {
        const double factor =
            slope(missed(held.squared[n * held.stride], scene.sharpness), product, scene.sharpness) * grad;
        if (factor == 0) continue;
        const int64_t id = held.face[n * held.stride], first = id % 4;
        const int32_t* v = scene.drawn.faces + 3 * (id / 4);
        const int64_t a = v[first] + shift, b = v[(first + 1) % 3] + shift;
        Segment edge;
        edge.set(scene.points[a], scene.points[b]);
        const FootOf<double> foot = foot_on(edge, p.x, p.y);
        const int64_t ends[2] = {edge.swap ? b : a, edge.swap ? a : b};
        const double shares[2] = {factor * (1 - foot.along), factor * foot.along};
        for (int k = 0; k < 2; ++k) {
            const double x = shares[k] * foot.away_x, y = shares[k] * foot.away_y;
            if (apart) {
                const int64_t place = (in_run * held.room + n) * 2 + k;
                apart[2 * place] = x, apart[2 * place + 1] = y, rows[place] = ends[k];
            } else {
                atomicAdd(on_screen + 2 * ends[k], x);
                atomicAdd(on_screen + 2 * ends[k] + 1, y);
            }
        }
    }
}

}  // namespace polyglyph

using namespace polyglyph;

extern "C" __global__ void cells(
    int64_t count, const double* points, const int32_t* faces, const int64_t* starts, const int64_t* firsts,
    int64_t images, int64_t face_count, int64_t vertices_per_image, double reach, double smallest, int64_t levels,
    int64_t height, int64_t width, int64_t per_image, int64_t* cell
) {
    ELEMENT(i, count)
    const Pyramid pyramid{reach, smallest, levels, {height, width}};
    const Drawn drawn{faces, starts, firsts, images, face_count, vertices_per_image};
    const int64_t found = cell_of(i, reinterpret_cast<const Point*>(points), drawn, pyramid, per_image);
    cell[i] = found < 0 ? images * per_image : found;
}
EMULATED(cells)

// What the two searching kernels take: `count` pixels from `first`, and memory for `room` faces of each.
#define SEARCH                                                                                                        \
    int64_t count, int64_t first, const double *points, const int32_t *faces, const int64_t *starts,                  \
        const int64_t *firsts, int64_t images, int64_t face_count, int64_t vertices_per_image, double reach,          \
        double smallest, int64_t levels, int64_t height, int64_t width, int64_t per_image, double sharpness,          \
        double cutoff, const int32_t *face_id, const int64_t *order, const int64_t *cell_starts, double *squared,     \
        int64_t *face, int64_t room
#define SCENE                                                                                                         \
    ELEMENT(i, count)                                                                                                 \
    const int64_t pixel = first + i;                                                                                  \
    const Scene scene{reinterpret_cast<const Point*>(points),                                                         \
                      {faces, starts, firsts, images, face_count, vertices_per_image},                                \
                      {reach, smallest, levels, {height, width}},                                                     \
                      sharpness,                                                                                      \
                      cutoff,                                                                                         \
                      face_id,                                                                                        \
                      order,                                                                                          \
                      cell_starts,                                                                                    \
                      per_image};                                                                                     \
    Held held{squared + i, face + i, count, room, 0, 0};

#define KERNELS(T, NAME)                                                                                              \
    extern "C" __global__ void project_##NAME(                                                                        \
        int64_t count, const T* clip, int64_t height, int64_t width, double* points                                   \
    ) {                                                                                                               \
        ELEMENT(row, count)                                                                                           \
        const Point p = project(clip, row, aspect_of({height, width}));                                               \
        points[2 * row] = p.x, points[2 * row + 1] = p.y;                                                             \
    }                                                                                                                 \
    EMULATED(project_##NAME)                                                                                          \
    extern "C" __global__ void project_backward_##NAME(                                                               \
        int64_t count, const T* clip, int64_t height, int64_t width, const double* on_screen, T* grad_clip            \
    ) {                                                                                                               \
        ELEMENT(row, count)                                                                                           \
        project_backward(clip, row, aspect_of({height, width}), {on_screen[2 * row], on_screen[2 * row + 1]},         \
                         grad_clip);                                                                                  \
    }                                                                                                                 \
    EMULATED(project_backward_##NAME)                                                                                 \
    extern "C" __global__ void soft_mask_##NAME(SEARCH, T* mask) {                                                    \
        SCENE                                                                                                         \
        mask[pixel] = face_id[pixel] >= 0 ? T(1) : T(1 - search_and_multiply(scene, pixel, held));                    \
    }                                                                                                                 \
    EMULATED(soft_mask_##NAME)                                                                                        \
    extern "C" __global__ void soft_mask_backward_##NAME(                                                             \
        SEARCH, const T* grad_mask, double* on_screen, double* apart, int64_t* rows                                   \
    ) {                                                                                                               \
        SCENE                                                                                                         \
        const double grad = double(grad_mask[pixel]);                                                                 \
        if (face_id[pixel] < 0 && grad != 0) pull(scene, pixel, i, grad, held, on_screen, apart, rows);               \
    }                                                                                                                 \
    EMULATED(soft_mask_backward_##NAME)

KERNELS(float, f32)
KERNELS(double, f64)
