#include "thread_pool.h"

#include <algorithm>
#include <new>
#include <system_error>

namespace bpnet {

ThreadPool::~ThreadPool() {
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        stopping_ = true;
    }
    wake_.notify_all();
    for (std::thread &thread : threads_) thread.join();
}

void ThreadPool::run(std::size_t helpers, const std::function<void()> &work) {
    if (helpers == 0) {
        work();
        return;
    }
    Job job{&work, helpers, 0};
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        start_threads(helpers);
        jobs_.push_back(&job);
    }
    wake_.notify_all();
    work();
    std::unique_lock<std::mutex> lock(mutex_);
    remove(&job);
    done_.wait(lock, [&] { return job.active == 0; });
}

void ThreadPool::start_threads(std::size_t count) {
    try {
        threads_.reserve(count);
        while (threads_.size() < count) threads_.emplace_back([this] { serve(); });
    } catch (const std::system_error &) {  // no more threads: those that run do the work
    } catch (const std::bad_alloc &) {
    }
}

void ThreadPool::serve() {
    std::unique_lock<std::mutex> lock(mutex_);
    while (true) {
        wake_.wait(lock, [&] { return stopping_ || !jobs_.empty(); });
        if (stopping_) return;
        Job *job = jobs_.front();
        ++job->active;
        if (--job->wanted == 0) remove(job);
        lock.unlock();
        (*job->work)();
        lock.lock();
        if (--job->active == 0) done_.notify_all();
    }
}

void ThreadPool::remove(const Job *job) {
    jobs_.erase(std::remove(jobs_.begin(), jobs_.end(), job), jobs_.end());
}

}  // namespace bpnet
