#include "pool.h"

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <new>
#include <system_error>
#include <thread>

#if !defined(_WIN32)
#include <pthread.h>
#endif

namespace polyglyph {
namespace {

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
        {
            std::lock_guard lock(mutex_);
            job_ = &job;
            wanted_ = helpers < size_ ? helpers : size_;
        }
        wake_.notify_all();
        job.work();
        std::unique_lock lock(mutex_);
        job_ = nullptr;  // no helper may join from here on
        done_.wait(lock, [&] { return busy_ == 0; });
    }

    std::mutex owner;  // one caller at a time

private:
    void grow(int64_t helpers) {
        for (; size_ < helpers; ++size_) {
            try {
                std::thread([this] { serve(); }).detach();
            } catch (const std::system_error&) {
                return;  // the machine has no more threads: go on with fewer
            }
        }
    }

    void serve() {
        std::unique_lock lock(mutex_);
        for (;;) {
            wake_.wait(lock, [&] { return job_ != nullptr && wanted_ > 0; });
            Job* job = job_;
            --wanted_;
            ++busy_;
            lock.unlock();
            job->work();
            lock.lock();
            if (--busy_ == 0) done_.notify_all();
        }
    }

    std::mutex mutex_;
    std::condition_variable wake_, done_;
    Job* job_ = nullptr;
    int64_t size_ = 0, wanted_ = 0, busy_ = 0;
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
