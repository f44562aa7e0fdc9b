// kernels/soft_mask on the CPU: faces are sorted into tiles of pixels; in each tile, face after face is offered to the
// uncovered pixels in its reach, and each pixel keeps its nearest ones. The backward pass searches again: that costs
// less than keeping every pixel's faces.
#include "soft_mask_tiles.h"

#include <algorithm>
#include <bit>
#include <memory>
#include <vector>

#include "export.h"
#include "scatter.h"

namespace polyglyph {
namespace soft {
namespace {

constexpr int64_t ENTRIES = 1 << 17;         // neighbours that a task holds, unless one row of a tile needs more
constexpr int64_t PIXELS_OF_SLAB = 1 << 14;  // of the backward pass

// The loop for this processor.
MeasureRow* measure_row_for([[maybe_unused]] int level) {
#ifdef POLYGLYPH_X86
    if (level == 2) return measure_avx512;
    if (level == 1) return measure_avx2;
#endif
    return measure_row;
}

// The nearest faces of each pixel of some rows of a tile.
class Nearest {
public:
    // visit(row, column, neighbours, count) for each uncovered pixel of the tile that has any.
    template <class F>
    void visit_tile(const Search& search, int64_t image, int64_t tile, F&& visit) {
        const int64_t listed = search.faces_in(image, tile);
        if (listed == 0) return;
        wanted_ = least(search.scene.neighbours, listed), room_ = least(2 * wanted_, listed);
        const int64_t top = tile / search.scene.across() * TILE_ROWS;
        const int64_t bottom = least(top + TILE_ROWS, search.scene.grid.height);
        const int64_t rows = clamped<int64_t>(ENTRIES / (TILE_COLUMNS * room_), 1, TILE_ROWS);
        if (held_size_ < rows * TILE_COLUMNS * room_) {
            held_size_ = rows * TILE_COLUMNS * room_;
            held_.reset(new Neighbour[held_size_]);
        }
        for (int64_t row = top; row < bottom; row += rows) {
            const int64_t end = least(row + rows, bottom);
            pixels_.assign((end - row) * TILE_COLUMNS, {0, -1});
            limits_.assign((end - row) * TILE_COLUMNS, search.scene.cutoff);
            used_ = 0;
            gather(search, image, tile, row, end);
            for (int64_t n = 0; n < int64_t(pixels_.size()); ++n) {
                if (pixels_[n].count == 0) continue;
                trim(n);
                const int64_t column = tile % search.scene.across() * TILE_COLUMNS + n % TILE_COLUMNS;
                visit(row + n / TILE_COLUMNS, column, held_.get() + pixels_[n].place, pixels_[n].count);
            }
        }
    }

private:
    struct Pixel {
        int64_t count, place;  // of its neighbours in `held_`
    };

    int64_t wanted_ = 0, room_ = 0, used_ = 0, held_size_ = 0;
    std::vector<Pixel> pixels_;
    std::vector<double> limits_;         // of each pixel: only what is nearer can be wanted
    std::unique_ptr<Neighbour[]> held_;  // room_ for each pixel that has some; the rest is never touched

    void gather(const Search& search, int64_t image, int64_t tile, int64_t top, int64_t bottom) {
        const int64_t column = tile % search.scene.across(), left = column * TILE_COLUMNS;
        const auto measure = measure_row_for(vector_level());
        double squared[TILE_COLUMNS + LANES], edge[TILE_COLUMNS + LANES];
        Outline outline;
        search.each_face(image, tile, [&](int32_t face) {
            search.scene.place(image, face, outline);
            outline.set_edges();
            const Reach reach(outline, search.scene);
            const uint64_t bits = reach.bits(column);
            const int64_t first = most<int64_t>(reach.rows.first, top);
            const int64_t last = least<int64_t>(reach.rows.last, bottom - 1);
            for (int64_t row = first; row <= last; ++row) {
                uint64_t word = search.open.word(image, row, column) & bits;
                if (!word) continue;
                const int from = std::countr_zero(word), to = 63 - std::countl_zero(word);
                measure(outline, search.X.data() + left + from, search.Y[row], to - from + 1, squared, edge);
                const int64_t in_strip = (row - top) * TILE_COLUMNS;
                for (; word; word &= word - 1) {
                    const int bit = std::countr_zero(word);
                    if (squared[bit - from] < limits_[in_strip + bit])
                        keep(in_strip + bit, {squared[bit - from], face, int32_t(edge[bit - from])});
                }
            }
        });
    }

    void keep(int64_t n, const Neighbour& found) {
        Pixel& pixel = pixels_[n];
        if (pixel.count == 0) {
            pixel.place = used_, used_ += room_;
        } else if (pixel.count == room_) {
            trim(n);
            // Faces come in the order of their rows: one that is as far as the farthest is no longer wanted.
            limits_[n] = held_[pixel.place + wanted_ - 1].squared;
            if (found.squared >= limits_[n]) return;
        }
        held_[pixel.place + pixel.count++] = found;
    }

    // Keeps the nearest, the farthest of them last.
    void trim(int64_t n) {
        Pixel& pixel = pixels_[n];
        if (pixel.count <= wanted_) return;
        Neighbour* held = held_.get() + pixel.place;
        std::nth_element(held, held + wanted_ - 1, held + pixel.count,
                         [](const Neighbour& a, const Neighbour& b) { return nearer(a, b); });
        pixel.count = wanted_;
    }
};

template <class T>
std::unique_ptr<Point[]> project_all(const T* clip, int64_t vertices, Grid grid, int64_t threads) {
    // Every element is written before it is read; a vector would zero it first.
    std::unique_ptr<Point[]> points(new Point[most<int64_t>(vertices, 1)]);
    parallel_runs(vertices, CHUNK, threads, [&](int64_t first, int64_t last) {
        for (int64_t row = first; row < last; ++row) points[row] = project(clip, row, aspect_of(grid));
    });
    return points;
}

double all_missed(const Neighbour* held, int64_t count, double sharpness) {
    double product = 1;
    for (int64_t n = 0; n < count; ++n) product *= missed(held[n].squared, sharpness);
    return product;
}

template <class T>
void soft_mask(const Scene& scene, T* mask, int64_t threads) {
    const Search search(scene, threads);
    const int64_t size = scene.grid.height * scene.grid.width;
    parallel_runs(scene.images * size, 1 << 14, threads, [&](int64_t first, int64_t last) {
        for (int64_t pixel = first; pixel < last; ++pixel) mask[pixel] = scene.face_id[pixel] >= 0;
    });
    // A few runs of tiles per thread: each reuses its memory.
    const int64_t tiles = scene.down() * scene.across(), grain = scene.images * tiles / (4 * threads) + 1;
    parallel_runs(scene.images * tiles, grain, threads, [&](int64_t first, int64_t last) {
        Nearest nearest;
        for (int64_t tile = first; tile < last; ++tile)
            nearest.visit_tile(
                search, tile / tiles, tile % tiles,
                [&](int64_t row, int64_t column, const Neighbour* held, int64_t count) {
                    const int64_t pixel = tile / tiles * size + row * scene.grid.width + column;
                    mask[pixel] = T(1 - all_missed(held, count, scene.sharpness));
                });
    });
}

// What one pixel passes to the places of its neighbours' corners; reach(vertex) is where x and y are added to.
template <class F>
void pull(
    const Scene& scene, int64_t image, Point p, const Neighbour* held, int64_t count, double grad,
    std::vector<double>& misses, F&& reach
) {
    double product = 1;
    misses.resize(count);
    for (int64_t n = 0; n < count; ++n) product *= misses[n] = missed(held[n].squared, scene.sharpness);
    for (int64_t n = 0; n < count; ++n) {
        const double factor = slope(misses[n], product, scene.sharpness) * grad;
        if (factor == 0) continue;
        const int32_t* v = scene.faces + 3 * int64_t(held[n].face);
        const int32_t a = v[held[n].edge], b = v[(held[n].edge + 1) % 3];
        Segment edge;
        edge.set(scene.points_of(image)[a], scene.points_of(image)[b]);
        const FootOf<double> foot = foot_on(edge, p.x, p.y);
        const double at_from = factor * (1 - foot.along), at_to = factor * foot.along;
        double* from = reach((edge.swap ? b : a) + image * scene.vertices_per_image);
        from[0] += at_from * foot.away_x, from[1] += at_from * foot.away_y;
        double* to = reach((edge.swap ? a : b) + image * scene.vertices_per_image);
        to[0] += at_to * foot.away_x, to[1] += at_to * foot.away_y;
    }
}

// Slabs are rows of tiles of one image.
Slabs slabs_of(const Scene& scene, int64_t vertices) {
    Slabs slabs{{}, vertices};
    const int64_t size = scene.grid.height * scene.grid.width;
    for (int64_t image = 0; image < scene.images; ++image) {
        int64_t low = image * scene.vertices_per_image, high = low + scene.vertices_per_image;
        if (scene.ranges && scene.count(image) > 0) {
            const int32_t* corners = scene.faces + 3 * scene.first(image);
            const auto ends = std::minmax_element(corners, corners + 3 * scene.count(image));
            low = *ends.first, high = *ends.second + 1;
        }
        const int64_t wished = clamped<int64_t>(size / PIXELS_OF_SLAB, 1, most<int64_t>(1, SLABS / scene.images));
        const int64_t parts = least(wished, scene.down());
        for (int64_t part = 0; part < parts; ++part) {
            const int64_t from = scene.down() * part / parts * TILE_ROWS;
            const int64_t to = least(scene.down() * (part + 1) / parts * TILE_ROWS, scene.grid.height);
            slabs.list.push_back({image * scene.grid.height + from, image * scene.grid.height + to, low, high});
        }
    }
    return slabs;
}

template <class T>
void soft_mask_backward(
    const Scene& scene, const T* clip, int64_t vertices, const T* grad_mask, T* grad_clip, int64_t threads
) {
    const Search search(scene, threads);
    const Grid grid = scene.grid;
    std::vector<double> on_screen(2 * vertices, 0.0);
    scatter<double>(slabs_of(scene, vertices), 2, on_screen.data(), threads, [&](const Slab& slab, auto&& reach) {
        const int64_t image = slab.first_row / grid.height, top = slab.first_row % grid.height;
        const int64_t end = (top + slab.last_row - slab.first_row + TILE_ROWS - 1) / TILE_ROWS * scene.across();
        Nearest nearest;
        std::vector<double> misses;
        for (int64_t tile = top / TILE_ROWS * scene.across(); tile < end; ++tile)
            nearest.visit_tile(
                search, image, tile, [&](int64_t row, int64_t column, const Neighbour* held, int64_t count) {
                    const double grad = double(grad_mask[(image * grid.height + row) * grid.width + column]);
                    if (grad == 0) return;
                    pull(scene, image, {search.X[column], search.Y[row]}, held, count, grad, misses, reach);
                });
    });
    parallel_runs(vertices, CHUNK, threads, [&](int64_t first, int64_t last) {
        for (int64_t row = first; row < last; ++row)
            project_backward(clip, row, aspect_of(grid), {on_screen[2 * row], on_screen[2 * row + 1]}, grad_clip);
    });
}

}  // namespace
}  // namespace soft
}  // namespace polyglyph

using namespace polyglyph;
using namespace polyglyph::soft;

// clip [vertices over all images, 4], faces [F, 3], ranges [images, 2] or null, face_id [images, H, W].
// vertices_per_image is 0 for packed clips. cutoff is a squared distance.
#define SCENE(T)                                                                                              \
    const T *clip, int64_t vertices, int64_t vertices_per_image, const int32_t *faces, int64_t face_count,    \
        const int64_t *ranges, const int32_t *face_id, int64_t images, int64_t height, int64_t width,         \
        double sharpness, double cutoff, int64_t neighbours

#define SOFT_MASK(T, NAME)                                                                                    \
    /* -> mask [images, H, W] */                                                                              \
    POLYGLYPH_EXPORT int polyglyph_soft_mask_##NAME(SCENE(T), T* mask, int64_t threads) {                     \
        return guarded([&] {                                                                                  \
            const auto points = project_all(clip, vertices, {height, width}, threads);                        \
            const Scene scene{points.get(), faces, ranges, face_id, images, face_count, vertices_per_image,   \
                              {height, width}, sharpness, cutoff, neighbours};                                \
            soft_mask(scene, mask, threads);                                                                  \
        });                                                                                                   \
    }                                                                                                         \
    /* adds to grad_clip [vertices, 4] */                                                                     \
    POLYGLYPH_EXPORT int polyglyph_soft_mask_backward_##NAME(                                                 \
        SCENE(T), const T* grad_mask, T* grad_clip, int64_t threads                                           \
    ) {                                                                                                       \
        return guarded([&] {                                                                                  \
            const auto points = project_all(clip, vertices, {height, width}, threads);                        \
            const Scene scene{points.get(), faces, ranges, face_id, images, face_count, vertices_per_image,   \
                              {height, width}, sharpness, cutoff, neighbours};                                \
            soft_mask_backward(scene, clip, vertices, grad_mask, grad_clip, threads);                         \
        });                                                                                                   \
    }

SOFT_MASK(float, f32)
SOFT_MASK(double, f64)
