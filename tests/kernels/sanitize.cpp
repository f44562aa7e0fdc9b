// Random scenes, nonsense among them, through the library under a sanitizer: `make sanitize` builds it with the
// sources of csrc/ three times (addresses and undefined behaviour; threads) and runs it. Prints what it did.
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
}

namespace {

void check(int code) {
    if (code) std::puts("a call failed"), std::exit(1);
}

void scene(uint32_t seed) {
    std::mt19937 random(seed);
    const auto below = [&](int64_t count) { return int64_t(random() % uint32_t(count)); };
    const float strange[] = {0, NAN, INFINITY, -INFINITY, 1e38f, 1e-40f, -1};
    const I images = 1 + below(4), vertices = 3 + below(300), faces = below(400), height = 1 + below(150),
            width = 1 + below(150), threads = 1 + below(5), pixels = images * height * width, channels = below(5);
    const bool packed = below(2);
    const I rows = packed ? vertices : images * vertices, own = packed ? 0 : vertices;
    std::vector<float> clip(rows * 4);
    for (size_t i = 0; i < clip.size(); ++i) {
        clip[i] = i % 4 == 3 ? 0.5f + float(below(1000)) / 500 : float(below(2001)) / 500 - 2;
        if (below(200) == 0) clip[i] = strange[below(7)];
    }
    std::vector<int32_t> face(faces * 3), welded(faces * 3), following(faces * 3), first(rows);
    for (auto& corner : face) corner = int32_t(below(vertices));
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
}

}  // namespace

int main(int count, char** arguments) {
    const int scenes = count > 1 ? std::atoi(arguments[1]) : 300;
    for (int seed = 0; seed < scenes; ++seed) scene(seed);
    // Two callers at once: one of them finds the pool taken.
    std::thread other([=] { for (int seed = 0; seed < scenes / 4; ++seed) scene(seed); });
    for (int seed = scenes; seed < scenes + scenes / 4; ++seed) scene(seed);
    other.join();
    std::printf("%d scenes\n", scenes + scenes / 2);
}
