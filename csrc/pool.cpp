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
    // How many helpers there are cores for.
    int64_t room() {
        const int own = sched_getcpu();
        known_ = own >= 0 && own < CPU_SETSIZE && sched_getaffinity(0, sizeof free_, &free_) == 0;
        if (!known_) return INT64_MAX;
        CPU_CLR(own, &free_);
        return CPU_COUNT(&free_);
    }

    void reserve() { helpers_.reserve(helpers_.size() + 1); }

    void add(std::thread& helper) {
        cpu_set_t anywhere;
        CPU_ZERO(&anywhere);
        helpers_.push_back({helper.native_handle(), anywhere});
    }

    // The first `count` helpers go where `room` found cores.
    void apart_from_caller(int64_t count) {
        if (!known_) return;
        for (int64_t n = 0; n < count; ++n) {
            auto& [helper, cores] = helpers_[n];
            if (!CPU_EQUAL(&cores, &free_) && pthread_setaffinity_np(helper, sizeof free_, &free_) == 0) cores = free_;
        }
    }

private:
    struct Helper {
        pthread_t thread;
        cpu_set_t cores;
    };
    std::vector<Helper> helpers_;
    cpu_set_t free_;
    bool known_ = false;
#else
    int64_t room() { return INT64_MAX; }
    void reserve() {}
    void add(std::thread&) {}
    void apart_from_caller(int64_t) {}
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
        const int64_t room = placement_.room();
        helpers = helpers < room ? helpers : room;
        grow(helpers);
        helpers = helpers < size_ ? helpers : size_;
        if (helpers == 0) return job.work();
        placement_.apart_from_caller(helpers);
        {
            std::lock_guard lock(mutex_);
            job_ = &job;
            wanted_ = helpers;
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
            placement_.reserve();
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
std::atomic<Pool*> pool{new Pool};
thread_local bool inside = false;

struct Inside {
    Inside() { inside = true; }
    ~Inside() { inside = false; }
};

#if !defined(_WIN32)
// A forked child has the pool's memory and none of its threads: it starts with a fresh one.
const int at_fork = pthread_atfork(nullptr, nullptr, [] { pool = new Pool; });
#endif

}  // namespace

void run_tasks(int64_t count, int64_t threads, void (*body)(void*, int64_t), void* context) {
    Job job{count, body, context};
    const int64_t helpers = (threads < count ? threads : count) - 1;
    if (helpers > 0 && !inside) {
        Pool& shared = *pool;
        if (std::unique_lock lock(shared.owner, std::try_to_lock); lock.owns_lock()) {
            const Inside here;
            shared.run(job, helpers);
        } else {
            job.work();
        }
    } else {
        job.work();
    }
    if (job.out_of_memory) throw std::bad_alloc();
}

}  // namespace polyglyph
