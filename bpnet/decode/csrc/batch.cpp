#include "batch.h"

#include <algorithm>
#include <atomic>
#include <thread>
#include <utility>

namespace bpnet {

Workspace WorkspacePool::take() {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (free_.empty()) return {};
    Workspace workspace = std::move(free_.back());
    free_.pop_back();
    return workspace;
}

void WorkspacePool::give_back(Workspace &&workspace) {
    const std::lock_guard<std::mutex> lock(mutex_);
    free_.push_back(std::move(workspace));
}

void decode_batch(const Decoder &decoder, const std::vector<Maps> &batch, std::size_t threads,
                  WorkspacePool &pool, std::vector<Persons> &persons) {
    persons.resize(batch.size());
    std::atomic<std::size_t> next{0};
    auto work = [&] {
        Workspace workspace = pool.take();
        for (std::size_t i = next++; i < batch.size(); i = next++) {
            decoder.decode(batch[i], workspace, persons[i]);
        }
        pool.give_back(std::move(workspace));
    };
    std::vector<std::thread> helpers;
    for (std::size_t i = 1; i < std::min(threads, batch.size()); ++i) helpers.emplace_back(work);
    work();
    for (std::thread &helper : helpers) helper.join();
}

}  // namespace bpnet
