// Stands before a .cu file when tests compile it with a C++ compiler: threads run one after the other.
#pragma once

#include <cmath>
#include <cstdint>
#include <utility>

#define __global__
#define __device__
#define __host__

struct Index {
    unsigned x, y, z;
};
static Index threadIdx, blockIdx, blockDim, gridDim;

template <class T, class V>
T atomicAdd(T* place, V value) {
    const T old = *place;
    *place += T(value);
    return old;
}
template <class T>
T atomicMin(T* place, T value) {
    const T old = *place;
    if (value < old) *place = value;
    return old;
}
template <class T>
T atomicMax(T* place, T value) {
    const T old = *place;
    if (old < value) *place = value;
    return old;
}

namespace emulated {

template <class... A, size_t... N>
void call(void (*kernel)(A...), void** arguments, std::index_sequence<N...>) {
    kernel(*static_cast<A*>(arguments[N])...);
}

template <class... A>
void launch(void (*kernel)(A...), unsigned blocks, unsigned threads, void** arguments) {
    gridDim = {blocks, 1, 1}, blockDim = {threads, 1, 1};
    // Backwards: a kernel whose result depends on the order of its threads must not pass.
    for (unsigned block = blocks; block-- > 0;)
        for (unsigned thread = threads; thread-- > 0;) {
            blockIdx = {block, 0, 0}, threadIdx = {thread, 0, 0};
            call(kernel, arguments, std::index_sequence_for<A...>());
        }
}

}  // namespace emulated

#define EMULATED(kernel)                                                                     \
    extern "C" void emulated_##kernel(unsigned blocks, unsigned threads, void** arguments) { \
        emulated::launch(kernel, blocks, threads, arguments);                                \
    }
