#include "processor.h"

#include <cstdlib>

#include "export.h"

namespace polyglyph {

int vector_level() {
    static const int found = [] {
        int level = 0;
#ifdef POLYGLYPH_X86
        __builtin_cpu_init();
        if (__builtin_cpu_supports("avx2")) level = 1;
        if (level == 1 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
            __builtin_cpu_supports("avx512vl"))
            level = 2;
#endif
        const char* wanted = std::getenv("POLYGLYPH_VECTORS");
        const int most = wanted ? std::atoi(wanted) : level;
        return most < level ? most : level;
    }();
    return found;
}

}  // namespace polyglyph

POLYGLYPH_EXPORT int polyglyph_vector_level() { return polyglyph::vector_level(); }
