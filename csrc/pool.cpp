#include "pool.h"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <new>
#include <system_error>
#include <thread>
#include <vector>

#if !defined(_WIN32)
#include <pthread.h>
#endif
#if defined(__linux__)
#include <sched.h>
#endif
#if defined(__x86_64__) || defined(_M_X64)
#include <immintrin.h>
#endif

namespace polyglyph {
namespace {

// A thread that has nothing to do looks out for work this long before it sleeps: the parts of one operation, and
// operations that follow each other, find it awake. Waking a sleeping one takes 5 to 30 µs, and now and then
// milliseconds, when it is put on the core of the thread that woke it.
constexpr std::chrono::microseconds LOOKOUT{200};

template <class F>
void look_out(F&& found) {
    const auto end = std::chrono::steady_clock::now() + LOOKOUT;
    do
        for (int n = 0; n < 32; ++n) {
            if (found()) return;
#if defined(__x86_64__) || defined(_M_X64)
            _mm_pause();
#endif
        }
    while (std::chrono::steady_clock::now() < end);
}

// Lets helpers run on every core that the caller may use but the one that it is on. Linux is often content to wake a
// helper on its caller's core, where it waits until the caller is done.
class Placement {
public:
#if defined(__linux__)
    void add(std::thread& helper) {
        cpu_set_t anywhere;
        CPU_ZERO(&anywhere);
        helpers_.push_back({helper.native_handle(), anywhere});
    }

    void apart_from_caller() {
        cpu_set_t free;
        const int own = sched_getcpu();
        if (own < 0 || own >= CPU_SETSIZE || sched_getaffinity(0, sizeof free, &free) != 0) return;
        CPU_CLR(own, &free);
        if (CPU_COUNT(&free) == 0) return;  // the caller has one core
        for (auto& [helper, cores] : helpers_)
            if (!CPU_EQUAL(&cores, &free) && pthread_setaffinity_np(helper, sizeof free, &free) == 0) cores = free;
    }

private:
    struct Helper {
        pthread_t thread;
        cpu_set_t cores;
    };
    std::vector<Helper> helpers_;
#else
    void add(std::thread&) {}
    void apart_from_caller() {}
#endif
};

struct Job {
    int64_t count;
    void (*body)(void*, int64_t);
    void* context;
    std::atomic<int64_t> next{0};
    std::atomic<bool> out_of_memory{false};

    void work() {
        for (int64_t i; (i = next.fetch_add(1, std::memory_order_relaxed)) < count;) {
            try {
                body(context, i);
            } catch (const std::bad_alloc&) {
                out_of_memory = true;
            }
        }
    }
};

class Pool {
public:
    void run(Job& job, int64_t helpers) {
        grow(helpers);
        placement_.apart_from_caller();
        {
            std::lock_guard lock(mutex_);
            job_ = &job;
            wanted_ = helpers < size_ ? helpers : size_;
        }
        wake_.notify_all();
        job.work();
        {
            std::lock_guard lock(mutex_);
            wanted_ = 0;  // no helper may join from here on
        }
        look_out([&] { return busy_ == 0; });
        std::unique_lock lock(mutex_);
        done_.wait(lock, [&] { return busy_ == 0; });
    }

    std::mutex owner;  // one caller at a time

private:
    void grow(int64_t helpers) {
        for (; size_ < helpers; ++size_) {
            try {
                std::thread helper([this] { serve(); });
                placement_.add(helper);
                helper.detach();
            } catch (const std::system_error&) {
                return;  // the machine has no more threads: go on with fewer
            }
        }
    }

    void serve() {
        std::unique_lock lock(mutex_);
        for (;;) {
            lock.unlock();
            look_out([&] { return wanted_ > 0; });
            lock.lock();
            wake_.wait(lock, [&] { return wanted_ > 0; });
            Job* job = job_;
            --wanted_;
            ++busy_;
            lock.unlock();
            job->work();
            lock.lock();
            if (--busy_ == 0) done_.notify_all();
        }
    }

    Placement placement_;
    std::mutex mutex_;
    std::condition_variable wake_, done_;
    Job* job_ = nullptr;
    int64_t size_ = 0;
    std::atomic<int64_t> wanted_{0}, busy_{0};  // written under the lock
};

// Never destroyed: detached helpers may outlive static destructors.
std::atomic<Pool*> pool{nullptr};
thread_local bool inside = false;

Pool& current() {
    static std::once_flag once;
    std::call_once(once, [] {
        pool = new Pool;
#if !defined(_WIN32)
        // A forked child has the pool's memory and none of its threads: it starts with a fresh one.
        pthread_atfork(nullptr, nullptr, [] { pool = new Pool; });
#endif
    });
    return *pool;
}

}  // namespace

void run_tasks(int64_t count, int64_t threads, void (*body)(void*, int64_t), void* context) {
    Job job{count, body, context};
    const int64_t helpers = (threads < count ? threads : count) - 1;
    if (helpers > 0 && !inside) {
        Pool& shared = current();
        if (std::unique_lock lock(shared.owner, std::try_to_lock); lock.owns_lock()) {
            inside = true;
            shared.run(job, helpers);
            inside = false;
        } else {
            job.work();
        }
    } else {
        job.work();
    }
    if (job.out_of_memory) throw std::bad_alloc();
}

}  // namespace polyglyph
