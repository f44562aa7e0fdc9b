// The C interface of the CPU library. Every function returns 0, or 1 when memory ran out.
#pragma once

#include <new>

#if defined(_WIN32)
#define POLYGLYPH_EXPORT extern "C" __declspec(dllexport)
#else
#define POLYGLYPH_EXPORT extern "C" __attribute__((visibility("default")))
#endif

namespace polyglyph {

template <class F>
int guarded(F&& body) {
    try {
        body();
    } catch (const std::bad_alloc&) {
        return 1;
    }
    return 0;
}

}  // namespace polyglyph
