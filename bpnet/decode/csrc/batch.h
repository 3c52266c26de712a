#pragma once

#include <cstddef>
#include <mutex>
#include <vector>

#include "decoder.h"

namespace bpnet {

// Workspaces kept for reuse by whichever thread needs one next.
class WorkspacePool {
  public:
    Workspace take();
    void give_back(Workspace &&workspace);

  private:
    std::mutex mutex_;
    std::vector<Workspace> free_;
};

// Decodes every image on up to `threads` threads; persons[i] belongs to batch[i] whatever their
// number.
void decode_batch(const Decoder &decoder, const std::vector<Maps> &batch, std::size_t threads,
                  WorkspacePool &pool, std::vector<Persons> &persons);

}  // namespace bpnet
