#pragma once

#include <atomic>
#include <cstddef>
#include <mutex>
#include <vector>

#include "decoder.h"
#include "thread_pool.h"

namespace bpnet {

// Workspaces kept for reuse by whichever thread needs one next.
class WorkspacePool {
  public:
    Workspace take();
    void give_back(Workspace &&workspace) noexcept;

  private:
    std::mutex mutex_;
    std::vector<Workspace> free_;
};

// A decoder with the threads and the memory of its calls. Several threads may call it at once.
class BatchDecoder {
  public:
    explicit BatchDecoder(Decoder decoder);
    BatchDecoder(const BatchDecoder &) = delete;
    BatchDecoder &operator=(const BatchDecoder &) = delete;
    ~BatchDecoder();

    const Decoder &decoder() const { return decoder_; }

    void decode(const Maps &maps, Persons &persons);

    // Decodes every image on up to `threads` threads; persons[i] belongs to batch[i] whatever
    // their number.
    void decode(const std::vector<Maps> &batch, std::size_t threads, std::vector<Persons> &persons);

  private:
    // What a process may not take over from the one that it was forked from: its threads are gone
    // and its locks may be held by them.
    struct Process {
        long id;
        ThreadPool threads;
        WorkspacePool workspaces;
    };

    Process &process();

    Decoder decoder_;
    std::atomic<Process *> process_;
};

}  // namespace bpnet
