// The version of the C interface between this library and polyglyph/kernels/library.py.
// The loader refuses a library whose number differs from its own.
#if defined(_WIN32)
#define POLYGLYPH_EXPORT extern "C" __declspec(dllexport)
#else
#define POLYGLYPH_EXPORT extern "C" __attribute__((visibility("default")))
#endif

POLYGLYPH_EXPORT int polyglyph_abi_version() { return 1; }
