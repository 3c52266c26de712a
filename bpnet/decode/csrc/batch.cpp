#include "batch.h"

#include <algorithm>
#include <exception>
#include <new>
#include <utility>

#ifndef _WIN32
#include <unistd.h>
#endif

namespace bpnet {
namespace {

long process_id() {
#ifdef _WIN32
    return 0;  // processes do not fork there
#else
    return static_cast<long>(getpid());
#endif
}

}  // namespace

Workspace WorkspacePool::take() {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (free_.empty()) return {};
    Workspace workspace = std::move(free_.back());
    free_.pop_back();
    return workspace;
}

void WorkspacePool::give_back(Workspace &&workspace) noexcept {
    const std::lock_guard<std::mutex> lock(mutex_);
    try {
        free_.push_back(std::move(workspace));
    } catch (const std::bad_alloc &) {  // the next call makes its own
    }
}

BatchDecoder::BatchDecoder(Decoder decoder)
    : decoder_(std::move(decoder)), process_(new Process{process_id(), {}, {}}) {}

BatchDecoder::~BatchDecoder() {
    Process *process = process_.load();
    if (process->id == process_id()) delete process;
}

BatchDecoder::Process &BatchDecoder::process() {
    Process *current = process_.load();
    if (current->id == process_id()) return *current;
    auto *fresh = new Process{process_id(), {}, {}};
    if (process_.compare_exchange_strong(current, fresh)) return *fresh;
    delete fresh;
    return *current;
}

void BatchDecoder::decode(const Maps &maps, Persons &persons) {
    WorkspacePool &workspaces = process().workspaces;
    Workspace workspace = workspaces.take();
    decoder_.decode(maps, workspace, persons);
    workspaces.give_back(std::move(workspace));
}

void BatchDecoder::decode(const std::vector<Maps> &batch, std::size_t threads,
                          std::vector<Persons> &persons) {
    persons.resize(batch.size());
    Process &shared = process();
    std::atomic<std::size_t> next{0};
    std::mutex failing;
    std::exception_ptr failure;
    auto work = [&] {
        try {
            Workspace workspace = shared.workspaces.take();
            for (std::size_t i = next++; i < batch.size(); i = next++) {
                decoder_.decode(batch[i], workspace, persons[i]);
            }
            shared.workspaces.give_back(std::move(workspace));
        } catch (...) {  // to be thrown again by the caller
            next = batch.size();
            const std::lock_guard<std::mutex> lock(failing);
            if (!failure) failure = std::current_exception();
        }
    };
    const std::size_t workers = std::min(threads, batch.size());
    shared.threads.run(workers > 1 ? workers - 1 : 0, std::ref(work));
    if (failure) std::rethrow_exception(failure);
}

}  // namespace bpnet
