// Which vector units this processor has. With POLYGLYPH_PORTABLE the sources are what a compiler sees that knows neither
// them nor GCC's vectors; the tests compile them so.
#pragma once

#if !defined(POLYGLYPH_PORTABLE) && (defined(__x86_64__) || defined(_M_X64)) && (defined(__GNUC__) || defined(__clang__))
#define POLYGLYPH_X86 1
#include <immintrin.h>
#define AVX2 __attribute__((target("avx2")))
#define AVX512 __attribute__((target("avx2,avx512f,avx512dq,avx512vl")))
#endif

// What a source file is compiled for: 0, or what it says before it includes anything.
#ifndef POLYGLYPH_LEVEL
#define POLYGLYPH_LEVEL 0
#endif

// The namespace of what differs from one such file to another, so that the linker never takes one for the other.
#if POLYGLYPH_LEVEL == 2
#define POLYGLYPH_VARIANT for_avx512
#elif POLYGLYPH_LEVEL == 1
#define POLYGLYPH_VARIANT for_avx2
#else
#define POLYGLYPH_VARIANT portable
#endif

namespace polyglyph {

// 0: portable code; 1: AVX2; 2: AVX-512. The environment variable POLYGLYPH_VECTORS lowers it, for tests.
int vector_level();

}  // namespace polyglyph
