// kernels/soft_mask on the CPU: which faces may reach which tile of pixels.
#pragma once

#include "soft_mask_rows.h"

#include <vector>

#include "pool.h"

namespace polyglyph {
namespace soft {

constexpr int64_t CHUNK = 4096;  // faces that one task sorts
constexpr int64_t TILE_COLUMNS = 64, TILE_ROWS = 16;

struct Scene {
    const Point* points;  // of all images' vertices
    const int32_t* faces;
    const int64_t* ranges;  // (first, count) per image; null: all faces
    const int32_t* face_id;
    int64_t images, face_count, vertices_per_image;
    Grid grid;
    double sharpness, cutoff;  // `cutoff` is a squared distance
    int64_t neighbours;

    int64_t first(int64_t image) const { return ranges ? ranges[2 * image] : 0; }
    int64_t count(int64_t image) const { return ranges ? ranges[2 * image + 1] : face_count; }
    const Point* points_of(int64_t image) const { return points + image * vertices_per_image; }
    int64_t across() const { return (grid.width + TILE_COLUMNS - 1) / TILE_COLUMNS; }
    int64_t down() const { return (grid.height + TILE_ROWS - 1) / TILE_ROWS; }

    bool place(int64_t image, int64_t face, Outline& outline) const {
        const int32_t* v = faces + 3 * face;
        const Point* of = points_of(image);
        return outline.place(of[v[0]], of[v[1]], of[v[2]]);
    }
};

// Bits [first, last] of 64.
inline uint64_t bits_between(int64_t first, int64_t last) {
    return ~uint64_t(0) >> (63 - last) & ~uint64_t(0) << first;
}

// Which pixels are uncovered: a bit each, a word per row of a tile.
struct Open {
    std::vector<uint64_t> words;
    int64_t height, across;

    Open(const Scene& scene, int64_t threads)
        : words(scene.images * scene.grid.height * scene.across()), height(scene.grid.height), across(scene.across()) {
        const int64_t width = scene.grid.width;
        parallel_runs(scene.images * height, 64, threads, [&](int64_t first, int64_t last) {
            for (int64_t row = first; row < last; ++row)
                for (int64_t x = 0; x < width; ++x)
                    words[row * across + x / TILE_COLUMNS] |= uint64_t(scene.face_id[row * width + x] < 0)
                                                              << x % TILE_COLUMNS;
        });
    }
    uint64_t word(int64_t image, int64_t row, int64_t tile) const {
        return words[(image * height + row) * across + tile];
    }
};

// The pixels that a face may reach.
struct Reach {
    Range rows, columns;

    Reach(const Outline& outline, const Scene& scene) {
        const Grid grid = scene.grid;
        const double pixels = std::sqrt(scene.cutoff) * double(grid.height) / 2;
        rows = range_of(row_of(outline.high.y, grid), row_of(outline.low.y, grid), pixels, grid.height);
        columns = range_of(column_of(outline.low.x, grid), column_of(outline.high.x, grid), pixels, grid.width);
    }
    bool empty() const { return rows.first > rows.last || columns.first > columns.last; }
    // Which columns of a tile.
    uint64_t bits(int64_t tile) const {
        const int64_t left = tile * TILE_COLUMNS;
        const int64_t from = most<int64_t>(columns.first - left, 0);
        const int64_t to = least<int64_t>(columns.last - left, TILE_COLUMNS - 1);
        return from <= to ? bits_between(from, to) : 0;
    }
};

// Some faces of one image, and for each tile those that may reach an uncovered pixel of it, in order.
struct Chunk {
    int64_t image, first, last;
    std::vector<std::vector<int32_t>> tiles;
};

inline void sort_into_tiles(Chunk& chunk, const Scene& scene, const Open& open) {
    chunk.tiles.resize(scene.down() * scene.across());
    Outline outline;
    for (int64_t face = chunk.first; face < chunk.last; ++face) {
        if (!scene.place(chunk.image, face, outline)) continue;
        const Reach reach(outline, scene);
        if (reach.empty()) continue;
        for (int64_t y = reach.rows.first / TILE_ROWS; y <= reach.rows.last / TILE_ROWS; ++y) {
            const int64_t top = most<int64_t>(reach.rows.first, y * TILE_ROWS);
            const int64_t bottom = least<int64_t>(reach.rows.last, (y + 1) * TILE_ROWS - 1);
            for (int64_t x = reach.columns.first / TILE_COLUMNS; x <= reach.columns.last / TILE_COLUMNS; ++x) {
                const uint64_t bits = reach.bits(x);
                for (int64_t row = top; row <= bottom; ++row)
                    if (open.word(chunk.image, row, x) & bits) {
                        chunk.tiles[y * scene.across() + x].push_back(int32_t(face));
                        break;
                    }
            }
        }
    }
}

// What all tasks share.
struct Search {
    const Scene& scene;
    Open open;
    std::vector<Chunk> chunks;
    std::vector<int64_t> start;  // the first chunk of each image, and the end
    std::vector<double> X, Y;    // pixel centres

    Search(const Scene& of, int64_t threads)
        : scene(of), open(of, threads), X(of.grid.width + LANES), Y(of.grid.height) {
        const double aspect = aspect_of(scene.grid);
        for (int64_t x = 0; x < scene.grid.width; ++x) X[x] = centre_x(x, scene.grid) * aspect;
        for (int64_t y = 0; y < scene.grid.height; ++y) Y[y] = centre_y(y, scene.grid);
        for (int64_t image = 0; image < scene.images; ++image) {
            start.push_back(int64_t(chunks.size()));
            const int64_t end = scene.first(image) + scene.count(image);
            for (int64_t face = scene.first(image); face < end; face += CHUNK)
                chunks.push_back({image, face, least(face + CHUNK, end), {}});
        }
        start.push_back(int64_t(chunks.size()));
        parallel_for(int64_t(chunks.size()), threads, [&](int64_t n) { sort_into_tiles(chunks[n], scene, open); });
    }

    // All faces in the list of a tile, in order.
    template <class F>
    void each_face(int64_t image, int64_t tile, F&& visit) const {
        for (int64_t chunk = start[image]; chunk < start[image + 1]; ++chunk)
            for (const int32_t face : chunks[chunk].tiles[tile]) visit(face);
    }

    int64_t faces_in(int64_t image, int64_t tile) const {
        int64_t count = 0;
        for (int64_t chunk = start[image]; chunk < start[image + 1]; ++chunk)
            count += int64_t(chunks[chunk].tiles[tile].size());
        return count;
    }
};

}  // namespace soft
}  // namespace polyglyph
