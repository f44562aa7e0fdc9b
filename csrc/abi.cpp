// The version of the C interface between this library and polyglyph/kernels/library.py.
// The loader refuses a library whose number differs from its own.
#include "export.h"

POLYGLYPH_EXPORT int polyglyph_abi_version() { return 3; }
