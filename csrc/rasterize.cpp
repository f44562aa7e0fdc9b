// kernels/rasterize on the CPU: faces are sorted into bands of rows, then each band is drawn by one thread.
#include "rasterize_rows.h"

#include <memory>
#include <vector>

#include "export.h"
#include "pool.h"
#include "scatter.h"

namespace polyglyph {
namespace {

constexpr int64_t CHUNK = 4096;        // faces that one task sorts
constexpr int32_t NARROW = 16;         // columns up to which every pixel of a face's box is tried
constexpr int64_t BAND_PIXELS = 16384;  // 128 KB of depth keys: half of a small level-2 cache

struct Entry {
    int32_t face;
    Box box;
};

// What is drawn: `images` times faces [first, first + count) of `faces`, corners shifted by `shift`.
struct Batch {
    const int32_t* faces;
    const int64_t* ranges;  // (first, count) per image; null: all faces
    int64_t images, face_count, vertex_count;

    int64_t first(int64_t image) const { return ranges ? ranges[2 * image] : 0; }
    int64_t count(int64_t image) const { return ranges ? ranges[2 * image + 1] : face_count; }
    int64_t shift(int64_t image) const { return ranges ? 0 : image * vertex_count; }
};

struct Chunk {
    int64_t image, first, last;
    std::vector<std::vector<Entry>> bands;
};

std::vector<Chunk> chunks_of(const Batch& batch) {
    std::vector<Chunk> chunks;
    for (int64_t image = 0; image < batch.images; ++image) {
        const int64_t end = batch.first(image) + batch.count(image);
        for (int64_t face = batch.first(image); face < end; face += CHUNK)
            chunks.push_back({image, face, face + CHUNK < end ? face + CHUNK : end, {}});
    }
    return chunks;
}

void sort_into_bands(
    Chunk& chunk, const Batch& batch, const Place* places, Grid grid, int band_bits, int64_t bands
) {
    chunk.bands.resize(bands);
    for (auto& entries : chunk.bands) entries.reserve(2 * (chunk.last - chunk.first) / bands + 16);
    const Place* own = places + batch.shift(chunk.image);
    for (int64_t face = chunk.first; face < chunk.last; ++face) {
        const int32_t* corner = batch.faces + 3 * face;
        const Box box = box_of(own[corner[0]], own[corner[1]], own[corner[2]], grid);
        if (box.empty()) continue;
        for (int32_t band = box.top >> band_bits; band <= box.bottom >> band_bits; ++band)
            chunk.bands[band].push_back({int32_t(face), box});
    }
}

// Where pixel centres are.
struct Centres {
    std::vector<double> X, Y;

    explicit Centres(Grid grid) : X(grid.width + ROW_PADDING), Y(grid.height) {
        for (int64_t x = 0; x < grid.width; ++x) X[x] = centre_x(x, grid);
        for (int64_t y = 0; y < grid.height; ++y) Y[y] = centre_y(y, grid);
    }
};

// The rows [top, bottom] of one image. `floor`, where it is not null, holds for each pixel the key that a fragment must
// exceed.
struct Canvas {
    int64_t top, bottom;
    Grid grid;
    const Centres& centres;
    uint64_t* keys;
    const uint64_t* floor;
};

template <class Fill>
HD void draw(const Face& face, int32_t row, const Box& box, const Canvas& canvas) {
    const int64_t first = most<int64_t>(box.top, canvas.top), last = least<int64_t>(box.bottom, canvas.bottom);
    const bool narrow = box.right - box.left < NARROW;  // too few columns for spans to pay
    const Spans spans(face, canvas.grid, narrow);
    for (int64_t y = first; y <= last; ++y) {
        const Row of_row(face, canvas.centres.Y[y]);
        const int64_t offset = (y - canvas.top) * canvas.grid.width;
        Span span{box.left, box.right, canvas.centres.X.data(), canvas.keys + offset, canvas.floor + offset};
        if (!narrow) spans.narrow(of_row, span.left, span.right);
        Fill::fill(of_row, face.depth, row, canvas.centres.Y[y], span);
    }
}

template <class Fill, class T>
HD void draw_all(
    const T* clip, int64_t shift, const int32_t* faces, const std::vector<Entry>& entries, const Canvas& canvas
) {
    CornerOf<Lanes> corners[3];
    for (size_t n = 0; n < entries.size(); n += LANES) {
        const int64_t count = least<int64_t>(int64_t(entries.size() - n), LANES);
        int32_t vertex[3][LANES];
        for (int lane = 0; lane < LANES; ++lane)
            for (int i = 0; i < 3; ++i)
                vertex[i][lane] = faces[3 * int64_t(entries[n + (lane < count ? lane : 0)].face) + i];
        for (int i = 0; i < 3; ++i) Fill::load(clip + 4 * shift, vertex[i], corners[i]);
        const FaceOf<Lanes> side_by_side = set_up(corners[0], corners[1], corners[2]);
        for (int lane = 0; lane < count; ++lane) {
            const Face face = face_of(side_by_side, lane);
            if (covers_something(face.size)) draw<Fill>(face, entries[n + lane].face, entries[n + lane].box, canvas);
        }
    }
}

// draw_all for each kind of processor.
template <class T, bool peel>
struct Draw {
    using Function = void (*)(const T*, int64_t, const int32_t*, const std::vector<Entry>&, const Canvas&);

    static void portable(
        const T* clip, int64_t shift, const int32_t* faces, const std::vector<Entry>& entries, const Canvas& canvas
    ) {
        draw_all<Portable<peel>>(clip, shift, faces, entries, canvas);
    }
#ifdef POLYGLYPH_X86
    AVX2 static void avx2(
        const T* clip, int64_t shift, const int32_t* faces, const std::vector<Entry>& entries, const Canvas& canvas
    ) {
        draw_all<Avx2<peel>>(clip, shift, faces, entries, canvas);
    }
    AVX512 static void avx512(
        const T* clip, int64_t shift, const int32_t* faces, const std::vector<Entry>& entries, const Canvas& canvas
    ) {
        draw_all<Avx512<peel>>(clip, shift, faces, entries, canvas);
    }
#endif
    static Function best() {
#ifdef POLYGLYPH_X86
        switch (vector_level()) {
            case 2: return avx512;
            case 1: return avx2;
        }
#endif
        return portable;
    }
};

template <class T>
struct Painter {
    const T* clip;
    Batch batch;
    Grid grid;
    const int32_t* behind;  // ids of the layer before, or null

    // The keys of the layer before, which a fragment must exceed; a pixel that had none can have no more.
    void floors(int64_t image, int64_t top, int64_t rows, const Centres& centres, uint64_t* floor) const {
        int32_t held = -1;
        Face known{};
        for (int64_t pixel = 0; pixel < rows * grid.width; ++pixel) {
            const int64_t y = top + pixel / grid.width, x = pixel % grid.width;
            const int32_t id = behind[(image * grid.height + y) * grid.width + x];
            floor[pixel] = EMPTY;
            if (id < 0) continue;
            if (id != held) {
                const int32_t* v = batch.faces + 3 * int64_t(id);
                const int64_t shift = batch.shift(image);
                known = set_up(corner_at(clip, v[0] + shift), corner_at(clip, v[1] + shift), corner_at(clip, v[2] + shift));
                held = id;
            }
            floor[pixel] = depth_key(at(known.depth, centres.X[x], centres.Y[y]), id);
        }
    }

    void band(int64_t image, int64_t top, int64_t rows, const Chunk* chunks, int64_t count, int64_t band,
              const Centres& centres, int32_t* ids) const {
        const int64_t pixels = rows * grid.width;
        std::vector<uint64_t> keys(pixels + ROW_PADDING, EMPTY), floor;
        if (behind) {
            floor.resize(keys.size());
            floors(image, top, rows, centres, floor.data());
        }
        const Canvas canvas{top, top + rows - 1, grid, centres, keys.data(), floor.data()};
        const auto draw_entries = behind ? Draw<T, true>::best() : Draw<T, false>::best();
        for (int64_t chunk = 0; chunk < count; ++chunk)
            draw_entries(clip, batch.shift(image), batch.faces, chunks[chunk].bands[band], canvas);
        int32_t* out = ids + (image * grid.height + top) * grid.width;
        for (int64_t pixel = 0; pixel < pixels; ++pixel)
            out[pixel] = keys[pixel] == EMPTY ? -1 : int32_t(keys[pixel] & 0x7fffffff);
    }
};

template <class T>
void rasterize(const Painter<T>& painter, int64_t vertices, int64_t threads, int32_t* ids) {
    const Batch& batch = painter.batch;
    const Grid grid = painter.grid;
    // Every element is written before it is read; a vector would zero it first.
    const std::unique_ptr<Place[]> places(new Place[vertices > 0 ? vertices : 1]);
    parallel_runs(vertices, CHUNK, threads, [&](int64_t first, int64_t last) {
        for (int64_t row = first; row < last; ++row) places[row] = place_of(corner_at(painter.clip, row), grid);
    });
    const Centres centres(grid);

    int band_bits = 0;  // a band has a power of two of rows
    while ((int64_t(2) << band_bits) * grid.width <= BAND_PIXELS && (int64_t(1) << band_bits) < grid.height) ++band_bits;
    const int64_t band_rows = int64_t(1) << band_bits;
    const int64_t bands = (grid.height + band_rows - 1) / band_rows;
    std::vector<Chunk> chunks = chunks_of(batch);
    parallel_for(int64_t(chunks.size()), threads, [&](int64_t i) {
        sort_into_bands(chunks[i], batch, places.get(), grid, band_bits, bands);
    });
    std::vector<int64_t> start(batch.images + 1, 0);
    for (const Chunk& chunk : chunks) ++start[chunk.image + 1];
    for (int64_t image = 0; image < batch.images; ++image) start[image + 1] += start[image];
    parallel_for(batch.images * bands, threads, [&](int64_t task) {
        const int64_t image = task / bands, band = task % bands, top = band * band_rows;
        const int64_t rows = least(band_rows, grid.height - top);
        painter.band(image, top, rows, chunks.data() + start[image], start[image + 1] - start[image], band, centres, ids);
    });
}

// Pixels of known faces: loads a face's corners only when it differs from the pixel's to the left.
template <class T>
struct Evaluator {
    const T* clip;
    const int32_t* faces;
    const int32_t* ids;
    Grid grid;
    int64_t shift_per_image;
    Centres centres{grid};

    template <class F>
    void row(int64_t y, F&& visit) const {  // y counts over the batch
        const double Y = centres.Y[y % grid.height];
        const int64_t shift = y / grid.height * shift_per_image;
        Sample sample{};
        int32_t held = -1;
        for (int64_t x = 0; x < grid.width; ++x) {
            const int32_t id = ids[y * grid.width + x];
            if (id >= 0 && id != held) sample.load(clip, faces, id, shift), held = id;
            visit(y * grid.width + x, id, sample, centres.X[x], Y);
        }
    }
};

template <class T>
void evaluate(const Evaluator<T>& evaluator, int64_t images, T* depth, T* barycentric, T* derivative, int64_t threads) {
    const Grid grid = evaluator.grid;
    parallel_runs(images * grid.height, 8, threads, [&](int64_t first, int64_t last) {
        for (int64_t y = first; y < last; ++y)
            evaluator.row(y, [&](int64_t pixel, int32_t id, const Sample& sample, double X, double Y) {
                T* b = barycentric + 3 * pixel;
                T* d = derivative ? derivative + 6 * pixel : nullptr;
                if (id >= 0) {
                    write_sample(sample, X, Y, grid, depth + pixel, b, d);
                    return;
                }
                depth[pixel] = 1;
                for (int i = 0; i < 3; ++i) b[i] = 0;
                if (d)
                    for (int i = 0; i < 6; ++i) d[i] = 0;
            });
    });
}

template <class T>
void evaluate_backward(
    const Evaluator<T>& evaluator, const Slabs& slabs, const T* grad_depth, const T* grad_barycentric,
    const T* grad_derivative, T* grad_clip, int64_t threads
) {
    scatter<double>(slabs, 4, grad_clip, threads, [&](const Slab& slab, auto&& reach) {
        Pull pull;  // of a run of pixels of one face
        Sample run{};
        int32_t face = -1;
        for (int64_t y = slab.first_row; y < slab.last_row; ++y) {
            const double Y = evaluator.centres.Y[y % evaluator.grid.height];
            const int64_t shift = y / evaluator.grid.height * evaluator.shift_per_image;
            const auto flush = [&] {
                if (face < 0) return;
                const int32_t* corner = evaluator.faces + 3 * int64_t(face);
                pull.write(run, reach(corner[0] + shift), reach(corner[1] + shift), reach(corner[2] + shift));
                face = -1;
            };
            for (int64_t x = 0; x < evaluator.grid.width; ++x) {
                const int64_t pixel = y * evaluator.grid.width + x;
                const int32_t id = evaluator.ids[pixel];
                if (id < 0) continue;
                if (id != face) {
                    flush();
                    face = id;
                    run.load(evaluator.clip, evaluator.faces, id, shift);
                    pull.clear();
                }
                pull.add(run, evaluator.centres.X[x], Y, evaluator.grid, grad_depth ? grad_depth + pixel : nullptr,
                         grad_barycentric ? grad_barycentric + 3 * pixel : nullptr,
                         grad_derivative ? grad_derivative + 6 * pixel : nullptr);
            }
            flush();
        }
    });
}

}  // namespace
}  // namespace polyglyph

using namespace polyglyph;

#define RASTERIZE(T, NAME)                                                                                          \
    /* clip [vertices over all images, 4], faces [F, 3], ranges [images, 2] or null, behind [images, H, W] or null \
       -> ids [images, H, W]. vertices_per_image is 0 for packed clips. */                                          \
    POLYGLYPH_EXPORT int polyglyph_rasterize_##NAME(                                                                \
        const T* clip, int64_t vertices, int64_t vertices_per_image, const int32_t* faces, int64_t face_count,      \
        const int64_t* ranges, int64_t images, int64_t height, int64_t width, const int32_t* behind, int32_t* ids,  \
        int64_t threads                                                                                             \
    ) {                                                                                                             \
        return guarded([&] {                                                                                        \
            const Batch batch{faces, ranges, images, face_count, vertices_per_image};                               \
            rasterize<T>({clip, batch, {height, width}, behind}, vertices, threads, ids);                           \
        });                                                                                                         \
    }                                                                                                               \
    /* ids as above -> depth [images, H, W], barycentric [.., 3], derivative [.., 3, 2] or null */                  \
    POLYGLYPH_EXPORT int polyglyph_evaluate_##NAME(                                                                 \
        const T* clip, int64_t vertices_per_image, const int32_t* faces, const int32_t* ids, int64_t images,        \
        int64_t height, int64_t width, T* depth, T* barycentric, T* derivative, int64_t threads                     \
    ) {                                                                                                             \
        return guarded([&] {                                                                                        \
            evaluate<T>({clip, faces, ids, {height, width}, vertices_per_image}, images, depth, barycentric,        \
                        derivative, threads);                                                                       \
        });                                                                                                         \
    }                                                                                                               \
    /* adds to grad_clip [vertices, 4]; gradients may be null */                                                                           \
    POLYGLYPH_EXPORT int polyglyph_evaluate_backward_##NAME(                                                        \
        const T* clip, int64_t vertices, int64_t vertices_per_image, const int32_t* faces, const int32_t* ids,      \
        int64_t images, int64_t height, int64_t width, const T* grad_depth, const T* grad_barycentric,              \
        const T* grad_derivative, T* grad_clip, int64_t threads                                                     \
    ) {                                                                                                             \
        return guarded([&] {                                                                                        \
            const Slabs slabs = slabs_of(ids, faces, images, height, width, vertices_per_image, vertices, threads); \
            evaluate_backward<T>({clip, faces, ids, {height, width}, vertices_per_image}, slabs, grad_depth,        \
                                 grad_barycentric, grad_derivative, grad_clip, threads);                            \
        });                                                                                                         \
    }

RASTERIZE(float, f32)
RASTERIZE(double, f64)
