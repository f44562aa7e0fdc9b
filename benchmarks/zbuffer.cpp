// A plain per-triangle z-buffer with OpenMP: what a good programmer writes in an afternoon, kept as the yardstick of
// benchmarks/kernels.py. Float arithmetic, images in parallel, (u, v, z/w, id) of every pixel; the backward pass takes
// the gradient of (u, v) to clip positions. No tie rule, no clipping, no guarantee on shared edges.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

extern "C" void zbuffer_forward(
    const float* clip, int64_t images, int64_t vertices, const int32_t* faces, int64_t face_count, int64_t height,
    int64_t width, float* out_uvz, int32_t* out_id
) {
#pragma omp parallel for schedule(dynamic)
    for (int64_t image = 0; image < images; ++image) {
        float* uvz = out_uvz + image * height * width * 3;
        int32_t* id = out_id + image * height * width;
        for (int64_t i = 0; i < height * width; ++i) uvz[3 * i] = uvz[3 * i + 1] = 0, uvz[3 * i + 2] = 1, id[i] = -1;
        const float* points = clip + image * vertices * 4;
        std::vector<float> screen(vertices * 4);
        for (int64_t v = 0; v < vertices; ++v) {
            const float w = 1 / points[4 * v + 3];
            screen[4 * v] = (points[4 * v] * w + 1) * 0.5f * width;
            screen[4 * v + 1] = (1 - points[4 * v + 1] * w) * 0.5f * height;
            screen[4 * v + 2] = points[4 * v + 2] * w;
            screen[4 * v + 3] = w;
        }
        for (int64_t face = 0; face < face_count; ++face) {
            const float* a = &screen[4 * faces[3 * face]];
            const float* b = &screen[4 * faces[3 * face + 1]];
            const float* c = &screen[4 * faces[3 * face + 2]];
            const float area = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]);
            if (area == 0) continue;
            const float scale = 1 / area;
            const int left = std::max(0, int(std::min({a[0], b[0], c[0]})));
            const int right = std::min(int(width) - 1, int(std::max({a[0], b[0], c[0]})));
            const int top = std::max(0, int(std::min({a[1], b[1], c[1]})));
            const int bottom = std::min(int(height) - 1, int(std::max({a[1], b[1], c[1]})));
            for (int y = top; y <= bottom; ++y)
                for (int x = left; x <= right; ++x) {
                    const float px = x + 0.5f, py = y + 0.5f;
                    const float l0 = ((b[0] - px) * (c[1] - py) - (b[1] - py) * (c[0] - px)) * scale;
                    const float l1 = ((c[0] - px) * (a[1] - py) - (c[1] - py) * (a[0] - px)) * scale;
                    const float l2 = 1 - l0 - l1;
                    if (l0 < 0 || l1 < 0 || l2 < 0) continue;
                    const float z = l0 * a[2] + l1 * b[2] + l2 * c[2];
                    const int64_t pixel = y * width + x;
                    if (z >= uvz[3 * pixel + 2] || z < -1) continue;
                    const float p0 = l0 * a[3], p1 = l1 * b[3], p2 = l2 * c[3], p = 1 / (p0 + p1 + p2);
                    uvz[3 * pixel] = p0 * p, uvz[3 * pixel + 1] = p1 * p, uvz[3 * pixel + 2] = z;
                    id[pixel] = int32_t(face);
                }
        }
    }
}

extern "C" void zbuffer_backward(
    const float* clip, int64_t images, int64_t vertices, const int32_t* faces, int64_t height, int64_t width,
    const float* uvz, const int32_t* id, const float* grad_uv, float* grad_clip
) {
#pragma omp parallel for schedule(dynamic)
    for (int64_t image = 0; image < images; ++image) {
        const float* points = clip + image * vertices * 4;
        float* grad = grad_clip + image * vertices * 4;
        std::fill(grad, grad + vertices * 4, 0.0f);
        for (int64_t pixel = 0; pixel < height * width; ++pixel) {
            const int64_t at = image * height * width + pixel;
            if (id[at] < 0) continue;
            const int32_t* corner = faces + 3 * int64_t(id[at]);
            const float* v[3] = {points + 4 * corner[0], points + 4 * corner[1], points + 4 * corner[2]};
            const float X = (2 * (pixel % width) + 1) / float(width) - 1, Y = 1 - (2 * (pixel / width) + 1) / float(height);
            float e[3], n[3][3];
            for (int i = 0; i < 3; ++i) {
                const float *p = v[(i + 1) % 3], *q = v[(i + 2) % 3];
                n[i][0] = p[1] * q[3] - p[3] * q[1], n[i][1] = p[3] * q[0] - p[0] * q[3], n[i][2] = p[0] * q[1] - p[1] * q[0];
                e[i] = n[i][0] * X + n[i][1] * Y + n[i][2];
            }
            const float total = 1 / (e[0] + e[1] + e[2]), b0 = e[0] * total, b1 = e[1] * total;
            const float mean = grad_uv[2 * at] * b0 + grad_uv[2 * at + 1] * b1;
            const float g[3] = {(grad_uv[2 * at] - mean) * total, (grad_uv[2 * at + 1] - mean) * total, -mean * total};
            const float point[3] = {X, Y, 1};
            for (int i = 0; i < 3; ++i) {
                const float *p = v[(i + 1) % 3], *q = v[(i + 2) % 3];
                float *gp = grad + 4 * corner[(i + 1) % 3], *gq = grad + 4 * corner[(i + 2) % 3];
                const float r[3] = {g[i] * point[0], g[i] * point[1], g[i] * point[2]};
                gp[0] += q[1] * r[2] - q[3] * r[1], gp[1] += q[3] * r[0] - q[0] * r[2], gp[3] += q[0] * r[1] - q[1] * r[0];
                gq[0] += r[1] * p[3] - r[2] * p[1], gq[1] += r[2] * p[0] - r[0] * p[3], gq[3] += r[0] * p[1] - r[1] * p[0];
            }
        }
    }
}
