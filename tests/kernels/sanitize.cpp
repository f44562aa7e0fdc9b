// Random scenes, nonsense among them, through the library under a sanitizer: `make sanitize` builds it with the
// sources of csrc/ three times (addresses and undefined behaviour; threads) and runs it. Prints what it did.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <random>
#include <thread>
#include <vector>

#define I int64_t
extern "C" {
int polyglyph_rasterize_f32(const float*, I, I, const int32_t*, I, const I*, I, I, I, const int32_t*, int32_t*, I);
int polyglyph_evaluate_f32(const float*, I, const int32_t*, const int32_t*, I, I, I, float*, float*, float*, I);
int polyglyph_evaluate_backward_f32(const float*, I, I, const int32_t*, const int32_t*, I, I, I, const float*,
                                    const float*, const float*, float*, I);
int polyglyph_interpolate_f32(const float*, I, I, I, const int32_t*, const int32_t*, I, I, I, const float*, float*, I);
int polyglyph_interpolate_backward_f32(const float*, I, I, I, const int32_t*, const int32_t*, I, I, I, const float*,
                                       const float*, float*, float*, I);
int polyglyph_topology(const int32_t*, I, I, int32_t*, I);
int polyglyph_weld(const char*, I, I, int32_t*, I);
int polyglyph_antialias_find_f32(const float*, I, I, const int32_t*, const int32_t*, const int32_t*, const int32_t*,
                                 const float*, I, I, I, const float*, I, I, int32_t*, I);
int polyglyph_antialias_blend_f32(const float*, I, I, const int32_t*, const int32_t*, const int32_t*, const int32_t*,
                                  const float*, I, I, I, const int32_t*, const float*, I, float*, I);
int polyglyph_antialias_backward_f32(const float*, I, I, const int32_t*, const int32_t*, const int32_t*,
                                     const int32_t*, const float*, I, I, I, const int32_t*, const float*, const float*,
                                     I, float*, float*, I);
#define VIEW I, const float*, const float*, I, I, I, I, I, I, I, const float*, const float*, const float*
int polyglyph_texture_f32(VIEW, float*, I);
int polyglyph_texture_backward_f32(VIEW, const float*, float*, float*, float*, float*, float*, I);
#define SCENE const float*, I, I, const int32_t*, I, const I*, const int32_t*, I, I, I, double, double, I
int polyglyph_soft_mask_f32(SCENE, float*, I);
int polyglyph_soft_mask_backward_f32(SCENE, const float*, float*, I);
int polyglyph_nearest_f32(const float*, I, const float*, I, I*, I);
int polyglyph_index_range_i32(const int32_t*, I, I*, I);
int polyglyph_index_range_i64(const I*, I, I*, I);
int polyglyph_narrow(const I*, I, int32_t*, I);
int polyglyph_zero(char*, I, I);
}

namespace {

void check(int code) {
    if (code) std::puts("a call failed"), std::exit(1);
}

const float STRANGE[] = {0, NAN, INFINITY, -INFINITY, 1e38f, 1e-40f, -1};

struct Random {
    std::mt19937 bits;
    explicit Random(uint32_t seed) : bits(seed) {}
    I below(I count) { return I(bits() % uint32_t(count)); }

    // From -2 to 2, and now and then nonsense.
    std::vector<float> numbers(I count) {
        std::vector<float> values(count);
        for (auto& value : values) value = below(200) ? float(below(2001)) / 500 - 2 : STRANGE[below(7)];
        return values;
    }
};

void texture(uint32_t seed) {
    Random random(seed);
    const I wrap = random.below(4), filter = random.below(4), images = 1 + random.below(3), channels = random.below(6),
            height = 1 + random.below(70), width = wrap == 3 ? height : 1 + random.below(70), faces = wrap == 3 ? 6 : 1,
            axes = wrap == 3 ? 3 : 2, samples = images * random.below(3000), threads = 1 + random.below(5);
    I levels = 1, coarser = 0;
    for (; filter > 1 && levels < 7 && (height >> levels || width >> levels); ++levels)
        coarser += images * faces * std::max<I>(height >> levels, 1) * std::max<I>(width >> levels, 1);
    auto base = random.numbers(images * faces * height * width * channels), coarse = random.numbers(coarser * channels),
         at = random.numbers(samples * axes), change = random.numbers(samples * axes * 2), level = random.numbers(samples),
         grad = random.numbers(samples * channels);
    std::vector<float> out(samples * channels), to_base(base.size()), to_coarse(coarse.size()), to_at(at.size()),
        to_change(change.size()), to_level(level.size());
    const float* slopes = filter > 1 && random.below(2) ? change.data() : nullptr;
    const float* levels_asked = filter > 1 && (!slopes || random.below(2)) ? level.data() : nullptr;
    const bool texels = random.below(2), where = filter > 0 && random.below(2);
#define LOOK_UP                                                                                                    \
    samples, base.data(), coarse.data(), images, height, width, channels, levels, filter, wrap, at.data(), slopes, \
        levels_asked
    check(polyglyph_texture_f32(LOOK_UP, out.data(), threads));
    check(polyglyph_texture_backward_f32(LOOK_UP, grad.data(), texels ? to_base.data() : nullptr,
                                         texels ? to_coarse.data() : nullptr, where ? to_at.data() : nullptr,
                                         where && slopes ? to_change.data() : nullptr,
                                         where && levels_asked ? to_level.data() : nullptr, threads));
}

void cloud(uint32_t seed) {
    Random random(seed);
    const I count = random.below(2000), among = 1 + random.below(2000), threads = 1 + random.below(5);
    std::vector<float> query(3 * count), points(3 * among);
    for (auto& value : query) value = float(random.below(40)) / 10;
    for (auto& value : points) value = float(random.below(40)) / 10;
    std::vector<I> index(count);
    check(polyglyph_nearest_f32(query.data(), count, points.data(), among, index.data(), threads));
    std::vector<int32_t> narrow(count);
    check(polyglyph_narrow(index.data(), count, narrow.data(), threads));
    I range[2];
    if (count > 0) {
        check(polyglyph_index_range_i64(index.data(), count, range, threads));
        if (range[0] < 0 || range[1] >= among) check(1);
        check(polyglyph_index_range_i32(narrow.data(), count, range, threads));
    }
    check(polyglyph_zero(reinterpret_cast<char*>(query.data()), I(query.size() * sizeof(float)), threads));
}

void scene(uint32_t seed) {
    Random random(seed);
    const auto below = [&](I count) { return random.below(count); };
    const I images = 1 + below(4), vertices = 3 + below(300), faces = below(400), height = 1 + below(150),
            width = 1 + below(150), threads = 1 + below(5), pixels = images * height * width, channels = below(5);
    const bool packed = below(2), fine = below(3) == 0;  // fine: faces of a few pixels
    const I rows = packed ? vertices : images * vertices, own = packed ? 0 : vertices;
    std::vector<float> clip(rows * 4);
    for (size_t i = 0; i < clip.size(); ++i) {
        clip[i] = i % 4 == 3 ? 0.5f + float(below(1000)) / 500 : float(below(2001)) / 500 - 2;
        if (fine && i % 4 < 2 && i % 32 >= 4) clip[i] = clip[i - 4] + float(below(2001)) / 30000;
        if (fine && i % 4 == 3) clip[i] = 1;
        if (below(200) == 0) clip[i] = STRANGE[below(7)];
    }
    std::vector<int32_t> face(faces * 3), welded(faces * 3), following(faces * 3), first(rows);
    for (I i = 0; i < 3 * faces; ++i) face[i] = int32_t(fine ? (i / 3 + i % 3) % vertices : below(vertices));
    std::vector<I> ranges;
    for (I image = 0; packed && image < images; ++image) {
        ranges.push_back(below(faces + 1));
        ranges.push_back(below(faces + 1 - ranges.back()));
    }
    std::vector<int32_t> ids(pixels), next(pixels), codes(2 * pixels);
    const I* spans = packed ? ranges.data() : nullptr;
    check(polyglyph_rasterize_f32(clip.data(), rows, own, face.data(), faces, spans, images, height, width, nullptr,
                                  ids.data(), threads));
    check(polyglyph_rasterize_f32(clip.data(), rows, own, face.data(), faces, spans, images, height, width, ids.data(),
                                  next.data(), threads));
    std::vector<float> depth(pixels), weights(3 * pixels), change(6 * pixels), grad(rows * 4);
    check(polyglyph_evaluate_f32(clip.data(), own, face.data(), ids.data(), images, height, width, depth.data(),
                                 weights.data(), change.data(), threads));
    check(polyglyph_evaluate_backward_f32(clip.data(), rows, own, face.data(), ids.data(), images, height, width,
                                          depth.data(), weights.data(), change.data(), grad.data(), threads));
    std::vector<float> color(pixels * channels), out(pixels * channels), values(rows * channels, 0.5f),
        to_values(rows * channels), to_weights(3 * pixels);
    check(polyglyph_interpolate_f32(values.data(), rows, own, channels, face.data(), ids.data(), images, height, width,
                                    weights.data(), color.data(), threads));
    check(polyglyph_interpolate_backward_f32(values.data(), rows, own, channels, face.data(), ids.data(), images,
                                             height, width, weights.data(), color.data(), to_values.data(),
                                             to_weights.data(), threads));
    check(polyglyph_weld(reinterpret_cast<const char*>(clip.data()), vertices, 16, first.data(), threads));
    for (size_t i = 0; i < face.size(); ++i) welded[i] = first[face[i]];
    check(polyglyph_topology(welded.data(), faces, vertices, following.data(), threads));
    const float* d = depth.data();
    check(polyglyph_antialias_find_f32(clip.data(), rows, own, face.data(), welded.data(), following.data(), ids.data(),
                                       d, images, height, width, color.data(), channels, below(2), codes.data(), threads));
    check(polyglyph_antialias_blend_f32(clip.data(), rows, own, face.data(), welded.data(), following.data(),
                                        ids.data(), d, images, height, width, codes.data(), color.data(), channels,
                                        out.data(), threads));
    check(polyglyph_antialias_backward_f32(clip.data(), rows, own, face.data(), welded.data(), following.data(),
                                           ids.data(), d, images, height, width, codes.data(), color.data(), out.data(),
                                           channels, color.data(), grad.data(), threads));
    if (pixels > 20000) return;  // every pixel looks at many faces
    const double sharpness = 100.0 * double(1 + below(100));
#define SOFT                                                                                                       \
    clip.data(), rows, own, face.data(), faces, spans, ids.data(), images, height, width, sharpness, 28 / sharpness, \
        1 + below(30)
    check(polyglyph_soft_mask_f32(SOFT, depth.data(), threads));
    std::fill(grad.begin(), grad.end(), 0.0f);
    check(polyglyph_soft_mask_backward_f32(SOFT, weights.data(), grad.data(), threads));
}

}  // namespace

int main(int count, char** arguments) {
    const int scenes = count > 1 ? std::atoi(arguments[1]) : 300;
    for (int seed = 0; seed < scenes; ++seed) scene(seed), texture(seed), cloud(seed);
    // Two callers at once: one of them finds the pool taken.
    std::thread other([=] { for (int seed = 0; seed < scenes / 4; ++seed) scene(seed), texture(seed), cloud(seed); });
    for (int seed = scenes; seed < scenes + scenes / 4; ++seed) scene(seed), texture(seed), cloud(seed);
    other.join();
    std::printf("%d scenes\n", scenes + scenes / 2);
}
