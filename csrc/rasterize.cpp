// kernels/rasterize on the CPU: faces are sorted into bands of rows, then each band is drawn by one thread.
#include "rasterize_groups.h"

#include <memory>
#include <vector>

#include "export.h"
#include "pool.h"

namespace polyglyph {
namespace {

constexpr int64_t CHUNK = 4096;        // faces that one task sorts
constexpr int64_t BAND_PIXELS = 16384;  // 128 KB of depth keys: half of a small level-2 cache

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

SortFaces* sort_faces_for([[maybe_unused]] int level) {
#ifdef POLYGLYPH_X86
    if (level == 2) return sort_avx512;
    if (level == 1) return sort_avx2;
#endif
    return sort_faces;
}

void sort_into_bands(
    Chunk& chunk, const Batch& batch, const Place* places, Grid grid, int band_bits, int64_t bands
) {
    chunk.bands.resize(bands);
    for (auto& entries : chunk.bands) entries.reserve(2 * (chunk.last - chunk.first) / bands + 16);
    const Bands into{band_bits, chunk.bands.data()};
    sort_faces_for(vector_level())(places + batch.shift(chunk.image), batch.faces, chunk.first, chunk.last, grid, into);
}

template <class T>
DrawEntries<T>* draw_entries_for([[maybe_unused]] int level, const T*) {
#ifdef POLYGLYPH_X86
    if (level == 2) return draw_avx512;
    if (level == 1) return draw_avx2;
#endif
    return draw_entries<T>;
}

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
        const Canvas canvas{top, top + rows - 1, grid, centres, keys.data(), behind ? floor.data() : nullptr};
        const auto draw = draw_entries_for(vector_level(), clip);
        for (int64_t chunk = 0; chunk < count; ++chunk)
            draw(clip, batch.shift(image), batch.faces, chunks[chunk].bands[band], canvas);
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
    }

RASTERIZE(float, f32)
RASTERIZE(double, f64)
