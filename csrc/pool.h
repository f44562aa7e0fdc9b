// A small pool of threads: `parallel_for` runs numbered tasks on the caller and its helpers, which sleep when there has
// been nothing to do for a while.
#pragma once

#include <cstdint>

namespace polyglyph {

// Runs body(context, i) for every i in [0, count), on at most `threads` threads and on one per core, in any order;
// returns when all are done. Tasks are handed out one at a time. A call from inside a task, or while another thread uses the
// pool, runs on the caller alone. The pool survives fork(). Rethrows std::bad_alloc of any task.
void run_tasks(int64_t count, int64_t threads, void (*body)(void*, int64_t), void* context);

template <class F>
void parallel_for(int64_t count, int64_t threads, F&& body) {
    run_tasks(
        count, threads, [](void* context, int64_t i) { (*static_cast<F*>(context))(i); },
        const_cast<void*>(static_cast<const void*>(&body)));
}

// The same over runs [first, last) of at most `grain` items.
template <class F>
void parallel_runs(int64_t count, int64_t grain, int64_t threads, F&& body) {
    parallel_for((count + grain - 1) / grain, threads, [&](int64_t run) {
        const int64_t first = run * grain;
        body(first, first + grain < count ? first + grain : count);
    });
}

}  // namespace polyglyph
