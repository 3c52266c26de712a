#pragma once

#include <condition_variable>
#include <cstddef>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace bpnet {

// Threads that wait for work, started when they are first wanted.
class ThreadPool {
  public:
    ThreadPool() = default;
    ThreadPool(const ThreadPool &) = delete;
    ThreadPool &operator=(const ThreadPool &) = delete;
    ~ThreadPool();

    // Calls `work` here and on up to `helpers` threads of the pool at once; returns when all that
    // began it are done. `work` must not throw. Threads that the system refuses are done without.
    void run(std::size_t helpers, const std::function<void()> &work);

  private:
    struct Job {
        const std::function<void()> *work;
        std::size_t wanted;  // helpers that may still begin it
        std::size_t active;  // helpers at it
    };

    void start_threads(std::size_t count);
    void serve();
    void remove(const Job *job);

    std::mutex mutex_;
    std::condition_variable wake_;
    std::condition_variable done_;
    std::vector<Job *> jobs_;
    std::vector<std::thread> threads_;
    bool stopping_ = false;
};

}  // namespace bpnet
