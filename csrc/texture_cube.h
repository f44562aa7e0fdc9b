// The cube maps of texture.h: which face a direction meets, and which texel lies across an edge.
#pragma once

#include "common.h"

namespace polyglyph::lookup {

template <class T>
HD bool finite(T x) {
    return x - x == 0;
}

// A face of the cube (OpenGL 4.6, table 8.19): its axis and the axes that its columns (s) and rows (t) run along.
struct Axes {
    int64_t major, s, t, major_sign, s_sign, t_sign;
};

HD Axes axes_of(int64_t face) {
    const int64_t major = face / 2;
    return {major, major == 0 ? 2 : 0, major == 1 ? 2 : 1, face % 2 ? -1 : 1, face == 0 || face == 5 ? -1 : 1,
            face == 2 ? 1 : -1};
}

// A direction on its face: (s, t) in [-1, 1], and how they change per pixel.
template <class T>
struct Facing {
    Axes axes;
    int64_t face;  // -1 for a direction that is zero or not finite
    T length;      // along the face's axis
    T st[2], change[4];

    HD Facing(const T* direction, const T* derivative) {
        const T x = fabs(direction[0]), y = fabs(direction[1]), z = fabs(direction[2]);
        const int64_t major = x >= y && x >= z ? 0 : y >= z ? 1 : 2;
        face = 2 * major + (direction[major] < 0), axes = axes_of(face);
        length = direction[major] * T(axes.major_sign);
        if (!finite(x) || !finite(y) || !finite(z) || !(length > 0)) {
            face = -1;
            return;
        }
        st[0] = T(axes.s_sign) * direction[axes.s] / length, st[1] = T(axes.t_sign) * direction[axes.t] / length;
        if (!derivative) return;
        for (int k = 0; k < 4; ++k) {
            const T own = k < 2 ? T(axes.s_sign) * derivative[2 * axes.s + k % 2]
                                : T(axes.t_sign) * derivative[2 * axes.t + k % 2];
            change[k] = (own - st[k / 2] * (T(axes.major_sign) * derivative[2 * axes.major + k % 2])) / length;
        }
    }

    // From gradients of (u, v) and of their derivatives (may be null) to the direction's.
    HD void pull(const T* derivative, const T* g_uv, const T* g_change, T* g_direction, T* g_derivative) const {
        T g_st[2] = {g_uv[0] / 2, g_uv[1] / 2}, g_length = 0;
        T along[6] = {};
        if (g_change)
            for (int k = 0; k < 4; ++k) {
                const T g = g_change[k] / (2 * length);
                g_st[k / 2] -= g * (T(axes.major_sign) * derivative[2 * axes.major + k % 2]);
                g_length -= g * change[k];
                along[2 * (k < 2 ? axes.s : axes.t) + k % 2] += g * T(k < 2 ? axes.s_sign : axes.t_sign);
                along[2 * axes.major + k % 2] -= g * st[k / 2] * T(axes.major_sign);
            }
        g_length -= (st[0] * g_st[0] + st[1] * g_st[1]) / length;
        if (g_direction) {
            g_direction[axes.s] = T(axes.s_sign) * g_st[0] / length;
            g_direction[axes.t] = T(axes.t_sign) * g_st[1] / length;
            g_direction[axes.major] = T(axes.major_sign) * g_length;
        }
        if (g_derivative)
            for (int k = 0; k < 6; ++k) g_derivative[k] = along[k];
    }
};

// The line (of its image) and column of a texel one step across an edge of a face. The cube is seen with edges of
// length 2·size, so that centres of texels have whole coordinates.
HD void across_edge(int64_t size, int64_t& face, int64_t& line, int64_t& column) {
    const Axes from = axes_of(face);
    int64_t at[3];
    at[from.s] = from.s_sign * (2 * column + 1 - size);
    at[from.t] = from.t_sign * (2 * line + 1 - size);
    at[from.major] = from.major_sign * (size - 1);
    const int64_t major = column < 0 || column >= size ? from.s : from.t;
    face = 2 * major + (at[major] < 0);
    const Axes to = axes_of(face);
    line = (to.t_sign * at[to.t] + size - 1) / 2;
    column = (to.s_sign * at[to.s] + size - 1) / 2;
}

}  // namespace polyglyph::lookup
